//! The digest of a file that is read to be compared: of a large one, by several threads at once.
//!
//! A large file is cut as for an upload, and the chaining values of its parts are merged (PROTOCOL.md, section 7): each thread
//! reads and hashes parts by itself. The threads are a rayon pool of their own. Connections' threads must not hash with
//! others, because each of them is busy with one long job, and nobody would take a share of the work.

use std::ops::Range;
use std::sync::OnceLock;
use std::thread;

use haul_protocol::limits::{MIN_PART_LEN, part_size_for};
use haul_protocol::{Cv, Digest, FileHasher, Geometry, PartHasher, merge};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::Source;
use crate::error::FileError;

/// Bytes that one thread reads and hashes at once: they are still in its second-level cache then.
pub(crate) const PIECE: usize = 128 * 1024;

/// Bytes that all threads together read and hash between two looks at the connection, which come late if the disk is slow.
const SLICE: u64 = 32 * 1024 * 1024;

/// The threads that hash large files of a run; none before the first one.
#[derive(Debug, Default)]
pub(crate) struct HashThreads(OnceLock<Option<ThreadPool>>);

impl HashThreads {
    /// `None` if this machine has one processor, or no more threads to give.
    fn pool(&self) -> Option<&ThreadPool> {
        let new = || {
            let threads =
                thread::available_parallelism().ok().filter(|threads| threads.get() > 1)?;
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get());
            pool.thread_name(|index| format!("hash-{index}")).build().ok()
        };
        self.0.get_or_init(new).as_ref()
    }
}

/// A file that is half hashed.
#[derive(Debug)]
pub(crate) struct Hashing {
    state: State,
    /// Bytes that are hashed.
    done: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// From its start to its end.
    InOrder(Box<FileHasher>),
    /// The chaining values of the first parts.
    InParts(Geometry, Vec<Cv>),
}

impl Hashing {
    /// Begins with a file. With `untrue` its size is not what it says, so it is read to its end.
    pub(crate) fn begin(source: &Source, untrue: bool, threads: &HashThreads) -> Self {
        let geometry = part_size_for(source.size)
            .filter(|_| !untrue && source.size > MIN_PART_LEN && threads.pool().is_some())
            .and_then(|part_size| Geometry::new(source.size, part_size).ok());
        let state = match geometry {
            Some(geometry) => State::InParts(geometry, Vec::new()),
            None => State::InOrder(Box::default()),
        };
        Self { state, done: 0, buffer: Vec::new() }
    }

    /// Reads and hashes what comes next, and returns how many bytes that were: none at the end of the file.
    ///
    /// # Errors
    /// If the file can't be read, has changed, or has another size than it says and is not `untrue`.
    pub(crate) fn advance(
        &mut self,
        source: &Source,
        untrue: bool,
        threads: &HashThreads,
    ) -> Result<u64, FileError> {
        let Self { state, done, buffer } = self;
        let len = match state {
            State::InOrder(hasher) => {
                buffer.resize(PIECE, 0);
                let len = if untrue {
                    source.read_some(*done, buffer)?
                } else {
                    let left = usize::try_from(source.size - *done).unwrap_or(usize::MAX);
                    buffer.truncate(left);
                    source.read(*done, buffer)?;
                    buffer.len()
                };
                hasher.update(&buffer[..len]);
                len as u64
            }
            State::InParts(geometry, cvs) => {
                let next = geometry.range(cvs.len()).map_or(source.size, |range| range.start);
                let Some(pool) = threads.pool() else { return Err(FileError::Changed) };
                let slice = usize::try_from(SLICE / geometry.part_size()).unwrap_or(1).max(1);
                let end = geometry.parts().min(cvs.len() + slice);
                cvs.extend(parts(pool, source, geometry, cvs.len()..end)?);
                let end = geometry.range(cvs.len()).map_or(source.size, |range| range.start);
                end - next
            }
        };
        *done += len;
        if len == 0 && !untrue {
            source.check_end()?;
        }
        Ok(len)
    }

    /// The digest of the file, and how many bytes it has; after [`advance`](Self::advance) has found its end.
    ///
    /// # Errors
    /// If the end was not found.
    pub(crate) fn finish(self) -> Result<(Digest, u64), FileError> {
        let digest = match &self.state {
            State::InOrder(hasher) => Some(hasher.finish()),
            State::InParts(geometry, cvs) if cvs.len() == geometry.parts() => merge(cvs),
            State::InParts(..) => None,
        };
        Ok((digest.ok_or(FileError::Changed)?, self.done))
    }
}

/// The chaining values of parts, hashed by all threads of the pool.
///
/// A thread of one pool that waits for another pool takes up other jobs of its own pool meanwhile, and here that may be the
/// long job of another connection, which ends only when all work is done. So a thread of no pool waits, and the connection's
/// thread for that one.
fn parts(
    pool: &ThreadPool,
    source: &Source,
    geometry: &Geometry,
    range: Range<usize>,
) -> Result<Vec<Cv>, FileError> {
    let hash = |buffer: &mut Vec<u8>, index| part(source, geometry, index, buffer);
    let all = || range.clone().into_par_iter().map_init(Vec::new, hash).collect();
    thread::scope(|scope| {
        let waiting = thread::Builder::new().spawn_scoped(scope, || pool.install(all));
        match waiting.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(hashed)) => hashed,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // The machine has no more threads to give.
            Err(_) => {
                let mut buffer = Vec::new();
                range.clone().map(|index| hash(&mut buffer, index)).collect()
            }
        }
    })
}

/// A part that is read and hashed piece by piece.
pub(crate) struct PartHashing<'a> {
    source: &'a Source,
    hasher: PartHasher,
    /// Where the next piece begins.
    offset: u64,
}

impl<'a> PartHashing<'a> {
    /// # Errors
    /// [`FileError::Changed`] if there is no such part.
    pub(crate) fn begin(
        source: &'a Source,
        geometry: &Geometry,
        index: usize,
    ) -> Result<Self, FileError> {
        let range = geometry.range(index).ok_or(FileError::Changed)?;
        let hasher = geometry.hasher(index).ok_or(FileError::Changed)?;
        Ok(Self { source, hasher, offset: range.start })
    }

    /// Reads the next bytes into `piece`, all of it, and hashes them.
    ///
    /// # Errors
    /// If they can't be read, or are more than the part has.
    pub(crate) fn read(&mut self, piece: &mut [u8]) -> Result<(), FileError> {
        self.source.read(self.offset, piece)?;
        self.offset += piece.len() as u64;
        if self.hasher.update(piece) { Ok(()) } else { Err(FileError::Changed) }
    }

    /// The chaining value of the part, all of which was read.
    ///
    /// # Errors
    /// [`FileError::Changed`] if it was not, or if the part is the last one and the file goes on behind it.
    pub(crate) fn finish(self) -> Result<Cv, FileError> {
        // Of the last part only: it is there that a file may go on.
        if self.offset == self.source.size {
            self.source.check_end()?;
        }
        self.hasher.finish().ok_or(FileError::Changed)
    }
}

/// The chaining value of one part, of which nothing is kept.
fn part(
    source: &Source,
    geometry: &Geometry,
    index: usize,
    buffer: &mut Vec<u8>,
) -> Result<Cv, FileError> {
    let range = geometry.range(index).ok_or(FileError::Changed)?;
    let mut left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut part = PartHashing::begin(source, geometry, index)?;
    while left > 0 {
        buffer.resize(left.min(PIECE), 0);
        part.read(buffer)?;
        left -= buffer.len();
    }
    part.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn digest(bytes: &[u8], untrue: bool) -> (Digest, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let (source, threads) = (Source::of(file).unwrap(), HashThreads::default());
        let mut hashing = Hashing::begin(&source, untrue, &threads);
        while hashing.advance(&source, untrue, &threads).unwrap() > 0 {}
        hashing.finish().unwrap()
    }

    #[test]
    fn digest_is_that_of_all_bytes_however_it_is_cut() {
        let mib = 1024 * 1024;
        for len in [0, 1, 128 * 1024, mib, mib + 1, 2 * mib, 31 * mib + 12_345] {
            let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            for untrue in [false, true] {
                assert_eq!(digest(&bytes, untrue), (Digest::of(&bytes), len as u64), "{len}");
            }
        }
    }

    /// A connection's job waits for another one; the thread that hashes must not take it up meanwhile.
    #[test]
    fn thread_of_another_pool_that_hashes_begins_no_other_job() {
        use std::sync::mpsc;
        use std::time::Duration;

        let connections = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(80 << 20).unwrap();
        let (hashed, over) = mpsc::channel();
        let (done, waits) = mpsc::channel::<()>();
        connections.spawn(move || {
            rayon::spawn(move || {
                waits.recv().ok();
            });
            let (source, threads) = (Source::of(file).unwrap(), HashThreads::default());
            let mut hashing = Hashing::begin(&source, false, &threads);
            while hashing.advance(&source, false, &threads).unwrap() > 0 {}
            hashed.send(hashing.finish().unwrap().1).unwrap();
        });
        let size = over.recv_timeout(Duration::from_secs(60));
        drop(done);
        assert_eq!(size, Ok(80 << 20));
    }

    #[test]
    fn file_that_gets_shorter_has_no_digest() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(40 << 20).unwrap();
        let other = file.try_clone().unwrap();
        let (source, threads) = (Source::of(file).unwrap(), HashThreads::default());
        let mut hashing = Hashing::begin(&source, false, &threads);
        hashing.advance(&source, false, &threads).unwrap();
        other.set_len(1 << 20).unwrap();
        let result = loop {
            match hashing.advance(&source, false, &threads) {
                Ok(0) => break hashing.finish().map(|_| ()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        assert!(matches!(result, Err(FileError::Changed)), "{result:?}");
    }
}
