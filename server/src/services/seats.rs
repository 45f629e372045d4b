//! Seats: the connections that a server with accounts serves, and the rule that says who makes way when all seats are taken.
//!
//! A connection takes a seat when its client has logged in, and gives it back when the server has done all that it will do for
//! that client. Accounts share the seats. If all are taken, a newcomer gets the seat of a connection of the account that has
//! most, if that account has more than the newcomer's account will have: so however many connections an account has, and
//! whatever it does with them, another account is let in at once, and nobody takes from a smaller or an equal share. Otherwise
//! the newcomer waits until somebody leaves. When a seat is free, the first of those is next whose accounts have fewest.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use crate::accounts::{AccountName, ClientId};
use crate::commit::notify::ConnectionId;
use crate::locks::{Mutex, MutexGuard, Rank};

/// All seats.
#[derive(Debug)]
pub(crate) struct Seats {
    most: usize,
    most_waiting: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// The connections of each account that have a seat; no account is here without one.
    accounts: HashMap<AccountName, HashMap<ConnectionId, Place>>,
    taken: usize,
    /// In the order in which they came.
    waiting: Vec<Newcomer>,
}

/// The slot of a client. A newer connection there takes the place of an older one, and with it the seat.
type Place = (ClientId, u64);

/// A connection whose client has logged in.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) connection: ConnectionId,
    pub(crate) account: AccountName,
    pub(crate) client: ClientId,
    pub(crate) slot: u64,
    /// The most connections that the account may have.
    pub(crate) most: Option<u32>,
    /// Wakes the connection if it has to wait for its seat.
    pub(crate) waker: Waker,
}

/// The seat of a connection, or its wait for one. Dropping it gives both back.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    account: AccountName,
    connection: ConnectionId,
}

/// There is no seat for a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// The account has as many connections as it may have.
    OfAccount(u32),
    /// All are taken, and too many wait.
    OfServer,
}

impl Seats {
    /// So many seats, for which so many connections may wait.
    pub(crate) fn new(most: usize, most_waiting: usize) -> Arc<Self> {
        Arc::new(Self { most, most_waiting, table: Mutex::new(Rank::Seats, Table::default()) })
    }

    /// A seat for a newcomer, which may have to [wait](Seat::is_taken). `free`: ends one of these connections and returns it, so
    /// that the newcomer has its seat.
    pub(crate) fn take(
        self: &Arc<Self>,
        newcomer: Newcomer,
        free: impl FnOnce(&[ConnectionId]) -> Option<ConnectionId>,
    ) -> Result<Seat, NoSeat> {
        let mut table = self.table();
        let (account, connection) = (newcomer.account.clone(), newcomer.connection);
        if let Some(older) = table.at_place(&newcomer) {
            table.leave(&account, older);
        } else if let Some(most) = newcomer.most.filter(|most| table.is_over(&account, *most)) {
            return Err(NoSeat::OfAccount(most));
        } else if table.taken >= self.most
            && let Some(others) = table.larger_share(&account)
            && let Some(freed) = free(&others.1)
        {
            table.leave(&others.0, freed);
        }
        if table.taken < self.most {
            table.sit(newcomer);
        } else if table.waiting.len() < self.most_waiting {
            table.waiting.push(newcomer);
        } else {
            return Err(NoSeat::OfServer);
        }
        Ok(Seat { seats: Arc::clone(self), account, connection })
    }

    /// Whether all seats are taken.
    pub(crate) fn are_taken(&self) -> bool {
        self.table().taken >= self.most
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }
}

impl Table {
    /// The seats of an account.
    fn share(&self, account: &AccountName) -> usize {
        self.accounts.get(account).map_or(0, HashMap::len)
    }

    /// Whether an account may have no more than its connections that are here already.
    fn is_over(&self, account: &AccountName, most: u32) -> bool {
        let waiting = self.waiting.iter().filter(|waiting| waiting.account == *account).count();
        self.share(account) + waiting >= usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// The connection that has a seat at the place of a newcomer.
    fn at_place(&self, newcomer: &Newcomer) -> Option<ConnectionId> {
        let of_account = self.accounts.get(&newcomer.account)?;
        let is_there = |place: &Place| place.0 == newcomer.client && place.1 == newcomer.slot;
        of_account.iter().find(|(_, place)| is_there(place)).map(|(connection, _)| *connection)
    }

    /// The account that has most, and its connections, if they are more than an account will have that gets one more.
    fn larger_share(&self, account: &AccountName) -> Option<(AccountName, Vec<ConnectionId>)> {
        let (name, seats) = self.accounts.iter().max_by_key(|(_, seats)| seats.len())?;
        let is_larger = seats.len() > self.share(account) + 1;
        is_larger.then(|| (name.clone(), seats.keys().copied().collect()))
    }

    fn sit(&mut self, newcomer: Newcomer) {
        let Newcomer { account, connection, client, slot, .. } = newcomer;
        self.taken += 1;
        self.accounts.entry(account).or_default().insert(connection, (client, slot));
    }

    /// Gives the seat of a connection back, if it has one; tells whether it had.
    fn leave(&mut self, account: &AccountName, connection: ConnectionId) -> bool {
        let Some(seats) = self.accounts.get_mut(account) else { return false };
        let had = seats.remove(&connection).is_some();
        if seats.is_empty() {
            self.accounts.remove(account);
        }
        self.taken -= usize::from(had);
        had
    }

    /// Gives a free seat to the one that is next, and wakes it.
    fn seat_next(&mut self) {
        let waiting = self.waiting.iter().enumerate();
        let next = waiting.min_by_key(|(_, newcomer)| self.share(&newcomer.account));
        if let Some((next, _)) = next {
            let newcomer = self.waiting.remove(next);
            let waker = newcomer.waker.clone();
            self.sit(newcomer);
            waker.wake();
        }
    }
}

impl Seat {
    /// Whether the connection has its seat, and does not wait for it.
    pub(crate) fn is_taken(&self) -> bool {
        let table = self.seats.table();
        table.accounts.get(&self.account).is_some_and(|seats| seats.contains_key(&self.connection))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.table();
        if table.leave(&self.account, self.connection) {
            table.seat_next();
        } else {
            table.waiting.retain(|newcomer| newcomer.connection != self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newcomer(account: &str, connection: u64) -> Newcomer {
        let client = ClientId::of(account, "client");
        let account = client.account.clone().unwrap();
        let (connection, slot) = (ConnectionId(connection), connection);
        Newcomer { connection, account, client, slot, most: None, waker: Waker::noop().clone() }
    }

    fn take(seats: &Arc<Seats>, account: &str, connection: u64) -> Result<Seat, NoSeat> {
        seats.take(newcomer(account, connection), |_| panic!("nobody has to make way"))
    }

    /// Takes a seat that somebody has to make way for; returns who could.
    fn crowd_in(seats: &Arc<Seats>, account: &str, connection: u64) -> (Seat, Vec<u64>) {
        let mut could = Vec::new();
        let seat = seats.take(newcomer(account, connection), |others| {
            could.extend(others.iter().map(|other| other.0));
            others.iter().max_by_key(|other| other.0).copied()
        });
        could.sort_unstable();
        (seat.unwrap(), could)
    }

    #[test]
    fn account_that_has_most_makes_way_until_the_shares_are_equal() {
        let seats = Seats::new(4, 1);
        let alices: Vec<_> = (0..4).map(|id| take(&seats, "alice", id).unwrap()).collect();
        let (first, could) = crowd_in(&seats, "bob", 10);
        assert_eq!((first.is_taken(), could), (true, vec![0, 1, 2, 3]));
        let (second, could) = crowd_in(&seats, "bob", 11);
        assert_eq!((second.is_taken(), could), (true, vec![0, 1, 2]));
        // Those that made way have nothing to give back.
        let are_taken = |seats: &[Seat]| seats.iter().map(Seat::is_taken).collect::<Vec<_>>();
        assert_eq!(are_taken(&alices), [true, true, false, false]);
        let third = take(&seats, "bob", 12).unwrap();
        assert!(!third.is_taken());
        drop(alices);
        assert!(third.is_taken() && second.is_taken() && !seats.are_taken());
    }

    #[test]
    fn seat_that_is_free_goes_to_the_account_that_has_fewest() {
        let seats = Seats::new(4, 8);
        let mut alices: Vec<_> = (0..2).map(|id| take(&seats, "alice", id).unwrap()).collect();
        let bob = take(&seats, "bob", 10).unwrap();
        let carol = take(&seats, "carol", 20).unwrap();
        let waiting = take(&seats, "alice", 2).unwrap();
        let next = take(&seats, "bob", 11).unwrap();
        let gone = take(&seats, "carol", 21).unwrap();
        drop(gone);
        drop(carol);
        assert_eq!((next.is_taken(), waiting.is_taken()), (true, false));
        alices.pop();
        assert!(waiting.is_taken());
        assert!(bob.is_taken());
    }

    #[test]
    fn no_more_wait_than_may() {
        let seats = Seats::new(1, 1);
        let first = take(&seats, "alice", 0).unwrap();
        let waiting = take(&seats, "alice", 1).unwrap();
        assert_eq!(take(&seats, "alice", 2).unwrap_err(), NoSeat::OfServer);
        drop(waiting);
        let next = take(&seats, "bob", 3).unwrap();
        drop(first);
        assert!(next.is_taken());
    }

    #[test]
    fn account_has_no_more_connections_than_it_may_but_for_those_that_are_replaced() {
        let seats = Seats::new(9, 9);
        let of_two = |client: &str, connection: u64, slot: u64| {
            let client = ClientId::of("alice", client);
            seats.take(
                Newcomer { client, slot, most: Some(2), ..newcomer("alice", connection) },
                |_| None,
            )
        };
        let first = of_two("c", 0, 0).unwrap();
        let other = of_two("d", 1, 0).unwrap();
        assert_eq!(of_two("c", 2, 1).unwrap_err(), NoSeat::OfAccount(2));
        let newer = of_two("c", 3, 0).unwrap();
        assert!(newer.is_taken() && !first.is_taken());
        drop(first);
        assert_eq!(of_two("c", 4, 1).unwrap_err(), NoSeat::OfAccount(2));
        drop(newer);
        assert!(of_two("c", 5, 1).unwrap().is_taken());
        assert!(other.is_taken());
    }

    /// All seats are taken, and one of them by the connection that the newcomer replaces.
    #[test]
    fn newer_connection_at_the_same_place_has_the_seat_of_the_older_one_at_once() {
        let seats = Seats::new(2, 2);
        let older = take(&seats, "alice", 0).unwrap();
        let _other = take(&seats, "alice", 1).unwrap();
        let newer = seats.take(Newcomer { slot: 0, ..newcomer("alice", 2) }, |_| None).unwrap();
        assert!(newer.is_taken() && !older.is_taken());
    }
}
