//! Directories, as requests ask for them.

use haul_protocol::{Attributes, Name};
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::commit::dirty::Touched;
use super::error::StoreError;
use super::mode::kept;
use super::replaces::Replaces;
use super::root::Parents;
use super::{Store, sys};

impl Store {
    /// Makes a directory, or gives the one that is there its mode.
    pub(in crate::store) fn make_directory(
        &self,
        parents: &Parents,
        name: &Name,
        mode: Option<u32>,
        replaces: Replaces,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let (above, last) = name.split();
        let parent = parents.of(name)?;
        let room = self.admit(name, 0);
        if room.is_ok() {
            let mode = match mode {
                // A default ACL takes the place of the umask (umask(2)).
                None if parents.has_acl(name) => Mode::RWXU | Mode::RWXG | Mode::RWXO,
                mode => self.directory_mode(mode),
            };
            let make = || sys::make_directory(&parent, last, mode);
            match self.rights.in_directory(&parent, make) {
                Ok(()) => {
                    touched.directory(above, &parent);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(StoreError::new("make directory", name, errno)),
            }
        }
        let look = || self.rights.stat_at(&parent, last);
        let stat = match self.rights.in_directory(&parent, || self.rights.stat(look)) {
            // One that is there takes no room.
            Err(Errno::NOENT) if let Err(error) = room => return Err(error),
            stat => stat.map_err(|errno| StoreError::new("look at", name, errno))?,
        };
        let found = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                // It may be new all the same, made by someone who did not sync it.
                touched.directory(above, &parent);
                return match kept(mode).map(|mode| parents.counts(name, mode).as_raw_mode()) {
                    Some(counts)
                        if stat.st_mode & 0o777 != counts && replaces == Replaces::Anything =>
                    {
                        let attributes = Attributes { mode, mtime: None };
                        self.set_attributes(parents, name, false, &attributes, touched)
                    }
                    _ => Ok(()),
                };
            }
            FileType::Symlink => "a symbolic link, not a directory",
            _ => "not a directory",
        };
        Err(StoreError::Conflict { name: name.to_string(), found })
    }
}
