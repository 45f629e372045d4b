//! The bound on open files other than the sockets of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Places: rights to have one more half-written file open, or one more file or directory that is read over several turns.
#[derive(Debug)]
pub(crate) struct Places(Arc<AtomicUsize>);

/// One place. Dropping it makes it free.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Places {
    /// So many places, all free.
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(places)))
    }

    /// The places that are free.
    pub(crate) fn free(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A place, if one is free.
    pub(crate) fn take(&self) -> Option<Place> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_that_is_dropped_can_be_taken_again() {
        let places = Places::new(2);
        let (one, other) = (places.take(), places.take());
        assert!(one.is_some() && other.is_some() && places.take().is_none());
        drop(other);
        assert!(places.take().is_some());
    }
}
