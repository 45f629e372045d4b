//! The answer to whether this machine would let a run change a directory of the target, for dry runs.

use std::path::Path;

use haul_protocol::Attributes;
use rustix::fs::{Access, AtFlags, CWD, accessat, fstat};
use rustix::io::Errno;

use super::directory::Directory;
use super::standing::wide;
use crate::error::FileError;

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
        let user = rustix::process::geteuid();
        fstat(self.handle()).is_ok_and(|found| user.is_root() || found.st_uid == user.as_raw())
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
        for above in above {
            match accessat(CWD, above, wanted, AtFlags::EACCESS) {
                Err(Errno::NOENT) => {}
                found => return found.map_err(failed),
            }
        }
        Ok(())
    }
}
