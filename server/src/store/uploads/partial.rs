//! A large file under way: its bytes and its journal in `.haul/partials`, until it is committed,
//! discarded or expires. Dropping it keeps both: an `open` with the same key goes on with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_protocol::{Cv, Digest, Geometry, Name};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::journal::{self, Begin, Record};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::store::error::StoreError;
use crate::store::{Store, sys};

/// Newly held bytes after which a partial is flushed: what a reboot may have to read again.
pub(in crate::store) const FLUSH_EVERY: u64 = 256 << 20;

/// The key of an upload: two uploads with equal keys are the same.
#[derive(Debug)]
pub(crate) struct Key {
    pub(in crate::store) begin: Begin,
    id: String,
}

impl Key {
    /// The target, its size and parts, what the source was, and who sends it.
    pub(crate) fn new(name: &Name, geometry: Geometry, fingerprint: &str, identity: &str) -> Self {
        let begin = Begin {
            name: name.as_bytes().to_vec(),
            size: geometry.size(),
            part_size: geometry.part_size(),
            fingerprint: fingerprint.to_owned(),
            identity: identity.to_owned(),
        };
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
    pub(in crate::store) store: Arc<Store>,
}

#[derive(Debug)]
pub(in crate::store) struct End {
    len: u64,
    /// Where the records of this boot begin.
    boot_start: u64,
    /// No more may be written: the upload was interrupted, and somebody else may have opened the same
    /// files; or a flush has failed, and nobody knows what is on the disk.
    closed: bool,
    /// Bytes of parts held since the last flush began.
    unflushed: u64,
}

impl Partial {
    pub(in crate::store) fn new(
        store: &Arc<Store>,
        id: &str,
        data: OwnedFd,
        journal: OwnedFd,
        (boot_start, len): (u64, u64),
    ) -> Self {
        let end = End { len, boot_start, closed: false, unflushed: 0 };
        let end = Mutex::new(Rank::PartialEnd, end);
        let (id, closed) = (id.to_owned(), Arc::default());
        Self(Arc::new(Inner { id, data, journal, end, closed, store: Arc::clone(store) }))
    }

    pub(in crate::store) fn end(&self) -> MutexGuard<'_, End> {
        self.0.end.lock()
    }

    pub(in crate::store) fn append(&self, name: &Name, record: &Record) -> Result<(), StoreError> {
        let line = journal::line(record);
        let mut end = self.end();
        if end.closed {
            return Err(StoreError::Spoiled { name: name.to_string() });
        }
        sys::append(&self.0.journal, end.len, &line)
            .map_err(|errno| StoreError::new("journal", name, errno))?;
        end.len += line.len() as u64;
        Ok(())
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
    pub(crate) fn start_writeback(&self, range: &std::ops::Range<u64>) {
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
        range: std::ops::Range<u64>,
    ) -> Result<Option<Flush>, StoreError> {
        self.append(name, &Record::Held { part, cv })?;
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

    /// A flush of all that is held by now.
    pub(in crate::store) fn flush(&self, name: &Name) -> Flush {
        let (from, end) = {
            let end = self.end();
            (end.boot_start, end.len)
        };
        Flush { partial: self.clone(), name: name.clone(), from, end }
    }

    /// Nobody writes through this handle any more; held parts stay.
    pub(crate) fn close(&self) {
        self.end().closed = true;
        self.0.closed.store(true, Ordering::Release);
    }

    /// Becomes true when a flush fails, or the partial is closed.
    pub(crate) fn closed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.closed)
    }

    /// The disk has lost bytes and won't say which: nothing of the file can be trusted, and another
    /// flush would find nothing left to write.
    fn spoil(&self) {
        self.close();
        self.clone().discard();
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
}

impl Flush {
    pub(in crate::store) fn run(&self) -> Result<(), StoreError> {
        if let Err(errno) = sys::sync(&self.partial.0.data) {
            self.partial.spoil();
            return Err(StoreError::new("flush", &self.name, errno));
        }
        match self.partial.append(&self.name, &Record::Synced { from: self.from, end: self.end }) {
            // Interrupted meanwhile: the next `open` reads the bytes that this record would have spared.
            Err(StoreError::Spoiled { .. }) => Ok(()),
            result => result,
        }
    }
}
