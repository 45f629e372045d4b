//! A staged file appears under its final name, whole or not at all.

use std::sync::Arc;

use haul_protocol::{Attributes, Name};
use rustix::fd::AsFd;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::dirty::Touched;
use crate::store::error::StoreError;
use crate::store::replaces::Replaces;
use crate::store::root::Parents;
use crate::store::{Staged, Store, sys};

impl Store {
    /// Stages a file whose bytes are all there and have been verified.
    pub(crate) fn stage_whole(
        self: &Arc<Self>,
        parents: &Parents,
        name: &Name,
        attributes: &Attributes,
        bytes: &[u8],
    ) -> Result<Staged, StoreError> {
        let staged = self.stage(parents, name, attributes)?;
        staged.write_at(name, 0, bytes)?;
        staged.complete(name, attributes)?;
        Ok(staged)
    }

    /// Makes the missing directories above a name that is deep, until `is_over` says that it is enough for now; tells
    /// whether nothing of it is left for later. A name of a usual depth needs no preparation.
    pub(crate) fn make_parents(
        &self,
        parents: &Parents,
        name: &Name,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        let _inside = self.guard.enter(name)?;
        parents.refresh(self.guard.swaps());
        parents.make_some(name, is_over)
    }

    /// The same in the next version of a directory.
    pub(crate) fn make_parents_unseen(
        &self,
        parents: &Parents,
        name: &Name,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        parents.make_some(name, is_over)
    }

    /// Makes the parents of a large file and refuses a file at once that could never be made visible.
    pub(crate) fn prepare(&self, parents: &Parents, name: &Name) -> Result<(), StoreError> {
        self.check_spelling(parents, name)?;
        let parent = parents.of(name)?;
        let look = || self.rights.stat_at(&parent, name.split().1);
        match self.rights.in_directory(&parent, look) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Err(StoreError::new("replace", name, Errno::ISDIR))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(StoreError::new("look at", name, errno)),
        }
    }

    /// Gives a file without a name its final one. If an entry has that name already, a rename replaces the entry, for
    /// which the file must have a name of ours for a moment, and has been made `ready` to replace it.
    pub(in crate::store) fn link(
        &self,
        (parents, name): (&Parents, &Name),
        file: impl AsFd,
        replaces: Replaces,
        ready: impl FnOnce() -> Result<(), StoreError>,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let (above, last) = name.split();
        let parent = parents.of(name)?;
        match self.rights.in_directory(&parent, || sys::link(&file, &parent, last)) {
            Ok(()) => {
                touched.directory(above, &parent);
                return Ok(());
            }
            Err(Errno::EXIST) if replaces == Replaces::Nothing => return Err(exists(name)),
            // Also if the parent was removed since it was opened: the rename looks again.
            Err(Errno::EXIST | Errno::NOENT) => {}
            Err(errno) => return Err(StoreError::new("publish", name, errno)),
        }
        ready()?;
        let (directory, temporary) = self.staging.at(self.staging.place());
        sys::link(&file, directory, temporary.as_bytes())
            .map_err(|errno| StoreError::new("publish", name, errno))?;
        let renamed =
            self.rename(parents, directory, temporary.as_bytes(), name, replaces, touched);
        if renamed.is_err()
            && let Err(errno) = sys::unlink(directory, temporary.as_bytes())
        {
            tracing::warn!(file = temporary, %errno, "could not remove a half-published file");
        }
        renamed
    }

    /// Moves a file or link of ours to its final name.
    pub(in crate::store) fn rename(
        &self,
        parents: &Parents,
        from: impl AsFd,
        staged: &[u8],
        name: &Name,
        replaces: Replaces,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let (above, last) = name.split();
        let mut fresh = false;
        loop {
            let parent = parents.of(name)?;
            let rename = || match replaces {
                Replaces::Anything => sys::rename(&from, staged, &parent, last),
                Replaces::Nothing => sys::rename_new(&from, staged, &parent, last),
            };
            match self.rights.in_directory(&parent, rename) {
                Ok(()) => {
                    touched.directory(above, &parent);
                    return Ok(());
                }
                // The parent was removed since it was opened.
                Err(Errno::NOENT) if !fresh => {
                    fresh = true;
                    parents.clear();
                    // Its name may stand for two directories in this group.
                    touched.everything();
                }
                Err(Errno::EXIST) if replaces == Replaces::Nothing => return Err(exists(name)),
                Err(Errno::INVAL) if replaces == Replaces::Nothing && !self.abilities.exchanges => {
                    return Err(self.abilities.no_flags("publish", name));
                }
                Err(errno) => return Err(StoreError::new("publish", name, errno)),
            }
        }
    }
}

fn exists(name: &Name) -> StoreError {
    StoreError::Exists { name: name.to_string() }
}
