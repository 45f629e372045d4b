//! Bounds that all connections share: how many files may be open besides their sockets, and how many bytes may
//! wait in memory, for files to be read or for the rest of a bundle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places for half-written files.
#[derive(Debug)]
pub(crate) struct Streams(Arc<AtomicUsize>);

/// One place. Dropping it makes it free.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Streams {
    /// So many places, all free.
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(places)))
    }

    /// A place, if one is free.
    pub(crate) fn begin(&self) -> Option<Place> {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
            .ok()
            .map(|_| Place(Arc::clone(&self.0)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Bytes that may wait.
#[derive(Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// What one holder has of it. Dropping it gives all back.
#[derive(Debug)]
pub(crate) struct Share {
    used: Arc<AtomicUsize>,
    most: usize,
    bytes: usize,
}

impl Budget {
    /// So many bytes, all free.
    pub(crate) fn new(most: usize) -> Self {
        Self { used: Arc::default(), most }
    }

    /// A share, empty at first.
    pub(crate) fn share(&self) -> Share {
        Share { used: Arc::clone(&self.used), most: self.most, bytes: 0 }
    }
}

impl Share {
    /// Takes more, if there is.
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        before + bytes <= self.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.add(6) && other.add(4) && !other.add(1));
        drop(other);
        assert!(one.add(4) && !one.add(1));
        drop(one);
        assert!(budget.share().add(10));
    }
}
