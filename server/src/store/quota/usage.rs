//! The usage of one directory with a quota, as far as it is known.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use haul_protocol::{Name, Used};
use rustix::time::ClockId;

use super::count::{Counted, Wanted};
use super::share::Held;
use super::since::{Moment, Since, moment};
use super::{Amount, Limits};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::store::error::StoreError;
use crate::store::versions::guard::is_at_or_below;

/// Time for which a client that logs in waits for the first count.
const PATIENCE: Duration = Duration::from_secs(5);

/// The usage of one directory.
#[derive(Debug)]
pub(crate) struct Usage {
    account: String,
    pub(super) root: Option<Name>,
    state: Mutex<State>,
    wanted: Arc<Wanted>,
}

#[derive(Debug)]
struct State {
    bytes: Option<u64>,
    files: Option<u64>,
    /// Of all entries; until they are counted, of those that have come and gone since.
    used: Amount,
    /// Reserved by uploads under way, partials and drafts.
    reserved: Amount,
    /// As much goes when one of these has come.
    spared: Option<Amount>,
    knows: Knows,
    /// Something was refused, and there may be room: it is counted at once.
    is_urgent: bool,
    /// Changes since the count began that is under way.
    since: Option<Since>,
    /// Connections that wait until the entries are counted for the first time.
    waiting: Vec<Waker>,
    /// When nobody waits any longer; `None`: that is over.
    patience: Option<Instant>,
    /// Directories stay where they are while the count under way is not over.
    is_still: bool,
}

/// How well the usage is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Knows {
    /// Nothing has been counted yet.
    #[default]
    Nothing,
    /// It may be less, and of files that were replaced or removed a part may be left in other versions, so it is counted again
    /// soon.
    AtMost,
    /// As it is.
    All,
}

/// The reason for which there is no room.
#[derive(Debug, Clone, Copy)]
enum Lack {
    Bytes,
    Files,
    /// Nobody knows yet how much there is.
    Count,
    /// Another upload is spared the file that it replaces.
    Turn,
}

impl Usage {
    pub(super) fn new(limits: &Limits, wanted: &Arc<Wanted>) -> Self {
        let (account, root) = (limits.account.clone(), limits.root.clone());
        let state = State {
            bytes: limits.bytes,
            files: limits.files,
            used: Amount::default(),
            reserved: Amount::default(),
            spared: None,
            knows: Knows::Nothing,
            is_urgent: false,
            since: None,
            waiting: Vec::new(),
            patience: Some(Instant::now() + PATIENCE),
            is_still: false,
        };
        Self { account, root, state: Mutex::new(Rank::Usage, state), wanted: Arc::clone(wanted) }
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

    /// The quotas, and the use of them: partials, drafts, previous versions and uploads under way count. Nothing, before the
    /// entries were counted.
    pub(crate) fn told(&self) -> (Option<Used>, Option<Used>) {
        let state = self.state();
        if state.knows == Knows::Nothing {
            return (None, None);
        }
        let all = state.all().positive();
        let used = |used: i64, quota: Option<u64>| {
            quota.map(|quota| Used { used: used.unsigned_abs(), quota })
        };
        (used(all.bytes, state.bytes), used(all.files, state.files))
    }

    /// Whether the entries are counted, or that takes too long to wait for it. Otherwise the waker is woken then.
    pub(crate) fn is_known(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        let is_known = state.knows != Knows::Nothing || state.patience.is_none();
        if !is_known && !state.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        is_known
    }

    /// When clients stop to wait for the first count, unless they have.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.state().patience
    }

    /// After a while nobody waits any longer for the first count.
    pub(super) fn look_at_the_clock(&self) {
        let end = self.patience();
        if end.is_some_and(|end| end <= Instant::now()) {
            self.wait_is_over();
        }
    }

    fn wait_is_over(&self) {
        let mut state = self.state();
        state.patience = None;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Holds `whole` in the place of what was held before, `instead` of an entry that it replaces; or tells of which there is
    /// too little.
    pub(super) fn exchange(
        &self,
        held: Held,
        whole: Amount,
        instead: Amount,
    ) -> Result<Held, StoreError> {
        let mut state = self.state();
        state.give_back(held);
        let new = state.room(held.whole, whole, instead).map_err(|lack| {
            state.take(held);
            if matches!(lack, Lack::Bytes | Lack::Files)
                && (state.knows != Knows::All || self.wanted.has_homes())
            {
                state.is_urgent = true;
                self.wanted.ring();
            }
            self.lacks(&state, lack, (whole - held.whole) - instead)
        })?;
        state.take(new);
        Ok(new)
    }

    /// Holds something else than before, which is on the disk already or was held before that.
    pub(super) fn put_back(&self, held: Held, new: Held) {
        let mut state = self.state();
        state.give_back(held);
        state.take(new);
    }

    fn lacks(&self, state: &State, lack: Lack, more: Amount) -> StoreError {
        let account = self.account.clone();
        let used = state.all() - state.spared.unwrap_or_default();
        let full = |what, used: i64, more: i64, quota: Option<u64>| StoreError::AccountFull {
            account: self.account.clone(),
            what,
            used: used.max(0).unsigned_abs(),
            more: more.max(0).unsigned_abs(),
            quota: quota.unwrap_or(0),
        };
        match lack {
            Lack::Count => StoreError::AccountUncounted { account },
            Lack::Bytes => full("bytes", used.bytes, more.bytes, state.bytes),
            Lack::Files => full("files", used.files, more.files, state.files),
            Lack::Turn => StoreError::AccountReplaces { account },
        }
    }

    /// A name has another entry than before; so much was reserved for that.
    pub(super) fn changed(&self, held: Held, before: Option<Amount>, after: Option<Amount>) {
        let mut state = self.state();
        state.give_back(held);
        let amount = |of: Option<Amount>| of.unwrap_or_default();
        state.used = state.used + amount(after) - amount(before);
        if let Some(since) = &mut state.since {
            since.changed(before.is_some() || after == Some(Amount::DIRECTORY), amount(after));
        }
    }

    /// A directory has come, with so much in it and itself. A count under way takes what is in it for old.
    pub(super) fn came(&self, held: Held, amount: Amount) {
        let mut state = self.state();
        state.give_back(held);
        state.used = state.used + amount;
        if let Some(since) = &mut state.since {
            since.changed(true, amount);
        }
    }

    /// Entries that were reserved are seen now, and others may have gone: they are counted again.
    pub(super) fn published(&self, held: Held) {
        let mut state = self.state();
        state.give_back(held);
        state.used = state.used + held.whole;
        if let Some(since) = &mut state.since {
            since.changed(true, held.whole);
        }
        state.is_disturbed();
    }

    /// A file has moved, or has other attributes: a count under way takes it for a new one.
    pub(super) fn is_touched(&self, amount: Amount) {
        if let Some(since) = &mut self.state().since {
            since.changed(true, amount);
        }
    }

    /// Files have gone, of which a part may be left in other versions. Tells whether that is news.
    pub(super) fn has_at_most(&self) -> bool {
        let mut state = self.state();
        let is_news = state.knows == Knows::All;
        state.is_disturbed();
        is_news
    }

    /// Refuses to move a directory while that makes a count void that has to be right.
    pub(super) fn may_move(&self) -> Result<(), StoreError> {
        match self.state().is_still {
            true => Err(StoreError::AccountUncounted { account: self.account.clone() }),
            false => Ok(()),
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

    /// Whether somebody was refused since this was asked last, and there may be room.
    pub(super) fn was_urgent(&self) -> bool {
        std::mem::take(&mut self.state().is_urgent)
    }

    /// A count begins. `is_still`: directories stay where they are until it is over.
    pub(super) fn begin(&self, is_still: bool) {
        let (came, is_disturbed, is_void) = (Amount::default(), false, false);
        let mut state = self.state();
        // With the lock: an entry of which the server has told before is not newer.
        let begun = moment(ClockId::Realtime);
        state.is_still = is_still;
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

    /// A count has met so much, leaving out what is as new as the count.
    pub(super) fn is_counted(&self, met: Amount) -> Counted {
        let mut state = self.state();
        state.is_still = false;
        let Some(since) = state.since.take() else { return Counted::Not };
        if since.is_void {
            return Counted::Void;
        }
        state.used = met + since.came;
        state.knows = if since.is_disturbed { Knows::AtMost } else { Knows::All };
        drop(state);
        self.wait_is_over();
        if since.is_disturbed { Counted::AtMost } else { Counted::Exactly }
    }

    /// A count has failed.
    pub(super) fn is_not_counted(&self) {
        let mut state = self.state();
        (state.since, state.is_still) = (None, false);
    }
}

impl State {
    /// Everything that is on the disk, or will be.
    fn all(&self) -> Amount {
        self.used + self.reserved
    }

    fn take(&mut self, held: Held) {
        self.reserved = self.reserved + held.whole;
        self.spared = self.spared.or(held.spared);
    }

    fn give_back(&mut self, held: Held) {
        self.reserved = self.reserved - held.whole;
        if held.spared.is_some() {
            self.spared = None;
        }
    }

    /// Room for `whole`, of which there is a part on the disk already.
    fn room(&self, there: Amount, whole: Amount, instead: Amount) -> Result<Held, Lack> {
        let spared = self.spared.unwrap_or_default();
        let (more, instead) = (whole - there, instead.least(whole).positive());
        let all = self.all() + whole - spared;
        let over = |all: i64, more: i64, least: i64, quota: Option<u64>| {
            let quota = quota.map(|quota| i64::try_from(quota).unwrap_or(i64::MAX));
            more > 0 && quota.is_some_and(|quota| all > quota.max(least))
        };
        let lack = |all: Amount, least: Amount| {
            let is_full = over(all.bytes, more.bytes, least.bytes, self.bytes);
            let has_too_many = || over(all.files, more.files, least.files, self.files);
            if is_full { Some(Lack::Bytes) } else { has_too_many().then_some(Lack::Files) }
        };
        if self.knows == Knows::Nothing && (more.bytes > 0 || more.files > 0) {
            return Err(Lack::Count);
        }
        let Some(plain) = lack(all, Amount::default()) else {
            return Ok(Held { whole, spared: None });
        };
        if instead == Amount::default() {
            return Err(plain);
        }
        // A quota that was lowered keeps nobody from replacing files by smaller ones.
        match lack(all - instead, self.used) {
            Some(lack) => Err(lack),
            None if self.spared.is_some() => Err(Lack::Turn),
            None => Ok(Held { whole, spared: Some(instead) }),
        }
    }

    fn is_disturbed(&mut self) {
        if self.knows == Knows::All {
            self.knows = Knows::AtMost;
        }
        if let Some(since) = &mut self.since {
            since.is_disturbed = true;
        }
    }

    fn is_unknown(&mut self) {
        self.is_disturbed();
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
