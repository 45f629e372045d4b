//! Uploads whose bytes come in order, from the first to the last: begun, and found again by the id that their client was told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use haul_protocol::limits::{MAX_BODY_LEN, MAX_PARTED_SIZE};
use haul_protocol::{Attributes, Cv, Digest, Geometry, Mtime, Name, OrderedHasher};
use rustix::fs::fstat;

use super::facts::OrderedFacts;
use super::journal::Journal;
use super::partial::{Key, Partial};
use super::reading::JournalReading;
use super::tails::Tail;
use super::verifying::Verifying;
use rustix::io::Errno;

use crate::store::commit::change::Change;
use crate::store::error::StoreError;
use crate::store::root::Parents;
use crate::store::{Store, sys};

/// The facts about an upload.
#[derive(Debug, Clone)]
pub(crate) struct OrderedUpload {
    /// In the store.
    pub(crate) name: Name,
    /// The account that has begun it.
    pub(crate) account: Option<String>,
    /// `None`: nobody has told.
    pub(crate) size: Option<u64>,
    pub(crate) facts: OrderedFacts,
}

/// An upload that was found by its id.
#[derive(Debug)]
pub(crate) enum FoundOrdered {
    /// Its bytes have to be looked at.
    Partial(OrderedUpload, Box<Restoring>),
    /// It was committed, and its file stands there unchanged.
    Published(OrderedUpload),
}

/// The bytes of an upload that goes on, which are read a little at a time: of a part that is not whole, and after a restart of
/// the machine those that may be lost.
#[derive(Debug)]
pub(crate) struct Restoring {
    partial: Partial,
    name: Name,
    part_size: u64,
    verifying: Verifying,
    tails: Vec<Tail>,
    reading: Option<Reading>,
}

/// What is left to read, and how many bytes were read; or the partial, once nothing is left.
type Advanced = Result<(Box<Restoring>, usize), (Partial, OrderedHasher)>;

/// The reading of the part that is not whole.
#[derive(Debug)]
struct Reading {
    hasher: OrderedHasher,
    /// Offsets at which the journal tells a chaining value, in order.
    marks: VecDeque<Mark>,
    /// The chaining value of the part that has just become whole.
    whole: Option<Cv>,
    /// At the last of these that had it.
    sure: OrderedHasher,
    /// The record of that is of this boot of the machine.
    is_safe: bool,
}

/// An offset at which the journal tells a chaining value.
#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: u64,
    cv: Cv,
    is_safe: bool,
}

impl Store {
    /// Begins an upload. The caller knows whether it could be made visible.
    pub(crate) fn begin_ordered(
        self: &Arc<Self>,
        parents: &Parents,
        key: &Key,
        name: &Name,
    ) -> Result<Partial, StoreError> {
        self.new_partial(parents, key, name)
    }

    /// The journal of an upload, to be read before [`ordered`](Self::ordered); `None` if there is none.
    pub(crate) fn ordered_journal(
        self: &Arc<Self>,
        id: &Name,
    ) -> Result<Option<JournalReading>, StoreError> {
        self.journal_of(&id.to_string(), id)
    }

    /// The upload whose journal has been read. `None`: it is none whose bytes come in order, or its file is gone.
    pub(crate) fn ordered(
        self: &Arc<Self>,
        parents: &Parents,
        id: &Name,
        read: JournalReading,
    ) -> Result<Option<FoundOrdered>, StoreError> {
        let Some((journal, found)) = read.finish() else { return Ok(None) };
        let (Some(facts), Ok(name)) = (&found.begin.ordered, Name::parse(&found.begin.name)) else {
            return Ok(None);
        };
        let (account, size) = (found.begin.account.clone(), found.size());
        let upload = OrderedUpload { name: name.clone(), account, size, facts: (**facts).clone() };
        let Some(data) = self.open_data(&id.to_string(), &name)? else {
            let stands = found
                .committing
                .zip(size)
                .is_some_and(|(committing, size)| self.stands(parents, &name, size, committing));
            return Ok(stands.then_some(FoundOrdered::Published(upload)));
        };
        let partial = self.old_partial(&id.to_string(), &name, data, journal, &found)?;
        Ok(Some(FoundOrdered::Partial(upload, Box::new(Restoring::new(partial, name, &found)))))
    }
}

impl Restoring {
    fn new(partial: Partial, name: Name, found: &Journal) -> Self {
        let (safe, unsure): (Vec<_>, Vec<_>) = found.held.iter().partition(|held| held.safe);
        Self {
            partial,
            name,
            part_size: found.begin.part_size,
            verifying: Verifying::new(&safe, &unsure),
            tails: found.tails.clone(),
            reading: None,
        }
    }

    /// Reads the next bytes, through `buffer`; returns how many, or the partial once nothing is left to read.
    pub(crate) fn advance(mut self: Box<Self>, buffer: &mut [u8]) -> Result<Advanced, StoreError> {
        if !self.verifying.is_over() {
            let Some(geometry) = self.geometry() else { return Err(self.spoiled()) };
            let read = self.verifying.advance(&self.partial, &self.name, geometry, buffer)?;
            return Ok(Ok((self, read)));
        }
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => self.begin_reading()?,
        };
        let failed = |errno| StoreError::new("read", &self.name, errno);
        let read = reading.advance(&self.partial, buffer).map_err(failed)?;
        if read > 0 {
            self.reading = Some(reading);
            return Ok(Ok((self, read)));
        }
        let Reading { sure: hasher, is_safe, .. } = reading;
        // A flush covers only records of this boot.
        if let (false, Some(cv)) = (is_safe, hasher.tail()) {
            let len = hasher.len() % self.part_size;
            self.partial.note_tail(&self.name, hasher.parts(), len, cv)?;
        }
        Ok(Err((self.partial, hasher)))
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        let hashers = self.reading.as_ref().map_or(0, |reading| 2 * reading.sure.held_bytes());
        self.verifying.held_bytes() + hashers
    }

    /// Parts that are whole have this geometry, whatever the size of the file will be.
    fn geometry(&self) -> Option<Geometry> {
        let most = MAX_PARTED_SIZE / MAX_BODY_LEN * self.part_size;
        Geometry::new(most, self.part_size).ok()
    }

    fn begin_reading(&mut self) -> Result<Reading, StoreError> {
        let held: BTreeMap<usize, Cv> =
            std::mem::take(&mut self.verifying).held().into_iter().collect();
        let whole = held.into_iter().enumerate().take_while(|(at, (part, _))| at == part);
        let cvs: Vec<Cv> = whole.map(|(_, (_, cv))| cv).collect();
        let parts = cvs.len();
        let first = cvs.first().copied().filter(|_| parts == 1);
        let before = parts as u64 * self.part_size;
        let tails = self.tails.iter().filter(|tail| tail.part == parts && tail.len > 0);
        let mark = |offset, cv, is_safe| Mark { offset, cv, is_safe };
        let mut marks: Vec<Mark> =
            tails.map(|tail| mark(before + tail.len, tail.cv, tail.safe)).collect();
        marks.extend(first.map(|cv| mark(before, cv, true)));
        marks.sort_by_key(|mark| mark.offset);
        let hasher = match OrderedHasher::behind(self.part_size, cvs) {
            Ok(Some(hasher)) => hasher,
            Ok(None) => OrderedHasher::new(self.part_size).map_err(|_| self.spoiled())?,
            Err(_) => return Err(self.spoiled()),
        };
        Ok(Reading {
            sure: hasher.clone(),
            hasher,
            whole: None,
            marks: marks.into(),
            is_safe: true,
        })
    }

    fn spoiled(&self) -> StoreError {
        StoreError::Spoiled { name: self.name.to_string() }
    }
}

impl Reading {
    /// Reads the next bytes; none are left after 0.
    fn advance(&mut self, partial: &Partial, buffer: &mut [u8]) -> Result<usize, Errno> {
        let at = self.hasher.len();
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.offset <= at) {
            if self.whole.or_else(|| self.hasher.tail()) == Some(mark.cv) {
                self.is_safe = mark.is_safe || (self.is_safe && self.sure.len() == at);
                self.sure = self.hasher.clone();
            }
        }
        let Some(mark) = self.marks.front().map(|mark| mark.offset) else { return Ok(0) };
        let most = usize::try_from(mark - at).unwrap_or(usize::MAX);
        let len = most.min(buffer.len());
        // An error is not the end: the offset would go back behind one that was told.
        let read = partial.read_at(&mut buffer[..len], at)?;
        let mut bytes = &buffer[..read];
        while !bytes.is_empty() {
            self.whole = self.hasher.update(&mut bytes).map(|(_, cv)| cv);
        }
        Ok(read)
    }
}

impl Partial {
    /// All bytes are written: the change that makes the file visible.
    pub(crate) fn finish_ordered(
        self,
        upload: &OrderedUpload,
        size: u64,
        mtime: Option<Mtime>,
        digest: Digest,
    ) -> Result<Change, StoreError> {
        let failed = |errno| StoreError::new("complete", &upload.name, errno);
        // Bytes that were taken back may be behind the last one.
        if fstat(&self.0.data).map_err(failed)?.st_size.unsigned_abs() != size {
            sys::truncate(&self.0.data, size).map_err(failed)?;
        }
        let attributes = Attributes { mode: None, mtime };
        let finished = self.finish(upload.name.clone(), &attributes, digest)?;
        let change = Change::Upload(Box::new(finished));
        Ok(if upload.facts.only_new { change.of_new_only() } else { change })
    }
}
