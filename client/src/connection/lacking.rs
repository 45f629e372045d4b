//! The last look at the source before a removal is sent: a list may name thousands of entries, and while the client sends the
//! requests, somebody may move the source away or mount another file system over it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Connection, GATHER};
use crate::work::{Lacking, Removal};

/// Time for which the client relies on its last look at a directory.
const VALID: Duration = Duration::from_millis(50);

/// Bytes of requests to remove that wait for a slow line or a limit of the rate: requests that wait are sent whatever happens
/// to the source.
const AHEAD: usize = 4096;

/// A directory of the source, and when the client has looked at it.
#[derive(Debug)]
pub(super) struct LookedAt {
    lacking: Arc<Lacking>,
    at: Instant,
}

impl Connection<'_> {
    /// Bytes of requests that may wait to be sent.
    pub(super) fn most_gathered(&self) -> usize {
        if self.looked_at.is_some() { AHEAD } else { GATHER }
    }

    /// Whether the directory that lacks an entry, and the source that the directory is of, are still what they were. If not,
    /// that is told, and nothing more is removed.
    pub(super) fn may_still_remove(&mut self, removal: &Removal) -> bool {
        let (policy, course) = (self.run.policy, self.run.course);
        if course.is_halted() {
            return false;
        }
        if !policy.removes() {
            return true;
        }
        let lacking = &removal.lacking;
        let is_valid =
            |last: &LookedAt| Arc::ptr_eq(&last.lacking, lacking) && last.at.elapsed() < VALID;
        if self.looked_at.as_ref().is_some_and(is_valid) {
            return true;
        }
        let Lacking { anchor, path } = &**lacking;
        if let Err(error) = anchor.check_at(path) {
            let _ = course.halt();
            anchor.tell(&error, self.run.progress);
            return false;
        }
        if let Err(error) = anchor.check_below(path, policy.links) {
            self.adrift(path, &error);
            return false;
        }
        self.looked_at = Some(LookedAt { lacking: Arc::clone(lacking), at: Instant::now() });
        true
    }
}
