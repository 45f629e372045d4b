//! Removing: one name at a time, so that nothing goes that nobody has named.

use haul_protocol::Name;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::commit::dirty::Touched;
use super::error::StoreError;
use super::replaces::Replaces;
use super::root::Parents;
use super::staged_tree::open;
use super::{Store, sys};

impl Store {
    /// Removes a file, a link, or a directory with nothing in it. That nothing is there is fine: a
    /// request may come twice.
    pub(super) fn remove(
        &self,
        parents: &Parents,
        name: &Name,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let (above, last) = name.split();
        let parent = match parents.existing(above) {
            Ok(parent) => parent,
            Err(StoreError::NotFound { .. } | StoreError::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let removed = self.rights.in_directory(&parent, || match sys::unlink(&parent, last) {
            // A handle that is kept may be this directory's.
            Err(Errno::ISDIR) => {
                parents.clear();
                sys::remove_directory(&parent, last)
            }
            removed => removed,
        });
        match removed {
            // Also if it is gone already: perhaps by somebody who did not wait for the disk.
            Ok(()) | Err(Errno::NOENT) => {
                touched.directory(above, &parent);
                Ok(())
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(StoreError::Conflict {
                name: name.to_string(),
                found: "a directory that is not empty",
            }),
            Err(errno) => Err(StoreError::new("remove", name, errno)),
        }
    }

    /// Puts a directory in the place of a file or link, if there is one, with nothing in between. A FIFO, socket or device goes,
    /// and the caller makes the directory.
    pub(super) fn replace_by_directory(
        &self,
        parents: &Parents,
        name: &Name,
        mode: Option<u32>,
        replaces: Replaces,
    ) -> Result<(), StoreError> {
        let parent = parents.of(name)?;
        let last = name.split().1;
        let look = || self.rights.stat_at(&parent, last);
        let is_exchanged = match self.rights.in_directory(&parent, look) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => return Ok(()),
                _ if replaces == Replaces::Nothing => {
                    return Err(StoreError::Exists { name: name.to_string() });
                }
                kind => matches!(kind, FileType::RegularFile | FileType::Symlink),
            },
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(StoreError::new("look at", name, errno)),
        };
        let _room = self.admit(name, 0)?;
        if !is_exchanged {
            // The sandbox lets no process of the server put such an entry anywhere, so none is exchanged.
            return match self.rights.in_directory(&parent, || sys::unlink(&parent, last)) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(StoreError::new("remove", name, errno)),
            };
        }
        let (staging, staged) = self.staging.at(self.staging.place());
        let staged = staged.as_bytes();
        // A directory that its owner can't write to can't be moved.
        sys::make_directory(staging, staged, self.directory_mode(mode) | Mode::RWXU)
            .map_err(|errno| StoreError::new("make directory", name, errno))?;
        let given = match parents.giver(name) {
            Some((from, given)) => open(staging, staged)
                .and_then(|made| self.give_directory(&made, (&from, given), name, mode)),
            None => Ok(()),
        };
        let exchange = || sys::exchange(staging, staged, &parent, last);
        match given.and_then(|()| self.rights.in_directory(&parent, exchange)) {
            Ok(()) => {
                parents.forget_giver(name);
                // A directory may have come there meanwhile; the next start removes it.
                if let Err(errno) = sys::unlink(staging, staged) {
                    tracing::warn!(name = name.as_bytes(), %errno, "could not remove what a directory replaced");
                }
                Ok(())
            }
            Err(errno) => {
                let _ = sys::remove_directory(staging, staged);
                if errno == Errno::INVAL && !self.abilities.exchanges {
                    return Err(self.abilities.no_flags("replace", name));
                }
                Err(StoreError::new("replace", name, errno))
            }
        }
    }
}
