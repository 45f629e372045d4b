//! The owner of a connection: the table or one worker.
//!
//! It is *parked* (no worker runs it; its event or a wake-up makes a worker run it), *running* (on one
//! worker's stack), or running and *notified* (an event or wake-up came meanwhile, so it runs once more).
//! Only who holds the mutex arms it, and only when it parks. The state goes back before it is armed:
//! another worker may run it instantly.

use crate::locks::{Mutex, MutexGuard, Rank};

/// A value that several threads want to run, one at a time.
#[derive(Debug)]
pub(crate) struct Ownership<T>(Mutex<Owner<T>>);

#[derive(Debug)]
enum Owner<T> {
    Parked(T),
    Running,
    Notified,
    Closed,
}

impl<T> Ownership<T> {
    /// Begins as running: the caller parks it.
    pub(crate) fn running() -> Self {
        Self(Mutex::new(Rank::Ownership, Owner::Running))
    }

    fn owner(&self) -> MutexGuard<'_, Owner<T>> {
        self.0.lock()
    }

    /// Takes the parked value to run it. `None` if it is running (and now notified) or closed.
    pub(crate) fn take(&self) -> Option<T> {
        let mut owner = self.owner();
        match std::mem::replace(&mut *owner, Owner::Running) {
            Owner::Parked(parked) => Some(parked),
            Owner::Running | Owner::Notified => {
                *owner = Owner::Notified;
                None
            }
            Owner::Closed => {
                *owner = Owner::Closed;
                None
            }
        }
    }

    /// Parks it and calls `arm`; gives it back if it was notified while it ran.
    #[must_use]
    pub(crate) fn park(&self, running: T, arm: impl FnOnce()) -> Option<T> {
        let mut owner = self.owner();
        if matches!(*owner, Owner::Notified) {
            *owner = Owner::Running;
            return Some(running);
        }
        *owner = Owner::Parked(running);
        arm();
        None
    }

    /// Makes a thread run it soon: the thread that runs it already, or the one that `arm` wakes.
    pub(crate) fn wake(&self, arm: impl FnOnce()) {
        let mut owner = self.owner();
        match *owner {
            Owner::Parked(_) => arm(),
            Owner::Running => *owner = Owner::Notified,
            Owner::Notified | Owner::Closed => {}
        }
    }

    /// Its owner has ended it.
    pub(crate) fn close(&self) {
        *self.owner() = Owner::Closed;
    }
}
