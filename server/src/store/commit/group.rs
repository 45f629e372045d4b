//! Group commit: many changes become durable together.
//!
//! 1. Small files and staged trees are flushed, by one `syncfs` or not yet.
//! 2. For each change, in their order, the bytes that step 1 left are flushed: of a small file, if there was no `syncfs`;
//!    of a large file its bytes, then its journal; of a publish the draft, then its name ([`Change::sync`]).
//! 3. All changes become visible, in their order.
//! 4. Each directory whose entries changed is flushed once, and so is every directory above it whose
//!    own entry is not known to be durable, no matter which change made it.
//!
//! Only then is any of them told to be done. Step 4 of one group and step 1 of the next are one `syncfs`: while
//! changes keep coming there is one flush a group.
//!
//! Several files or directories are flushed by one `syncfs` rather than one by one: each `fsync` makes
//! the disk empty its cache, also if nothing is left to write, and while others go on to create files
//! it may be a commit of the file system's journal. It can't say which file failed, so then
//! all are refused; and it waits for what others write on the same file system, so when it has been
//! slow, files are flushed one by one for a [while](super::pace). The files of a staged tree are closed, so nothing else flushes them
//! (but for a tree with a single file, which is kept open), and no tree is begun meanwhile.
//!
//! A flush that fails is never tried again as if it could succeed (the kernel drops what it could not
//! write): before the change is visible it is refused, after that it is *uncertain*.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::iter;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::change::Change;
use super::dirty::Touched;
use super::pace::Pace;
use crate::store::error::StoreError;
use crate::store::identity::Identity;
use crate::store::root::{Parents, ends};
use crate::store::{Store, sys};

/// Directories whose own entry, in the directory above, is known to be durable. If there are more, the committer forgets
/// all of them, and flushes the directory above each that it meets again.
const KNOWN: usize = 1 << 16;

/// Bytes of their names at which they are forgotten as well: some MiB, though a name may have 4 KiB.
const KNOWN_BYTES: usize = 8 << 20;

/// Directories of one group, with those above them, that are flushed one by one or remembered: each is an open file.
/// If there are more, the whole file system is flushed.
const MOST_NEEDED: usize = 2048;

/// Components of the names of these directories that are resolved for one group. Each is resolved by its whole name, so the
/// directories above one of 1,950 levels have 1.9 million components, which take 0.2 s (measured), while all wait. If there are
/// more, the whole file system is flushed as well.
const MOST_CLIMBED: usize = 1 << 16;

/// Files or directories from which on one `syncfs` is tried for all.
const MANY: usize = 4;

/// Makes groups of changes durable.
#[derive(Debug)]
pub(crate) struct Committing<'a> {
    store: &'a Store,
    parents: Parents,
    /// The group before, whose names are flushed next.
    visible: Visible,
    /// Directories whose own entry is durable, by name.
    known: HashMap<Box<[u8]>, Identity>,
    /// Bytes of these names.
    known_bytes: usize,
    many: usize,
    pace: Pace,
}

/// The results of a change.
#[derive(Debug)]
struct Outcome {
    results: Vec<Result<(), StoreError>>,
    /// Directories that it touched.
    directories: Vec<Box<[u8]>>,
}

/// A group whose changes are visible and not known to be durable.
#[derive(Debug, Default)]
struct Visible {
    results: Vec<Outcome>,
    /// Directories to be flushed.
    needed: BTreeMap<Box<[u8]>, Rc<OwnedFd>>,
    /// Directories of these whose own entry is durable then.
    new: Vec<(Box<[u8]>, Identity)>,
    /// Components of the names of all directories that were looked for above the changes.
    climbed: usize,
    /// An entry without a handle is to be flushed, so the whole file system is.
    everything: bool,
}

/// A group of changes that are not visible yet.
#[derive(Debug)]
pub(crate) struct Group {
    changes: Vec<Change>,
    /// The result of the flush, if the whole file system was flushed.
    flushed: Option<Result<(), Errno>>,
}

impl Group {
    /// Whether the whole file system was flushed for it, and for the one before.
    pub(crate) fn was_flushed(&self) -> bool {
        self.flushed == Some(Ok(()))
    }
}

impl<'a> Committing<'a> {
    /// At the start nothing is known of any directory.
    pub(crate) fn new(store: &'a Store) -> Self {
        Self {
            store,
            parents: store.parents(),
            visible: Visible::default(),
            known: HashMap::new(),
            known_bytes: 0,
            many: MANY,
            pace: Pace::default(),
        }
    }

    /// As [`new`](Self::new), with `syncfs` for so many files or directories.
    #[cfg(test)]
    pub(in crate::store) fn at_once(store: &'a Store, many: usize) -> Self {
        Self { many, ..Self::new(store) }
    }

    /// Makes the changes durable that the group before has made visible, and returns the results of each of its
    /// changes: one [result](Change::results), or several. The next group is for [`apply`](Self::apply)
    /// and may be empty; its files are flushed in the same go if that is how it is done.
    pub(crate) fn flush(&mut self, next: Vec<Change>) -> (Vec<Result<(), StoreError>>, Group) {
        self.pace.begins_group();
        let before = std::mem::take(&mut self.visible);
        let staged: usize = next.iter().map(Change::staged).sum();
        let must = before.everything || next.iter().any(Change::needs_all);
        let flushed = self.all_at_once(staged + before.needed.len(), must);
        self.store.flushes_all.store(self.pace.tries_all(), Ordering::Release);
        if flushed.is_none() {
            next.iter().for_each(Change::start_writeback);
        }
        let failed = match flushed {
            Some(result) => Failed { all: result.err(), ..Failed::default() },
            None => Failed::one_by_one(&before.needed),
        };
        self.learn(before.new, &failed);
        let check =
            |directories: &[Box<[u8]>]| directories.iter().try_for_each(|name| failed.check(name));
        let results = before.results.into_iter().flat_map(|Outcome { results, directories }| {
            results.into_iter().map(move |result| result.and_then(|()| check(&directories)))
        });
        (results.collect(), Group { changes: next, flushed })
    }

    /// Makes a group visible; the next [`flush`](Self::flush) returns its results.
    pub(crate) fn apply(&mut self, Group { changes, flushed }: Group) {
        if changes.iter().any(Change::moves) {
            // What is known of a name may be of a directory that has another one afterwards.
            self.known.clear();
            self.known_bytes = 0;
        }
        let failures = self.store.flush_failures.load(Ordering::Acquire);
        // Everything is flushed before anything becomes visible.
        let ready = changes.into_iter().map(|mut change| {
            let is_staged = change.staged() > 0;
            let ready = match &flushed {
                Some(Err(errno)) if is_staged => Err(group(*errno)),
                Some(Ok(())) if is_staged && !change.must_be_asked(failures) => Ok(()),
                // Nobody can tell whether it was its bytes.
                _ if change.needs_all() => Err(group(Errno::IO)),
                _ => change.sync(),
            };
            (change, ready)
        });
        let start = Instant::now();
        let ready: Vec<_> = ready.collect();
        if flushed.is_none() {
            self.pace.each_took(start.elapsed());
        }
        let mut touched = Touched::new();
        let results = ready.into_iter().map(|(change, ready)| {
            let results = match (ready, change) {
                (Err(error), change) => refused(error, change.results()),
                (Ok(()), Change::Tree(tree)) => tree.publish_guarded(&self.parents, &mut touched),
                (Ok(()), change) => {
                    vec![change.apply_guarded(self.store, &self.parents, &mut touched)]
                }
            };
            Outcome { results, directories: touched.take_latest() }
        });
        let results = results.collect();
        let mut visible = Visible { results, everything: touched.everything, ..Visible::default() };
        if !visible.everything {
            visible.everything = !touched
                .directories
                .iter()
                .all(|(name, handle)| self.climb(name, Rc::clone(handle), &mut visible));
            visible.needed.extend(touched.directories);
        }
        self.parents.clear();
        self.visible = visible;
    }

    /// Of each change of the group that was made visible last, in their order: whether it has happened, if that is certain.
    pub(crate) fn visible(&self) -> impl Iterator<Item = Option<bool>> {
        let has_happened = |result: &Result<(), StoreError>| match result {
            Err(error) if error.is_uncertain() => None,
            result => Some(result.is_ok()),
        };
        let outcomes = self.visible.results.iter();
        outcomes.flat_map(move |outcome| outcome.results.iter().map(has_happened))
    }

    /// Carries a group out, alone; each change has its own result.
    #[cfg(test)]
    pub(in crate::store) fn commit(&mut self, changes: Vec<Change>) -> Vec<Result<(), StoreError>> {
        let (_, group) = self.flush(changes);
        self.apply(group);
        self.flush(Vec::new()).0
    }

    /// Flushes the whole file system, if that is better for so many files or directories or it must be.
    fn all_at_once(&mut self, count: usize, must: bool) -> Option<Result<(), Errno>> {
        if (count < self.many || !self.pace.tries_all()) && !must {
            return None;
        }
        let start = Instant::now();
        let result = self.flush_file_system();
        self.pace.all_took(count, start.elapsed());
        Some(result)
    }

    fn flush_file_system(&self) -> Result<(), Errno> {
        let result = sys::sync_file_system(&self.store.root);
        if result.is_err() {
            self.store.flush_failures.fetch_add(1, Ordering::AcqRel);
        }
        result
    }

    /// Directories whose entry is durable now.
    fn learn(&mut self, mut new: Vec<(Box<[u8]>, Identity)>, failed: &Failed) {
        let bytes: usize = new.iter().map(|(name, _)| name.len()).sum();
        if self.known.len() + new.len() > KNOWN || self.known_bytes + bytes > KNOWN_BYTES {
            self.known.clear();
            self.known_bytes = 0;
        }
        self.known_bytes += bytes;
        new.retain(|(name, _)| failed.check(name).is_ok());
        self.known.extend(new);
    }

    /// Adds the directories above `name` up to the first whose entry is durable. `false` if one can't
    /// be had, or they are too many.
    fn climb(&self, name: &[u8], mut handle: Rc<OwnedFd>, visible: &mut Visible) -> bool {
        let mut name = name;
        while !name.is_empty() {
            let Ok(identity) = Identity::of_open(&handle) else { return false };
            // Where directories have no identity, none is known to be durable, and each one above a change is flushed
            // every time.
            if let Some(identity) = identity {
                if self.known.get(name) == Some(&identity) {
                    return true;
                }
                visible.new.push((name.into(), identity));
            }
            name = above(name);
            if visible.needed.contains_key(name) {
                // This is how far another change has climbed.
                return true;
            }
            visible.climbed += ends(name).len();
            if visible.needed.len() >= MOST_NEEDED || visible.climbed > MOST_CLIMBED {
                return false;
            }
            let parent = match self.parents.existing(name) {
                Ok(parent) => parent,
                // Gone by now: then so is what was below it, and nobody's entries are concerned.
                Err(StoreError::NotFound { .. }) => return true,
                Err(_) => return false,
            };
            visible.needed.entry(name.into()).or_insert_with(|| Rc::clone(&parent));
            handle = parent;
        }
        true
    }
}

fn above(name: &[u8]) -> &[u8] {
    name.iter().rposition(|&byte| byte == b'/').map_or(&[], |slash| &name[..slash])
}

/// Directories that could not be flushed.
#[derive(Debug, Default)]
struct Failed {
    all: Option<Errno>,
    directories: HashSet<Box<[u8]>>,
    errno: Option<Errno>,
}

impl Failed {
    /// Flushes directories one by one.
    fn one_by_one(directories: &BTreeMap<Box<[u8]>, Rc<OwnedFd>>) -> Self {
        let mut failed = Self::default();
        for (name, handle) in directories {
            if let Err(errno) = sys::sync_directory(handle) {
                let shown = String::from_utf8_lossy(name);
                tracing::error!(directory = %shown, %errno, "could not flush a directory");
                failed.directories.insert(name.clone());
                failed.errno = Some(errno);
            }
        }
        failed
    }

    /// Whether what changed in this directory is durable: it and all above it are.
    fn check(&self, directory: &[u8]) -> Result<(), StoreError> {
        if let Some(errno) = self.all {
            return Err(uncertain(directory, errno));
        }
        let Some(errno) = self.errno else { return Ok(()) };
        let mut name = directory;
        loop {
            if self.directories.contains(name) {
                return Err(uncertain(name, errno));
            }
            if name.is_empty() {
                return Ok(());
            }
            name = above(name);
        }
    }
}

fn group(errno: Errno) -> StoreError {
    StoreError::Group { source: errno.into() }
}

/// The same for all results of one change.
fn refused(error: StoreError, results: usize) -> Vec<Result<(), StoreError>> {
    let errno = match &error {
        StoreError::Group { source } => Errno::from_io_error(source),
        _ => None,
    };
    let others = (1..results).map(|_| Err(group(errno.unwrap_or(Errno::IO))));
    iter::once(Err(error)).chain(others).collect()
}

fn uncertain(directory: &[u8], errno: Errno) -> StoreError {
    let directory = String::from_utf8_lossy(directory).into_owned();
    StoreError::Uncertain { directory, source: errno.into() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haul_protocol::{Attributes, Name};
    use rustix::fs::Mode;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn directories_above_a_deep_name_are_not_looked_for_one_by_one_and_then_known() {
        const DEPTH: usize = 1_000;
        let root = TempDir::new().unwrap();
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), true, 0).unwrap();
        let store = Arc::new(store);
        let mut committing = Committing::at_once(&store, usize::MAX);
        let parents = store.parents();
        let put = |last: &str| {
            let name = Name::parse(("d/".repeat(DEPTH) + last).as_bytes()).unwrap();
            let staged = store.stage_whole(&parents, &name, &Attributes::default(), b"x").unwrap();
            vec![Change::File { staged, name }]
        };
        let (_, group) = committing.flush(put("a"));
        committing.apply(group);
        assert!(committing.visible.everything);
        assert!(committing.visible.climbed <= MOST_CLIMBED + DEPTH);
        let (results, group) = committing.flush(put("b"));
        assert!(results.into_iter().all(|result| result.is_ok()));
        committing.apply(group);
        // The directory's own entry is durable by now.
        assert!(!committing.visible.everything);
        assert_eq!((committing.visible.climbed, committing.visible.needed.len()), (0, 1));
    }
}
