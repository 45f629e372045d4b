//! Changes that count: the entry that a name had before, the one that it gets, and the share for the difference.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use haul_protocol::Name;
use rustix::fs::Stat;

use super::share::Held;
use super::usage::shared;
use super::{Amount, Draft, Quotas, Share, Usage, have_same_bytes};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::root::Parents;
use crate::store::versions::home::home_of;

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
        if usages.is_empty() { Ok(None) } else { Share::reserved(&usages, amount).map(Some) }
    }

    /// A directory is there under a name that was free, with so much in it and itself, and has used its share.
    pub(in crate::store) fn came(&self, name: &[u8], share: Option<Share>, amount: Amount) {
        let (usages, mut share) = (self.usages(name), share.unwrap_or_default());
        if let Some(draft) = &self.draft {
            draft.changed(&usages, share, Amount::default(), amount);
            return;
        }
        usages.iter().for_each(|usage| usage.came(share.take(usage), amount));
    }

    fn changed(
        &self,
        usages: &[Arc<Usage>],
        mut share: Share,
        before: Option<Amount>,
        after: Option<Amount>,
    ) {
        if let Some(draft) = &self.draft {
            draft.changed(usages, share, before.unwrap_or_default(), after.unwrap_or_default());
            return;
        }
        for usage in usages {
            usage.changed(share.take(usage), before, after);
        }
    }
}

impl Store {
    /// A share for a file of so many bytes that will come under a name. `None`: nobody has a quota there.
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
        let mut share = Share::default();
        share.raise(&usages, Amount::file(size), self.replaced(parents, name))?;
        Ok(Some(share))
    }

    /// The same for a file whose size nobody has told, and which has grown to so many bytes: or stays as it is.
    pub(crate) fn raise_share(
        &self,
        parents: &Parents,
        name: &Name,
        share: &mut Option<Share>,
        size: u64,
    ) -> Result<(), StoreError> {
        let usages = parents.counting().usages(name.as_bytes());
        if usages.is_empty() {
            return Ok(());
        }
        let share = share.get_or_insert_default();
        share.raise(&usages, Amount::file(size), self.replaced(parents, name))
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

    /// Does something after which a name of a draft has a file of the present version, which counts there.
    pub(in crate::store) fn counted_as_present<T>(
        &self,
        parents: &Parents,
        name: &Name,
        then: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.counted(parents, name, Some(Amount::default()), None, then)
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
        let entry = self.entry(parents, name);
        let before = entry.as_ref().map(|stat| self.freed(counting, name, stat));
        let grown = (after.unwrap_or_default() - before.unwrap_or_default()).positive();
        let mut share = share.unwrap_or_default();
        let done = share.is_enough(&usages, grown).and_then(|()| then());
        match done {
            Ok(_) => {
                counting.changed(&usages, share, before, after);
                self.may_be_left(&counting.draft, &usages, (name, entry.as_ref()));
            }
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
        if !self.quotas.is_any() || from == to {
            return then();
        }
        if let Some(draft) = &counting.draft {
            return self.renamed_in_draft(parents, draft, (from, to), then);
        }
        let (old, new) = (counting.usages(from.as_bytes()), counting.usages(to.as_bytes()));
        let _turn = self.quotas.turn();
        let (moved, before) = (self.entry(parents, from), self.entry(parents, to));
        let Some(moved) = moved else { return then() };
        let replaced = before.as_ref().map(Amount::freed);
        let [both, left, entered] = shared(&old, &new);
        let is_directory = is_directory(&moved);
        if is_directory {
            self.quotas.may_move(from)?;
            self.quotas.may_move(to)?;
        }
        let amount = Amount::found(&moved);
        let grown = (amount - replaced.unwrap_or_default()).positive();
        let share = if is_directory { Share::default() } else { Share::reserved(&entered, grown)? };
        then()?;
        if let Some(replaced) = replaced {
            both.iter().for_each(|usage| usage.changed(Held::default(), Some(replaced), None));
        }
        if is_directory {
            both.iter().for_each(|usage| usage.has_moved());
            // Of the directory only a count can tell what is in it.
            let unknown = left.iter().chain(&entered);
            unknown.for_each(|usage| usage.is_unknown());
            self.quotas.drafts_are_unknown(from);
            self.quotas.drafts_are_unknown(to);
            self.quotas.count_below(from, to);
            return Ok(());
        }
        both.iter().for_each(|usage| usage.is_touched(amount));
        let freed = Amount::freed(&moved);
        left.iter().for_each(|usage| usage.changed(Held::default(), Some(freed), None));
        counting.changed(&entered, share, replaced, Some(amount));
        self.may_be_left(&None, &left, (from, Some(&moved)));
        self.may_be_left(&None, &new, (to, before.as_ref()));
        Ok(())
    }

    /// Of a rename in a draft only the entry counts that makes way.
    fn renamed_in_draft(
        &self,
        parents: &Parents,
        draft: &Arc<Draft>,
        (from, to): (&Name, &Name),
        then: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let counting = parents.counting();
        let _turn = draft.turn();
        let inode = |stat: &Stat| (stat.st_dev, stat.st_ino);
        let moved = self.entry(parents, from);
        let replaced = self.entry(parents, to);
        let replaced = replaced.filter(|to| moved.is_some_and(|moved| inode(&moved) != inode(to)));
        let freed = replaced.as_ref().map(|stat| self.freed(counting, to, stat));
        then()?;
        draft.has_moved();
        if let Some(freed) = freed {
            let usages = counting.usages(to.as_bytes());
            counting.changed(&usages, Share::default(), Some(freed), None);
            self.may_be_left(&counting.draft, &usages, (to, replaced.as_ref()));
        }
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

    /// As much goes when something comes under a name.
    pub(super) fn replaced(&self, parents: &Parents, name: &Name) -> Amount {
        let freed = |stat| self.freed(parents.counting(), name, &stat);
        self.entry(parents, name).map_or_else(Amount::default, freed)
    }

    /// As much goes with an entry: of a draft nothing that counts for the present version, or may not have been counted.
    fn freed(&self, counting: &Counting, name: &Name, stat: &Stat) -> Amount {
        match &counting.draft {
            Some(draft)
                if !draft.is_known()
                    || self.shares_blocks() && self.is_shared(&draft.name, name, stat) =>
            {
                Amount::default()
            }
            _ => Amount::freed(stat),
        }
    }

    /// Whether an entry of a draft has the bytes of the present version's.
    fn is_shared(&self, directory: &Name, name: &Name, stat: &Stat) -> bool {
        let name = [directory.as_bytes(), b"/", name.as_bytes()].concat();
        let present = Name::parse(&name).ok().and_then(|name| self.entry(&self.parents(), &name));
        present.is_some_and(|present| have_same_bytes(stat, &present, true))
    }

    /// An entry has gone from a name, whose bytes may be left in other versions and drafts: only a count can tell.
    fn may_be_left(
        &self,
        draft: &Option<Arc<Draft>>,
        usages: &[Arc<Usage>],
        (name, gone): (&Name, Option<&Stat>),
    ) {
        let Some(gone) = gone.filter(|gone| !is_directory(gone)) else { return };
        if let Some(draft) = draft {
            if gone.st_nlink > 1 {
                self.quotas.wanted.draft(&home_of(&draft.name));
            }
            return;
        }
        let has_others = || {
            self.quotas.has_versions.load(Ordering::Acquire) || self.quotas.has_draft_above(name)
        };
        if gone.st_nlink < 2 && !(self.shares_blocks() && has_others()) {
            return;
        }
        self.quotas.may_be_in_drafts(name, Amount::found(gone));
        if usages.iter().fold(false, |is_news, usage| usage.has_at_most() | is_news) {
            self.quotas.wanted.ring();
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
        for usage in self.below(from).iter().chain(&self.below(to)) {
            usage.is_unknown();
        }
        self.wanted.ring();
    }
}
