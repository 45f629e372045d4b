//! The bound on open files other than the sockets of connections, and the rule that shares them among accounts.
//!
//! If no place is free, a connection whose place is idle gives its own back, for the next that asks. If none is idle, that is a
//! connection of the account that has most places, if these are more than the newcomer's account will have. So nobody takes from
//! a smaller or an equal share. A free place is kept for an account that was refused one lately from accounts that have more:
//! an account that asks again and again for what it has lost does not get ahead of one that tries again after a pause.
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
    /// Accounts that were refused a place, and until when one is kept for them.
    waiting: HashMap<Option<AccountName>, u64>,
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

    /// A place, if one is free; or else the connections of another account that have more than their share.
    pub(crate) fn take(&self, holder: Holder, now: u64) -> Result<Place, Vec<ConnectionId>> {
        let mut table = self.table();
        if table.is_free_for(&holder.0, now) {
            table.free -= 1;
            table.waiting.remove(&holder.0);
            let share = table.accounts.entry(holder.0.clone()).or_default();
            share.entry(holder.1).or_default().places += 1;
            return Ok(Place { table: Arc::clone(&self.0), holder });
        }
        table.waiting.insert(holder.0.clone(), now.saturating_add(KEPT));
        Err(table.larger_share(&holder.0))
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

    /// Whether a place is free that is not kept for an account with a smaller share.
    fn is_free_for(&mut self, account: &Option<AccountName>, now: u64) -> bool {
        self.waiting.retain(|_, until| *until > now);
        if self.waiting.is_empty() {
            return self.free > 0;
        }
        let share = self.share(account);
        let first = self.waiting.keys().filter(|other| self.share(other) < share).count();
        self.free > first
    }

    /// The connections of the account that has most, if these have more than the other account will have with one more.
    fn larger_share(&self, account: &Option<AccountName>) -> Vec<ConnectionId> {
        let largest = self.accounts.values().max_by_key(|share| places(share));
        let larger = largest.filter(|share| places(share) > self.share(account) + 1);
        let staying = larger.into_iter().flatten().filter(|(_, held)| !held.leaves);
        staying.map(|(connection, _)| *connection).collect()
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

    #[test]
    fn place_that_is_dropped_can_be_taken_again() {
        let places = Places::new(2);
        let take = |connection| places.take((None, ConnectionId(connection)), 0);
        let (one, other) = (take(1), take(2));
        assert!(one.is_ok() && other.is_ok() && places.free() == 0);
        assert_eq!(take(3).unwrap_err(), [], "nobody has more than the others");
        drop(other);
        assert!(take(3).is_ok());
    }

    #[test]
    fn account_that_has_most_makes_room_until_the_shares_are_equal() {
        let places = Places::new(4);
        let mut alices: Vec<_> =
            (0..4).map(|id| places.take(of("alice", id), 0).unwrap()).collect();
        let mut could = places.take(of("bob", 10), 0).unwrap_err();
        could.sort_unstable_by_key(|connection| connection.0);
        assert_eq!(could, [0, 1, 2, 3].map(ConnectionId));
        places.leaves(ConnectionId(3));
        drop(alices.pop());
        // She is the first to ask, and has more.
        assert!(places.take(of("alice", 3), 1).is_err());
        let first = places.take(of("bob", 10), 2).unwrap();
        assert_eq!(places.take(of("bob", 11), 2).unwrap_err().len(), 3);
        places.leaves(ConnectionId(2));
        drop(alices.pop());
        let second = places.take(of("bob", 11), 2).unwrap();
        assert_eq!(places.take(of("bob", 12), 2).unwrap_err(), [], "the shares are equal");
        drop((first, second));
        assert_eq!(places.free(), 2);
    }

    #[test]
    fn place_is_kept_for_a_while_only() {
        let places = Places::new(2);
        let mut alices: Vec<_> =
            (0..2).map(|id| places.take(of("alice", id), 0).unwrap()).collect();
        assert!(places.take(of("bob", 10), 0).is_err());
        drop(alices.pop());
        assert!(places.take(of("alice", 2), KEPT - 1).is_err());
        assert!(places.take(of("alice", 2), KEPT).is_ok());
    }
}
