//! Directories that are listed in several answers: the store keeps names that it has read and sorted for one answer for the
//! next one, of any client, so that it does not read a large directory as a whole for each.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::OwnedFd;
use rustix::fs::{Dir, Stat};
use rustix::io::Errno;

use crate::accounts::ClientId;
use crate::locks::{Mutex, MutexGuard, Rank};

/// Names that are sorted at once, and their bytes: with what a name costs beside its bytes, some MiB.
const AHEAD: usize = 1 << 16;
const AHEAD_BYTES: usize = 4 << 20;

/// Memory of a name beside its bytes: its position, and the allocator's own bytes.
const BESIDE: usize = 48;

/// Lists that are kept; more forget the oldest, which costs reading that directory again.
const KEPT: usize = 4;

/// Names that are read between two looks at the clock.
const SLICE: usize = 512;

/// Coarseness of the time of a directory's last change: a change within that time of another one may not show.
const COARSE: Duration = Duration::from_millis(100);

/// A directory, and when its entries were last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Stamp {
    pub(in crate::store) directory: (u64, u64),
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    pub(in crate::store) fn of(stat: &Stat) -> Self {
        let directory = (stat.st_dev, stat.st_ino);
        let mtime = (stat.st_mtime, stat.st_mtime_nsec.cast_signed());
        Self { directory, mtime, ctime: (stat.st_ctime, stat.st_ctime_nsec.cast_signed()) }
    }

    /// Whether another change from now on would show in it.
    fn is_settled(&self) -> bool {
        let (s, ns) = self.ctime.max(self.mtime);
        let (Ok(s), Ok(ns)) = (u64::try_from(s), u32::try_from(ns)) else { return false };
        let changed = UNIX_EPOCH + Duration::new(s, ns);
        // A clock that was set back tells nothing.
        SystemTime::now().duration_since(changed).is_ok_and(|age| age > COARSE)
    }
}

/// Names of a directory in order: all that follow `from`, or the first of them.
#[derive(Debug)]
pub(in crate::store) struct Names {
    stamp: Stamp,
    /// The directory has not changed since, as long as the stamp is the same.
    is_settled: bool,
    from: Box<[u8]>,
    names: Vec<Box<[u8]>>,
    /// Bytes of all of them.
    bytes: usize,
    /// The directory has more after the last of them.
    more: bool,
}

impl Names {
    /// The name that follows the first `at`.
    pub(in crate::store) fn get(&self, at: usize) -> Option<&[u8]> {
        self.names.get(at).map(|name| &**name)
    }

    /// Whether there are more names than the first `at`, here or in the directory.
    pub(in crate::store) fn has_more(&self, at: usize) -> bool {
        self.more || at < self.names.len()
    }

    /// Bytes of memory that they take.
    pub(in crate::store) fn held_bytes(&self) -> usize {
        self.bytes + BESIDE * self.names.len()
    }

    /// The number of names that are not after `after`, if these names have all that follow `after`.
    pub(in crate::store) fn position(&self, after: &[u8]) -> Option<usize> {
        let at = self.names.partition_point(|name| **name <= *after);
        (*self.from <= *after && (at < self.names.len() || !self.more)).then_some(at)
    }
}

/// A directory that is being read, a little at a time.
#[derive(Debug)]
pub(in crate::store) struct Sorting {
    entries: Dir,
    stamp: Stamp,
    is_settled: bool,
    after: Box<[u8]>,
    /// The smallest names so far, the largest of them on top.
    smallest: BinaryHeap<Box<[u8]>>,
    bytes: usize,
    more: bool,
}

impl Sorting {
    /// Begins with a directory whose stamp this is, for the names after `after` (empty: from the first).
    pub(in crate::store) fn begin(
        directory: &OwnedFd,
        stamp: Stamp,
        after: &[u8],
    ) -> Result<Self, Errno> {
        Ok(Self {
            entries: Dir::read_from(directory)?,
            stamp,
            is_settled: stamp.is_settled(),
            after: after.into(),
            smallest: BinaryHeap::new(),
            bytes: 0,
            more: false,
        })
    }

    /// The directory that is read.
    pub(in crate::store) fn directory(&self) -> (u64, u64) {
        self.stamp.directory
    }

    /// Bytes of memory that it takes.
    pub(in crate::store) fn held_bytes(&self) -> usize {
        self.bytes + BESIDE * self.smallest.len()
    }

    /// Reads until `is_over` says that it is enough for now; tells whether all is read.
    pub(in crate::store) fn advance(&mut self, is_over: &dyn Fn() -> bool) -> Result<bool, Errno> {
        loop {
            for _ in 0..SLICE {
                let Some(entry) = self.entries.next() else { return Ok(true) };
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if !matches!(name, b"." | b"..") && *name > *self.after {
                    self.add(name);
                }
            }
            if is_over() {
                return Ok(false);
            }
        }
    }

    fn add(&mut self, name: &[u8]) {
        let is_full = |sorting: &Self| {
            sorting.smallest.len() >= AHEAD || sorting.bytes + name.len() > AHEAD_BYTES
        };
        if self.more || is_full(self) {
            self.more = true;
            if self.smallest.peek().is_some_and(|largest| name > &**largest) {
                return;
            }
            while is_full(self)
                && let Some(largest) = self.smallest.pop()
            {
                self.bytes -= largest.len();
            }
        }
        self.bytes += name.len();
        self.smallest.push(name.into());
    }

    /// All that was read, in order.
    pub(in crate::store) fn sorted(self) -> Names {
        let Self { stamp, is_settled, after, smallest, mut bytes, more, .. } = self;
        let mut names = smallest.into_sorted_vec();
        // An entry that is replaced while the directory is read may be given twice (readdir(3p)).
        names.dedup_by(|later, earlier| {
            let is_repeated = later == earlier;
            bytes -= if is_repeated { later.len() } else { 0 };
            is_repeated
        });
        Names { stamp, is_settled, from: after, names, bytes, more }
    }
}

/// The lists that are kept, the oldest first.
#[derive(Debug)]
pub(in crate::store) struct Ahead(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    names: Arc<Names>,
    /// The run that is listing, and the last name that it was given: it goes on from there, also if the directory has
    /// changed, and may or may not see what has. Nobody else is given names that may be old.
    client: ClientId,
    given: Box<[u8]>,
}

impl Default for Ahead {
    fn default() -> Self {
        Self(Mutex::new(Rank::Lists, VecDeque::new()))
    }
}

impl Ahead {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock()
    }

    /// Names of a directory with this stamp, and how many of them to leave out, if what follows `after` is known.
    pub(in crate::store) fn find(
        &self,
        client: &ClientId,
        now: Stamp,
        after: &[u8],
    ) -> Option<(Arc<Names>, usize)> {
        let kept = self.kept();
        kept.iter().rev().find_map(|Kept { names, client: who, given }| {
            let is_new = names.is_settled && names.stamp == now;
            let goes_on = names.stamp.directory == now.directory
                && who == client
                && !after.is_empty()
                && **given == *after;
            let at = names.position(after).filter(|_| is_new || goes_on)?;
            Some((Arc::clone(names), at))
        })
    }

    /// Keeps names for the next list, this client's above all, which was given all up to `given`.
    pub(in crate::store) fn keep(&self, client: &ClientId, names: &Arc<Names>, given: &[u8]) {
        let mut kept = self.kept();
        if let Some(known) = kept.iter_mut().find(|known| Arc::ptr_eq(&known.names, names)) {
            if known.client != *client {
                known.client = client.clone();
            }
            known.given = given.into();
            return;
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Kept {
            names: Arc::clone(names),
            client: client.clone(),
            given: given.into(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use rustix::fs::{Mode, OFlags};
    use tempfile::TempDir;

    use super::*;

    fn open(directory: &TempDir) -> (OwnedFd, Stamp) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(directory.path(), flags, Mode::empty()).unwrap();
        let stamp = Stamp::of(&rustix::fs::fstat(&handle).unwrap());
        (handle, stamp)
    }

    /// All names after `after`, read in as many slices as can be.
    fn read((handle, stamp): &(OwnedFd, Stamp), after: &[u8]) -> (Names, usize) {
        let (mut sorting, mut slices) = (Sorting::begin(handle, *stamp, after).unwrap(), 1);
        while !sorting.advance(&|| true).unwrap() {
            slices += 1;
        }
        (sorting.sorted(), slices)
    }

    #[test]
    fn directory_is_read_in_slices_and_its_names_are_sorted() {
        let directory = TempDir::new().unwrap();
        for number in 0..2000 {
            fs::write(directory.path().join(format!("{number:x}")), "").unwrap();
        }
        let (names, slices) = read(&open(&directory), b"3");
        assert!(slices >= 2000 / SLICE, "{slices}");
        let mut wanted: Vec<_> =
            (0..2000).map(|number| format!("{number:x}")).filter(|name| &name[..] > "3").collect();
        wanted.sort_unstable();
        let found: Vec<_> = names.names.iter().map(|name| String::from_utf8_lossy(name)).collect();
        assert_eq!(found, wanted);
        assert!(!names.has_more(names.names.len()));
    }

    #[test]
    fn name_that_the_file_system_gives_twice_is_listed_once() {
        let (handle, stamp) = open(&TempDir::new().unwrap());
        let mut sorting = Sorting::begin(&handle, stamp, b"").unwrap();
        for name in ["b", "aa", "b", "aa", "c"] {
            sorting.add(name.as_bytes());
        }
        let names = sorting.sorted();
        let found: Vec<_> = (0..4).filter_map(|at| names.get(at)).collect();
        assert_eq!(found, [&b"aa"[..], b"b", b"c"]);
        assert_eq!(names.held_bytes(), 4 + 3 * BESIDE);
    }

    #[test]
    fn names_of_a_directory_are_kept_within_their_bytes() {
        let directory = TempDir::new().unwrap();
        let names: Vec<_> = (0..20_000).map(|number| format!("{number:0250}")).collect();
        for name in &names {
            fs::File::create(directory.path().join(name)).unwrap();
        }
        let directory = open(&directory);
        let (first, _) = read(&directory, b"");
        let bytes: usize = first.names.iter().map(|name| name.len()).sum();
        assert!(bytes <= AHEAD_BYTES && bytes > AHEAD_BYTES - 250, "{bytes}");
        assert!(first.has_more(first.names.len()));
        // The next ones follow without a gap.
        let last = first.names.last().unwrap();
        let (rest, _) = read(&directory, last);
        let all = first.names.iter().chain(&rest.names);
        assert!(all.map(|name| &**name).eq(names.iter().map(String::as_bytes)));
    }

    #[test]
    fn list_goes_on_for_anyone_while_the_directory_is_as_it_was() {
        let directory = TempDir::new().unwrap();
        for name in ["a", "b", "c"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        // So old that a change from now on would show.
        let settled = Cell::new(open(&directory).1);
        while !settled.get().is_settled() {
            settled.set(open(&directory).1);
        }
        let (ahead, opened) = (Ahead::default(), open(&directory));
        let (names, _) = read(&opened, b"");
        let (one, other) = (&ClientId::alone("one"), &ClientId::of("alice", "one"));
        ahead.keep(one, &Arc::new(names), b"b");
        for client in [one, other] {
            let (names, at) = ahead.find(client, opened.1, b"b").unwrap();
            assert_eq!((names.get(at), names.has_more(at + 1)), (Some(&b"c"[..]), false));
            // Also that there is nothing more.
            assert_eq!(ahead.find(client, opened.1, b"zzz").map(|(_, at)| at), Some(3));
        }
        // A list that is under way goes on; no other list is given names that may be old.
        fs::write(directory.path().join("bb"), "").unwrap();
        let now = open(&directory).1;
        assert_ne!(now, opened.1);
        assert!(ahead.find(one, now, b"b").is_some());
        assert!(ahead.find(one, now, b"a").is_none());
        assert!(ahead.find(other, now, b"b").is_none());
    }
}
