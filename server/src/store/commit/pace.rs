//! Whether the next group is flushed by one `syncfs`, or file by file.
//!
//! `syncfs` waits for what others write on the same file system. So after a slow one the committer flushes one by one, for
//! some groups, or until a group takes longer than the slow `syncfs` took: on a disk whose every flush is slow, a thousand
//! files one by one would keep all other clients waiting.

use std::time::Duration;

/// Time that `syncfs` may take, and that it may take for each file in addition; if it takes longer, it writes bytes of
/// other processes. An `fsync` takes about as much.
const FAIR: Duration = Duration::from_millis(50);
const FAIR_EACH: Duration = Duration::from_micros(200);

/// Groups for which it is not tried again after that.
const SLOW_GROUPS: usize = 64;

/// Remembers how long flushes took.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Groups for which `syncfs` is not tried.
    slow: usize,
    /// Time that the last slow `syncfs` took.
    took: Duration,
}

impl Pace {
    /// A group is about to be flushed.
    pub(super) fn begins_group(&mut self) {
        self.slow = self.slow.saturating_sub(1);
    }

    /// Whether `syncfs` is tried.
    pub(super) fn tries_all(&self) -> bool {
        self.slow == 0
    }

    /// One `syncfs` for so many files and directories took so long.
    pub(super) fn all_took(&mut self, count: usize, took: Duration) {
        if took > FAIR + FAIR_EACH * u32::try_from(count).unwrap_or(u32::MAX) {
            (self.slow, self.took) = (SLOW_GROUPS, took);
        }
    }

    /// The files of a group took so long, one by one.
    pub(super) fn each_took(&mut self, took: Duration) {
        if took > self.took {
            self.slow = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_flush_of_all_is_not_tried_again_for_some_groups() {
        let mut pace = Pace::default();
        pace.all_took(100, FAIR + 100 * FAIR_EACH);
        assert!(pace.tries_all(), "it took no longer than it may");
        pace.all_took(100, FAIR + 101 * FAIR_EACH);
        for _ in 0..SLOW_GROUPS {
            assert!(!pace.tries_all());
            pace.each_took(FAIR);
            pace.begins_group();
        }
        assert!(pace.tries_all());
    }

    #[test]
    fn it_is_tried_again_once_a_group_takes_longer_one_by_one() {
        let mut pace = Pace::default();
        pace.all_took(1000, Duration::from_millis(400));
        pace.each_took(Duration::from_millis(390));
        assert!(!pace.tries_all());
        pace.each_took(Duration::from_secs(5));
        assert!(pace.tries_all());
    }
}
