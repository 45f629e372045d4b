//! Symlinks in the target. They are made, and never followed.

use std::ffi::OsStr;
use std::io;

use haul_protocol::{LinkTarget, Mtime};
use rustix::fs::{AtFlags, symlinkat, unlinkat, utimensat};
use rustix::io::Errno;

use super::attributes::times;
use super::directory::Directory;
use super::names::{For, random, single};
use super::standing::Over;
use super::temporary::place;
use crate::error::FileError;

impl Directory {
    /// Makes a symlink, in one step also where a file or symlink makes way.
    ///
    /// # Errors
    /// [`FileError::is_in_the_way`] if an entry that does not make way is there. Otherwise if it can't be made.
    pub fn symlink(
        &self,
        component: &OsStr,
        target: &LinkTarget,
        mtime: Option<Mtime>,
        over: Over,
    ) -> Result<(), FileError> {
        let component = single(component)?;
        // Another run that sweeps may remove it under its temporary name.
        for _ in 0..8 {
            let name =
                random(For::Moment, component).map_err(FileError::target("make the symlink"))?;
            symlinkat(target.as_bytes(), self.handle(), &name)
                .map_err(FileError::target("make the symlink"))?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let made = mtime
                .map_or(Ok(()), |mtime| utimensat(self.handle(), &name, &times(mtime), flags))
                .or_else(|errno| match errno {
                    // Some file systems have no times of symlinks.
                    Errno::OPNOTSUPP | Errno::NOSYS => Ok(()),
                    errno => Err(errno),
                })
                .map_err(FileError::target("set the mtime of the symlink"))
                .and_then(|()| place(self, &name, component, over));
            match made {
                Ok(()) => return Ok(()),
                Err(error) if error.is_vanished_target() => {}
                Err(error) => {
                    let _ = unlinkat(self.handle(), &name, AtFlags::empty());
                    return Err(error);
                }
            }
        }
        Err(FileError::target::<io::Error>("make the symlink")(Errno::AGAIN.into()))
    }
}
