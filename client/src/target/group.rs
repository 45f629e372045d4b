//! Small files of one connection that get their final names together, so that the disk flushes them together.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::incoming::open_now;
use super::staged::Staged;
use crate::error::FileError;

/// Files that a group takes.
const MAX_FILES: usize = 128;

/// Bytes that a group takes.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Files that are staged and have no final name yet, each with a note of the caller.
#[derive(Debug)]
pub(crate) struct Group<T> {
    files: Vec<(Staged, T)>,
    bytes: u64,
    /// Temporary files that the process may have open.
    may_open: u64,
}

/// Files that small files and directories side by side leave a use for: more of them make no run faster.
const USEFUL: u64 = 4096;

/// A quarter of the files that the process may open: so many are for small files, so many for directories, and the others for
/// connections and large files. Directories of a deep tree [may be more](may_be_deep).
pub(crate) fn may_open() -> u64 {
    getrlimit(Resource::Nofile).current.map_or(USEFUL, |limit| limit.min(USEFUL)) / 4
}

/// The most directories that may be open, one in the other: files, connections and looks at entries need the others.
pub(crate) fn may_be_deep() -> u64 {
    /// Files for connections, their threads, and looks at entries.
    const OTHERS: u64 = 32;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (limit - limit / 4).saturating_sub(OTHERS)
}

/// Lets the process have as many files open as it may at all: a deep tree takes one for each level.
pub(crate) fn open_more() {
    let limit = getrlimit(Resource::Nofile);
    // If that is not allowed, the current limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Group<T> {
    /// A group without files.
    #[must_use]
    pub fn new() -> Self {
        Self { files: Vec::new(), bytes: 0, may_open: may_open() }
    }

    /// Takes a file.
    pub fn add(&mut self, file: Staged, note: T) {
        self.bytes += file.size();
        self.files.push((file, note));
    }

    /// Whether it has no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether it is to be committed before it takes another file. Each of its files is open, so all groups are full when
    /// they have as many as a quarter of those that the process may open.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.files.len() >= MAX_FILES || self.bytes >= MAX_BYTES || open_now() >= self.may_open
    }

    /// Gives all files their final names, in their order, and tells for each whether that went well. With `durable` the bytes
    /// of a file are on the disk before it gets its name. A file that fails is removed, and the others go on. The group
    /// is empty then.
    pub fn commit(&mut self, durable: bool) -> Vec<(T, Result<(), FileError>)> {
        self.bytes = 0;
        if durable && self.files.len() > 1 {
            self.files.iter().for_each(|(file, _)| file.incoming().start_writeback());
        }
        // All flushes before the first name: the journal of the file system then has no names to write with each.
        let flushed = self.files.drain(..).map(|(file, note)| {
            let flushed = if durable { file.incoming().sync() } else { Ok(()) };
            (file, note, flushed)
        });
        let flushed: Vec<_> = flushed.collect();
        let place = |(file, note, flushed): (Staged, T, Result<(), FileError>)| {
            (note, flushed.and_then(|()| file.place()))
        };
        flushed.into_iter().map(place).collect()
    }
}
