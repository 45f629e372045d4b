//! A large file under way: its bytes and its journal in `.haul/partials`, until it is published,
//! discarded or expires. Dropping it keeps both: whoever opens the same key goes on with it.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_protocol::{Attributes, Cv, Digest, Geometry, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{kept, times};
use super::error::StoreError;
use super::group::Touched;
use super::journal::{self, Begin, Committing, HeldPart, Record};
use super::root::Parents;
use super::{Store, disk};

/// Newly held bytes after which a partial is flushed: what a reboot may have to read again.
pub(super) const FLUSH_EVERY: u64 = 256 << 20;

/// Bytes of parts from another boot that are read and compared when an upload goes on; parts over
/// that are sent again. A few seconds of reading, during which the client waits.
const MAX_VERIFIED: u64 = 4 << 30;

/// What makes two uploads the same.
#[derive(Debug)]
pub(crate) struct Key {
    begin: Begin,
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
pub(super) fn journal_name(id: &str) -> String {
    format!("{id}.journal")
}

/// A partial that is open. Clones are the same partial.
#[derive(Debug, Clone)]
pub(crate) struct Partial(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    data: OwnedFd,
    journal: OwnedFd,
    /// One append at a time, so that a failed one can be cut off again.
    end: Mutex<End>,
    store: Arc<Store>,
}

#[derive(Debug)]
struct End {
    len: u64,
    /// Where the records of this boot begin.
    boot_start: u64,
    /// No more may be written: the upload was interrupted, and somebody else may have opened the same
    /// files; or a flush has failed, and nobody knows what is on the disk.
    closed: bool,
    /// Bytes of parts held since the last flush began.
    unflushed: u64,
}

/// What was found under a key.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// A partial, new or old, and the parts that it holds.
    Partial(Partial, Vec<(usize, Cv)>),
    /// The file was published before, and stands there unchanged.
    Published(Published, Vec<(usize, Cv)>),
}

/// A file that was published before. Whether it is durable is not known: the flush may have failed.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    name: Name,
    size: u64,
    committing: Committing,
}

impl Published {
    /// It is still there, and becomes durable with everything else on the disk.
    pub(super) fn confirm(
        &self,
        store: &Store,
        parents: &Parents<'_>,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        if !store.stands(parents, &self.name, self.size, self.committing) {
            return Err(StoreError::Replaced { name: self.name.to_string() });
        }
        touched.everything();
        Ok(())
    }
}

impl Store {
    /// Opens the partial of a key, or starts one.
    pub(crate) fn partial(
        self: &Arc<Self>,
        parents: &Parents<'_>,
        key: &Key,
        name: &Name,
        geometry: Geometry,
    ) -> Result<Resumed, StoreError> {
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        if let Some(resumed) = self.resume(parents, key, name, geometry)? {
            return Ok(resumed);
        }
        if self.forget(key.id()).map_err(failed("discard the partial of"))? && self.durable {
            // The old journal must not come back beside the new bytes.
            disk::sync_directory(&self.partials).map_err(failed("discard the partial of"))?;
        }
        let flags = OFlags::RDWR | OFlags::EXCL;
        let private = Mode::RUSR | Mode::WUSR;
        let open = |file: &str| disk::create(&self.partials, file, flags, private);
        let journal = open(&journal_name(key.id())).map_err(failed("stage"))?;
        let data = open(key.id()).map_err(failed("stage"))?;
        let partial = Partial::new(self, key.id(), data, journal, (0, 0));
        partial.append(name, &Record::Begin(key.begin.clone()))?;
        partial.append(name, &Record::Boot { id: self.boot.clone() })?;
        Ok(Resumed::Partial(partial, Vec::new()))
    }

    fn resume(
        self: &Arc<Self>,
        parents: &Parents<'_>,
        key: &Key,
        name: &Name,
        geometry: Geometry,
    ) -> Result<Option<Resumed>, StoreError> {
        let failed = |errno| StoreError::new("resume", name, errno);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |file: &str| match rustix::fs::openat(&self.partials, file, flags, Mode::empty())
        {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed(errno)),
        };
        let Some(journal) = open(&journal_name(key.id()))? else { return Ok(None) };
        let (journal, bytes) = read_journal(journal).map_err(failed)?;
        let Some(found) = journal::read(&bytes, &self.boot) else { return Ok(None) };
        if found.begin != key.begin {
            return Ok(None);
        }
        let held = || found.held.iter().filter(|held| held.part < geometry.parts());
        // It may have its final mode already, which may forbid us to write.
        let writable = Mode::RUSR | Mode::WUSR;
        match rustix::fs::chmodat(&self.partials, key.id(), writable, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let Some(data) = open(key.id())? else {
            let size = geometry.size();
            let Some(committing) =
                found.committing.filter(|committing| self.stands(parents, name, size, *committing))
            else {
                return Ok(None);
            };
            let published = Published { name: name.clone(), size, committing };
            let held = held().map(|held| (held.part, held.cv)).collect();
            return Ok(Some(Resumed::Published(published, held)));
        };
        disk::truncate(&journal, found.len).map_err(failed)?;
        let boot_start = if found.same_boot { found.boot_start } else { found.len };
        let partial = Partial::new(self, key.id(), data, journal, (boot_start, found.len));
        if !found.same_boot {
            partial.append(name, &Record::Boot { id: self.boot.clone() })?;
        }
        let mut sure: HashMap<usize, Cv> =
            held().filter(|held| held.safe).map(|held| (held.part, held.cv)).collect();
        let mut read = 0;
        for &HeldPart { part, cv, .. } in held().filter(|held| !held.safe) {
            let Some(range) = geometry.range(part) else { continue };
            if sure.contains_key(&part) || read > MAX_VERIFIED {
                continue;
            }
            read += range.end - range.start;
            if partial.has(geometry, part, cv) {
                partial.append(name, &Record::Held { part, cv })?;
                sure.insert(part, cv);
            }
        }
        Ok(Some(Resumed::Partial(partial, sure.into_iter().collect())))
    }

    /// Whether the file that a journal was about to publish stands under its name, unchanged.
    fn stands(
        &self,
        parents: &Parents<'_>,
        name: &Name,
        size: u64,
        committing: Committing,
    ) -> bool {
        let Ok(parent) = parents.existing(name.split().0) else { return false };
        rustix::fs::statat(&parent, name.split().1, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
            stat.st_ino == committing.inode
                && u64::try_from(stat.st_size) == Ok(size)
                && (stat.st_mtime, stat.st_mtime_nsec.cast_signed()) == committing.mtime
        })
    }

    /// Removes what is there of a partial; returns whether anything was. The journal goes first: a
    /// journal without a partial means that the file was published.
    pub(crate) fn forget(&self, id: &str) -> Result<bool, Errno> {
        let mut any = false;
        for file in [&journal_name(id), id] {
            match disk::unlink(&self.partials, file) {
                Ok(()) => any = true,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(any)
    }

    /// Removes the journal of a published file, unless a new upload has begun under the same key.
    pub(crate) fn forget_published(&self, id: &str) -> Result<(), Errno> {
        match rustix::fs::statat(&self.partials, id, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => self.forget(id).map(|_| ()),
            Ok(_) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Reads a journal and gives its file back.
pub(super) fn read_journal(journal: OwnedFd) -> Result<(OwnedFd, Vec<u8>), Errno> {
    let mut file = std::fs::File::from(journal);
    let mut bytes = Vec::new();
    match (&mut file).take(journal::MAX_LEN).read_to_end(&mut bytes) {
        Ok(_) => Ok((file.into(), bytes)),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

impl Partial {
    fn new(
        store: &Arc<Store>,
        id: &str,
        data: OwnedFd,
        journal: OwnedFd,
        (boot_start, len): (u64, u64),
    ) -> Self {
        let end = Mutex::new(End { len, boot_start, closed: false, unflushed: 0 });
        Self(Arc::new(Inner { id: id.to_owned(), data, journal, end, store: Arc::clone(store) }))
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.0.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, name: &Name, record: &Record) -> Result<(), StoreError> {
        let line = journal::line(record);
        let mut end = self.end();
        if end.closed {
            return Err(StoreError::Spoiled { name: name.to_string() });
        }
        disk::append(&self.0.journal, end.len, &line)
            .map_err(|errno| StoreError::new("journal", name, errno))?;
        end.len += line.len() as u64;
        Ok(())
    }

    /// Whether these bytes are on the disk and have this chaining value.
    fn has(&self, geometry: Geometry, part: usize, cv: Cv) -> bool {
        let (Some(range), Some(mut hasher)) = (geometry.range(part), geometry.hasher(part)) else {
            return false;
        };
        let (mut at, mut buffer) = (range.start, vec![0; 256 * 1024]);
        while at < range.end {
            let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
            match rustix::io::pread(&self.0.data, &mut buffer[..len], at) {
                Ok(0) | Err(_) => return false,
                Ok(read) if !hasher.update(&buffer[..read]) => return false,
                Ok(read) => at += read as u64,
            }
        }
        hasher.finish() == Some(cv)
    }

    /// Writes bytes of a part.
    pub(crate) fn write_at(
        &self,
        name: &Name,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        disk::write_at(&self.0.data, offset, bytes)
            .map_err(|errno| StoreError::new("write", name, errno))
    }

    /// Starts to write a part to the disk, so that a later flush has less to do.
    pub(crate) fn start_writeback(&self, range: &std::ops::Range<u64>) {
        if self.0.store.durable {
            disk::start_writeback(&self.0.data, range.start, range.end - range.start);
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
    pub(super) fn flush(&self, name: &Name) -> Flush {
        let (from, end) = {
            let end = self.end();
            (end.boot_start, end.len)
        };
        Flush { partial: self.clone(), name: name.clone(), from, end }
    }

    /// Nobody writes through this handle any more; what is held stays.
    pub(crate) fn close(&self) {
        self.end().closed = true;
    }

    /// Whether a flush has failed.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.end().closed
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

    /// All parts are held, and their digest is right: it gets its final mode and mtime.
    pub(crate) fn finish(
        self,
        name: Name,
        attributes: &Attributes,
        digest: Digest,
    ) -> Result<Finished, StoreError> {
        let failed = |errno| StoreError::new("set mode and mtime of", &name, errno);
        let mode = kept(attributes.mode);
        let mode = mode.unwrap_or(Mode::from_raw_mode(0o666) - self.0.store.umask);
        disk::set_mode(&self.0.data, mode).map_err(failed)?;
        if let Some(mtime) = attributes.mtime {
            disk::set_times(&self.0.data, &times(mtime)).map_err(failed)?;
        }
        let stat = rustix::fs::fstat(&self.0.data).map_err(failed)?;
        let committing = Committing {
            digest,
            inode: stat.st_ino,
            mtime: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
        };
        Ok(Finished { partial: self, name, committing, journalled: false })
    }
}

/// A flush of the parts that are held so far.
#[derive(Debug)]
pub(crate) struct Flush {
    partial: Partial,
    name: Name,
    /// Where the records of this boot begin.
    from: u64,
    /// Length of the journal before the flush: what is held later is not covered.
    end: u64,
}

impl Flush {
    pub(super) fn run(&self) -> Result<(), StoreError> {
        if let Err(errno) = disk::sync(&self.partial.0.data) {
            self.partial.spoil();
            return Err(StoreError::new("flush", &self.name, errno));
        }
        match self.partial.append(&self.name, &Record::Synced { from: self.from, end: self.end }) {
            // Interrupted meanwhile: whoever opens it next reads what this record would have spared.
            Err(StoreError::Spoiled { .. }) => Ok(()),
            result => result,
        }
    }
}

/// A large file that only has to become visible.
#[derive(Debug)]
pub(crate) struct Finished {
    partial: Partial,
    name: Name,
    committing: Committing,
    journalled: bool,
}

impl Finished {
    /// As of every file, before it becomes visible; and the journal must know which file that is.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.partial.flush(&self.name).run()?;
        self.journal()?;
        disk::sync(&self.partial.0.journal)
            .map_err(|errno| StoreError::new("flush the journal of", &self.name, errno))
    }

    fn journal(&mut self) -> Result<(), StoreError> {
        if !self.journalled {
            self.partial.append(&self.name, &Record::Committing(self.committing))?;
            self.journalled = true;
        }
        Ok(())
    }

    pub(super) fn publish(
        mut self,
        store: &Store,
        parents: &Parents<'_>,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        self.journal()?;
        let id = self.partial.0.id.clone();
        // Otherwise a flush of it is still waiting, and the bytes were flushed just now.
        if let Ok(inner) = Arc::try_unwrap(self.partial.0) {
            disk::close(inner.data).map_err(|source| StoreError::Io {
                op: "close",
                name: self.name.to_string(),
                source,
            })?;
        }
        store.rename(parents, &store.partials, &id, &self.name, touched)
    }
}
