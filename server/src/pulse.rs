//! The pulses of threads: whether each one has gone on lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The thread has nothing to do, and waits for work.
const RESTS: u64 = u64::MAX;

/// One thread's pulse.
#[derive(Debug)]
pub(crate) struct Pulse {
    origin: Instant,
    /// Milliseconds from `origin` to the moment at which the thread began with what it does now, or [`RESTS`].
    since: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { origin: Instant::now(), since: AtomicU64::new(RESTS) }
    }
}

impl Pulse {
    /// The thread begins with the next piece of work.
    pub(crate) fn beat(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// The thread waits for work.
    pub(crate) fn rest(&self) {
        self.since.store(RESTS, Ordering::Relaxed);
    }

    /// Whether the thread is at work.
    pub(crate) fn is_busy(&self) -> bool {
        self.since.load(Ordering::Relaxed) != RESTS
    }

    /// Whether the thread has been at one piece of work for longer than this.
    pub(crate) fn is_stuck(&self, limit: Duration) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since != RESTS && u128::from(self.now().saturating_sub(since)) > limit.as_millis()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(RESTS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_thread_that_stays_at_one_piece_of_work_is_stuck() {
        let pulse = Pulse::default();
        let short = Duration::from_millis(1);
        let is_stuck_soon = || {
            some_time_passes();
            pulse.is_stuck(short)
        };
        assert!(!is_stuck_soon(), "it has never begun");
        pulse.beat();
        assert!(!pulse.is_stuck(Duration::from_secs(60)));
        assert!(is_stuck_soon());
        pulse.rest();
        assert!(!is_stuck_soon());
    }

    /// Some milliseconds pass.
    fn some_time_passes() {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(5) {
            std::thread::yield_now();
        }
    }
}
