//! Changes that count: the entry that a name had before, the one that it gets, and the share for the difference.

use std::sync::Arc;

use haul_protocol::Name;
use rustix::fs::Stat;

use super::usage::shared;
use super::{Amount, Draft, Quotas, Share, Usage, enough, reserve};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::root::Parents;

/// Where entries below one root count: among those that all see, or for a draft.
#[derive(Debug, Clone)]
pub(in crate::store) struct Counting {
    pub(in crate::store) quotas: Arc<Quotas>,
    /// Names are below the directory of this draft.
    pub(in crate::store) draft: Option<Arc<Draft>>,
}

impl Counting {
    /// The usages for which a name counts; none if nobody has a quota.
    pub(super) fn usages(&self, name: &[u8]) -> Vec<Arc<Usage>> {
        match &self.draft {
            _ if !self.quotas.is_any() => Vec::new(),
            // Also for those whose directory is the one of the draft.
            Some(draft) => self.quotas.covering(&[draft.name.as_bytes(), b"/x"].concat()),
            None => self.quotas.covering(name),
        }
    }

    /// A share for a new entry.
    pub(in crate::store) fn share(
        &self,
        name: &[u8],
        amount: Amount,
    ) -> Result<Option<Share>, StoreError> {
        let usages = self.usages(name);
        if usages.is_empty() { Ok(None) } else { reserve(&usages, amount).map(Some) }
    }

    /// So much is there under a name that was free, or below it, and has used its share.
    pub(in crate::store) fn came(&self, name: &[u8], share: Option<Share>, amount: Amount) {
        let usages = self.usages(name);
        self.changed(&usages, share.unwrap_or_default(), None, Some(amount));
    }

    fn changed(
        &self,
        usages: &[Arc<Usage>],
        mut share: Share,
        before: Option<Amount>,
        after: Option<Amount>,
    ) {
        if let Some(draft) = &self.draft {
            // An entry that goes from a draft may come back from the present version, which nobody counts: it stays counted.
            let grown = after.unwrap_or_default() - before.unwrap_or_default();
            draft.grow(usages, grown.positive(), share);
            return;
        }
        for usage in usages {
            usage.changed(share.of(usage), before, after);
        }
        share.0.retain(|(of, _)| !usages.iter().any(|usage| Arc::ptr_eq(usage, of)));
    }
}

impl Store {
    /// A share for a file of so many bytes that will come under a name: for as much as it is more than the entry that it
    /// replaces. `None`: nobody has a quota there.
    pub(crate) fn share(
        &self,
        parents: &Parents,
        name: &Name,
        size: u64,
    ) -> Result<Option<Share>, StoreError> {
        let usages = parents.counting().usages(name.as_bytes());
        if usages.is_empty() {
            return Ok(None);
        }
        let before = self.entry(parents, name).map(|stat| Amount::found(&stat));
        let more = (Amount::file(size) - before.unwrap_or_default()).positive();
        reserve(&usages, more).map(Some)
    }

    /// Does something after which a name has an entry of this amount, or none. Refuses that if it would pass a quota: the
    /// share that was reserved may be too small by now.
    pub(in crate::store) fn counted<T>(
        &self,
        parents: &Parents,
        name: &Name,
        after: Option<Amount>,
        share: Option<Share>,
        then: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.counted_or(parents, name, after, share, &mut None, then)
    }

    /// The same. If it does not happen, the share is `left`.
    pub(super) fn counted_or<T>(
        &self,
        parents: &Parents,
        name: &Name,
        after: Option<Amount>,
        share: Option<Share>,
        left: &mut Option<Share>,
        then: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let counting = parents.counting();
        let usages = counting.usages(name.as_bytes());
        if usages.is_empty() {
            return then();
        }
        let _turn = match &counting.draft {
            Some(draft) => draft.turn(),
            None => self.quotas.turn(),
        };
        let before = self.entry(parents, name).map(|stat| Amount::found(&stat));
        let grown = (after.unwrap_or_default() - before.unwrap_or_default()).positive();
        let (share, is_enough) = enough(&usages, share.unwrap_or_default(), grown);
        let done = is_enough.and_then(|()| then());
        match done {
            Ok(_) => counting.changed(&usages, share, before, after),
            Err(_) => *left = Some(share),
        }
        done
    }

    /// The same for a rename.
    pub(in crate::store) fn counted_rename(
        &self,
        parents: &Parents,
        (from, to): (&Name, &Name),
        then: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let counting = parents.counting();
        // Nothing that is renamed in a draft counts more or less.
        if !self.quotas.is_any() || counting.draft.is_some() || from == to {
            return then();
        }
        let (old, new) = (counting.usages(from.as_bytes()), counting.usages(to.as_bytes()));
        let _turn = self.quotas.turn();
        let (moved, before) = (self.entry(parents, from), self.entry(parents, to));
        let Some(moved) = moved else { return then() };
        let replaced = before.as_ref().map(Amount::found);
        let [both, left, entered] = shared(&old, &new);
        let is_directory = is_directory(&moved);
        let amount = Amount::found(&moved);
        let grown = (amount - replaced.unwrap_or_default()).positive();
        let share = if is_directory { Share::default() } else { reserve(&entered, grown)? };
        then()?;
        if let Some(replaced) = replaced {
            both.iter().for_each(|usage| usage.changed(Amount::default(), Some(replaced), None));
        }
        if is_directory {
            both.iter().for_each(|usage| usage.has_moved());
            // Of the directory only a count can tell what is in it.
            let unknown = left.iter().chain(&entered);
            unknown.for_each(|usage| usage.is_unknown());
            self.quotas.count_below(from, to);
            return Ok(());
        }
        both.iter().for_each(|usage| usage.is_touched(amount));
        left.iter().for_each(|usage| usage.changed(Amount::default(), Some(amount), None));
        counting.changed(&entered, share, replaced, Some(amount));
        Ok(())
    }

    /// A file has other attributes.
    pub(in crate::store) fn touched_file(&self, parents: &Parents, name: &Name) {
        let counting = parents.counting();
        if self.quotas.is_any()
            && counting.draft.is_none()
            && let Some(stat) = self.entry(parents, name)
        {
            let amount = Amount::found(&stat);
            counting.usages(name.as_bytes()).iter().for_each(|usage| usage.is_touched(amount));
        }
    }

    /// The entry that a name has.
    pub(super) fn entry(&self, parents: &Parents, name: &Name) -> Option<Stat> {
        let parent = parents.find(name.split().0).ok()?;
        let look = || self.rights.stat_at(&parent, name.split().1);
        self.rights.in_directory(&parent, || self.rights.stat(look)).ok()
    }
}

fn is_directory(stat: &Stat) -> bool {
    use rustix::fs::FileType;
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

impl Quotas {
    /// A directory has moved, and with it those with a quota of their own that are at or below it.
    fn count_below(&self, from: &Name, to: &Name) {
        for usage in self.table().values().flatten() {
            if usage.is_below(from) || usage.is_below(to) {
                usage.is_unknown();
            }
        }
        self.wanted.ring();
    }
}
