//! How a file without a name (`O_TMPFILE`, open(2)) gets a name, on one file system.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::{AtFlags, CWD, linkat, unlinkat};
use rustix::io::Errno;

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::names::{For, random};

/// How a file without a name gets one, on one file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It can't, or the file system keeps less than it should of a file without a name.
    None,
    /// By its handle. Before Linux 6.10 that is refused to processes without `CAP_DAC_READ_SEARCH`.
    Handle,
    /// By its entry in /proc.
    Proc,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Way {
    /// Tries it, with a file of haul's own. Only where it is known that a flush of a file without a name counts for when it
    /// has one: Btrfs logs nothing of such a file (fs/btrfs/tree-log.c of Linux).
    pub(super) fn of(directory: &OwnedFd) -> Self {
        /// `EXT4_SUPER_MAGIC`, `XFS_SUPER_MAGIC` and `TMPFS_MAGIC` of linux/magic.h.
        const KNOWN: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];
        let system = rustix::fs::fstatfs(directory).map(|found| found.f_type);
        if !system.is_ok_and(|kind| u64::try_from(kind).is_ok_and(|kind| KNOWN.contains(&kind))) {
            return Self::None;
        }
        let tried = |way: Self| -> std::io::Result<()> {
            let name = random(For::Moment, OsStr::new(""))?;
            way.link(&create(directory, Mode::RUSR)?, directory, &name)?;
            Ok(unlinkat(directory, &name, AtFlags::empty())?)
        };
        let ways = [Self::Handle, Self::Proc];
        ways.into_iter().find(|way| tried(*way).is_ok()).unwrap_or(Self::None)
    }

    /// Gives a file a name, which must be free.
    pub(super) fn link(
        self,
        file: &OwnedFd,
        directory: &OwnedFd,
        name: &OsStr,
    ) -> Result<(), Errno> {
        match self {
            Self::None => Err(Errno::OPNOTSUPP),
            Self::Handle => linkat(file, c"", directory, name, AtFlags::EMPTY_PATH),
            Self::Proc => {
                let entry = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
                linkat(CWD, entry, directory, name, AtFlags::SYMLINK_FOLLOW)
            }
        }
    }
}

/// Only Linux has files without a name.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Way {
    pub(super) fn of(_: &OwnedFd) -> Self {
        Self::None
    }

    pub(super) fn link(self, _: &OwnedFd, _: &OwnedFd, _: &OsStr) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
}

/// Makes a file without a name, on the file system of a directory.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn create(directory: &OwnedFd, mode: Mode) -> Result<OwnedFd, Errno> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    rustix::fs::openat(directory, c".", flags, mode)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn create(_: &OwnedFd, _: Mode) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}
