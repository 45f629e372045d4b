//! Quotas: how many bytes and entries may be below a directory, and how many there are.
//!
//! A directory's *usage* is counted by a walk ([`count`]) and kept right by every change of the server. A change counts for
//! each directory with a quota that its name is below. Bytes on their way are *reserved* by a [`Share`] before the first of
//! them comes, so any number of uploads at once can't pass a quota together. Partials and drafts keep shares as long as they
//! are on the disk.
//!
//! Apparent sizes count: of a file its length, of a symlink that of its target, and one entry for each of them and for each
//! directory.

mod count;
mod counted;
mod drafts;
mod promised;
mod share;
mod since;
mod usage;
mod walk;

use std::collections::HashMap;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_protocol::Name;
use rustix::fs::{FileType, Stat};

use super::error::StoreError;
use crate::locks::{Mutex, MutexGuard, Rank, RwLock};
use count::Wanted;
pub(super) use counted::Counting;
pub(crate) use drafts::Draft;
use promised::Promised;
pub(crate) use share::Share;
pub(crate) use usage::Usage;

/// Bytes and entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) bytes: i64,
    pub(crate) files: i64,
}

/// A quota of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The account's name, for messages.
    pub(crate) account: String,
    /// Its directory; `None`: the root.
    pub(crate) root: Option<Name>,
    pub(crate) bytes: Option<u64>,
    pub(crate) files: Option<u64>,
}

/// All directories with a quota.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// For a look without the lock: most servers have none.
    is_any: AtomicBool,
    /// Whether there may be versions whose files share their blocks with those of present ones.
    has_versions: AtomicBool,
    table: RwLock<Arc<Table>>,
    /// One change after the other of those that count: it is known what each of them replaces.
    turn: Mutex<()>,
    promised: Mutex<Promised>,
    wanted: Arc<Wanted>,
}

/// Usages by the names of their directories; empty is the root.
type Table = HashMap<Box<[u8]>, Vec<Arc<Usage>>>;

impl Default for Quotas {
    fn default() -> Self {
        Self {
            is_any: AtomicBool::new(false),
            has_versions: AtomicBool::new(false),
            table: RwLock::new(Rank::Quotas, Arc::default()),
            turn: Mutex::new(Rank::Count, ()),
            promised: Mutex::new(Rank::Promised, Promised::default()),
            wanted: Arc::default(),
        }
    }
}

impl Quotas {
    /// Whether there is one.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// These quotas hold from now on. The usage of a directory stays known; that of a new one is counted in the background.
    pub(crate) fn set(&self, all: Vec<Limits>) {
        let before = self.table();
        let mut table = Table::new();
        for limits in all {
            let root = limits.root.as_ref().map_or(&[][..], Name::as_bytes);
            let known = before.get(root).into_iter().flatten();
            let known = known.into_iter().find(|usage| usage.is_of(&limits.account));
            let usage =
                known.map_or_else(|| Arc::new(Usage::new(&limits, &self.wanted)), Arc::clone);
            usage.limit(&limits);
            table.entry(root.into()).or_default().push(usage);
        }
        let is_any = !table.is_empty();
        *self.table.write() = Arc::new(table);
        self.is_any.store(is_any, Ordering::Release);
        self.forget_the_gone();
        self.wanted.ring();
    }

    /// The usage of an account, if it has a quota.
    pub(crate) fn of(&self, account: &str) -> Option<Arc<Usage>> {
        let table = self.table();
        table.values().flatten().find(|usage| usage.is_of(account)).cloned()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// The usages for which an entry of this name counts.
    fn covering(&self, name: &[u8]) -> Vec<Arc<Usage>> {
        let table = self.table();
        let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let above = std::iter::once(0).chain(slashes).filter(|_| !name.is_empty());
        above.filter_map(|end| table.get(&name[..end])).flatten().cloned().collect()
    }

    /// A version of this directory is published: directories above are known to have its files at most, until they are counted
    /// again. Of those below nobody knows what is there.
    fn published(&self, name: &Name) {
        self.has_versions();
        self.drafts_are_unknown(name);
        for usage in self.covering(name.as_bytes()) {
            usage.has_at_most();
        }
        for usage in self.below(name) {
            usage.is_unknown();
        }
        self.wanted.ring();
    }

    /// Refuses to move a directory, or to bring a version back, while a count of it has to be right.
    pub(super) fn may_move(&self, name: &Name) -> Result<(), StoreError> {
        if !self.is_any() {
            return Ok(());
        }
        let around = self.covering(name.as_bytes());
        around.iter().chain(&self.below(name)).try_for_each(|usage| usage.may_move())
    }

    /// The usages of directories at or below a name.
    fn below(&self, name: &Name) -> Vec<Arc<Usage>> {
        let is_below = |usage: &&Arc<Usage>| usage.is_below(name);
        self.table().values().flatten().filter(is_below).cloned().collect()
    }

    /// There are versions beside the present ones.
    fn has_versions(&self) {
        self.has_versions.store(true, Ordering::Release);
    }

    /// Has those directories counted again that are around a name, or below it: nobody knows what is there now.
    pub(super) fn count_around(&self, name: &Name) {
        if !self.is_any() {
            return;
        }
        self.drafts_are_unknown(name);
        for usage in self.covering(name.as_bytes()).into_iter().chain(self.below(name)) {
            usage.is_unknown();
        }
        self.wanted.ring();
    }

    /// One after the other.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }
}

impl Amount {
    /// An entry without bytes of its own: a directory.
    pub(super) const DIRECTORY: Self = Self { bytes: 0, files: 1 };

    /// A file or symlink of so many bytes.
    pub(super) fn file(bytes: u64) -> Self {
        Self { bytes: i64::try_from(bytes).unwrap_or(i64::MAX), files: 1 }
    }

    /// An entry that is there.
    fn found(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Symlink => Self::file(stat.st_size.unsigned_abs()),
            _ => Self::DIRECTORY,
        }
    }

    /// As much goes with an entry: nothing, if the file has other names, most likely in another version.
    fn freed(stat: &Stat) -> Self {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if stat.st_nlink > 1 && !is_directory { Self::default() } else { Self::found(stat) }
    }

    /// The smaller one of both, for each of bytes and files.
    fn least(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), files: self.files.min(other.files) }
    }

    /// The larger one of both.
    fn most(self, other: Self) -> Self {
        Self { bytes: self.bytes.max(other.bytes), files: self.files.max(other.files) }
    }

    /// The same, where it is over nothing.
    fn positive(self) -> Self {
        Self { bytes: self.bytes.max(0), files: self.files.max(0) }
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let bytes = self.bytes.saturating_add(other.bytes);
        Self { bytes, files: self.files.saturating_add(other.files) }
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let bytes = self.bytes.saturating_sub(other.bytes);
        Self { bytes, files: self.files.saturating_sub(other.files) }
    }
}

/// Whether two entries of one name, in two versions of a directory, have one another's bytes: they are one file, or the second
/// one was taken over from the first one, and the file system lets files share their blocks.
fn have_same_bytes(one: &Stat, other: &Stat, shares_blocks: bool) -> bool {
    let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let stamp = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
        || (shares_blocks && is_file(one) && is_file(other) && stamp(one) == stamp(other))
}

#[cfg(test)]
mod tests;
