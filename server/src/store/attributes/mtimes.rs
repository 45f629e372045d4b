//! The mtimes that the file system can hold, and the ones that it makes of others.

use haul_protocol::Mtime;
use rustix::fd::OwnedFd;

use super::times;
use crate::locks::{Mutex, Rank};
use crate::store::look::mtime;

/// A file of ours on the root's file system, to try mtimes on. Linux cuts a time that a file system can't
/// hold to its range and granularity without an error (utimensat(2)); an entry whose mtime was cut must
/// not look changed for ever.
#[derive(Debug)]
pub(in crate::store) struct Mtimes(Mutex<OwnedFd>);

impl Mtimes {
    /// On a file whose own mtime nobody needs.
    pub(in crate::store) fn new(file: OwnedFd) -> Self {
        Self(Mutex::new(Rank::Mtimes, file))
    }

    /// The mtime of a file that was given this mtime; `None` if no file can be given it.
    pub(in crate::store) fn kept(&self, wanted: Mtime) -> Option<Mtime> {
        let file = self.0.lock();
        rustix::fs::futimens(&*file, &times(wanted)).ok()?;
        mtime(&rustix::fs::fstat(&*file).ok()?)
    }
}
