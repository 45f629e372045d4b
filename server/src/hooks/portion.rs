//! The number of changes that the program of `on-commit` is told of at once: fewer after a failure, so that a program that is
//! slow for each change, or a receiver that takes only so many bytes, gets through nevertheless.

use std::time::Duration;

/// Most changes of one run.
const MOST: usize = 4096;

/// The changes that the next run gets at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion(usize);

impl Default for Portion {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Portion {
    pub(super) fn get(self) -> usize {
        self.0
    }

    /// A run with so many changes has failed: the next one gets half of them. Returns whether the program has fewer to do then.
    pub(super) fn failed(&mut self, given: u64) -> bool {
        let given = usize::try_from(given).unwrap_or(usize::MAX);
        self.0 = self.0.min(given / 2).max(1);
        given > 1
    }

    /// A run has taken its changes: the next one gets twice as many, unless the run has needed more than half of its time.
    pub(super) fn worked(&mut self, took: Duration, time: Duration) {
        if took <= time / 2 {
            self.0 = self.0.saturating_mul(2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_halve_what_the_program_gets_down_to_one_change_and_successes_double_it() {
        let (mut portion, time) = (Portion::default(), Duration::from_secs(60));
        assert_eq!(portion.get(), MOST);
        assert!(portion.failed(100));
        assert_eq!(portion.get(), 50);
        assert!(portion.failed(3));
        assert_eq!(portion.get(), 1);
        assert!(!portion.failed(1));
        assert_eq!(portion.get(), 1);
        portion.worked(time, time);
        assert_eq!(portion.get(), 1, "twice as many would be too many");
        for _ in 0..20 {
            portion.worked(time / 2, time);
        }
        assert_eq!(portion, Portion::default());
    }
}
