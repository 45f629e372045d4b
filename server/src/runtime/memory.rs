//! The memory and the place that one connection holds, and its weight when connections have to make room.
//!
//! A connection states its bytes after each turn. Its weight is its bytes, times the time for which it has held them. While
//! the server works for a peer, time hardly counts. If memory is scarce, the connection with the largest weight makes room:
//! so an honest newcomer is never refused because others hold the memory.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Added to the time for which bytes are held, in milliseconds: of connections that have just begun, the largest goes first.
const AT_LEAST: u64 = 100;

/// Milliseconds for which the bytes of a connection count as held while the server works for the peer. Few, because the
/// peer can't shorten the work; not 0, because the work may take hours.
const WORKED_FOR: u64 = 20;

/// Bytes of a connection to which [`WORKED_FOR`] applies: more than a `check` of 1 MiB takes. Bytes above them count as held
/// for [`HELD_FOR`] milliseconds.
const SPARED: u64 = 2 * 1024 * 1024;
const HELD_FOR: u64 = 10_000;

/// Stands for a moment at which nothing begins: the server works.
const WORKS: u64 = u64::MAX;

/// The memory and the place of one connection, as threads other than its owner see them.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: AtomicUsize,
    /// When the connection was last done with a request or an answer, or the server with its work for it, in milliseconds of
    /// the server's clock; or [`WORKS`].
    since: AtomicU64,
    /// When the last byte came for the file of which it holds a place; 0: it holds none.
    place: AtomicU64,
    /// It has to make room.
    evicted: AtomicBool,
}

impl Held {
    /// Its owner states the bytes that it holds now, and the time since which the server waits for its peer (`None`: the
    /// server works for the peer); returns the bytes that it held before.
    pub(crate) fn set(&self, bytes: usize, since: Option<u64>, place: Option<u64>) -> usize {
        let before = self.bytes.swap(bytes, Ordering::AcqRel);
        self.since.store(since.unwrap_or(WORKS), Ordering::Relaxed);
        self.place.store(place.map_or(0, |since| since.max(1)), Ordering::Relaxed);
        before
    }

    /// Its bytes, times the time for which it has held them.
    pub(crate) fn weight(&self, now: u64) -> u64 {
        let bytes = self.bytes.load(Ordering::Relaxed) as u64;
        match self.since.load(Ordering::Relaxed) {
            WORKS => {
                let spared = bytes.min(SPARED);
                let rest = (bytes - spared).saturating_mul(HELD_FOR);
                rest.saturating_add(spared * WORKED_FOR)
            }
            since => bytes.saturating_mul(now.saturating_sub(since) + AT_LEAST),
        }
    }

    /// For how long the server has waited for its peer, in milliseconds.
    pub(crate) fn waited(&self, now: u64) -> u64 {
        match self.since.load(Ordering::Relaxed) {
            WORKS => 0,
            since => now.saturating_sub(since),
        }
    }

    /// For how long it has had a place for which nothing has come, in milliseconds.
    pub(crate) fn idle_place(&self, now: u64) -> Option<u64> {
        let since = self.place.load(Ordering::Relaxed);
        (since > 0).then(|| now.saturating_sub(since))
    }

    /// Tells its owner to make room, which counts as done; returns how much that is.
    pub(crate) fn evict(&self) -> usize {
        self.evicted.store(true, Ordering::Release);
        self.place.store(0, Ordering::Relaxed);
        self.bytes.swap(0, Ordering::AcqRel)
    }

    /// Whether its owner has to make room now; asked once.
    pub(crate) fn take_eviction(&self) -> bool {
        self.evicted.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_and_longest_weighs_most() {
        let held = |bytes, since| {
            let held = Held::default();
            held.set(bytes, Some(since), None);
            held
        };
        let (old, new, large) = (held(64, 0), held(64, 5000), held(1024, 5000));
        assert!(old.weight(5001) > new.weight(5001) && old.weight(5001) > large.weight(5001));
        assert!(large.weight(5001) > new.weight(5001));
        assert_eq!(old.set(1, Some(5000), None), 64);
        assert_eq!(old.weight(5000), 100);
    }

    #[test]
    fn time_in_which_the_server_works_does_not_count() {
        let held = Held::default();
        held.set(1000, None, None);
        assert_eq!((held.weight(0), held.weight(1_000_000)), (20_000, 20_000));
        held.set(1000, Some(1_000_000), None);
        assert_eq!(held.weight(1_000_001), 101_000);
        // Two more bytes than the work can need.
        held.set(2 * 1024 * 1024 + 2, None, None);
        assert_eq!(held.weight(0), 2 * 1024 * 1024 * 20 + 20_000);
    }

    #[test]
    fn room_that_was_asked_for_counts_as_made() {
        let held = Held::default();
        held.set(10, Some(0), Some(7));
        assert_eq!((held.idle_place(10), held.evict(), held.idle_place(10)), (Some(3), 10, None));
        assert!(held.take_eviction() && !held.take_eviction());
        assert_eq!(held.set(0, Some(1), None), 0);
    }
}
