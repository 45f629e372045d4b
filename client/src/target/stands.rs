//! Whether a directory of the target still stands where files came into it: somebody may have moved or removed it, or put
//! another one in its place or over it, while the run went on.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::directory::Directory;
use super::identity::Identity;
use super::names::single;
use super::standing::Over;
use crate::error::FileError;
use crate::error::target::TargetError;

#[cfg(any(target_os = "linux", target_os = "android"))]
const LOOK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LOOK: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Directory {
    /// Whether the target itself still stands under its path, whatever symlinks of the user lead there.
    ///
    /// # Errors
    /// If it does not, or nobody can tell.
    pub fn stands(&self) -> Result<(), FileError> {
        let found = openat(CWD, self.path(), LOOK, Mode::empty());
        compare(found, &self.identity())
    }

    /// Whether a directory stands under a name in this one.
    ///
    /// # Errors
    /// If it does not, or nobody can tell.
    pub fn holds(&self, component: &OsStr, identity: &Identity) -> Result<(), FileError> {
        let found =
            openat(self.handle(), single(component)?, LOOK | OFlags::NOFOLLOW, Mode::empty());
        compare(found, identity)
    }

    /// [Enters](Self::enter) a directory that stands in this one, or only [visits](Self::visit) it, if it is the one that is
    /// meant. Of another one not even the mode changes.
    ///
    /// # Errors
    /// If it is another one, or can't be opened.
    pub fn enter_known(
        &self,
        component: &OsStr,
        identity: &Identity,
        only_visit: bool,
    ) -> Result<Self, FileError> {
        self.holds(component, identity)?;
        let opened = match only_visit {
            true => self.visit(component)?,
            false => self.enter(component, Over::Nothing)?.0,
        };
        match opened.identity() == *identity {
            true => Ok(opened),
            false => Err(TargetError::OtherDirectory.into()),
        }
    }

    /// Whether it was removed.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        fstat(self.handle()).is_ok_and(|found| found.st_nlink == 0)
    }
}

fn compare(found: Result<OwnedFd, Errno>, identity: &Identity) -> Result<(), FileError> {
    let found = match found {
        Ok(found) => Identity::of(&found),
        Err(Errno::NOENT) => return Err(TargetError::GoneDirectory.into()),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(TargetError::OtherEntry.into()),
        Err(errno) => Err(errno.into()),
    };
    match found.map_err(FileError::target("look at the directory"))? == *identity {
        true => Ok(()),
        false => Err(TargetError::OtherDirectory.into()),
    }
}
