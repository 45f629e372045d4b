//! Fencing: a newer connection of the same client and slot ends what an older one may still do.
//!
//! Bytes that are left over in the socket of a connection that its client has given up would
//! otherwise take effect after what the client has sent again.

use std::collections::HashMap;
use std::sync::Arc;

use haul_protocol::{Code, Refusal};

use crate::locks::{Mutex, Rank, ReadGuard, RwLock};

/// One connection's leave to change anything.
#[derive(Debug)]
pub(crate) struct Fence(RwLock<bool>);

impl Default for Fence {
    fn default() -> Self {
        Self(RwLock::new(Rank::Fence, false))
    }
}

impl Fence {
    /// Leave for one change, which takes effect while this is held; none once a newer connection has
    /// been answered.
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

/// What the older connection is told.
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
    /// The connection's key in the table of slots.
    key: u64,
}

impl Fences {
    /// Enters a connection. When this returns, nothing that an older one asked for starts any more;
    /// its key is returned, so that it can be woken and ended.
    pub(crate) fn enter(&self, client: &str, slot: u64, key: u64) -> (Arc<Fence>, Option<u64>) {
        let fence = Arc::new(Fence::default());
        let newest = Newest { fence: Arc::clone(&fence), key };
        let older = self.0.lock().insert((client.to_owned(), slot), newest);
        let older = older.map(|older| {
            // Waits for a change that is taking effect just now, never for a peer.
            *older.fence.0.write() = true;
            older.key
        });
        (fence, older)
    }

    /// A connection is over.
    pub(crate) fn leave(&self, client: &str, slot: u64, key: u64) {
        let mut newest = self.0.lock();
        let place = (client.to_owned(), slot);
        if newest.get(&place).is_some_and(|newest| newest.key == key) {
            newest.remove(&place);
        }
    }
}
