//! A large file that arrives in parts, and goes on where it stopped even after a kill.
//!
//! One file has both the data and, behind them, the records of the parts that are there. A part is written before its record.
//! As long as the machine runs, the kernel has both or none; after a restart a part is hashed again before it counts, since
//! the disk may have kept its record only.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_protocol::{Attributes, Cv, Digest, Geometry, merge};
use rustix::fs::{fstat, ftruncate};
use rustix::io::{Errno, pread};

use super::boot::Boot;
use super::directory::Directory;
use super::names::{For, single};
use super::records::{Record, Records};
use super::staged::write_at;
use super::standing::{Over, wide};
use super::subject::Subject;
use super::temporary::Temporary;
use crate::error::FileError;
use crate::error::target::TargetError;

/// Bytes that are read at once when parts are hashed again.
const READ_LEN: usize = 128 * 1024;

/// A file of several parts, under a temporary name. Several threads may write parts at once. If it is dropped, the next run
/// goes on with it.
#[derive(Debug)]
pub(crate) struct Partial {
    temporary: Temporary,
    geometry: Geometry,
    records: Records,
    boot: Boot,
    held: Mutex<Held>,
    is_settled: bool,
}

/// The parts that are there.
#[derive(Debug)]
struct Held {
    cvs: Vec<Option<Cv>>,
    missing: usize,
}

impl Partial {
    /// Opens the file for an entry: the one that an earlier run has left of the same subject, size and part size, or a new one.
    /// Returns the parts that it has already, in order.
    ///
    /// If `is_compared`, each part that comes is compared with a chaining value of the server's before it is held; then the
    /// parts of a run that has done the same are of use, though that run knew no digest of the file.
    ///
    /// # Errors
    /// If it can't be made, or read.
    pub fn open(
        directory: &Arc<Directory>,
        component: &OsStr,
        subject: Subject,
        geometry: Geometry,
        is_compared: bool,
    ) -> Result<(Self, Vec<usize>), FileError> {
        let component = single(component)?;
        let records = Records::of(subject, geometry);
        let open = || -> io::Result<Option<Self>> {
            let Some(temporary) = Temporary::left(directory, For::Parts, component)? else {
                return Ok(None);
            };
            let boot = Boot::now(temporary.file());
            Self::resume(temporary, geometry, (subject, is_compared), boot)
        };
        let partial =
            match open().map_err(FileError::target("go on with the parts that are here"))? {
                Some(partial) => partial,
                None => Self::begin(directory, component, geometry, records)?,
            };
        let held = partial.held_parts();
        Ok((partial, held))
    }

    /// The file whose parts an earlier run has left for an entry, and the first of its parts that is not there.
    /// `None` if nobody can go on with them.
    pub fn left(
        directory: &Arc<Directory>,
        component: &OsStr,
        geometry: Geometry,
    ) -> Option<(Subject, usize)> {
        let component = single(component).ok()?;
        let temporary = Temporary::left(directory, For::Parts, component).ok()??;
        let mut bytes = vec![0; Records::len_of(geometry)];
        let len = read_at(&temporary, &mut bytes, geometry.size()).ok()?;
        let records = Records::of_header(&bytes[..len], geometry)?;
        let missing = records.read(&bytes[..len])?.iter().position(Option::is_none);
        Some((records.subject(), missing.unwrap_or(0)))
    }

    fn begin(
        directory: &Arc<Directory>,
        component: &OsStr,
        geometry: Geometry,
        records: Records,
    ) -> Result<Self, FileError> {
        let temporary = Temporary::make(directory, For::Parts, component)
            .map_err(FileError::target("make the file"))?;
        let boot = Boot::now(temporary.file());
        let cvs = vec![None; geometry.parts()];
        let held = Mutex::new(Held { missing: cvs.len(), cvs });
        let partial = Self { temporary, geometry, records, boot, held, is_settled: false };
        write_at(partial.temporary.file(), records.header(), geometry.size())
            .map_err(FileError::target("write it"))?;
        Ok(partial)
    }

    /// `None` if the file is another one's.
    fn resume(
        temporary: Temporary,
        geometry: Geometry,
        (subject, is_compared): (Subject, bool),
        boot: Boot,
    ) -> io::Result<Option<Self>> {
        let found = fstat(temporary.file())?;
        // Others could have it open and write to it, or it was about to get its final name.
        if wide(found.st_mode) & 0o777 != 0o600 {
            return Ok(None);
        }
        let mut bytes = vec![0; Records::len_of(geometry)];
        let len = read_at(&temporary, &mut bytes, geometry.size())?;
        let records = Records::of_header(&bytes[..len], geometry)
            .filter(|records| goes_on(records.subject(), subject, is_compared));
        let Some((records, found)) = records.and_then(|it| Some((it, it.read(&bytes[..len])?)))
        else {
            return Ok(None);
        };
        let mut cvs = Vec::with_capacity(found.len());
        let mut buffer = Vec::new();
        for (index, record) in found.into_iter().enumerate() {
            let cv = match record {
                Some(record) if record.boot == boot => Some(record.cv),
                Some(record) => {
                    let is_there =
                        hash(&temporary, &geometry, index, &mut buffer)? == Some(record.cv);
                    if is_there {
                        let renewed = records.write(index, &Record { boot, cv: record.cv });
                        write_at(temporary.file(), &renewed, records.offset(index))?;
                    }
                    is_there.then_some(record.cv)
                }
                None => None,
            };
            cvs.push(cv);
        }
        let missing = cvs.iter().filter(|cv| cv.is_none()).count();
        let held = Mutex::new(Held { cvs, missing });
        Ok(Some(Self { temporary, geometry, records, boot, held, is_settled: false }))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of the parts that are there.
    fn held_parts(&self) -> Vec<usize> {
        let held = self.held();
        let numbers = held.cvs.iter().enumerate();
        numbers.filter_map(|(index, cv)| cv.map(|_| index)).collect()
    }

    /// Writes the bytes of a part from `at` on, counted from its start. They need not be right yet, and count for nothing before
    /// the part [is held](Self::hold).
    ///
    /// # Errors
    /// If they are no bytes of a part, or can't be written; parts that are there stay.
    pub fn write(&self, index: usize, at: u64, bytes: &[u8]) -> Result<(), FileError> {
        let range = self.geometry.range(index).ok_or(TargetError::NoPart)?;
        let left = (range.end - range.start).checked_sub(at).ok_or(TargetError::NoPart)?;
        if bytes.len() as u64 > left {
            return Err(TargetError::NoPart.into());
        }
        if self.held().cvs[index].is_some() {
            // It has come twice, and is not written over.
            return Ok(());
        }
        let written = write_at(self.temporary.file(), bytes, range.start + at);
        written.map_err(FileError::target("write it"))
    }

    /// A part is there: the caller has written all of it, and computed its chaining value from these bytes. Returns `true` if
    /// all parts are there now, and were not before: once for each file whose last part is written.
    ///
    /// # Errors
    /// If it is no part of the file, or its record can't be written; parts that are there stay.
    pub fn hold(&self, index: usize, cv: Cv) -> Result<bool, FileError> {
        match self.held().cvs.get(index) {
            None => return Err(TargetError::NoPart.into()),
            Some(Some(_)) => return Ok(false),
            Some(None) => {}
        }
        let record = self.records.write(index, &Record { boot: self.boot, cv });
        write_at(self.temporary.file(), &record, self.records.offset(index))
            .map_err(FileError::target("write it"))?;
        let mut held = self.held();
        if held.cvs[index].replace(cv).is_some() {
            return Ok(false);
        }
        held.missing -= 1;
        Ok(held.missing == 0)
    }

    /// Whether all parts are there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.held().missing == 0
    }

    /// Parts that are not there.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.held().missing
    }

    /// The digest that all parts together must have, if they are not each compared with a chaining value of the server's.
    #[must_use]
    pub fn promised(&self) -> Option<Digest> {
        self.records.subject().digest
    }

    /// Whether the next run goes on with its parts if this one does not finish it.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.temporary.is_usual()
    }

    /// The digest of the whole file, if all parts are there.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let cvs: Option<Vec<Cv>> = self.held().cvs.iter().copied().collect();
        merge(&cvs?)
    }

    /// Gives the file, whose [digest](Self::digest) the caller has compared, its final name.
    ///
    /// # Errors
    /// [`TargetError::InTheWay`] if an entry that does not make way is there. Otherwise if parts are missing or it can't be
    /// done. The parts are lost then, unless nothing was flushed yet: no other run can use them.
    pub fn commit(
        mut self,
        attributes: &Attributes,
        over: Over,
        durable: bool,
    ) -> Result<(), FileError> {
        if !self.is_whole() {
            return Err(TargetError::NoPart.into());
        }
        self.temporary.check_place(over)?;
        if durable {
            // Most of the time is spent while the records are still there.
            if let Err(error) = self.temporary.incoming().sync() {
                // The kernel tells of bytes that it could not write only once: the next run would find the parts in memory, flush
                // them without an error, and the disk would lack them.
                self.discard();
                return Err(error);
            }
        }
        self.finish(attributes, over, durable)?;
        self.is_settled = true;
        Ok(())
    }

    fn finish(&self, attributes: &Attributes, over: Over, durable: bool) -> Result<(), FileError> {
        ftruncate(self.temporary.file(), self.geometry.size())
            .map_err(FileError::target("cut off its records"))?;
        self.temporary.incoming().complete(attributes)?;
        if durable {
            self.temporary.incoming().sync()?;
        }
        self.temporary.place(over)
    }

    /// Removes it: its parts are of no use.
    pub fn discard(mut self) {
        self.temporary.remove();
        self.is_settled = true;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // No later run would find it.
        if !self.is_settled && !self.temporary.is_usual() {
            self.temporary.remove();
        }
    }
}

/// Whether parts of one subject are of use for the other, which the server tells now.
fn goes_on(left: Subject, now: Subject, is_compared: bool) -> bool {
    let is_same = match (left.digest, now.digest) {
        (Some(left), Some(now)) => left == now,
        // The server knows it no more.
        (Some(_), None) => true,
        (None, _) => is_compared,
    };
    left.state == now.state && is_same
}

/// Reads as many bytes as there are, at most those that the buffer takes.
fn read_at(temporary: &Temporary, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match pread(temporary.file(), &mut buffer[len..], offset + len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(len)
}

/// The chaining value of a part's bytes; `None` if some are missing.
fn hash(
    temporary: &Temporary,
    geometry: &Geometry,
    index: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Cv>> {
    let (Some(range), Some(mut hasher)) = (geometry.range(index), geometry.hasher(index)) else {
        return Ok(None);
    };
    buffer.resize(READ_LEN, 0);
    let mut offset = range.start;
    while offset < range.end {
        let len = usize::try_from(range.end - offset).map_or(READ_LEN, |len| len.min(READ_LEN));
        let read = read_at(temporary, &mut buffer[..len], offset)?;
        if read < len || !hasher.update(&buffer[..len]) {
            return Ok(None);
        }
        offset += len as u64;
    }
    Ok(hasher.finish())
}
