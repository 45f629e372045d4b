//! A directory that was closed for a version to be put together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use haul_protocol::Name;

use crate::store::Store;
use crate::store::error::StoreError;

/// Nobody begins a change in the directory. Dropping it opens the directory again.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(super) store: Arc<Store>,
    pub(super) name: Name,
    is_over: Arc<AtomicBool>,
    /// Somebody else opens it again.
    is_handed_over: bool,
}

impl Closed {
    /// Closes a directory. Until changes that are under way [are over](Self::is_over) nobody may rely on that; the waker is
    /// woken then. No thread waits for somebody else's change.
    pub(crate) fn begin(
        store: &Arc<Store>,
        name: &Name,
        waker: &Waker,
    ) -> Result<Self, StoreError> {
        let Some(is_over) = store.guard.begin_closing(name, waker) else {
            return Err(StoreError::Publishing { name: name.to_string() });
        };
        let (store, name) = (Arc::clone(store), name.clone());
        Ok(Self { store, name, is_over, is_handed_over: false })
    }

    /// Whether all changes are over that were under way when it was closed.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The directory stays closed.
    pub(super) fn hand_over(mut self) {
        self.is_handed_over = true;
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        if !self.is_handed_over {
            self.store.guard.open(&self.name);
        }
    }
}
