//! Which mtimes the file system can hold: what it makes of others.

use haul_protocol::Mtime;
use rustix::fd::OwnedFd;

use super::attributes::times;
use super::list::mtime;
use crate::sync::{Mutex, Rank};

/// A file of ours on the root's file system, to try mtimes on. Linux cuts a time that a file system can't
/// hold to its range and granularity without an error (utimensat(2)); an entry whose mtime was cut must
/// not look changed for ever.
#[derive(Debug)]
pub(super) struct Mtimes(Mutex<OwnedFd>);

impl Mtimes {
    /// On a file whose own mtime nobody needs.
    pub(super) fn new(file: OwnedFd) -> Self {
        Self(Mutex::new(Rank::Mtimes, file))
    }

    /// What a file has that is given this mtime; `None` if it can't be given it.
    pub(super) fn kept(&self, wanted: Mtime) -> Option<Mtime> {
        let file = self.0.lock();
        rustix::fs::futimens(&*file, &times(wanted)).ok()?;
        mtime(&rustix::fs::fstat(&*file).ok()?)
    }
}
