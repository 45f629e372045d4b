//! The state of a run: rounds of its walk, the reasons against a removal, and the tree that it fills.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_protocol::{Name, Publish, Tree};

use super::foreseen::Foreseen;
use super::private::Unmade;
use crate::error::{Failure, FileError};
use crate::plan::policy::Delete;
use crate::source::from_bytes;
use crate::source::seen::Seen;

/// Conflicts that are remembered, to be told if nothing comes of them.
const REMEMBERED: usize = 1000;

/// An entry waits for a later round.
const WAITS: u32 = 0;

/// And was counted in it.
const COUNTED: u32 = 1;

/// The state of a run, which its threads share and change.
#[derive(Debug, Default)]
pub struct Course {
    /// The name of the next version's tree, once the server has said it.
    tree: Mutex<Option<Tree>>,
    removed: AtomicU64,
    /// Files and symlinks that the last walk has found.
    files: AtomicU64,
    conflicts: Mutex<Conflicts>,
    /// Entries that wait for a later round, and those of them that were counted.
    waits: Seen,
    /// Something was removed that may have to be sent.
    lacks: AtomicBool,
    last_round: AtomicBool,
    again: AtomicBool,
    at_rest: AtomicBool,
    halted: AtomicBool,
    /// In a dry run, the server as it would be.
    foreseen: Foreseen,
    /// Private directories that the server has not acknowledged.
    unmade: Unmade,
    /// Directories that have got another mode before anything was put into them.
    changed_modes: Seen,
    /// Directories that the server did not have when the run began.
    missing: Seen,
}

/// Items in whose way a directory stands at the server.
#[derive(Debug, Default)]
struct Conflicts {
    first: Vec<(PathBuf, FileError)>,
    count: usize,
}

impl Course {
    fn tree(&self) -> MutexGuard<'_, Option<Tree>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection says this in its hello, of the next version of this directory.
    #[must_use]
    pub fn publish(&self, name: &Name) -> Publish {
        Publish { name: name.clone(), tree: self.tree().map(|tree| tree.token) }
    }

    /// The server has said which tree a connection is about; returns whether it is that of the run, which has one if it
    /// `publishes`.
    #[must_use]
    pub fn entered(&self, tree: Option<Tree>, publishes: bool) -> bool {
        let mut known = self.tree();
        match (&*known, tree) {
            (_, None) => !publishes,
            (Some(known), Some(tree)) => known.token == tree.token,
            (None, Some(_)) => {
                *known = tree;
                publishes
            }
        }
    }

    /// Whether there may be something in the tree that the source lacks.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        let again = self.again.load(Ordering::Acquire);
        again || self.tree().is_some_and(|tree| tree.resumed)
    }

    /// A walk begins.
    pub fn begin_walk(&self) {
        self.files.store(0, Ordering::Relaxed);
    }

    /// The walk has found one more file or symlink.
    pub fn found_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    /// Files and symlinks that the last walk has found.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Takes the right to remove one more entry.
    #[must_use]
    pub fn may_remove(&self, delete: &Delete) -> bool {
        let before = self.removed.fetch_add(1, Ordering::Relaxed);
        delete.max.is_none_or(|max| before < max)
    }

    /// The server as it would be after what a dry run has told.
    #[must_use]
    pub fn foreseen(&self) -> &Foreseen {
        &self.foreseen
    }

    /// The private directories that the server has not acknowledged.
    #[must_use]
    pub fn unmade(&self) -> &Unmade {
        &self.unmade
    }

    /// A directory that the server has had got another mode before anything was put into it.
    pub fn mode_changed(&self, name: &Name) {
        self.changed_modes.entry(Path::new(&from_bytes(name.as_bytes())), 0);
    }

    /// Whether it has, so that the directory counts even if nothing more is to be done in the end.
    #[must_use]
    pub fn has_changed_mode(&self, name: &Name) -> bool {
        self.changed_modes.had_entry(Path::new(&from_bytes(name.as_bytes())), 0)
    }

    /// The server does not have this directory at the begin of the run.
    pub fn found_missing(&self, name: &Name) {
        self.missing.entry(Path::new(&from_bytes(name.as_bytes())), 0);
    }

    /// Whether the client has asked for this directory when the run began, and the server did not have it.
    #[must_use]
    pub fn was_missing(&self, name: &Name) -> bool {
        self.missing.had_entry(Path::new(&from_bytes(name.as_bytes())), 0)
    }

    fn conflicts(&self) -> MutexGuard<'_, Conflicts> {
        self.conflicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory stands where something else comes, and may be gone in a later round, because the source lacks it:
    /// returns whether there may be one.
    #[must_use]
    pub fn comes_again(&self, path: &Path, error: impl Failure) -> bool {
        let again = !self.is_last_round();
        if again {
            self.waits.entry(path, WAITS);
            let mut conflicts = self.conflicts();
            conflicts.count += 1;
            if conflicts.first.len() < REMEMBERED {
                conflicts.first.push((path.to_owned(), error.into_error()));
            }
        }
        again
    }

    /// Whether an entry has waited for a later round and is settled in it without being sent; true once for each.
    #[must_use]
    pub fn has_waited(&self, path: &Path) -> bool {
        let has_waited = self.waits.had_entry(path, WAITS) && !self.waits.had_entry(path, COUNTED);
        if has_waited {
            self.waits.entry(path, COUNTED);
        }
        has_waited
    }

    /// There is no later round: the conflicts that waited for one, as far as they are remembered, and how many more there
    /// are.
    #[must_use]
    pub fn unsettled(&self) -> (Vec<(PathBuf, FileError)>, usize) {
        let Conflicts { first, count } = std::mem::take(&mut *self.conflicts());
        let more = count - first.len();
        (first, more)
    }

    /// Something was removed that may have to be sent: there is a last round.
    pub fn look_again(&self) {
        self.lacks.store(true, Ordering::Release);
    }

    /// Nothing more is removed in this walk: the source is not what it was, or can't be read. Returns whether that was so
    /// before.
    pub fn halt(&self) -> bool {
        self.halted.swap(true, Ordering::AcqRel)
    }

    /// Whether nothing more is removed.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    /// Nothing has changed in the source from the beginning of a walk to its end.
    pub fn stood_still(&self) {
        self.at_rest.store(true, Ordering::Release);
    }

    /// Whether that is so: what the walk has not seen was not there.
    #[must_use]
    pub fn has_stood_still(&self) -> bool {
        self.at_rest.load(Ordering::Acquire)
    }

    /// Whether what the source lacks has been removed, and only what waited for that is sent.
    #[must_use]
    pub fn is_last_round(&self) -> bool {
        self.last_round.load(Ordering::Acquire)
    }

    /// Whether everything has been looked at, counted and told before.
    #[must_use]
    pub fn is_again(&self) -> bool {
        self.is_last_round() || self.again.load(Ordering::Acquire)
    }

    /// The source has changed since it was walked: it is walked once more.
    pub fn begin_again(&self) {
        self.again.store(true, Ordering::Release);
        self.last_round.store(false, Ordering::Release);
        self.lacks.store(false, Ordering::Release);
        *self.conflicts() = Conflicts::default();
        self.halted.store(false, Ordering::Release);
    }

    /// The removal is over. Tells whether an item waits for that.
    #[must_use]
    pub fn begin_last_round(&self) -> bool {
        self.last_round.store(true, Ordering::Release);
        let conflicts = std::mem::take(&mut *self.conflicts());
        conflicts.count > 0 || self.lacks.load(Ordering::Acquire)
    }
}
