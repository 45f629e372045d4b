//! A large file under way: its bytes and its journal in `.haul/partials`, until it is committed,
//! discarded or expires. Dropping it keeps both: an `open` with the same key goes on with it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_protocol::{Cv, Digest, Geometry, Name, Token};
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::facts::OrderedFacts;
use super::journal::{self, Begin, Journal, Record};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::store::error::StoreError;
use crate::store::{Store, sys};

/// Newly held bytes after which a partial is flushed: what a reboot may have to read again.
pub(in crate::store) const FLUSH_EVERY: u64 = 256 << 20;

/// The key of an upload: two uploads with equal keys are the same.
const LEAST_BLOCK: u64 = 512;
const MOST_BLOCK: u64 = 1 << 20;

/// The key of an upload: two with the same are one.
#[derive(Debug)]
pub(crate) struct Key {
    pub(in crate::store) begin: Begin,
    id: String,
}

impl Key {
    /// The target, its size and parts, what the source was, and who sends it: an account, and an identity of a client.
    pub(crate) fn new(
        name: &Name,
        geometry: Geometry,
        fingerprint: &str,
        (account, identity): (Option<&str>, &str),
    ) -> Self {
        let begin = Begin {
            name: name.as_bytes().to_vec(),
            size: geometry.size(),
            part_size: geometry.part_size(),
            fingerprint: fingerprint.to_owned(),
            identity: identity.to_owned(),
            account: account.map(str::to_owned),
            ordered: None,
        };
        Self::of(begin)
    }

    /// Of a file whose bytes come in order; `nonce` is random, so that nobody can know the id who was not told it.
    pub(crate) fn ordered(
        name: &Name,
        (size, part_size): (u64, u64),
        nonce: Token,
        account: Option<&str>,
        facts: OrderedFacts,
    ) -> Self {
        Self::of(Begin {
            name: name.as_bytes().to_vec(),
            size,
            part_size,
            fingerprint: nonce.to_string(),
            identity: String::new(),
            account: account.map(str::to_owned),
            ordered: Some(Box::new(facts)),
        })
    }

    fn of(begin: Begin) -> Self {
        let mut id = Digest::of(&serde_json::to_vec(&begin).unwrap_or_default()).to_hex();
        id.truncate(32);
        Self { begin, id }
    }

    /// Names the partial's files.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// The journal's file is named like this; the partial's own name is the id alone.
pub(in crate::store) fn journal_name(id: &str) -> String {
    format!("{id}.journal")
}

/// A partial that is open. Clones are the same partial.
#[derive(Debug, Clone)]
pub(crate) struct Partial(pub(in crate::store) Arc<Inner>);

#[derive(Debug)]
pub(in crate::store) struct Inner {
    pub(in crate::store) id: String,
    pub(in crate::store) data: OwnedFd,
    pub(in crate::store) journal: OwnedFd,
    /// One append at a time, so that a failed one can be cut off again.
    end: Mutex<End>,
    /// As `closed` of `end`, for a look without the lock.
    closed: Arc<AtomicBool>,
    /// Bytes by which the journal grows on the disk.
    block: u64,
    pub(in crate::store) store: Arc<Store>,
}

/// The end of a journal, and the facts that are known of its records.
#[derive(Debug, Default)]
pub(in crate::store) struct End {
    len: u64,
    /// Where the records of this boot begin.
    boot_start: u64,
    /// Where the last record of a part ends that this boot has held.
    last_held: u64,
    /// Records of parts up to here are known to be flushed.
    flushed: u64,
    /// No more may be written: the upload was interrupted, and somebody else may have opened the same
    /// files; or a flush has failed, and nobody knows which bytes are on the disk.
    closed: bool,
    /// Bytes of parts held since the last flush began.
    unflushed: u64,
}

impl End {
    /// Of a journal that was read. `boot_start`: where the records of this boot begin.
    pub(super) fn after(found: &Journal, boot_start: u64) -> Self {
        let is_unflushed = found.held.iter().any(|held| held.safe && !held.synced)
            || found.tails.iter().any(|tail| tail.safe && !tail.synced);
        let last_held = if is_unflushed { found.len } else { 0 };
        Self { len: found.len, boot_start, last_held, ..Self::default() }
    }
}

impl Partial {
    pub(in crate::store) fn new(
        store: &Arc<Store>,
        id: &str,
        data: OwnedFd,
        journal: OwnedFd,
        end: End,
    ) -> Self {
        let end = Mutex::new(Rank::PartialEnd, end);
        let (id, closed) = (id.to_owned(), Arc::default());
        let block = rustix::fs::fstat(&journal).map_or(0, |stat| stat.st_blksize);
        let block = u64::try_from(block).unwrap_or(0).clamp(LEAST_BLOCK, MOST_BLOCK);
        Self(Arc::new(Inner { id, data, journal, end, closed, block, store: Arc::clone(store) }))
    }

    pub(in crate::store) fn end(&self) -> MutexGuard<'_, End> {
        self.0.end.lock()
    }

    /// Appends a record, if there is room for it; returns where it is.
    pub(in crate::store) fn append(
        &self,
        name: &Name,
        record: &Record,
    ) -> Result<Range<u64>, StoreError> {
        self.write(name, record, false)
    }

    /// The record of a part that came just now has its room from the part.
    fn write(
        &self,
        name: &Name,
        record: &Record,
        has_room: bool,
    ) -> Result<Range<u64>, StoreError> {
        let line = journal::line(record);
        let mut end = self.end();
        if end.closed {
            return Err(StoreError::Spoiled { name: name.to_string() });
        }
        let is = end.len..end.len + line.len() as u64;
        let grows = is.start.div_ceil(self.0.block) < is.end.div_ceil(self.0.block);
        let bytes = line.len() as u64;
        let _room = if grows && !has_room { Some(self.0.store.admit(name, bytes)?) } else { None };
        sys::append(&self.0.journal, end.len, &line)
            .map_err(|errno| StoreError::new("journal", name, errno))?;
        end.len = is.end;
        match record {
            Record::Held { .. } | Record::Tail { .. } => end.last_held = is.end,
            Record::Synced { end: to, .. } => end.flushed = end.flushed.max(*to),
            Record::Begin(_)
            | Record::Boot { .. }
            | Record::Length { .. }
            | Record::Committing(_) => {}
        }
        Ok(is)
    }

    /// Takes the last record back.
    pub(super) fn take_back(&self, is: &Range<u64>) {
        let mut end = self.end();
        if end.len == is.end && !end.closed {
            match sys::truncate(&self.0.journal, is.start) {
                Ok(()) => end.len = is.start,
                Err(errno) => {
                    tracing::warn!(partial = self.0.id, %errno, "could not cut a journal");
                }
            }
        }
    }

    /// Reads bytes of a part.
    pub(in crate::store) fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        rustix::io::pread(&self.0.data, buffer, at)
    }

    /// Writes bytes of a part.
    pub(crate) fn write_at(
        &self,
        name: &Name,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        sys::write_at(&self.0.data, offset, bytes)
            .map_err(|errno| StoreError::new("write", name, errno))
    }

    /// Starts to write a part to the disk, so that a later flush has less to do.
    pub(crate) fn start_writeback(&self, range: &Range<u64>) {
        if self.0.store.durable {
            sys::start_writeback(&self.0.data, range.start, range.end - range.start);
        }
    }

    /// A part is written and verified. Returns what should be flushed by now.
    pub(crate) fn hold(
        &self,
        name: &Name,
        part: usize,
        cv: Cv,
        range: Range<u64>,
    ) -> Result<Option<Flush>, StoreError> {
        self.write(name, &Record::Held { part, cv }, true)?;
        if !self.0.store.durable {
            return Ok(None);
        }
        let len = range.end - range.start;
        let mut end = self.end();
        end.unflushed += len;
        if end.unflushed < FLUSH_EVERY {
            return Ok(None);
        }
        end.unflushed = 0;
        drop(end);
        Ok(Some(self.flush(name)))
    }

    /// So many bytes of a part are written behind the whole ones.
    pub(crate) fn note_tail(
        &self,
        name: &Name,
        part: usize,
        len: u64,
        cv: Cv,
    ) -> Result<(), StoreError> {
        self.write(name, &Record::Tail { part, len, cv }, true).map(drop)
    }

    /// The size of the file is known now.
    pub(crate) fn note_size(&self, name: &Name, size: u64) -> Result<(), StoreError> {
        self.write(name, &Record::Length { size }, true).map(drop)
    }

    /// A flush of all that has come, after which it survives a power cut: of the bytes, the journal and the names of both.
    pub(crate) fn lasting(&self, name: &Name) -> Flush {
        Flush { is_lasting: true, ..self.flush(name) }
    }

    /// A flush of all that is held by now.
    pub(in crate::store) fn flush(&self, name: &Name) -> Flush {
        let end = self.end();
        let (from, to, is_news) = (end.boot_start, end.len, end.last_held > end.flushed);
        drop(end);
        let is_lasting = false;
        Flush { partial: self.clone(), name: name.clone(), from, end: to, is_news, is_lasting }
    }

    /// Nobody writes through this handle any more; held parts stay.
    pub(crate) fn close(&self) {
        self.end().closed = true;
        self.0.closed.store(true, Ordering::Release);
        self.0.store.settle_promise(&self.0.id);
    }

    /// Becomes true when a flush fails, or the partial is closed.
    pub(crate) fn closed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.closed)
    }

    /// The disk has lost bytes and won't say which: nothing of the file can be trusted, and another
    /// flush would find nothing left to write.
    fn spoil(&self) {
        self.end().closed = true;
        // Somebody may have discarded it meanwhile, and opened another one of the same key.
        let found =
            rustix::fs::statat(&self.0.store.partials, &self.0.id, AtFlags::SYMLINK_NOFOLLOW);
        let own = rustix::fs::fstat(&self.0.data);
        if found.is_ok_and(|found| own.is_ok_and(|own| own.st_ino == found.st_ino)) {
            self.clone().discard();
        }
        // Only now: an `open` that sees this makes a new partial of this name.
        self.0.closed.store(true, Ordering::Release);
    }

    /// Removes it.
    pub(crate) fn discard(self) {
        if let Err(errno) = self.0.store.forget(&self.0.id) {
            tracing::warn!(partial = self.0.id, %errno, "could not remove a partial");
        }
    }
}

/// A flush of the parts that are held so far.
#[derive(Debug)]
pub(crate) struct Flush {
    partial: Partial,
    name: Name,
    /// Where the records of this boot begin.
    from: u64,
    /// Length of the journal before the flush: parts that are held later are not covered.
    end: u64,
    /// Parts are held that no flush before has covered.
    is_news: bool,
    /// The records of the journal have to be on the disk as well.
    is_lasting: bool,
}

impl Flush {
    pub(in crate::store) fn run(&self) -> Result<(), StoreError> {
        if let Err(errno) = sys::sync(&self.partial.0.data) {
            self.partial.spoil();
            return Err(StoreError::new("flush", &self.name, errno));
        }
        // A journal does not grow by commits that are refused again and again.
        let noted = if self.is_news { self.note() } else { Ok(()) };
        if !self.is_lasting {
            return match noted {
                // Interrupted meanwhile: the next `open` reads the bytes that this record would have spared.
                Err(StoreError::Spoiled { .. } | StoreError::NoRoom { .. }) => Ok(()),
                noted => noted,
            };
        }
        noted?;
        // Another flush would find nothing left to write, and promise records that are not there.
        let failed = |errno| {
            self.partial.spoil();
            StoreError::new("flush the journal of", &self.name, errno)
        };
        sys::sync(&self.partial.0.journal).map_err(failed)?;
        sys::sync_directory(&self.partial.0.store.partials).map_err(failed)
    }

    /// Notes in the journal that the parts are flushed.
    fn note(&self) -> Result<(), StoreError> {
        let record = Record::Synced { from: self.from, end: self.end };
        self.partial.append(&self.name, &record).map(drop)
    }
}
