//! The home of a directory's versions: names in it, and its own.

use haul_protocol::{Digest, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType};

pub(super) const NEXT: &str = "next-";
pub(super) const READY: &str = "ready-";
pub(super) const BACK: &str = "back-";
pub(super) const DONE: &str = "done-";
pub(super) const NOTE: &str = "version-";
pub(super) const PREVIOUS: &str = "previous";

/// The name of the home of a directory's versions.
pub(super) fn home_of(name: &Name) -> String {
    Digest::of(name.as_bytes()).to_string().chars().take(32).collect()
}

/// Whether a name in a home is that of a directory.
pub(super) fn is_directory(home: &OwnedFd, entry: &str) -> bool {
    rustix::fs::statat(home, entry, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
