//! Where files are written that are not to be seen yet: `.haul/staged`, named by no client.
//!
//! Small files have no name there at all, where that is as good: it saves the making and the removing
//! of a directory entry. Others, and the few that replace a file, are named for a while.
//!
//! Several directories, since the kernel makes, renames and removes the entries of one directory one
//! after another: with a single one, workers spend their time waiting for each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::entries;
use crate::store::sys;

/// Twice the workers of a small machine, so that two of them seldom meet.
pub(in crate::store) const DIRECTORIES: usize = 8;

/// The directories, and the names in them that are still free.
#[derive(Debug)]
pub(in crate::store) struct Staging {
    directories: Vec<OwnedFd>,
    next: AtomicUsize,
    /// Whether files may be without a name.
    pub(in crate::store) unnamed: bool,
}

/// One name in one of the directories, used by one file or link only.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Place(usize);

impl Staging {
    /// With [`DIRECTORIES`] directories. Names of entries that could not be removed are not used again.
    pub(in crate::store) fn new(directories: Vec<OwnedFd>) -> Self {
        let left = directories.iter().flat_map(|directory| entries(directory).unwrap_or_default());
        let used = left.filter_map(|name| usize::from_str_radix(&name, 16).ok()).max();
        let next = AtomicUsize::new(used.map_or(0, |used| used.saturating_add(1)));
        let mut staging = Self { directories, next, unnamed: false };
        staging.unnamed = staging.try_unnamed();
        staging
    }

    /// Only where it is known that a flush of a file without a name counts for when it has one, and
    /// that its close tells nothing. Btrfs logs nothing for a file without a name (fs/btrfs/tree-log.c);
    /// FUSE may tell of an error at a close.
    fn try_unnamed(&self) -> bool {
        /// `EXT4_SUPER_MAGIC`, `XFS_SUPER_MAGIC` and `TMPFS_MAGIC` of linux/magic.h.
        const KNOWN: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];
        let (directory, name) = self.at(self.place());
        let kind = rustix::fs::fstatfs(directory).map(|found| found.f_type);
        if !kind.is_ok_and(|kind| u64::try_from(kind).is_ok_and(|kind| KNOWN.contains(&kind))) {
            return false;
        }
        let tried = sys::create_unnamed(directory, Mode::RUSR | Mode::WUSR)
            .and_then(|file| sys::link(file, directory, name.as_bytes()))
            .and_then(|()| sys::unlink(directory, name.as_bytes()));
        tried.is_ok()
    }

    /// Whether the kernel lets files be renamed from one directory to another: a sandbox may refuse it (landlock(7),
    /// `LANDLOCK_ACCESS_FS_REFER`). Other errors, as of a full disk, are for the uploads that meet them.
    pub(in crate::store) fn may_rename(&self) -> bool {
        let ((from, name), (to, target)) = (self.at(self.place()), self.at(self.place()));
        let flags = OFlags::WRONLY | OFlags::EXCL;
        if sys::create(from, name.as_bytes(), flags, Mode::RUSR | Mode::WUSR).is_err() {
            return true;
        }
        match sys::rename(from, name.as_bytes(), to, target.as_bytes()) {
            Ok(()) => {
                let _ = sys::unlink(to, target.as_bytes());
                true
            }
            Err(errno) => {
                let _ = sys::unlink(from, name.as_bytes());
                errno != Errno::XDEV
            }
        }
    }

    /// Whether the file system exchanges two names in one step (renameat2(2)). Other errors, as of a full disk, are for the
    /// requests that meet them.
    pub(in crate::store) fn can_exchange(&self) -> bool {
        let ((here, one), (there, other)) = (self.at(self.place()), self.at(self.place()));
        let make = |directory: &OwnedFd, name: &str| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map(drop)
        };
        let flags = RenameFlags::EXCHANGE;
        let tried = make(here, &one)
            .and_then(|()| make(there, &other))
            .and_then(|()| rustix::fs::renameat_with(here, &*one, there, &*other, flags));
        for (directory, name) in [(here, &one), (there, &other)] {
            let _ = rustix::fs::unlinkat(directory, &**name, AtFlags::empty());
        }
        !matches!(tried, Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOTTY))
    }

    /// A staging name of the caller's own.
    pub(in crate::store) fn place(&self) -> Place {
        Place(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The directory of a staging name, and the name in it.
    pub(in crate::store) fn at(&self, place: Place) -> (&OwnedFd, String) {
        (self.directory(place), format!("{:x}", place.0))
    }

    /// All of the directories.
    pub(in crate::store) fn directories(&self) -> &[OwnedFd] {
        &self.directories
    }

    /// The directory of a staging name.
    pub(in crate::store) fn directory(&self, Place(number): Place) -> &OwnedFd {
        &self.directories[number % self.directories.len()]
    }
}

/// Removes what an earlier server left in one of the directories; returns how many entries. One that can't be removed is
/// told in the log, and keeps no other one.
pub(in crate::store) fn sweep(directory: &OwnedFd) -> Result<usize, Errno> {
    let mut swept = 0;
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let name = entry.file_name().to_bytes();
        match remove(directory, name) {
            Ok(()) => swept += 1,
            Err(errno) => {
                let name = name.escape_ascii();
                tracing::warn!(%name, %errno, "could not remove a half-written entry of an earlier run");
            }
        }
    }
    Ok(swept)
}

/// Removes a file, a link, or a directory that was being filled (see [`staged_tree`](crate::store::staged_tree), which
/// bounds how deep it is).
pub(in crate::store) fn remove(directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        removed => return removed,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    sweep(&rustix::fs::openat(directory, name, flags, Mode::empty())?)?;
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
}
