//! How a run treats what the server has already: what is compared, what is removed, or whether anything
//! happens at all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::filter::Filter;

/// What `put` and `sync` differ in.
#[derive(Debug)]
pub struct Sync {
    /// Only what the server lacks or holds differently is sent.
    pub only_changed: bool,
    /// Nothing is sent or removed, only told.
    pub dry_run: bool,
    /// What the source lacks is removed.
    pub delete: Option<Delete>,
    /// What is left out, on both sides.
    pub filter: Filter,
    conflicts: AtomicU64,
    last_round: AtomicBool,
}

/// Bounds of what is removed.
#[derive(Debug)]
pub struct Delete {
    /// Even if something could not be read or sent.
    pub force: bool,
    /// How many entries may be.
    pub max: Option<u64>,
    removed: AtomicU64,
}

impl Delete {
    /// Nothing has been removed yet.
    #[must_use]
    pub fn new(force: bool, max: Option<u64>) -> Self {
        Self { force, max, removed: AtomicU64::new(0) }
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
            dry_run: false,
            delete: None,
            filter,
            conflicts: AtomicU64::new(0),
            last_round: AtomicBool::new(false),
        }
    }

    /// Whether the server is asked what it has before anything is sent.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.only_changed || self.dry_run
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

    /// Whether everything has been looked at before.
    #[must_use]
    pub fn is_last_round(&self) -> bool {
        self.last_round.load(Ordering::Acquire)
    }

    /// What the source lacks has been removed. Whether something waits for that.
    #[must_use]
    pub fn begin_last_round(&self) -> bool {
        self.last_round.store(true, Ordering::Release);
        self.conflicts.load(Ordering::Acquire) > 0
    }
}
