//! Shares of quotas: bytes and entries that are reserved before they come.
//!
//! A file on its way counts whole, beside the file that it replaces: both are on the disk. If there is no room for both, one
//! upload at a time is spared what its file replaces, so that a file can be replaced while a quota is full. The disk then holds
//! more than the quota by that one file at most.

use std::sync::Arc;

use super::{Amount, Usage};
use crate::store::error::StoreError;

/// The part of a share that is in one usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Everything that is on its way.
    pub(super) whole: Amount,
    /// As much goes when it has come. Only one upload of a usage has that at a time.
    pub(super) spared: Option<Amount>,
}

/// Bytes and entries that are reserved. Dropping it gives them back.
#[derive(Debug, Default)]
pub(crate) struct Share(Vec<(Arc<Usage>, Held)>);

impl Held {
    /// As much more as there is in the end.
    pub(super) fn net(self) -> Amount {
        self.whole - self.spared.unwrap_or_default()
    }
}

impl Share {
    /// A share of so much in each of these usages.
    pub(super) fn reserved(usages: &[Arc<Usage>], amount: Amount) -> Result<Self, StoreError> {
        let mut share = Self::default();
        share.raise(usages, amount, Amount::default())?;
        Ok(share)
    }

    /// The part in a usage.
    pub(super) fn of(&self, usage: &Arc<Usage>) -> Held {
        let found = self.0.iter().find(|(of, _)| Arc::ptr_eq(of, usage));
        found.map_or_else(Held::default, |(_, held)| *held)
    }

    /// Whether nothing is reserved.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds so much in each of these usages, `instead` of an entry; or stays as it is, if there is not so much in one of them.
    pub(super) fn raise(
        &mut self,
        usages: &[Arc<Usage>],
        whole: Amount,
        instead: Amount,
    ) -> Result<(), StoreError> {
        self.each(usages, |usage, held| usage.exchange(held, whole, instead))
    }

    /// Holds as much as is missing of an amount by which a usage grows in the end; or stays as it is.
    pub(super) fn is_enough(
        &mut self,
        usages: &[Arc<Usage>],
        grown: Amount,
    ) -> Result<(), StoreError> {
        self.each(usages, |usage, held| {
            let missing = (grown - held.net()).positive();
            let more = usage.exchange(Held::default(), missing, Amount::default())?;
            Ok(Held { whole: held.whole + more.whole, ..held })
        })
    }

    /// Changes the part in each usage, or none.
    fn each(
        &mut self,
        usages: &[Arc<Usage>],
        change: impl Fn(&Usage, Held) -> Result<Held, StoreError>,
    ) -> Result<(), StoreError> {
        let mut before = Vec::new();
        for usage in usages {
            let held = self.of(usage);
            match change(usage, held) {
                Ok(new) => {
                    before.push((usage, held, new));
                    self.put(usage, new);
                }
                Err(error) => {
                    for (usage, held, new) in before.into_iter().rev() {
                        usage.put_back(new, held);
                        self.put(usage, held);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, usage: &Arc<Usage>, held: Held) {
        match self.0.iter_mut().find(|(of, _)| Arc::ptr_eq(of, usage)) {
            Some((_, old)) => *old = held,
            None => self.0.push((Arc::clone(usage), held)),
        }
    }

    /// Holds something else than `both`, which are this part and that of an upload.
    pub(super) fn exchanged(&mut self, usage: &Arc<Usage>, both: Held, new: Held) {
        usage.put_back(both, new);
        self.put(usage, new);
    }

    /// Holds so much that is on the disk already, whether there is so much or not.
    pub(super) fn raise_anyway(&mut self, usage: &Arc<Usage>, whole: Amount) {
        let (old, new) = (self.of(usage), Held { whole, spared: None });
        usage.put_back(old, new);
        self.put(usage, new);
    }

    /// Gives back all but so much in each usage, and spares nothing.
    pub(super) fn shrink(&mut self, most: Amount) {
        for (usage, held) in &mut self.0 {
            let whole = held.whole.least(most);
            let kept = Held { whole, spared: None };
            usage.put_back(*held, kept);
            *held = kept;
        }
    }

    /// The part in a usage, which the caller gives back.
    pub(super) fn take(&mut self, usage: &Arc<Usage>) -> Held {
        let at = self.0.iter().position(|(of, _)| Arc::ptr_eq(of, usage));
        at.map_or_else(Held::default, |at| self.0.swap_remove(at).1)
    }

    /// Takes another share in.
    pub(in crate::store) fn absorb(&mut self, mut other: Self) {
        for (usage, more) in other.0.drain(..) {
            let held = self.of(&usage);
            let spared = held.spared.or(more.spared);
            self.put(&usage, Held { whole: held.whole + more.whole, spared });
        }
    }

    /// Leaves out usages that are there no more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&Arc<Usage>) -> bool) {
        self.0.retain(|(usage, held)| {
            let stays = is_there(usage);
            if !stays {
                usage.put_back(*held, Held::default());
            }
            stays
        });
    }

    /// The usages in which it is, and the part in each, which the caller gives back.
    pub(super) fn into_parts(mut self) -> Vec<(Arc<Usage>, Held)> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        for (usage, held) in &self.0 {
            usage.put_back(*held, Held::default());
        }
    }
}
