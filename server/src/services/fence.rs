//! Fencing: a newer connection of the same client and slot ends the older one's right to change anything.
//!
//! Bytes that are left over in the socket of a connection that its client has given up would
//! otherwise take effect after the requests that the client has sent again.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use haul_protocol::Code;

use crate::accounts::ClientId;
use crate::commit::notify::ConnectionId;
use crate::locks::{Mutex, Rank};
use crate::refusal::Refusal;

/// The guard of one connection: while it is open, it gives permits for changes.
#[derive(Debug)]
pub(crate) struct Fence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    /// Changes under way.
    inside: usize,
    /// Woken when the last of them is over.
    wakers: Vec<Waker>,
}

impl Default for Fence {
    fn default() -> Self {
        Self(Mutex::new(Rank::Fence, State::default()))
    }
}

/// Leave for one change, which takes effect while this is held.
#[derive(Debug)]
pub(crate) struct Leave<'a>(&'a Fence);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.inside -= 1;
        let woken = if state.inside == 0 { mem::take(&mut state.wakers) } else { Vec::new() };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Fence {
    /// Leave for one change; none once a newer connection has come.
    pub(crate) fn enter(&self) -> Result<Leave<'_>, Refusal> {
        let mut state = self.0.lock();
        if state.is_closed {
            return Err(refusal());
        }
        state.inside += 1;
        Ok(Leave(self))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    /// No change is under way, nor will one be.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.0.lock();
        state.is_closed && state.inside == 0
    }

    /// No change begins from now on. `false`: changes are under way, and the waker is woken when they are over.
    fn close(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        state.is_closed = true;
        if state.inside > 0 {
            state.wakers.push(waker.clone());
        }
        state.inside == 0
    }
}

/// The refusal of the older connection.
pub(crate) fn refusal() -> Refusal {
    Refusal::new(Code::Fenced, "a newer connection has taken this one's place")
}

/// The newest connection of each client and slot.
#[derive(Debug)]
pub(crate) struct Fences(Mutex<Table>);

/// A client and its slot.
type Place = (ClientId, u64);

#[derive(Debug, Default)]
struct Table {
    newest: HashMap<Place, Newest>,
    /// Places without a connection in which changes of older ones were under way. A worker is in each of these changes, so
    /// there are few.
    left: Vec<Place>,
}

impl Table {
    /// Forgets places that nobody has to wait for any more.
    fn prune(&mut self) {
        let newest = &mut self.newest;
        self.left.retain(|place| {
            let Some(found) = newest.get(place).filter(|newest| newest.connection.is_none()) else {
                return false;
            };
            let is_over = found.older.iter().all(|fence| fence.is_over());
            if is_over {
                newest.remove(place);
            }
            !is_over
        });
    }
}

impl Default for Fences {
    fn default() -> Self {
        Self(Mutex::new(Rank::Fences, Table::default()))
    }
}

#[derive(Debug)]
struct Newest {
    fence: Arc<Fence>,
    /// `None`: it has left while changes of older ones were under way.
    connection: Option<ConnectionId>,
    /// Fences of older connections that may not be closed yet.
    older: Vec<Arc<Fence>>,
}

/// A connection was entered.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) fence: Arc<Fence>,
    /// An older one, to be woken and ended.
    pub(crate) replaced: Option<ConnectionId>,
    /// Behind these, changes of older ones are under way. When the last one behind each of them is over, the waker is woken.
    pub(crate) older: Vec<Arc<Fence>>,
}

impl Fences {
    /// Enters a connection. From now on nothing that an older one asked for begins any more.
    pub(crate) fn enter(
        &self,
        client: &ClientId,
        slot: u64,
        connection: ConnectionId,
        waker: &Waker,
    ) -> Entered {
        let (fence, place) = (Arc::new(Fence::default()), (client.clone(), slot));
        let mut table = self.0.lock();
        table.prune();
        let before = table.newest.remove(&place);
        let replaced = before.as_ref().and_then(|before| before.connection);
        let mut older = before.map_or_else(Vec::new, |Newest { fence, mut older, .. }| {
            older.push(fence);
            older
        });
        older.retain(|fence| !fence.close(waker));
        let connection = Some(connection);
        let newest = Newest { fence: Arc::clone(&fence), connection, older: older.clone() };
        table.newest.insert(place, newest);
        Entered { fence, replaced, older }
    }

    /// A connection is over. Its successor waits for changes of older ones nevertheless.
    pub(crate) fn leave(&self, client: &ClientId, slot: u64, connection: ConnectionId) {
        let mut table = self.0.lock();
        table.prune();
        let place = (client.clone(), slot);
        let Some(newest) = table.newest.get_mut(&place) else { return };
        if newest.connection == Some(connection) {
            newest.connection = None;
            table.left.push(place);
            table.prune();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    fn client() -> ClientId {
        ClientId::alone("client")
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Otherwise that change would take effect after what the client has sent again.
    #[test]
    fn connection_waits_for_a_change_also_if_another_one_has_waited_and_left() {
        let fences = Fences::default();
        let oldest = fences.enter(&client(), 0, ConnectionId(1), Waker::noop());
        let change = oldest.fence.enter().unwrap();
        let second = fences.enter(&client(), 0, ConnectionId(2), Waker::noop());
        assert_eq!((second.replaced, second.older.len()), (Some(ConnectionId(1)), 1));
        fences.leave(&client(), 0, ConnectionId(2));
        let third = fences.enter(&client(), 0, ConnectionId(3), Waker::noop());
        assert_eq!((third.replaced, third.older.len()), (None, 1));
        fences.leave(&client(), 0, ConnectionId(3));
        drop(change);
        assert!(third.older.iter().all(|fence| fence.is_over()));
        fences.leave(&ClientId::alone("another"), 0, ConnectionId(4));
        let table = fences.0.lock();
        assert!(table.newest.is_empty() && table.left.is_empty(), "{table:?}");
    }

    /// The second newer connection waits for the oldest one as well, though it has replaced another one. No thread waits.
    #[test]
    fn newer_connections_are_woken_when_the_last_change_of_an_older_one_is_over() {
        let fences = Fences::default();
        let oldest = fences.enter(&client(), 0, ConnectionId(1), Waker::noop());
        assert!(oldest.replaced.is_none() && oldest.older.is_empty());
        let (one, other) = (oldest.fence.enter().unwrap(), oldest.fence.enter().unwrap());
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let newer: Vec<_> =
            (2..5).map(|key| fences.enter(&client(), 0, ConnectionId(key), &waker)).collect();
        assert!(oldest.fence.is_closed() && oldest.fence.enter().is_err());
        let waits = || newer.iter().filter(|newer| newer.older.iter().any(|old| !old.is_over()));
        drop(other);
        assert_eq!((waits().count(), woken.0.load(Ordering::SeqCst)), (3, 0));
        drop(one);
        assert_eq!((waits().count(), woken.0.load(Ordering::SeqCst)), (0, 3));
        let newest = fences.enter(&client(), 0, ConnectionId(9), &waker);
        assert!(newest.fence.enter().is_ok() && newest.replaced == Some(ConnectionId(4)));
        assert!(newest.older.is_empty(), "nobody is in their way any more");
    }

    #[test]
    fn client_of_another_account_takes_nobodys_place() {
        let fences = Fences::default();
        let alices = fences.enter(&ClientId::of("alice", "c"), 0, ConnectionId(1), Waker::noop());
        for other in [ClientId::of("bob", "c"), ClientId::alone("c")] {
            let entered = fences.enter(&other, 0, ConnectionId(2), Waker::noop());
            assert!(entered.replaced.is_none() && entered.older.is_empty());
        }
        assert!(alices.fence.enter().is_ok());
    }
}
