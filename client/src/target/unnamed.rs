//! A file without a name (`O_TMPFILE`, open(2)), which gets the name of its entry in one step: the file system makes and
//! removes no entry for it, and nothing is left of it after a kill.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, flock, renameat, unlinkat};
use rustix::io::Errno;

use super::attributes::plain;
use super::directory::Directory;
use super::incoming::Incoming;
use super::names::{For, random};
use super::standing::{Kind, Over};
use super::temporary::check;
use crate::error::FileError;

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

/// A file that has no name yet.
#[derive(Debug)]
pub(super) struct Unnamed {
    incoming: Incoming,
    way: Way,
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
        let tried = |way: Self| -> io::Result<()> {
            let name = random(For::Moment, OsStr::new(""))?;
            way.link(&create(directory, Mode::RUSR)?, directory, &name)?;
            Ok(unlinkat(directory, &name, AtFlags::empty())?)
        };
        let ways = [Self::Handle, Self::Proc];
        ways.into_iter().find(|way| tried(*way).is_ok()).unwrap_or(Self::None)
    }

    /// Gives a file a name, which must be free.
    fn link(self, file: &OwnedFd, directory: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        match self {
            Self::None => Err(Errno::OPNOTSUPP),
            Self::Handle => rustix::fs::linkat(file, c"", directory, name, AtFlags::EMPTY_PATH),
            Self::Proc => {
                let entry = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
                rustix::fs::linkat(rustix::fs::CWD, entry, directory, name, AtFlags::SYMLINK_FOLLOW)
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

    fn link(self, _: &OwnedFd, _: &OwnedFd, _: &OsStr) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn create(directory: &OwnedFd, mode: Mode) -> Result<OwnedFd, Errno> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    rustix::fs::openat(directory, c".", flags, mode)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn create(_: &OwnedFd, _: Mode) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

impl Unnamed {
    /// A new file for an entry; `None` if files can't be without a name in this directory. `mode`: its final one if that is known,
    /// since nobody else reaches the file.
    pub(super) fn make(
        directory: &Arc<Directory>,
        component: &OsStr,
        mode: Option<u32>,
    ) -> io::Result<Option<Self>> {
        let way = directory.way();
        if way == Way::None {
            return Ok(None);
        }
        let file = create(directory.handle(), mode.map_or(Mode::RUSR | Mode::WUSR, plain))?;
        Ok(Some(Self { incoming: Incoming::new(directory, component, file), way }))
    }

    /// The file itself.
    pub(super) fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// Gives it its final name.
    pub(super) fn place(&self, over: Over) -> Result<(), FileError> {
        let failed = FileError::target::<io::Error>("give it its name");
        let Incoming { directory, component, file } = &self.incoming;
        let directory = directory.handle();
        // What is in the way may go meanwhile.
        for _ in 0..2 {
            match self.way.link(file, directory, component) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => check(directory, component, over)?,
                Err(errno) => return Err(failed(errno.into())),
            }
            if over == Over::File {
                return match self.replace(directory, component) {
                    Err(error) if error.raw_os_error() == Some(Errno::ISDIR.raw_os_error()) => {
                        Err(Kind::Directory.in_the_way())
                    }
                    replaced => replaced.map_err(failed),
                };
            }
        }
        Err(Kind::File.in_the_way())
    }

    /// Takes the place of a file or symlink: linkat(2) replaces nothing, so the file has a temporary name for a moment. Its lock
    /// keeps other runs from taking that for a leftover.
    fn replace(&self, directory: &OwnedFd, component: &OsStr) -> io::Result<()> {
        let file = &self.incoming.file;
        let name = random(For::Whole, component)?;
        flock(file, FlockOperation::NonBlockingLockExclusive)?;
        self.way.link(file, directory, &name)?;
        let renamed = renameat(directory, &name, directory, component);
        if renamed.is_err() {
            let _ = unlinkat(directory, &name, AtFlags::empty());
        }
        Ok(renamed?)
    }
}
