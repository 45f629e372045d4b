//! Group commit: many changes become durable together.
//!
//! 1. The bytes of all files are flushed.
//! 2. All changes become visible, in their order.
//! 3. Each directory whose entries changed is flushed once, and so is every directory above it whose
//!    own entry is not known to be durable, by whomever it was made.
//!
//! Several files or directories are flushed by one `syncfs` rather than one by one: each `fsync` makes
//! the disk empty its cache, also if nothing is left to write, and while others go on to create files
//! it may be a commit of the file system's journal. It can't say which file failed, so then
//! all are refused; and it waits for what others write on the same file system, so when it has been
//! slow, files are flushed one by one for a while.
//!
//! Only then is any of them told to be done. A flush that fails is never tried again as if it could
//! succeed (the kernel drops what it could not write): before the change is visible it is refused,
//! after that it is *uncertain*.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::change::Change;
use super::error::StoreError;
use super::root::Parents;
use super::{Store, disk};

/// Directories whose entries are known to be durable; more are forgotten all at once, which costs a
/// flush for each that is met again.
const KNOWN: usize = 1 << 16;

/// Files or directories from which on one `syncfs` is tried for all.
const MANY: usize = 4;

/// What `syncfs` may take, and for each file that it is done for; over that somebody else's bytes are
/// being written. An `fsync` takes about as much.
const FAIR: Duration = Duration::from_millis(50);
const FAIR_EACH: Duration = Duration::from_micros(200);

/// Groups that are flushed one by one after `syncfs` was slow.
const SLOW_GROUPS: usize = 64;

/// The directories that a group of changes touched.
#[derive(Debug)]
pub(super) struct Touched {
    ignored: bool,
    directories: BTreeMap<Box<[u8]>, Rc<OwnedFd>>,
    everything: bool,
    /// What the change that is being applied has touched.
    latest: Vec<Box<[u8]>>,
}

impl Touched {
    /// For changes that nobody waits for the disk with.
    pub(super) fn ignored() -> Self {
        Self { ignored: true, ..Self::new() }
    }

    fn new() -> Self {
        Self { ignored: false, directories: BTreeMap::new(), everything: false, latest: Vec::new() }
    }

    /// The attributes of a directory or file changed: the same, since it may be new itself and its own
    /// entry not durable yet.
    pub(super) fn attributes(&mut self, name: &[u8], handle: &Rc<OwnedFd>) {
        self.directory(name, handle);
    }

    /// The entries of a directory (empty: the root) changed.
    pub(super) fn directory(&mut self, name: &[u8], handle: &Rc<OwnedFd>) {
        if self.ignored {
            return;
        }
        self.latest.push(name.into());
        if !self.directories.contains_key(name) {
            self.directories.insert(name.into(), Rc::clone(handle));
        }
    }

    /// Something changed that can't be flushed alone.
    pub(super) fn everything(&mut self) {
        self.everything = true;
        self.latest.push(Box::default());
    }
}

/// Makes groups of changes durable.
#[derive(Debug)]
pub(crate) struct Committing<'a> {
    store: &'a Store,
    parents: Parents,
    /// By name, directories whose own entry is durable.
    known: HashMap<Box<[u8]>, Identity>,
    many: usize,
    /// Groups for which `syncfs` is not tried.
    slow: usize,
}

impl<'a> Committing<'a> {
    /// At the start nothing is known of any directory.
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, parents: store.parents(), known: HashMap::new(), many: MANY, slow: 0 }
    }

    /// As [`new`](Self::new), with `syncfs` for every group.
    #[cfg(test)]
    pub(super) fn at_once(store: &'a Store) -> Self {
        Self { many: 1, ..Self::new(store) }
    }

    /// Carries out all changes; each has its own result.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Vec<Result<(), StoreError>> {
        self.slow = self.slow.saturating_sub(1);
        let files = changes.iter().filter(|change| change.is_file()).count();
        let at_once = self.all_at_once(files);
        let failures = self.store.flush_failures.load(Ordering::Acquire);
        if at_once.is_none() {
            changes.iter().for_each(Change::start_writeback);
        }
        // Everything is flushed before anything becomes visible.
        let flushed: Vec<_> = changes
            .into_iter()
            .map(|mut change| match &at_once {
                Some(Err(errno)) if change.is_file() => Err(group(*errno)),
                Some(Ok(())) if change.is_file() && !change.must_be_asked(failures) => Ok(change),
                _ => change.sync().map(|()| change),
            })
            .collect();
        let mut touched = Touched::new();
        let applied: Vec<_> = flushed
            .into_iter()
            .map(|change| {
                let result = change.and_then(|change| {
                    change.apply_guarded(self.store, &self.parents, &mut touched)
                });
                (result, std::mem::take(&mut touched.latest))
            })
            .collect();
        let failed = self.sync(touched);
        self.parents.clear();
        applied
            .into_iter()
            .map(|(result, directories)| match result {
                Ok(()) => directories.iter().try_for_each(|directory| failed.check(directory)),
                refused => refused,
            })
            .collect()
    }

    /// Flushes the whole file system, if that is better for so many files or directories.
    fn all_at_once(&mut self, count: usize) -> Option<Result<(), Errno>> {
        if count < self.many || self.slow > 0 {
            return None;
        }
        let start = Instant::now();
        let result = self.flush_file_system();
        if start.elapsed() > FAIR + FAIR_EACH * u32::try_from(count).unwrap_or(u32::MAX) {
            self.slow = SLOW_GROUPS;
        }
        Some(result)
    }

    fn flush_file_system(&self) -> Result<(), Errno> {
        let result = disk::sync_file_system(&self.store.root);
        if result.is_err() {
            self.store.flush_failures.fetch_add(1, Ordering::AcqRel);
        }
        result
    }

    /// Flushes what was touched, and the way to it from the root.
    fn sync(&mut self, touched: Touched) -> Failed {
        let mut failed = Failed::default();
        if touched.everything
            && let Err(errno) = self.flush_file_system()
        {
            failed.all = Some(errno);
            return failed;
        }
        let mut needed = touched.directories;
        let mut new = Vec::new();
        let mut sure = true;
        for (name, handle) in needed.clone() {
            sure &= self.climb(&name, handle, &mut needed, &mut new);
        }
        let at_once =
            if sure { self.all_at_once(needed.len()) } else { Some(self.flush_file_system()) };
        if let Some(Err(errno)) = at_once {
            failed.all = Some(errno);
            return failed;
        }
        for (name, handle) in needed.iter().filter(|_| at_once.is_none()) {
            if let Err(errno) = disk::sync_directory(handle) {
                let shown = String::from_utf8_lossy(name);
                tracing::error!(directory = %shown, %errno, "could not flush a directory");
                failed.directories.insert(name.clone());
                failed.errno = Some(errno);
            }
        }
        if self.known.len() + new.len() > KNOWN {
            self.known.clear();
        }
        new.retain(|(name, _)| failed.check(name).is_ok());
        self.known.extend(new);
        failed
    }

    /// Adds the directories above `name` up to the first whose entry is durable. `false` if one can't
    /// be had.
    fn climb(
        &self,
        name: &[u8],
        mut handle: Rc<OwnedFd>,
        needed: &mut BTreeMap<Box<[u8]>, Rc<OwnedFd>>,
        new: &mut Vec<(Box<[u8]>, Identity)>,
    ) -> bool {
        let mut name = name;
        while !name.is_empty() {
            let Ok(identity) = identity(&handle) else { return false };
            if self.known.get(name) == Some(&identity) {
                return true;
            }
            new.push((name.into(), identity));
            name = above(name);
            let parent = match self.parents.existing(name) {
                Ok(parent) => parent,
                // Gone by now: then so is what was below it, and nobody's entries are concerned.
                Err(StoreError::NotFound { .. }) => return true,
                Err(_) => return false,
            };
            needed.entry(name.into()).or_insert_with(|| Rc::clone(&parent));
            handle = parent;
        }
        true
    }
}

/// What tells a directory from a later one in its place: inode numbers are used again.
type Identity = (u64, i64, u32);

fn identity(directory: &OwnedFd) -> Result<Identity, Errno> {
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let stat = rustix::fs::statx(directory, c"", AtFlags::EMPTY_PATH, wanted)?;
    Ok((stat.stx_ino, stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
}

fn above(name: &[u8]) -> &[u8] {
    name.iter().rposition(|&byte| byte == b'/').map_or(&[], |slash| &name[..slash])
}

/// What could not be flushed.
#[derive(Debug, Default)]
struct Failed {
    all: Option<Errno>,
    directories: HashSet<Box<[u8]>>,
    errno: Option<Errno>,
}

impl Failed {
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

fn uncertain(directory: &[u8], errno: Errno) -> StoreError {
    let directory = String::from_utf8_lossy(directory).into_owned();
    StoreError::Uncertain { directory, source: errno.into() }
}
