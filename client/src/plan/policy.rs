//! How a run treats what the server has already: what is compared, what is removed, or whether anything
//! happens at all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_protocol::{Name, Publish, Tree};

use crate::source::filter::Filter;
use crate::source::links::Links;

/// What `put`, `sync` and `verify` differ in.
#[derive(Debug)]
pub struct Sync {
    /// Only what the server lacks or holds differently is sent.
    pub only_changed: bool,
    /// Files are compared by the digests of their bytes, whatever their mtimes.
    pub by_digest: bool,
    /// Files and links that are there, whatever they are, stay as they are.
    pub ignore_existing: bool,
    /// Nothing is sent or removed, only told.
    pub dry_run: bool,
    /// What differs is told and nothing else; modes and mtimes are not compared.
    pub verify: bool,
    /// What becomes of symbolic links of the source.
    pub links: Links,
    /// What is left out by a rule or an option is not spared: the destination is to be just what is sent.
    pub whole: bool,
    /// This directory at the server gets its next version.
    pub publish: Option<Name>,
    /// What that tree is called, once the server has said it.
    tree: Mutex<Option<Tree>>,
    /// What the source lacks is removed.
    pub delete: Option<Delete>,
    /// What is left out, on both sides.
    pub filter: Filter,
    conflicts: AtomicU64,
    last_round: AtomicBool,
    again: AtomicBool,
    at_rest: AtomicBool,
    halted: AtomicBool,
}

/// Bounds of what is removed.
#[derive(Debug)]
pub struct Delete {
    /// Even if entries below the source could not be read or sent.
    pub force: bool,
    /// Even everything, because the source has nothing in it.
    pub all: bool,
    /// How many entries may be.
    pub max: Option<u64>,
    removed: AtomicU64,
}

impl Delete {
    /// Nothing has been removed yet.
    #[must_use]
    pub fn new(force: bool, all: bool, max: Option<u64>) -> Self {
        Self { force, all, max, removed: AtomicU64::new(0) }
    }

    /// Takes the right to remove one more entry.
    #[must_use]
    pub fn allows(&self) -> bool {
        let before = self.removed.fetch_add(1, Ordering::Relaxed);
        self.max.is_none_or(|max| before < max)
    }
}

impl Sync {
    /// Everything is sent and nothing removed, unless the fields say otherwise.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self {
            only_changed: false,
            by_digest: false,
            ignore_existing: false,
            dry_run: false,
            verify: false,
            links: Links::Copy,
            whole: false,
            publish: None,
            tree: Mutex::new(None),
            delete: None,
            filter,
            conflicts: AtomicU64::new(0),
            last_round: AtomicBool::new(false),
            again: AtomicBool::new(false),
            at_rest: AtomicBool::new(false),
            halted: AtomicBool::new(false),
        }
    }

    fn tree(&self) -> MutexGuard<'_, Option<Tree>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a connection says of the next version that it is about.
    #[must_use]
    pub fn publishes(&self) -> Option<Publish> {
        let name = self.publish.clone()?;
        Some(Publish { name, tree: self.tree().map(|tree| tree.token) })
    }

    /// The server has said which tree it is; returns whether it is that of the run.
    #[must_use]
    pub fn entered(&self, tree: Option<Tree>) -> bool {
        let mut known = self.tree();
        match (&*known, tree) {
            (_, None) => self.publish.is_none(),
            (Some(known), Some(tree)) => known.token == tree.token,
            (None, Some(_)) => {
                *known = tree;
                self.publish.is_some()
            }
        }
    }

    /// Whether there may be something in the tree that the source lacks.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        let again = self.again.load(Ordering::Acquire);
        again || self.tree().is_some_and(|tree| tree.resumed)
    }

    /// Whether the server is asked what it has before anything is sent.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.only_changed || self.dry_run || self.ignore_existing
    }

    /// A directory stands where something else comes. Whether it may be gone in a later round, because
    /// the source lacks it.
    #[must_use]
    pub fn comes_again(&self) -> bool {
        let again = self.delete.is_some() && !self.is_last_round();
        if again {
            self.conflicts.fetch_add(1, Ordering::AcqRel);
        }
        again
    }

    /// Something was removed that may have to be sent: there is a last round.
    pub fn look_again(&self) {
        self.conflicts.fetch_add(1, Ordering::AcqRel);
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

    /// Whether what the source lacks is removed where everybody sees it.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.delete.is_some() && !self.whole && !self.verify && !self.dry_run
    }

    /// Whether nothing may be removed once anything could not be read.
    #[must_use]
    pub fn needs_all(&self) -> bool {
        self.delete.as_ref().is_some_and(|delete| !delete.force)
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

    /// The source has changed since it was walked: it is walked once more, for a version with the rules that it has now.
    pub fn begin_again(&self) {
        self.again.store(true, Ordering::Release);
        self.last_round.store(false, Ordering::Release);
        self.conflicts.store(0, Ordering::Release);
        self.halted.store(false, Ordering::Release);
        if self.publish.is_some() {
            self.filter.forget();
        } else {
            self.filter.walks_again();
        }
    }

    /// What the source lacks has been removed. Whether something waits for that.
    #[must_use]
    pub fn begin_last_round(&self) -> bool {
        self.last_round.store(true, Ordering::Release);
        self.conflicts.load(Ordering::Acquire) > 0
    }
}
