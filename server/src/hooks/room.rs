//! The room in the spool. Before a change is queued or takes effect, the server reserves room for all that it may put into the spool: its
//! record, and the marks of its fate. So the spool never has more bytes than its owner allows, however many changes are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that are in use, and those that may be.
#[derive(Debug)]
pub(super) struct Room {
    /// Bytes in the files of the spool, and those that may come there.
    used: AtomicU64,
    limit: u64,
    /// Bytes that were wanted when there was no room last.
    lacking: AtomicU64,
}

/// Room that is reserved until the records are in the spool, or their changes are refused.
#[derive(Debug)]
pub(crate) struct Reserved {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    pub(super) fn new(used: u64, limit: u64) -> Self {
        Self { used: AtomicU64::new(used), limit, lacking: AtomicU64::new(1) }
    }

    /// Reserves so many bytes; `None`: there is no room for them.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reserved> {
        let with = |used: u64| used.checked_add(bytes).filter(|all| *all <= self.limit);
        if self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, with).is_err() {
            self.lacking.store(bytes, Ordering::Relaxed);
            return None;
        }
        Some(Reserved { room: Arc::clone(self), bytes })
    }

    /// Whether there is no room for what was refused last, or for anything.
    pub(super) fn is_full(&self) -> bool {
        let wanted = self.lacking.load(Ordering::Relaxed);
        self.used.load(Ordering::Acquire).saturating_add(wanted) > self.limit
    }

    /// So many bytes came, which were not counted before.
    pub(super) fn came(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    /// So many bytes are gone, or will not come.
    pub(super) fn went(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Reserved {
    /// Is both.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.room.went(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_reserved_up_to_the_limit_and_given_back() {
        let room = Arc::new(Room::new(10, 100));
        let mut first = room.reserve(50).unwrap();
        assert!(room.reserve(41).is_none() && room.is_full(), "41 bytes more are too many");
        first.join(room.reserve(40).unwrap());
        assert!(room.reserve(1).is_none());
        drop(first);
        assert!(!room.is_full());
        room.came(80);
        assert!(room.reserve(90).is_none() && room.is_full());
        room.went(90);
        assert!(room.reserve(u64::MAX).is_none());
        assert!(room.reserve(100).is_some());
    }
}
