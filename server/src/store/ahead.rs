//! Directories that are listed in several answers: names that were sorted for an answer and did not fit it are
//! kept for the next one, so that a large directory is not read as a whole for each.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// Names that are sorted at once: some MiB, at most 17.
const AHEAD: usize = 1 << 16;

/// Lists that are kept; more forget the oldest, which costs reading that directory again.
const KEPT: usize = 4;

/// Names of a directory in order, from some name on.
#[derive(Debug)]
pub(super) struct Sorted {
    names: VecDeque<Box<[u8]>>,
    /// There are more after the last of them.
    more: bool,
}

impl Sorted {
    /// The smallest names after `after` (empty: from the first).
    pub(super) fn read(directory: &OwnedFd, after: &[u8]) -> Result<Self, Errno> {
        // The largest on top.
        let mut smallest: BinaryHeap<Box<[u8]>> = BinaryHeap::new();
        let mut more = false;
        for entry in rustix::fs::Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || name <= after {
                continue;
            }
            if smallest.len() == AHEAD {
                more = true;
                if smallest.peek().is_some_and(|largest| name > &**largest) {
                    continue;
                }
                smallest.pop();
            }
            smallest.push(name.into());
        }
        Ok(Self { names: smallest.into_sorted_vec().into(), more })
    }

    /// Whether there are more names, here or in the directory.
    pub(super) fn has_more(&self) -> bool {
        self.more || !self.names.is_empty()
    }

    /// The next name.
    pub(super) fn next(&mut self) -> Option<Box<[u8]>> {
        self.names.pop_front()
    }
}

/// What is kept. Names in it may have gone meanwhile, and others may have come: who lists a directory in
/// several answers may or may not see them.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    /// The run that is listing: nobody else is given names that may be old.
    client: String,
    directory: Box<[u8]>,
    after: Box<[u8]>,
    sorted: Sorted,
}

impl Ahead {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what follows a name in a directory, if it is known and not at its end.
    pub(super) fn take(&self, client: &str, directory: &[u8], after: &[u8]) -> Option<Sorted> {
        let mut kept = self.kept();
        let found = |kept: &Kept| {
            kept.client == client && *kept.directory == *directory && *kept.after == *after
        };
        let index = kept.iter().position(found)?;
        kept.remove(index).map(|kept| kept.sorted)
    }

    /// Keeps what follows a name in a directory.
    pub(super) fn keep(&self, client: &str, directory: &[u8], after: &[u8], sorted: Sorted) {
        if sorted.names.is_empty() {
            return;
        }
        let mut kept = self.kept();
        // A request that came twice has left it as well.
        kept.retain(|kept| kept.client != client || *kept.directory != *directory);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        let (client, directory, after) = (client.to_owned(), directory.into(), after.into());
        kept.push_back(Kept { client, directory, after, sorted });
    }
}
