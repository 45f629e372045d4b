//! Fencing: a newer connection of the same client and slot ends the older one's right to change anything.
//!
//! Bytes that are left over in the socket of a connection that its client has given up would
//! otherwise take effect after the requests that the client has sent again.

use std::collections::HashMap;
use std::sync::Arc;

use haul_protocol::{Code, Refusal};

use crate::commit::notify::ConnectionId;
use crate::locks::{Mutex, Rank, ReadGuard, RwLock};

/// The guard of one connection: open, it gives permits to change something.
#[derive(Debug)]
pub(crate) struct Fence(RwLock<bool>);

impl Default for Fence {
    fn default() -> Self {
        Self(RwLock::new(Rank::Fence, false))
    }
}

impl Fence {
    /// The permit for one change, which takes effect while the permit is held. Once a newer connection has been
    /// answered, the fence is closed and gives none.
    pub(crate) fn enter(&self) -> Result<ReadGuard<'_, bool>, Refusal> {
        let closed = self.0.read();
        if *closed {
            return Err(refusal());
        }
        Ok(closed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.0.read()
    }
}

/// The refusal of the older connection.
pub(crate) fn refusal() -> Refusal {
    Refusal::new(Code::Fenced, "a newer connection has taken this one's place")
}

/// The newest connection of each client and slot.
#[derive(Debug)]
pub(crate) struct Fences(Mutex<HashMap<(String, u64), Newest>>);

impl Default for Fences {
    fn default() -> Self {
        Self(Mutex::new(Rank::Fences, HashMap::new()))
    }
}

#[derive(Debug)]
struct Newest {
    fence: Arc<Fence>,
    connection: ConnectionId,
    /// Fences of older connections that may not be closed yet.
    older: Vec<Arc<Fence>>,
}

impl Fences {
    /// Enters a connection. When this returns, nothing that an older one asked for starts any more;
    /// it is returned, so that it can be woken and ended.
    pub(crate) fn enter(
        &self,
        client: &str,
        slot: u64,
        connection: ConnectionId,
    ) -> (Arc<Fence>, Option<ConnectionId>) {
        let (fence, place) = (Arc::new(Fence::default()), (client.to_owned(), slot));
        let mut table = self.0.lock();
        let before = table.remove(&place);
        let replaced = before.as_ref().map(|before| before.connection);
        let older = before.map_or_else(Vec::new, |Newest { fence, mut older, .. }| {
            older.push(fence);
            older
        });
        table.insert(
            place.clone(),
            Newest { fence: Arc::clone(&fence), connection, older: older.clone() },
        );
        drop(table);
        for older in &older {
            // Waits for a change that is taking effect just now, never for a peer. So does each connection that comes
            // meanwhile: all of them are older than that one.
            *older.0.write() = true;
        }
        if let Some(newest) = self.0.lock().get_mut(&place) {
            newest.older.retain(|fence| !older.iter().any(|closed| Arc::ptr_eq(closed, fence)));
        }
        (fence, replaced)
    }

    /// A connection is over.
    pub(crate) fn leave(&self, client: &str, slot: u64, connection: ConnectionId) {
        let mut newest = self.0.lock();
        let place = (client.to_owned(), slot);
        if newest.get(&place).is_some_and(|newest| newest.connection == connection) {
            newest.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// The second newer connection waits for the oldest one as well, though it has replaced another one.
    #[test]
    fn nothing_of_any_older_connection_takes_effect_once_a_newer_one_has_entered() {
        let fences = Fences::default();
        let (oldest, _) = fences.enter("client", 0, ConnectionId(1));
        let change = oldest.enter().unwrap();
        thread::scope(|scope| {
            let newer: Vec<_> = (2..5)
                .map(|key| {
                    let fences = &fences;
                    scope.spawn(move || drop(fences.enter("client", 0, ConnectionId(key))))
                })
                .collect();
            let is_entered = |key| {
                let table = fences.0.lock();
                table
                    .values()
                    .any(|newest| newest.connection == ConnectionId(key) || newest.older.len() > 2)
            };
            while !(2..5).all(is_entered) {
                thread::yield_now();
            }
            assert!(newer.iter().all(|newer| !newer.is_finished()));
            drop(change);
        });
        assert!(oldest.is_closed() && oldest.enter().is_err());
        let (newest, older) = fences.enter("client", 0, ConnectionId(9));
        assert!(newest.enter().is_ok() && older.is_some());
        assert!(fences.0.lock().values().all(|newest| newest.older.is_empty()));
    }
}
