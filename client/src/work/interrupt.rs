//! Ending a run in order before everything is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Work;
use crate::error::ConnectionError;

/// Stops a run, from any thread. All clones of a handle stop the same run.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    /// A flag by itself, which a signal handler may set.
    is_set: Arc<AtomicBool>,
    work: Arc<Mutex<Weak<Work>>>,
}

impl Interrupt {
    /// Ends the run in order, or before it begins: its connections are closed, and the report counts what is committed.
    /// Returns at once; the run returns soon after.
    pub fn stop(&self) {
        let work = self.work();
        self.is_set.store(true, Ordering::Release);
        if let Some(work) = work.upgrade() {
            work.stop(ConnectionError::Stopped);
        }
    }

    /// Whether the run was stopped.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// The flag that says so. If a signal handler sets it, another thread has to call [`stop`](Self::stop) soon after.
    #[must_use]
    pub(crate) fn flag(&self) -> &Arc<AtomicBool> {
        &self.is_set
    }

    /// Another run may begin.
    pub(crate) fn clear(&self) {
        self.is_set.store(false, Ordering::Release);
    }

    /// This is what a stop stops from now on.
    pub(crate) fn attach(&self, work: Weak<Work>) {
        let mut attached = self.work();
        // It was stopped while the client still read what is sent.
        if let (true, Some(work)) = (self.is_set(), work.upgrade()) {
            work.stop(ConnectionError::Stopped);
        }
        *attached = work;
    }

    fn work(&self) -> MutexGuard<'_, Weak<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
