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
mod promised;
mod usage;

use std::collections::HashMap;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_protocol::Name;
use rustix::fs::Stat;

use super::error::StoreError;
use crate::locks::{Mutex, MutexGuard, Rank, RwLock};
use count::Wanted;
pub(super) use counted::Counting;
pub(crate) use promised::Draft;
use promised::Promised;
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
    table: RwLock<Arc<Table>>,
    /// One change after the other of those that count: it is known what each of them replaces.
    turn: Mutex<()>,
    promised: Mutex<Promised>,
    wanted: Wanted,
}

/// Usages by the names of their directories; empty is the root.
type Table = HashMap<Box<[u8]>, Vec<Arc<Usage>>>;

/// Bytes and entries that are reserved. Dropping it gives them back.
#[derive(Debug, Default)]
pub(crate) struct Share(Vec<(Arc<Usage>, Amount)>);

impl Default for Quotas {
    fn default() -> Self {
        Self {
            is_any: AtomicBool::new(false),
            table: RwLock::new(Rank::Quotas, Arc::default()),
            turn: Mutex::new(Rank::Count, ()),
            promised: Mutex::new(Rank::Promised, Promised::default()),
            wanted: Wanted::default(),
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
            let usage = known.map_or_else(|| Arc::new(Usage::new(&limits)), Arc::clone);
            usage.limit(&limits);
            table.entry(root.into()).or_default().push(usage);
        }
        let is_any = !table.is_empty();
        *self.table.write() = Arc::new(table);
        self.is_any.store(is_any, Ordering::Release);
        if is_any {
            self.wanted.ring();
        }
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

    /// Has those directories counted again that are around a name, or below it: nobody knows what is there now.
    pub(super) fn count_around(&self, name: &Name) {
        if !self.is_any() {
            return;
        }
        let is_below = |usage: &Usage| usage.is_below(name);
        let below: Vec<_> =
            self.table().values().flatten().filter(|usage| is_below(usage)).cloned().collect();
        for usage in self.covering(name.as_bytes()).into_iter().chain(below) {
            usage.is_unknown();
        }
        self.wanted.ring();
    }

    /// One after the other.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }
}

/// Reserves so much in each of these usages, or in none.
fn reserve(usages: &[Arc<Usage>], amount: Amount) -> Result<Share, StoreError> {
    let mut share = Share::default();
    for usage in usages {
        usage.reserve(amount)?;
        share.0.push((Arc::clone(usage), amount));
    }
    Ok(share)
}

/// A share with as much as is missing of an amount; as it was, if there is not so much.
fn enough(
    usages: &[Arc<Usage>],
    mut share: Share,
    amount: Amount,
) -> (Share, Result<(), StoreError>) {
    let mut more = Share::default();
    for usage in usages {
        let missing = (amount - share.of(usage)).positive();
        if missing == Amount::default() {
            continue;
        }
        if let Err(error) = usage.reserve(missing) {
            return (share, Err(error));
        }
        more.0.push((Arc::clone(usage), missing));
    }
    share.absorb(more);
    (share, Ok(()))
}

impl Share {
    /// The amount that is reserved in a usage.
    fn of(&self, usage: &Arc<Usage>) -> Amount {
        let found = self.0.iter().find(|(of, _)| Arc::ptr_eq(of, usage));
        found.map_or_else(Amount::default, |(_, amount)| *amount)
    }

    /// Takes another share in.
    pub(super) fn absorb(&mut self, mut other: Self) {
        for (usage, more) in other.0.drain(..) {
            match self.0.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &usage)) {
                Some((_, amount)) => *amount = *amount + more,
                None => self.0.push((usage, more)),
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        for (usage, amount) in &self.0 {
            usage.give_back(*amount);
        }
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
        use rustix::fs::FileType;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Symlink => Self::file(stat.st_size.unsigned_abs()),
            _ => Self::DIRECTORY,
        }
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

#[cfg(test)]
mod tests;
