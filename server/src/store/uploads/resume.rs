//! The partial under an upload's key, or the file that it has become.

use std::io::Read;
use std::sync::Arc;

use haul_protocol::limits::MAX_PARTS;
use haul_protocol::{Attributes, Geometry, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags};
use rustix::io::Errno;

use super::journal::{self, Committing, Journal, Record};
use super::partial::{End, Key, Partial, journal_name};
use super::reading::JournalReading;
use super::verifying::Verifying;
use crate::store::commit::dirty::Touched;
use crate::store::error::StoreError;
use crate::store::identity::Identity;
use crate::store::look::mtime;
use crate::store::mode::kept;
use crate::store::replaces::Replaces;
use crate::store::root::Parents;
use crate::store::{Store, sys};

/// The state of a key.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// A partial, new or old, and the parts that it holds or may hold.
    Partial(Partial, Verifying),
    /// The file was committed before, and stands there unchanged. All its parts are held.
    Published(Published, Verifying),
}

/// A journal that is read a little at a time.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    name: Name,
    size: u64,
    committing: Committing,
    /// Mode and mtime that were stated when it was opened again.
    stated: Attributes,
    /// Whether the file may get these.
    pub(in crate::store) replaces: Replaces,
}

impl Published {
    pub(in crate::store) fn name(&self) -> &Name {
        &self.name
    }

    /// Mode and mtime are those of the newest `open`.
    pub(crate) fn with(self, stated: Attributes) -> Self {
        Self { stated, ..self }
    }

    /// The file is still there, gets the mode and mtime stated since, and becomes durable with all else on the disk.
    pub(in crate::store) fn confirm(
        &self,
        store: &Store,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        if !store.stands(parents, &self.name, self.size, self.committing) {
            return Err(StoreError::Replaced { name: self.name.to_string() });
        }
        touched.everything();
        let found = store
            .at(parents, &self.name)
            .map_err(|errno| StoreError::new("look at", &self.name, errno))?;
        let counts = kept(self.stated.mode).map(|mode| parents.counts(&self.name, mode));
        let mode = counts.map(Mode::as_raw_mode).filter(|mode| found.st_mode & 0o777 != *mode);
        let times = self.stated.mtime.filter(|wanted| {
            let has = mtime(&found);
            has != Some(*wanted) && has != store.mtimes.kept(*wanted)
        });
        if mode.is_none() && times.is_none() {
            return Ok(());
        }
        if self.replaces == Replaces::Nothing {
            return Err(StoreError::Exists { name: self.name.to_string() });
        }
        let attributes = Attributes { mode, mtime: times };
        store.set_attributes(parents, &self.name, true, &attributes, touched)
    }
}

impl Store {
    /// Opens the partial of a key whose journal has been read, or starts one. With `replace` what stands under the name is
    /// not the file, even if it was committed from such a partial once.
    pub(crate) fn partial(
        self: &Arc<Self>,
        parents: &Parents,
        key: &Key,
        name: &Name,
        (geometry, replace): (Geometry, bool),
        read: Option<JournalReading>,
    ) -> Result<Resumed, StoreError> {
        if let Some((journal, found)) = read.and_then(JournalReading::finish)
            && found.begin == key.begin
            && let Some(resumed) =
                self.resume(parents, key, name, (geometry, replace), (journal, found))?
        {
            return Ok(resumed);
        }
        let partial = self.new_partial(parents, key, name)?;
        Ok(Resumed::Partial(partial, Verifying::default()))
    }

    /// A partial that holds nothing.
    pub(super) fn new_partial(
        self: &Arc<Self>,
        parents: &Parents,
        key: &Key,
        name: &Name,
    ) -> Result<Partial, StoreError> {
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        if self.remove_files(key.id()).map_err(failed("discard the partial of"))? && self.durable {
            // The old journal must not come back beside the new bytes.
            sys::sync_directory(&self.partials).map_err(failed("discard the partial of"))?;
        }
        let _room = self.admit_entries(name, 2)?;
        let flags = OFlags::RDWR | OFlags::EXCL;
        let private = Mode::RUSR | Mode::WUSR;
        let open = |file: &str| sys::create(&self.partials, file.as_bytes(), flags, private);
        let journal = open(&journal_name(key.id())).map_err(failed("stage"))?;
        let made = parents.giver(name).and_then(|(parent, _)| {
            self.made_in(&parent, private, &self.partials, key.id().as_bytes())
        });
        let data = made.map_or_else(|| open(key.id()), Ok).map_err(failed("stage"))?;
        let partial = Partial::new(self, key.id(), data, journal, End::default());
        let begun = partial
            .append(name, &Record::Begin(key.begin.clone()))
            .and_then(|_| partial.append(name, &Record::Boot { id: self.boot.clone() }));
        if let Err(error) = begun {
            // Of no use to anyone.
            partial.discard();
            return Err(error);
        }
        Ok(partial)
    }

    fn resume(
        self: &Arc<Self>,
        parents: &Parents,
        key: &Key,
        name: &Name,
        (geometry, replace): (Geometry, bool),
        (journal, found): (OwnedFd, Journal),
    ) -> Result<Option<Resumed>, StoreError> {
        let held = || found.held.iter().filter(|held| held.part < geometry.parts());
        let Some(data) = self.open_data(key.id(), name)? else {
            let size = geometry.size();
            let stands = |at: &Committing| !replace && self.stands(parents, name, size, *at);
            let Some(committing) = found.committing.filter(stands) else {
                return Ok(None);
            };
            let stated = Attributes::default();
            let (name, replaces) = (name.clone(), Replaces::Anything);
            let published = Published { name, size, committing, stated, replaces };
            let held: Vec<_> = held().collect();
            return Ok(Some(Resumed::Published(published, Verifying::new(&held, &[]))));
        };
        let partial = self.old_partial(key.id(), name, data, journal, &found)?;
        let (safe, unsure): (Vec<_>, Vec<_>) = held().partition(|held| held.safe);
        Ok(Some(Resumed::Partial(partial, Verifying::new(&safe, &unsure))))
    }

    /// The file of a partial, to be written to; `None` if there is none.
    pub(super) fn open_data(&self, id: &str, name: &Name) -> Result<Option<OwnedFd>, StoreError> {
        let failed = |errno| StoreError::new("resume", name, errno);
        // It may have its final mode already, which may forbid us to write.
        let writable = Mode::RUSR | Mode::WUSR;
        match sys::set_mode_at(&self.partials, id, FileType::RegularFile, writable) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        self.open_partial(id).map_err(failed)
    }

    /// A partial whose journal has been read, without the part of the journal that says nothing.
    pub(super) fn old_partial(
        self: &Arc<Self>,
        id: &str,
        name: &Name,
        data: OwnedFd,
        journal: OwnedFd,
        found: &Journal,
    ) -> Result<Partial, StoreError> {
        let failed = |errno| StoreError::new("resume", name, errno);
        sys::truncate(&journal, found.len).map_err(failed)?;
        let boot_start = if found.same_boot { found.boot_start } else { found.len };
        let end = End::after(found, boot_start);
        let partial = Partial::new(self, id, data, journal, end);
        if !found.same_boot {
            partial.append(name, &Record::Boot { id: self.boot.clone() })?;
        }
        Ok(partial)
    }

    pub(super) fn open_partial(&self, file: &str) -> Result<Option<OwnedFd>, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.partials, file, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the file that a journal was about to commit stands under its name, unchanged.
    pub(super) fn stands(
        &self,
        parents: &Parents,
        name: &Name,
        size: u64,
        committing: Committing,
    ) -> bool {
        let wanted = Identity::WANTED | StatxFlags::SIZE | StatxFlags::MTIME;
        let (above, last) = name.split();
        let found = parents.find(above).and_then(|parent| {
            let look = || rustix::fs::statx(&parent, last, AtFlags::SYMLINK_NOFOLLOW, wanted);
            self.rights.in_directory(&parent, look)
        });
        found.is_ok_and(|found| {
            let mtime = (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec.into());
            committing.file.is_some_and(|file| Identity::of(&found) == Some(file))
                && (found.stx_size, mtime) == (size, committing.mtime)
        })
    }

    /// The entry that stands under a name.
    fn at(&self, parents: &Parents, name: &Name) -> Result<Stat, Errno> {
        let parent = parents.find(name.split().0)?;
        let look = || self.rights.stat_at(&parent, name.split().1);
        self.rights.in_directory(&parent, look)
    }

    /// Removes the files of a partial; returns whether there were any. The journal goes first: a
    /// journal without a partial means that the file was committed.
    pub(crate) fn forget(&self, id: &str) -> Result<bool, Errno> {
        let any = self.remove_files(id)?;
        drop(self.quotas.take_promise(id));
        Ok(any)
    }

    fn remove_files(&self, id: &str) -> Result<bool, Errno> {
        let mut any = false;
        for file in [&journal_name(id), id] {
            match sys::unlink(&self.partials, file.as_bytes()) {
                Ok(()) => any = true,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(any)
    }

    /// Removes the journal of a committed file, unless a new upload has begun under the same key.
    pub(crate) fn forget_published(&self, id: &str) -> Result<(), Errno> {
        match rustix::fs::statat(&self.partials, id, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => self.forget(id).map(|_| ()),
            Ok(_) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Reads a whole journal, as long as one may be.
pub(in crate::store) fn read_journal(journal: OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let most = journal::longest(usize::try_from(MAX_PARTS).unwrap_or(usize::MAX));
    match std::fs::File::from(journal).take(most).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}
