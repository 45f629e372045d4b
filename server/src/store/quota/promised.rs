//! Shares of bytes that are on the disk and nobody sees yet: partials, and drafts.

use std::collections::HashMap;
use std::sync::Arc;

use haul_protocol::Name;
use rustix::fs::AtFlags;

use super::{Amount, Quotas, Share, Usage, enough};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::root::Parents;

/// Bytes of a block in the number of blocks of a file (stat(2)).
const BLOCK: u64 = 512;

/// The shares, by the ids of partials, and by the homes and owners of drafts.
#[derive(Debug, Default)]
pub(super) struct Promised {
    partials: HashMap<String, Share>,
    drafts: HashMap<(String, String), Arc<Draft>>,
}

/// The next version of a directory: entries that were sent for it. Those that are taken over from the present version count
/// there.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) name: Name,
    share: Mutex<Share>,
    /// As that of all quotas: nobody sees what changes here.
    turn: Mutex<()>,
}

impl Draft {
    /// One in which there is nothing.
    pub(in crate::store) fn of(name: &Name) -> Arc<Self> {
        let share = Mutex::new(Rank::Drafted, Share::default());
        let turn = Mutex::new(Rank::Count, ());
        Arc::new(Self { name: name.clone(), share, turn })
    }

    /// So much was in it when this server began.
    pub(super) fn had(&self, usages: &[Arc<Usage>], amount: Amount) {
        usages.iter().for_each(|usage| usage.reserve_anyway(amount));
        let share = usages.iter().map(|usage| (Arc::clone(usage), amount)).collect();
        self.share.lock().absorb(Share(share));
    }

    /// The draft has grown by so much, for which there is a share.
    pub(super) fn grow(&self, usages: &[Arc<Usage>], grown: Amount, mut share: Share) {
        share.shrink(usages, grown);
        self.share.lock().absorb(share);
    }

    /// One change after the other.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    fn take(&self) -> Share {
        std::mem::take(&mut self.share.lock())
    }
}

impl Share {
    /// Gives back all but so much in each of these usages, and everything in others.
    fn shrink(&mut self, usages: &[Arc<Usage>], most: Amount) {
        for (usage, amount) in &mut self.0 {
            let is_one = usages.iter().any(|of| Arc::ptr_eq(of, usage));
            let most = if is_one { most } else { Amount::default() };
            let kept =
                Amount { bytes: amount.bytes.min(most.bytes), files: amount.files.min(most.files) };
            usage.give_back(*amount - kept);
            *amount = kept;
        }
    }
}

/// The id of a home and the owner in the tag of a draft there: several accounts may have drafts in one home, each of them one,
/// whose token changes when somebody goes on with it.
fn owned((id, tag): (&str, &str)) -> (String, String) {
    let owner = tag.find('~').map_or("", |at| &tag[at..]);
    (id.to_owned(), owner.to_owned())
}

impl Quotas {
    /// A draft of a directory is opened. `left`: the path of the one that is gone on with. If an earlier server began it, what
    /// is in it is counted in the background.
    pub(in crate::store) fn draft(
        &self,
        key: (&str, &str),
        name: &Name,
        left: Option<&str>,
    ) -> Arc<Draft> {
        let key = owned(key);
        let mut promised = self.promised.lock();
        if left.is_some()
            && let Some(known) = promised.drafts.get(&key)
        {
            return Arc::clone(known);
        }
        let draft = Draft::of(name);
        let old = promised.drafts.insert(key, Arc::clone(&draft));
        drop(promised);
        drop(old);
        if let Some(left) = left.filter(|_| self.is_any()) {
            self.wanted.draft(Arc::clone(&draft), left.to_owned());
        }
        draft
    }

    /// A draft is gone.
    pub(in crate::store) fn forget_draft(&self, key: (&str, &str)) {
        let draft = self.promised.lock().drafts.remove(&owned(key));
        drop(draft.map(|draft| draft.take()));
    }

    /// A draft has taken the place of the directory. Until that is counted, the directory counts as well.
    pub(in crate::store) fn draft_published(&self, key: (&str, &str), name: &Name) {
        let draft = self.promised.lock().drafts.remove(&owned(key));
        let mut share = draft.map(|draft| draft.take()).unwrap_or_default();
        for (usage, amount) in share.0.drain(..) {
            usage.published(amount);
        }
        self.count_around(name);
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
        let before = self.entry(parents, name).map(|stat| Amount::found(&stat));
        let wanted = (Amount::file(size) - before.unwrap_or_default()).positive();
        let share = self.quotas.take_promise(id).unwrap_or_default();
        let (share, result) = enough(&usages, share, wanted);
        if !share.0.is_empty() {
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
            let usages: Vec<_> = share.0.iter().map(|(usage, _)| Arc::clone(usage)).collect();
            share.shrink(&usages, Amount::file(stat.st_blocks.unsigned_abs() * BLOCK));
            self.quotas.put_back_promise(id, share);
        }
    }

    /// Partials of earlier servers, and those of before there was a quota, have their shares too.
    pub(super) fn promise_what_is_there(&self) {
        for partial in self.listed() {
            let Some(name) = partial.seen else { continue };
            let usages = self.quotas.covering(name.as_bytes());
            let amount = Amount::file(partial.bytes.min(partial.size));
            let mut promised = self.quotas.promised.lock();
            let share = promised.partials.entry(partial.id.clone()).or_default();
            for usage in usages {
                if share.of(&usage) == Amount::default() {
                    usage.reserve_anyway(amount);
                    share.absorb(Share(vec![(usage, amount)]));
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
