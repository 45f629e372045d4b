//! Shares of drafts: of all that is in them, but for files of the present version, which count there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use haul_protocol::Name;

use super::share::Held;
use super::{Amount, Quotas, Share, Usage};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::store::versions::guard::is_at_or_below;

/// The next version of a directory.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) name: Name,
    share: Mutex<Share>,
    /// Changes that count, so far.
    changes: AtomicU64,
    /// The share is that of all files which the draft may have alone.
    is_known: AtomicBool,
    /// As that of all quotas: nobody sees what changes here.
    turn: Mutex<()>,
}

impl Draft {
    /// One in which there is nothing.
    pub(in crate::store) fn of(name: &Name) -> Arc<Self> {
        let share = Mutex::new(Rank::Drafted, Share::default());
        let (changes, is_known) = (AtomicU64::new(0), AtomicBool::new(true));
        let turn = Mutex::new(Rank::Count, ());
        Arc::new(Self { name: name.clone(), share, changes, is_known, turn })
    }

    /// A name for which the usages count that everything in the draft counts for: also those whose directory is the draft's.
    pub(super) fn inside(&self) -> Vec<u8> {
        [self.name.as_bytes(), b"/x"].concat()
    }

    /// An entry has come, gone or been replaced; `upload` was reserved for that.
    pub(super) fn changed(
        &self,
        usages: &[Arc<Usage>],
        mut upload: Share,
        before: Amount,
        after: Amount,
    ) {
        let mut share = self.share.lock();
        self.changes.fetch_add(1, Ordering::AcqRel);
        for usage in usages {
            let (came, old) = (upload.take(usage), share.of(usage));
            let whole = (old.whole + after - before).positive();
            let both = Held { whole: old.whole + came.whole, spared: came.spared };
            share.exchanged(usage, both, Held { whole, spared: None });
        }
    }

    /// An entry has another name in the draft: a count under way may miss it.
    pub(super) fn has_moved(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// The draft may be the only one by now that has files of the present version: nothing is taken off its share until it is
    /// counted.
    fn is_unknown(&self) {
        self.is_known.store(false, Ordering::Release);
        self.has_moved();
    }

    /// Whether everything in it counts that no other version has.
    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }

    /// Changes so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// A count has met so much, which began after so many changes. `false`: there were more meanwhile, and it may be less.
    pub(super) fn is_counted(&self, usages: &[Arc<Usage>], met: Amount, changes: u64) -> bool {
        let mut share = self.share.lock();
        let is_exact = self.changes() == changes;
        for usage in usages {
            let known = share.of(usage).whole;
            let most = if is_exact { met } else { met.most(known) };
            share.raise_anyway(usage, most);
        }
        if is_exact {
            self.is_known.store(true, Ordering::Release);
        }
        is_exact
    }

    /// Forgets its shares in usages that are there no more.
    pub(super) fn retain(&self, is_there: impl Fn(&Arc<Usage>) -> bool) {
        self.share.lock().retain(is_there);
    }

    /// One change after the other.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    pub(super) fn take(&self) -> Share {
        std::mem::take(&mut self.share.lock())
    }
}

/// The id of a home and the owner in the tag of a draft there: several accounts may have drafts in one home, each of them one,
/// whose token changes when somebody goes on with it.
fn owned((id, tag): (&str, &str)) -> (String, String) {
    let owner = tag.find('~').map_or("", |at| &tag[at..]);
    (id.to_owned(), owner.to_owned())
}

impl Quotas {
    /// A draft of a directory is opened. `is_left`: an earlier run has begun it. If that was with an earlier server, everything
    /// in it is counted in the background.
    pub(in crate::store) fn draft(
        &self,
        key: (&str, &str),
        name: &Name,
        is_left: bool,
    ) -> Arc<Draft> {
        let owned = owned(key);
        let mut promised = self.promised.lock();
        if is_left && let Some(known) = promised.drafts.get(&owned) {
            return Arc::clone(known);
        }
        let draft = Draft::of(name);
        if is_left && self.is_any() {
            draft.is_unknown();
        }
        let old = promised.drafts.insert(owned, Arc::clone(&draft));
        drop(promised);
        drop(old);
        if is_left && self.is_any() {
            self.wanted.draft(key.0);
        }
        draft
    }

    /// A draft that an earlier server may have begun.
    pub(super) fn left_draft(&self, key: (&str, &str), name: &Name) -> Arc<Draft> {
        let mut promised = self.promised.lock();
        Arc::clone(promised.drafts.entry(owned(key)).or_insert_with(|| Draft::of(name)))
    }

    /// A file of this amount has gone from a name of the present version, and may have another one in a draft of a directory
    /// above. It counts for the draft too, until that is counted.
    pub(super) fn may_be_in_drafts(&self, name: &Name, amount: Amount) {
        for (home, draft) in self.drafts_where(|of| is_at_or_below(name, of)) {
            let usages = self.covering(&draft.inside());
            draft.changed(&usages, Share::default(), Amount::default(), amount);
            self.wanted.draft(&home);
        }
    }

    /// Files at or below a name have gone or moved, which drafts may have too: those of directories above and below are counted.
    pub(super) fn drafts_are_unknown(&self, name: &Name) {
        let is_around = |of: &Name| is_at_or_below(name, of) || is_at_or_below(of, name);
        for (home, draft) in self.drafts_where(is_around) {
            draft.is_unknown();
            self.wanted.draft(&home);
        }
    }

    /// Whether a directory above a name has a draft.
    pub(super) fn has_draft_above(&self, name: &Name) -> bool {
        !self.drafts_where(|of| is_at_or_below(name, of)).is_empty()
    }

    /// The drafts of some directories, with their homes.
    fn drafts_where(&self, is_meant: impl Fn(&Name) -> bool) -> Vec<(String, Arc<Draft>)> {
        let promised = self.promised.lock();
        let meant = promised.drafts.iter().filter(|(_, draft)| is_meant(&draft.name));
        meant.map(|((home, _), draft)| (home.clone(), Arc::clone(draft))).collect()
    }

    /// A draft is gone.
    pub(in crate::store) fn forget_draft(&self, key: (&str, &str)) {
        let draft = self.promised.lock().drafts.remove(&owned(key));
        drop(draft.map(|draft| draft.take()));
    }

    /// A draft has taken the place of the directory, and the version before that is kept.
    pub(in crate::store) fn draft_published(&self, key: (&str, &str), name: &Name) {
        let draft = self.promised.lock().drafts.remove(&owned(key));
        let share = draft.map(|draft| draft.take()).unwrap_or_default();
        for (usage, held) in share.into_parts() {
            usage.published(held);
        }
        self.published(name);
    }
}
