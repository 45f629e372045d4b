//! The last look at the disk.

use std::time::Duration;

use rustix::event::Timespec;

use crate::locks::{Mutex, Rank};
use crate::store::Disk;

/// Time between two looks.
pub(super) const EVERY: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The age of a look at which the disk does not answer.
pub(super) const TOO_OLD: Duration = Duration::from_secs(15);

/// The last look, and when it was, in milliseconds of the server's clock.
#[derive(Debug)]
pub(super) struct LastLook(Mutex<(Disk, u64)>);

impl Default for LastLook {
    fn default() -> Self {
        Self(Mutex::new(Rank::Disk, (Disk::default(), 0)))
    }
}

impl LastLook {
    pub(super) fn set(&self, disk: Disk, now: u64) {
        *self.0.lock() = (disk, now);
    }

    /// The disk as it was, and the age of that.
    pub(super) fn get(&self, now: u64) -> (Disk, Duration) {
        let (disk, at) = *self.0.lock();
        (disk, Duration::from_millis(now.saturating_sub(at)))
    }
}
