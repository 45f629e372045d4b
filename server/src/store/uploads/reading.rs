//! Reading the journal of a key, a little at a time, before its partial is opened; and writing it anew, if it is of another
//! boot of the machine or too long.

use std::fmt;
use std::sync::Arc;

use haul_protocol::Name;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::compacting::Compacting;
use super::journal::{self, Journal, Reader};
use super::partial::{Key, journal_name};
use crate::store::error::StoreError;
use crate::store::temp::staging::Place;
use crate::store::{Reserved, Store, sys};

/// Bytes that are written between two looks at the clock.
const SLICE: usize = 64 * 1024;

/// A journal that is read a little at a time.
#[derive(Debug)]
pub(crate) struct JournalReading {
    store: Arc<Store>,
    id: String,
    file: OwnedFd,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Reading {
        reader: Box<Reader>,
        at: u64,
    },
    Writing(Box<Writing>),
    /// Nothing is left to do. `None`: the journal does not even begin.
    Over(Option<Box<Journal>>),
}

/// The journal that takes the old one's place once it is whole.
#[derive(Debug)]
struct Writing {
    /// All that the old one says.
    old: Journal,
    compacting: Compacting,
    staged: StagedJournal,
    at: u64,
    _room: Reserved,
}

/// A file in `.haul/staged`, which is removed unless it was renamed.
#[derive(Debug)]
struct StagedJournal {
    store: Arc<Store>,
    /// `None` once it was renamed.
    file: Option<OwnedFd>,
    place: Place,
}

impl Drop for StagedJournal {
    fn drop(&mut self) {
        if self.file.is_none() {
            return;
        }
        let (directory, name) = self.store.staging.at(self.place);
        if let Err(errno) = sys::unlink(directory, name.as_bytes()) {
            tracing::warn!(file = name, %errno, "could not remove a half-written journal");
        }
    }
}

impl Store {
    /// The journal of a key, to be read before [`partial`](Self::partial); `None` if there is none.
    pub(crate) fn journal(
        self: &Arc<Self>,
        key: &Key,
        name: &Name,
    ) -> Result<Option<JournalReading>, StoreError> {
        self.journal_of(key.id(), name)
    }

    /// The same by the id of the key.
    pub(super) fn journal_of(
        self: &Arc<Self>,
        id: &str,
        name: &Name,
    ) -> Result<Option<JournalReading>, StoreError> {
        let opened = self.open_partial(&journal_name(id));
        let opened = opened.map_err(|errno| StoreError::new("resume", name, errno))?;
        Ok(opened.map(|file| JournalReading {
            store: Arc::clone(self),
            id: id.to_owned(),
            file,
            stage: Stage::Reading { reader: Box::new(Reader::new(&self.boot)), at: 0 },
        }))
    }
}

impl JournalReading {
    /// Reads or writes the next bytes, through `buffer`; returns how many. None are left after 0.
    pub(crate) fn advance(&mut self, name: &Name, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let failed = |errno| StoreError::new("resume", name, errno);
        match std::mem::replace(&mut self.stage, Stage::Over(None)) {
            Stage::Reading { mut reader, at } => {
                let read = rustix::io::pread(&self.file, &mut *buffer, at).map_err(failed)?;
                if read > 0 {
                    reader.feed(&buffer[..read]);
                    self.stage = Stage::Reading { reader, at: at + read as u64 };
                    return Ok(read);
                }
                let is_long = at > journal::longest(reader.parts());
                self.stage = match reader.finish() {
                    Some(found) if !found.same_boot || is_long => self.write_anew(name, found),
                    found => Stage::Over(found.map(Box::new)),
                };
                Ok(usize::from(matches!(self.stage, Stage::Writing(_))))
            }
            Stage::Writing(mut writing) => match writing.advance() {
                Ok(0) => {
                    self.take_place(*writing).map_err(failed)?;
                    Ok(0)
                }
                Ok(written) => {
                    self.stage = Stage::Writing(writing);
                    Ok(written)
                }
                Err(errno) => {
                    self.stage = self.not_anew(&errno, writing.old);
                    Ok(0)
                }
            },
            over @ Stage::Over(_) => {
                self.stage = over;
                Ok(0)
            }
        }
    }

    /// Begins a new journal. If there is no room for two, the old one grows by some records.
    fn write_anew(&self, name: &Name, old: Journal) -> Stage {
        let store = &self.store;
        let room = match store.admit(name, old.len) {
            Ok(room) => room,
            Err(error) => return self.not_anew(&error, old),
        };
        let place = store.staging.place();
        let (directory, staged) = store.staging.at(place);
        let (flags, private) = (OFlags::RDWR | OFlags::EXCL, Mode::RUSR | Mode::WUSR);
        let file = match sys::create(directory, staged.as_bytes(), flags, private) {
            Ok(file) => Some(file),
            Err(errno) => return self.not_anew(&errno, old),
        };
        let compacting = Compacting::new(old.clone(), &store.boot);
        let staged = StagedJournal { store: Arc::clone(store), file, place };
        Stage::Writing(Box::new(Writing { old, compacting, staged, at: 0, _room: room }))
    }

    fn not_anew(&self, why: &dyn fmt::Display, old: Journal) -> Stage {
        tracing::warn!(partial = self.id, %why, "a journal could not be written anew");
        Stage::Over(Some(Box::new(old)))
    }

    /// The new journal is whole. It is flushed whatever the durability is: the old one, which it replaces, may have been on
    /// the disk for long.
    fn take_place(&mut self, writing: Writing) -> Result<(), Errno> {
        let Writing { old, compacting, mut staged, .. } = writing;
        let store = &self.store;
        let (directory, name) = store.staging.at(staged.place);
        let Some(file) = &staged.file else { return Err(Errno::BADF) };
        let to = journal_name(&self.id);
        let renamed = sys::sync(file)
            .and_then(|()| sys::rename(directory, name.as_bytes(), &store.partials, to.as_bytes()));
        if let Err(errno) = renamed {
            self.stage = self.not_anew(&errno, old);
            return Ok(());
        }
        if let Some(file) = staged.file.take() {
            self.file = file;
        }
        self.stage = Stage::Over(Some(Box::new(compacting.finish())));
        // Otherwise records that are appended from now on could be lost with the new name.
        if self.store.durable { sys::sync_directory(&self.store.partials) } else { Ok(()) }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.stage {
            Stage::Reading { reader, .. } => reader.held_bytes(),
            Stage::Writing(writing) => {
                writing.old.held_bytes() + writing.compacting.held_bytes() + SLICE
            }
            Stage::Over(found) => found.as_ref().map_or(0, |found| found.held_bytes()),
        }
    }

    /// The journal's file and all that it says, if it says anything.
    pub(super) fn finish(self) -> Option<(OwnedFd, Journal)> {
        let Stage::Over(Some(found)) = self.stage else { return None };
        Some((self.file, *found))
    }
}

impl Writing {
    /// Writes the next lines; returns how many bytes. None are left after 0.
    fn advance(&mut self) -> Result<usize, Errno> {
        let mut lines = Vec::with_capacity(SLICE);
        while lines.len() < SLICE && self.compacting.line(&mut lines) {}
        let Some(file) = &self.staged.file else { return Err(Errno::BADF) };
        if !lines.is_empty() {
            sys::write_at(file, self.at, &lines)?;
            self.at += lines.len() as u64;
        }
        Ok(lines.len())
    }
}
