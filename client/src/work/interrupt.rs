//! Ending a run in order before everything is done.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::ConnectionError;

/// The work of a run, which can be stopped.
pub(crate) trait Stop: fmt::Debug + Send + Sync {
    /// Ends the run early; the first error is kept.
    fn stop(&self, error: ConnectionError);
}

/// Stops a run, from any thread. All clones of a handle stop the same run.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    /// A flag by itself, which a signal handler may set.
    is_set: Arc<AtomicBool>,
    work: Arc<Mutex<Option<Weak<dyn Stop>>>>,
}

impl Interrupt {
    /// Ends the run in order, or before it begins: its connections are closed, and the report counts what is committed.
    /// Returns at once; the run returns soon after.
    pub fn stop(&self) {
        let work = self.work();
        self.is_set.store(true, Ordering::Release);
        if let Some(work) = work.as_ref().and_then(Weak::upgrade) {
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
    pub(crate) fn attach(&self, work: &Arc<impl Stop + 'static>) {
        let mut attached = self.work();
        // It was stopped while the client still read what is sent.
        if self.is_set() {
            work.stop(ConnectionError::Stopped);
        }
        let work = Arc::downgrade(work);
        *attached = Some(work);
    }

    fn work(&self) -> MutexGuard<'_, Option<Weak<dyn Stop>>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
