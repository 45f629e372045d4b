//! Group commit: many changes become durable together.
//!
//! 1. The bytes of all files are flushed. (Their write-back started when they were staged.)
//! 2. All changes become visible, in their order.
//! 3. Each directory whose entries changed is flushed once, and so is every directory above it whose
//!    own entry is not known to be durable, by whomever it was made.
//!
//! Only then is any of them told to be done. A flush that fails is never tried again as if it could
//! succeed (the kernel drops what it could not write): before the change is visible it is refused,
//! after that it is *uncertain*.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::change::Change;
use super::error::StoreError;
use super::root::Parents;
use super::{Store, disk};

/// Directories whose entries are known to be durable; more are forgotten all at once, which costs a
/// flush for each that is met again.
const KNOWN: usize = 1 << 16;

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

    /// The entries or the attributes of a directory (empty: the root) changed.
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
    }
}

/// Makes groups of changes durable.
#[derive(Debug)]
pub(crate) struct Committing<'a> {
    store: &'a Store,
    parents: Parents<'a>,
    /// Inodes by name of directories whose own entry is durable.
    known: HashMap<Box<[u8]>, u64>,
}

impl<'a> Committing<'a> {
    /// At the start nothing is known of any directory.
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, parents: store.parents(), known: HashMap::new() }
    }

    /// Carries out all changes; each has its own result.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Vec<Result<(), StoreError>> {
        let mut touched = Touched::new();
        let synced: Vec<_> =
            changes.into_iter().map(|mut change| change.sync().map(|()| change)).collect();
        let applied: Vec<_> = synced
            .into_iter()
            .map(|change| {
                let result =
                    change.and_then(|change| change.apply(self.store, &self.parents, &mut touched));
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

    /// Flushes what was touched, and the way to it from the root.
    fn sync(&mut self, touched: Touched) -> Failed {
        let mut failed = Failed::default();
        if touched.everything
            && let Err(errno) = disk::sync_file_system(&self.store.root)
        {
            failed.all = Some(errno);
            return failed;
        }
        let mut needed = touched.directories;
        let mut new = Vec::new();
        for (name, handle) in needed.clone() {
            self.climb(&name, handle, &mut needed, &mut new);
        }
        for (name, handle) in &needed {
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

    /// Adds the directories above `name` up to the first whose entry is durable.
    fn climb(
        &self,
        name: &[u8],
        mut handle: Rc<OwnedFd>,
        needed: &mut BTreeMap<Box<[u8]>, Rc<OwnedFd>>,
        new: &mut Vec<(Box<[u8]>, u64)>,
    ) {
        let mut name = name;
        while !name.is_empty() {
            let inode = rustix::fs::fstat(&handle).map_or(0, |stat| stat.st_ino);
            if self.known.get(name) == Some(&inode) {
                return;
            }
            new.push((name.into(), inode));
            name = above(name);
            // Gone by now: then so is what was below it, and nobody else's entries are concerned.
            let Ok(parent) = self.parents.existing(name) else { return };
            needed.entry(name.into()).or_insert_with(|| Rc::clone(&parent));
            handle = parent;
        }
    }
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

fn uncertain(directory: &[u8], errno: Errno) -> StoreError {
    let directory = String::from_utf8_lossy(directory).into_owned();
    StoreError::Uncertain { directory, source: errno.into() }
}
