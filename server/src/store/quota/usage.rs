//! The usage of one directory with a quota, as far as it is known.

use std::sync::Arc;
use std::task::Waker;

use haul_protocol::{Name, Used};
use rustix::time::{ClockId, clock_gettime};

use super::{Amount, Limits};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::store::error::StoreError;
use crate::store::versions::guard::is_at_or_below;

/// Seconds and nanoseconds.
pub(super) type Moment = (i64, u64);

/// The usage of one directory.
#[derive(Debug)]
pub(crate) struct Usage {
    account: String,
    pub(super) root: Option<Name>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Option<u64>,
    files: Option<u64>,
    /// Of all entries; until they are counted, of those that have come and gone since.
    used: Amount,
    /// Reserved by uploads under way, partials and drafts.
    reserved: Amount,
    knows: Knows,
    /// Changes since the count began that is under way.
    since: Option<Since>,
    /// Connections that wait until the entries are counted for the first time.
    waiting: Vec<Waker>,
    /// Nobody waits any longer.
    is_late: bool,
}

/// How well the usage is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Knows {
    /// Nothing has been counted yet.
    #[default]
    Nothing,
    /// It may be less, so it is counted again soon.
    AtMost,
    /// As it is.
    All,
}

/// Changes during a count.
#[derive(Debug)]
struct Since {
    /// When the count was asked for, by the exact clock: it leaves out files and symlinks that are newer.
    begun: Moment,
    /// The first tick of the coarse clock after that, once it has come.
    first: Option<Moment>,
    /// Entries that have come. The count leaves files and symlinks out that are as new as it is.
    came: Amount,
    /// Entries have gone or were replaced which the count may have met or not, so the sum is too large, if anything.
    is_disturbed: bool,
    /// Directories have moved: the count may have missed some.
    is_void: bool,
}

impl Usage {
    pub(super) fn new(limits: &Limits) -> Self {
        let (account, root) = (limits.account.clone(), limits.root.clone());
        Self { account, root, state: Mutex::new(Rank::Usage, State::default()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn limit(&self, limits: &Limits) {
        let mut state = self.state();
        (state.bytes, state.files) = (limits.bytes, limits.files);
    }

    pub(super) fn is_of(&self, account: &str) -> bool {
        self.account == account
    }

    /// Whether its directory is this one, or below it.
    pub(super) fn is_below(&self, name: &Name) -> bool {
        self.root.as_ref().is_some_and(|root| is_at_or_below(root, name))
    }

    /// The quotas, and the use of them: partials, drafts and uploads under way count.
    pub(crate) fn told(&self) -> (Option<Used>, Option<Used>) {
        let state = self.state();
        let all = (state.used + state.reserved).positive();
        let used = |used: i64, quota: Option<u64>| {
            quota.map(|quota| Used { used: used.unsigned_abs(), quota })
        };
        (used(all.bytes, state.bytes), used(all.files, state.files))
    }

    /// Whether the entries are counted, or that takes too long to wait for it. Otherwise the waker is woken then.
    pub(crate) fn is_known(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        let is_known = state.knows != Knows::Nothing || state.is_late;
        if !is_known && !state.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        is_known
    }

    /// Nobody waits any longer for the first count.
    pub(super) fn is_late(&self) {
        let mut state = self.state();
        state.is_late = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Reserves so much, or tells of which there is too little.
    pub(super) fn reserve(&self, more: Amount) -> Result<(), StoreError> {
        let mut state = self.state();
        let after = state.used + state.reserved + more;
        let over = |after: i64, more: i64, quota: Option<u64>| {
            let quota = quota.map(|quota| i64::try_from(quota).unwrap_or(i64::MAX));
            more > 0 && quota.is_some_and(|quota| after > quota)
        };
        let full = |what, after: i64, more: i64, quota: Option<u64>| StoreError::AccountFull {
            account: self.account.clone(),
            what,
            used: (after - more).max(0).unsigned_abs(),
            more: more.unsigned_abs(),
            quota: quota.unwrap_or(0),
        };
        if over(after.bytes, more.bytes, state.bytes) {
            return Err(full("bytes", after.bytes, more.bytes, state.bytes));
        }
        if over(after.files, more.files, state.files) {
            return Err(full("files", after.files, more.files, state.files));
        }
        state.reserved = state.reserved + more;
        Ok(())
    }

    /// Reserves so much, whether there is so much or not: it is on the disk already.
    pub(super) fn reserve_anyway(&self, more: Amount) {
        let mut state = self.state();
        state.reserved = state.reserved + more;
    }

    /// So much is not reserved any more.
    pub(super) fn give_back(&self, less: Amount) {
        let mut state = self.state();
        state.reserved = state.reserved - less;
    }

    /// A name has another entry than before; so much was reserved for that.
    pub(super) fn changed(&self, reserved: Amount, before: Option<Amount>, after: Option<Amount>) {
        let mut state = self.state();
        state.reserved = state.reserved - reserved;
        let amount = |of: Option<Amount>| of.unwrap_or_default();
        state.used = state.used + amount(after) - amount(before);
        if let Some(since) = &mut state.since {
            since.changed(before.is_some() || after == Some(Amount::DIRECTORY), amount(after));
        }
    }

    /// Entries that were reserved are seen now, and others may have gone: they are counted again.
    pub(super) fn published(&self, reserved: Amount) {
        let mut state = self.state();
        state.reserved = state.reserved - reserved;
        state.used = state.used + reserved;
        state.is_unknown();
    }

    /// A file has moved, or has other attributes: a count under way takes it for a new one.
    pub(super) fn is_touched(&self, amount: Amount) {
        if let Some(since) = &mut self.state().since {
            since.changed(true, amount);
        }
    }

    /// A directory has moved within this one.
    pub(super) fn has_moved(&self) {
        if let Some(since) = &mut self.state().since {
            since.is_void = true;
        }
    }

    /// Nobody knows what has gone or come.
    pub(super) fn is_unknown(&self) {
        self.state().is_unknown();
    }

    /// Whether the entries should be counted, or counted again.
    pub(super) fn is_wanted(&self) -> bool {
        self.state().knows != Knows::All
    }

    /// A count begins.
    pub(super) fn begin(&self) {
        let (came, is_disturbed, is_void) = (Amount::default(), false, false);
        let mut state = self.state();
        // With the lock: an entry of which the server has told before is not newer.
        let begun = moment(ClockId::Realtime);
        state.since = Some(Since { begun, first: None, came, is_disturbed, is_void });
    }

    /// When it began.
    pub(super) fn begun(&self) -> Option<Moment> {
        self.state().since.as_ref().map(|since| since.begun)
    }

    /// The first tick after its beginning has come.
    pub(super) fn has_first_tick(&self, first: Moment) {
        if let Some(since) = &mut self.state().since {
            since.first = Some(first);
        }
    }

    /// A count has met so much, leaving out what is as new as the count. `false`: it has missed something.
    pub(super) fn is_counted(&self, met: Amount) -> bool {
        let mut state = self.state();
        let Some(since) = state.since.take() else { return false };
        if since.is_void {
            return false;
        }
        state.used = met + since.came;
        state.knows = if since.is_disturbed { Knows::AtMost } else { Knows::All };
        drop(state);
        self.is_late();
        true
    }

    /// A count has failed.
    pub(super) fn is_not_counted(&self) {
        self.state().since = None;
    }
}

impl Since {
    /// An entry has come, or another one has gone as well.
    fn changed(&mut self, is_disturbed: bool, came: Amount) {
        let now = tick();
        self.came = self.came + came;
        // A kernel gives a change the time of the last tick, or the exact time, which is later. So until the tick after the
        // first one, the entry may be old for the count, too.
        self.is_disturbed |= is_disturbed || self.first.is_none_or(|first| now <= first);
    }
}

/// The last tick of the clock: no change from now on has an earlier time.
pub(super) fn tick() -> Moment {
    moment(ClockId::RealtimeCoarse)
}

fn moment(clock: ClockId) -> Moment {
    let now = clock_gettime(clock);
    (now.tv_sec, u64::try_from(now.tv_nsec).unwrap_or(0))
}

impl State {
    fn is_unknown(&mut self) {
        if self.knows == Knows::All {
            self.knows = Knows::AtMost;
        }
        if let Some(since) = &mut self.since {
            since.is_void = true;
        }
    }
}

/// The usages that both have, and those that only one of them has.
pub(super) fn shared(one: &[Arc<Usage>], other: &[Arc<Usage>]) -> [Vec<Arc<Usage>>; 3] {
    let is_in = |usage: &Arc<Usage>, of: &[Arc<Usage>]| of.iter().any(|of| Arc::ptr_eq(of, usage));
    let (both, only): (Vec<_>, Vec<_>) = one.iter().cloned().partition(|usage| is_in(usage, other));
    let others = other.iter().filter(|usage| !is_in(usage, one)).cloned().collect();
    [both, only, others]
}
