//! The bound on open files other than the sockets of connections, and the rule that shares them among accounts.
//!
//! If no place is free, a connection whose place is idle gives its own back, for the next that asks: one of an account that has
//! no fewer places than the newcomer's. If none is idle, that is a connection of the account that has most places, if these are
//! more than the newcomer's account will have. So nobody takes from a smaller share, or what is in use from an equal one. Free
//! places are kept for an account that was refused them lately from accounts that have more: an account that asks again and again
//! for what it has lost does not get ahead of one that tries again after a pause.
//!
//! A server without accounts has one share, which is everybody's.

use std::collections::HashMap;
use std::sync::Arc;

use crate::accounts::AccountName;
use crate::commit::notify::ConnectionId;
use crate::locks::{Mutex, MutexGuard, Rank};

/// Milliseconds for which a place is kept for an account that was refused one: clients come again sooner.
const KEPT: u64 = 10_000;

/// Places: rights to have one more half-written file open, or one more file or directory that is read over several turns.
#[derive(Debug)]
pub(crate) struct Places(Arc<Mutex<Table>>);

/// One place. Dropping it makes it free.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<Mutex<Table>>,
    holder: Holder,
}

/// The account of a connection (`None`: it has none), and the connection.
pub(crate) type Holder = (Option<AccountName>, ConnectionId);

#[derive(Debug, Default)]
struct Table {
    free: usize,
    /// The places of the connections of each account; none is here without one.
    accounts: HashMap<Option<AccountName>, Share>,
    /// Accounts that were refused places.
    waiting: HashMap<Option<AccountName>, Waiting>,
}

/// The places that are kept for an account.
#[derive(Debug)]
struct Waiting {
    places: usize,
    /// In milliseconds of the server's clock.
    until: u64,
}

/// Connections that may give a place back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// If their place is idle.
    pub(crate) if_idle: Vec<ConnectionId>,
    /// In any case.
    pub(crate) in_any_case: Vec<ConnectionId>,
}

/// The places of each connection of an account. Those of one that has been told to make room count no more.
type Share = HashMap<ConnectionId, Held>;

#[derive(Debug, Default)]
struct Held {
    places: usize,
    leaves: bool,
}

impl Places {
    /// So many places, all free.
    pub(crate) fn new(places: usize) -> Self {
        let table = Table { free: places, ..Table::default() };
        Self(Arc::new(Mutex::new(Rank::Places, table)))
    }

    /// The places that are free.
    pub(crate) fn free(&self) -> usize {
        self.table().free
    }

    /// So many places at once, if they are free.
    pub(crate) fn take<const N: usize>(
        &self,
        holder: &Holder,
        now: u64,
    ) -> Result<[Place; N], Crowd> {
        let mut table = self.table();
        if table.are_free_for(&holder.0, N, now) {
            table.free -= N;
            table.waiting.remove(&holder.0);
            let share = table.accounts.entry(holder.0.clone()).or_default();
            share.entry(holder.1).or_default().places += N;
            let place = |_| Place { table: Arc::clone(&self.0), holder: holder.clone() };
            return Ok(std::array::from_fn(place));
        }
        let waiting = Waiting { places: N, until: now.saturating_add(KEPT) };
        table.waiting.insert(holder.0.clone(), waiting);
        Err(table.crowd(&holder.0))
    }

    /// This connection has been told to make room.
    pub(crate) fn leaves(&self, connection: ConnectionId) {
        let mut table = self.table();
        let held = table.accounts.values_mut().find_map(|share| share.get_mut(&connection));
        if let Some(held) = held {
            held.leaves = true;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }
}

impl Table {
    /// The places that an account will still have when all have left that were told to.
    fn share(&self, account: &Option<AccountName>) -> usize {
        self.accounts.get(account).map_or(0, places)
    }

    /// Whether so many places are free that are not kept for accounts with a smaller share.
    fn are_free_for(&mut self, account: &Option<AccountName>, count: usize, now: u64) -> bool {
        self.waiting.retain(|_, waiting| waiting.until > now);
        if self.waiting.is_empty() {
            return self.free >= count;
        }
        let share = self.share(account);
        let first = self.waiting.iter().filter(|(other, _)| self.share(other) < share);
        self.free >= count + first.map(|(_, waiting)| waiting.places).sum::<usize>()
    }

    /// Those that may make room for an account: if they are idle, the connections of accounts that have no fewer places; and in
    /// any case those of the account that has most, if these are more than the other account will have with one more.
    fn crowd(&self, account: &Option<AccountName>) -> Crowd {
        let own = self.share(account);
        let equal = self.accounts.values().filter(|share| places(share) >= own);
        let largest = self.accounts.values().max_by_key(|share| places(share));
        let larger = largest.filter(|share| places(share) > own + 1);
        Crowd {
            if_idle: equal.flat_map(staying).collect(),
            in_any_case: larger.into_iter().flat_map(staying).collect(),
        }
    }

    fn give_back(&mut self, (account, connection): &Holder) {
        self.free += 1;
        let Some(share) = self.accounts.get_mut(account) else { return };
        if let Some(held) = share.get_mut(connection) {
            held.places -= 1;
            if held.places == 0 {
                share.remove(connection);
            }
        }
        if share.is_empty() {
            self.accounts.remove(account);
        }
    }
}

fn staying(share: &Share) -> impl Iterator<Item = ConnectionId> {
    share.iter().filter(|(_, held)| !held.leaves).map(|(connection, _)| *connection)
}

fn places(share: &Share) -> usize {
    share.values().filter(|held| !held.leaves).map(|held| held.places).sum()
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().give_back(&self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::ClientId;

    fn of(account: &str, connection: u64) -> Holder {
        (ClientId::of(account, "c").account, ConnectionId(connection))
    }

    fn one(places: &Places, holder: &Holder, now: u64) -> Result<Place, Crowd> {
        places.take(holder, now).map(|[place]| place)
    }

    /// The connections that have to make room, in their order.
    fn must(refused: Result<Place, Crowd>) -> Vec<u64> {
        let mut must: Vec<_> = refused.unwrap_err().in_any_case.iter().map(|id| id.0).collect();
        must.sort_unstable();
        must
    }

    #[test]
    fn place_that_is_dropped_can_be_taken_again() {
        let places = Places::new(2);
        let take = |connection| one(&places, &(None, ConnectionId(connection)), 0);
        let (first, other) = (take(1), take(2));
        assert!(first.is_ok() && other.is_ok() && places.free() == 0);
        assert!(must(take(3)).is_empty(), "nobody has more than the others");
        drop(other);
        assert!(take(3).is_ok());
    }

    #[test]
    fn account_that_has_most_makes_room_until_the_shares_are_equal() {
        let places = Places::new(4);
        let mut alices: Vec<_> =
            (0..4).map(|id| one(&places, &of("alice", id), 0).unwrap()).collect();
        assert_eq!(must(one(&places, &of("bob", 10), 0)), [0, 1, 2, 3]);
        places.leaves(ConnectionId(3));
        drop(alices.pop());
        // She is the first to ask, and has more.
        assert!(one(&places, &of("alice", 3), 1).is_err());
        let first = one(&places, &of("bob", 10), 2).unwrap();
        assert_eq!(must(one(&places, &of("bob", 11), 2)).len(), 3);
        places.leaves(ConnectionId(2));
        drop(alices.pop());
        let second = one(&places, &of("bob", 11), 2).unwrap();
        assert!(must(one(&places, &of("bob", 12), 2)).is_empty(), "the shares are equal");
        drop((first, second));
        assert_eq!(places.free(), 2);
    }

    /// One of an upload's two places alone is of no use, and is not lost to whoever asks meanwhile.
    #[test]
    fn as_many_places_are_kept_as_were_refused() {
        let places = Places::new(4);
        let mut alices: Vec<_> =
            (0..4).map(|id| one(&places, &of("alice", id), 0).unwrap()).collect();
        let bob = of("bob", 10);
        let both = |now| places.take::<2>(&bob, now);
        assert!(both(0).is_err());
        for (now, left) in [(1, 3), (2, 2)] {
            assert!(both(now).is_err());
            places.leaves(ConnectionId(left));
            drop(alices.pop());
            assert!(one(&places, &of("alice", left), now).is_err());
        }
        assert!(both(3).is_ok());
    }

    #[test]
    fn idle_places_are_taken_from_no_smaller_share() {
        let places = Places::new(3);
        let take = |account, id| one(&places, &of(account, id), 0);
        let _all = (take("alice", 0).unwrap(), take("bob", 10).unwrap(), take("bob", 11).unwrap());
        let idle = |account| {
            let mut idle: Vec<_> = take(account, 20).unwrap_err().if_idle;
            idle.sort_unstable_by_key(|connection| connection.0);
            idle
        };
        assert_eq!(idle("bob"), [10, 11].map(ConnectionId));
        assert_eq!(idle("alice"), [0, 10, 11].map(ConnectionId));
    }

    #[test]
    fn place_is_kept_for_a_while_only() {
        let places = Places::new(2);
        let mut alices: Vec<_> =
            (0..2).map(|id| one(&places, &of("alice", id), 0).unwrap()).collect();
        assert!(one(&places, &of("bob", 10), 0).is_err());
        drop(alices.pop());
        assert!(one(&places, &of("alice", 2), KEPT - 1).is_err());
        assert!(one(&places, &of("alice", 2), KEPT).is_ok());
    }
}
