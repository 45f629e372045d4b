//! Where files are written that are not to be seen yet: `.haul/staged`, named by no client.
//!
//! Several directories, since the kernel makes, renames and removes the entries of one directory one
//! after another: with a single one, workers spend their time waiting for each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::io::Errno;

/// Twice the workers of a small machine, so that two of them seldom meet.
pub(super) const DIRECTORIES: usize = 8;

/// The directories, and the names in them that are still free.
#[derive(Debug)]
pub(super) struct Staging {
    directories: Vec<OwnedFd>,
    next: AtomicUsize,
}

/// One name in one of the directories, used by one file or link only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(usize);

impl Staging {
    /// With [`DIRECTORIES`] directories, all empty.
    pub(super) fn new(directories: Vec<OwnedFd>) -> Self {
        Self { directories, next: AtomicUsize::new(0) }
    }

    /// A place of the caller's own.
    pub(super) fn place(&self) -> Place {
        Place(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The directory of a place, and the name in it.
    pub(super) fn at(&self, Place(number): Place) -> (&OwnedFd, String) {
        let among = number % self.directories.len();
        (&self.directories[among], format!("{number:x}"))
    }
}

/// Removes what an earlier server left in one of the directories.
pub(super) fn sweep(directory: &OwnedFd) -> Result<usize, Errno> {
    let mut swept = 0;
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        rustix::fs::unlinkat(directory, entry.file_name(), AtFlags::empty())?;
        swept += 1;
    }
    Ok(swept)
}
