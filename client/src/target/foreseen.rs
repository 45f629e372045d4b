//! The answer to whether this machine would let a run change a directory of the target, for dry runs.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use haul_protocol::Attributes;
use rustix::fs::{Access, AtFlags, CWD, accessat, fstat};
use rustix::io::Errno;

use super::directory::Directory;
use super::names::single;
use super::standing::{is_own, leads_nowhere, wide};
use crate::error::FileError;
use crate::error::target::TargetError;

impl Directory {
    /// Whether entries can be made and removed in it, also if this user may [open it up](Self::enter) only with `opens_up`.
    ///
    /// # Errors
    /// The error of an `op` that makes or removes one, if they can't be.
    pub fn takes_entries(&self, op: &'static str, opens_up: bool) -> Result<(), FileError> {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        match accessat(self.handle(), c".", wanted, AtFlags::EACCESS) {
            Err(Errno::ACCESS) if opens_up && self.is_own() => Ok(()),
            Err(errno) => Err(FileError::target(op)(errno)),
            Ok(()) => Ok(()),
        }
    }

    /// Whether the entry under a name, if there is one, can be replaced or removed: the system does that to none on which
    /// something is mounted.
    ///
    /// # Errors
    /// If it can't be.
    pub fn makes_way(&self, component: &OsStr) -> Result<(), FileError> {
        match is_mounted(self.handle(), single(component)?) {
            true => Err(TargetError::Mounted.into()),
            false => Ok(()),
        }
    }

    /// Whether this user may set [these](Self::set_attributes).
    ///
    /// # Errors
    /// The error that setting them would have.
    pub fn takes_attributes(&self, attributes: &Attributes) -> Result<(), FileError> {
        if self.is_own() {
            return Ok(());
        }
        let present = fstat(self.handle()).map(|found| wide(found.st_mode) & 0o777);
        let is_present = |mode: u32| present.is_ok_and(|present| present == mode & 0o777);
        if attributes.mode.is_some_and(|mode| !is_present(mode)) {
            return Err(FileError::target("set the mode of the directory")(Errno::PERM));
        }
        match attributes.mtime {
            Some(_) => Err(FileError::target("set the mtime of the directory")(Errno::PERM)),
            None => Ok(()),
        }
    }

    /// Whether this user may change its mode.
    fn is_own(&self) -> bool {
        fstat(self.handle()).is_ok_and(|found| is_own(&found))
    }

    /// Whether the target itself, which is missing, can be [made](Self::make).
    ///
    /// # Errors
    /// The error that making it would have.
    pub fn can_be_made(path: &Path) -> Result<(), FileError> {
        let failed = FileError::target::<Errno>("make the directory");
        let above = path.ancestors().skip(1).map(|above| match above.as_os_str().is_empty() {
            true => Path::new("."),
            false => above,
        });
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        leads_nowhere(path)?;
        for above in above {
            match accessat(CWD, above, wanted, AtFlags::EACCESS) {
                Err(Errno::NOENT) => leads_nowhere(above)?,
                found => return found.map_err(failed),
            }
        }
        Ok(())
    }
}

/// Whether something is mounted on an entry. `false` if the system does not tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_mounted(directory: &OwnedFd, name: &OsStr) -> bool {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    let found = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_mounted(_: &OwnedFd, _: &OsStr) -> bool {
    false
}
