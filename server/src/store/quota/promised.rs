//! Shares of partials: bytes that are on the disk, and nobody sees yet.

use std::collections::HashMap;
use std::sync::Arc;

use haul_protocol::Name;
use rustix::fs::AtFlags;

use super::{Amount, Draft, Quotas, Share, Usage};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::root::Parents;

/// Bytes of a block in the number of blocks of a file (stat(2)).
const BLOCK: u64 = 512;

/// The shares, by the ids of partials, and by the homes and owners of drafts.
#[derive(Debug, Default)]
pub(super) struct Promised {
    partials: HashMap<String, Share>,
    pub(super) drafts: HashMap<(String, String), Arc<Draft>>,
}

impl Quotas {
    /// Forgets the shares in usages of accounts that are gone, or have no quota any more.
    pub(super) fn forget_the_gone(&self) {
        let table = self.table();
        let is_there =
            |usage: &Arc<Usage>| table.values().flatten().any(|of| Arc::ptr_eq(of, usage));
        let mut promised = self.promised.lock();
        promised.partials.retain(|_, share| {
            share.retain(is_there);
            !share.is_empty()
        });
        promised.drafts.values().for_each(|draft| draft.retain(is_there));
    }

    /// The number of partials that have shares.
    #[cfg(test)]
    pub(super) fn promises(&self) -> usize {
        self.promised.lock().partials.len()
    }

    /// Takes the share of a partial.
    pub(in crate::store) fn take_promise(&self, id: &str) -> Option<Share> {
        if self.is_any() { self.promised.lock().partials.remove(id) } else { None }
    }

    /// Puts it back.
    pub(in crate::store) fn put_back_promise(&self, id: &str, share: Share) {
        let old = self.promised.lock().partials.insert(id.to_owned(), share);
        drop(old);
    }
}

impl Store {
    /// Reserves all of a large file that will come under a name, in addition to what an earlier upload of it has left. Its
    /// share stays as long as the partial is on the disk.
    pub(crate) fn promise(
        &self,
        parents: &Parents,
        id: &str,
        name: &Name,
        size: u64,
    ) -> Result<(), StoreError> {
        let usages = parents.counting().usages(name.as_bytes());
        if usages.is_empty() {
            return Ok(());
        }
        let mut share = self.quotas.take_promise(id).unwrap_or_default();
        let result = share.raise(&usages, Amount::file(size), self.replaced(parents, name));
        if !share.is_empty() {
            self.quotas.put_back_promise(id, share);
        }
        result
    }

    /// A partial becomes a file of this amount, or stays as it is.
    pub(in crate::store) fn counted_promise(
        &self,
        parents: &Parents,
        name: &Name,
        amount: Amount,
        id: &str,
        then: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let share = self.quotas.take_promise(id);
        let mut left = None;
        let done = self.counted_or(parents, name, Some(amount), share, &mut left, then);
        if let Some(share) = left {
            self.quotas.put_back_promise(id, share);
        }
        done
    }

    /// Nobody writes to a partial any more: as much is promised as it has on the disk.
    pub(crate) fn settle_promise(&self, id: &str) {
        if !self.quotas.is_any() {
            return;
        }
        let found = rustix::fs::statat(&self.partials, id, AtFlags::SYMLINK_NOFOLLOW);
        let Some(mut share) = self.quotas.take_promise(id) else { return };
        if let Ok(stat) = found {
            share.shrink(Amount::file(stat.st_blocks.unsigned_abs() * BLOCK));
            self.quotas.put_back_promise(id, share);
        }
    }

    /// Partials of earlier servers, and those of before there was a quota, have their shares too.
    pub(super) fn promise_what_is_there(&self) {
        for partial in self.listed() {
            // A file of a draft counts as the draft does.
            let inside = |home: &str| [self.name_of_home(home)?.as_bytes(), b"/x"].concat().into();
            let name = match (&partial.seen, &partial.home) {
                (Some(name), _) => Some(name.as_bytes().to_vec()),
                (None, home) => home.as_deref().and_then(inside),
            };
            let Some(name) = name else { continue };
            let usages = self.quotas.covering(&name);
            let amount = Amount::file(partial.bytes.min(partial.size));
            let mut promised = self.quotas.promised.lock();
            let share = promised.partials.entry(partial.id.clone()).or_default();
            for usage in usages {
                if share.of(&usage).whole == Amount::default() {
                    share.raise_anyway(&usage, amount);
                }
            }
            drop(promised);
            // It may have been swept meanwhile, or have become a file.
            let found = rustix::fs::statat(&self.partials, &*partial.id, AtFlags::SYMLINK_NOFOLLOW);
            if found.is_err() {
                drop(self.quotas.take_promise(&partial.id));
            }
        }
    }
}
