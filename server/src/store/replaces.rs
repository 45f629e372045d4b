//! Whether a change may replace the entry that stands under its name, or change it. A request that comes again because its
//! answer was lost replaces nothing: the entry that stands there is its own.

use haul_protocol::{Attributes, Entry, EntryKind, LinkTarget, Mtime, Name, Verdict};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use super::Store;
use super::error::StoreError;
use super::mode::kept;
use super::reading::Believe;
use super::root::Parents;

/// Bytes that are compared at once.
const COMPARED: usize = 64 * 1024;

/// Bits of a mode that are about nobody but the server's own user.
const OWNERS: u32 = 0o700;

/// Whether an entry that stands there makes way, or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// Any that may make way for such a change.
    Anything,
    /// None.
    Nothing,
}

impl Store {
    /// Whether any entry has this name.
    pub(super) fn stands_there(&self, parents: &Parents, name: &Name) -> bool {
        self.kind_of(parents, name).is_ok_and(|kind| kind.is_some())
    }

    fn kind_of(&self, parents: &Parents, name: &Name) -> Result<Option<FileType>, Errno> {
        let parent = match parents.find(name.split().0) {
            Err(Errno::NOENT) => return Ok(None),
            parent => parent?,
        };
        let look = || self.rights.stat_at(&parent, name.split().1);
        match self.rights.in_directory(&parent, look) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Fails if a file that is to be sent could never be made visible, because an entry has its name.
    pub(crate) fn is_free(&self, parents: &Parents, name: &Name) -> Result<(), StoreError> {
        match self.stands_there(parents, name) {
            true => Err(StoreError::Exists { name: name.to_string() }),
            false => Ok(()),
        }
    }

    /// Whether a file with these bytes and the stated attributes stands under a name.
    pub(super) fn is_file(
        &self,
        parents: &Parents,
        name: &Name,
        file: &OwnedFd,
        attributes: Attributes,
    ) -> Result<bool, StoreError> {
        let failed = |errno| StoreError::new("compare", name, errno);
        let size = fstat(file).map_err(failed)?.st_size.unsigned_abs();
        let kind = EntryKind::File { size, digest: None };
        let Attributes { mode, mtime } = attributes;
        let wanted = Entry { name: name.clone(), kind, mode, mtime };
        if self.compare(parents, &wanted)? != Verdict::Same {
            return Ok(false);
        }
        let Some(reading) = self.read(parents, name, size, Believe::Bytes)? else {
            return Ok(false);
        };
        reading.has_bytes_of(file, COMPARED).map_err(failed)
    }

    /// Whether a symlink to this target stands under a name, with the stated mtime.
    pub(super) fn is_link(
        &self,
        parents: &Parents,
        name: &Name,
        target: &LinkTarget,
        mtime: Option<Mtime>,
    ) -> Result<bool, StoreError> {
        let kind = EntryKind::Link { target: target.clone() };
        let wanted = Entry { name: name.clone(), kind, mode: None, mtime };
        Ok(self.compare(parents, &wanted)? == Verdict::Same)
    }

    /// Fails if an entry would become another one by these attributes. A directory's mtime changes with each entry that is put
    /// into it; and its owner, the server's own user, opens it up for changes anyway.
    pub(super) fn may_set(
        &self,
        parents: &Parents,
        name: &Name,
        is_file: bool,
        attributes: &Attributes,
    ) -> Result<(), StoreError> {
        let failed = |errno| StoreError::new("look at", name, errno);
        let parent = parents.existing(name.split().0)?;
        let look = || self.rights.stat_at(&parent, name.split().1);
        let found = self.rights.in_directory(&parent, look).map_err(failed)?;
        let owners = if is_file { 0 } else { OWNERS };
        let is_other_mode = kept(attributes.mode).is_some_and(|mode| {
            let counts = parents.counts(name, mode).as_raw_mode();
            (counts | owners) != (found.st_mode & 0o777 | owners)
        });
        let is_other_time = is_file
            && attributes.mtime.is_some_and(|wanted| {
                let has = super::look::mtime(&found);
                has != Some(wanted) && has != self.mtimes.kept(wanted)
            });
        match is_other_mode || is_other_time {
            true => Err(StoreError::Exists { name: name.to_string() }),
            false => Ok(()),
        }
    }
}
