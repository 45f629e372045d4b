//! A draft whose publish is asked for: nothing in it can be changed from then on.
//!
//! With durability `group` the committer flushes the draft some time after the request, and the flush may take seconds. A
//! change that came in between would be part of the version without being flushed with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Version;

/// As long as this is there, no change of the draft begins.
#[derive(Debug)]
pub(in crate::store) struct Closing(Arc<Version>);

impl Version {
    /// From now on no change of the draft begins. Changes under way are over once the thread that completes the version
    /// has [its state](Self::state). If the publish fails, the draft can be filled again.
    pub(in crate::store) fn close(self: &Arc<Self>) -> Closing {
        // Ordered before the lock of the state by that lock: a change that has the lock for reading later sees this.
        self.closings.fetch_add(1, Ordering::AcqRel);
        Closing(Arc::clone(self))
    }

    /// Whether its publish is asked for and not over.
    pub(super) fn is_closing(&self) -> bool {
        self.closings.load(Ordering::Acquire) > 0
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closings.fetch_sub(1, Ordering::AcqRel);
    }
}
