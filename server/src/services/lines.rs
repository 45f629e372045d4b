//! Lines of the log about peers that are sent away, break off or break the rules: so many a second, and then the number of
//! the others. A peer who connects again and again can't fill the disk with them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lines that are written in a second.
const MOST: u64 = 20;

/// Counts the lines of one second.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    second: AtomicU64,
    told: AtomicU64,
    untold: AtomicU64,
}

impl Lines {
    /// Whether one more line may be written. `now`: milliseconds of the server's clock.
    pub(crate) fn may_tell(&self, now: u64) -> bool {
        let second = now / 1000;
        // If two threads begin a second at once, it may have some lines more.
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.told.store(0, Ordering::Relaxed);
        }
        let may = self.told.fetch_add(1, Ordering::Relaxed) < MOST;
        if !may {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Tells how many lines were left out; to be called each second.
    pub(crate) fn look(&self) {
        let lines = self.take_untold();
        if lines > 0 {
            tracing::warn!(
                lines,
                "left out further lines about peers that were sent away or broke off"
            );
        }
    }

    fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_second_are_bounded_and_the_others_counted() {
        let lines = Lines::default();
        let told = |now| (0..100).filter(|_| lines.may_tell(now)).count();
        assert_eq!((told(1000), lines.take_untold()), (20, 80));
        assert_eq!((told(1999), lines.take_untold()), (0, 100));
        assert_eq!((told(2000), lines.take_untold(), lines.take_untold()), (20, 80, 0));
    }
}
