//! How many files may be half written at once: each is an open file, besides its connection's socket.

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
