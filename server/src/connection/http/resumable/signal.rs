//! Tells a request that an upload is free, or that a newer request has it, and wakes its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Given once.
#[derive(Debug)]
pub(super) struct Signal {
    was_given: AtomicBool,
    waker: Waker,
}

impl Signal {
    /// One for the connection that this waker wakes.
    pub(super) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { was_given: AtomicBool::new(false), waker })
    }

    pub(super) fn was_given(&self) -> bool {
        self.was_given.load(Ordering::Acquire)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.was_given.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}
