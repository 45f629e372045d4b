//! Changes while the entries below a directory are counted.

use rustix::time::{ClockId, clock_gettime};

use super::Amount;

/// Seconds and nanoseconds.
pub(super) type Moment = (i64, u64);

/// Changes during a count.
#[derive(Debug)]
pub(super) struct Since {
    /// When the count was asked for, by the exact clock: it leaves out files and symlinks that are newer.
    pub(super) begun: Moment,
    /// The first tick of the coarse clock after that, once it has come.
    pub(super) first: Option<Moment>,
    /// Entries that have come. The count leaves files and symlinks out that are as new as it is.
    pub(super) came: Amount,
    /// Entries have gone or were replaced which the count may have met or not, so the sum is too large, if anything.
    pub(super) is_disturbed: bool,
    /// Directories have moved: the count may have missed some.
    pub(super) is_void: bool,
}

impl Since {
    /// An entry has come, or another one has gone as well.
    pub(super) fn changed(&mut self, is_disturbed: bool, came: Amount) {
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

pub(super) fn moment(clock: ClockId) -> Moment {
    let now = clock_gettime(clock);
    (now.tv_sec, u64::try_from(now.tv_nsec).unwrap_or(0))
}
