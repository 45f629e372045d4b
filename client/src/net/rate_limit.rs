//! A bound on how many bytes a second all connections of a run send, or read, together.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may be sent at once after a pause: this part of a second's bytes.
const BURST: u64 = 8;

/// The least that is worth a write.
const LEAST: u64 = 4096;

/// Bytes that may be sent, which become more with time.
#[derive(Debug)]
pub struct Limit {
    /// Bytes a second.
    rate: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Nanoseconds' worth of bytes that may be sent.
    saved: u128,
    last: Instant,
}

impl Limit {
    /// So many bytes a second, at least one.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), state: Mutex::new(State { saved: 0, last: Instant::now() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the right to send up to `wanted` bytes, of which some may be [given back](Self::give_back).
    ///
    /// # Errors
    /// If none may be sent now: how long to wait.
    pub fn take(&self, wanted: usize) -> Result<usize, Duration> {
        let now = Instant::now();
        let mut state = self.state();
        state.saved = self.most().min(state.saved + now.duration_since(state.last).as_nanos());
        state.last = now;
        let wanted = wanted as u64;
        let room =
            u64::try_from(state.saved * u128::from(self.rate) / 1_000_000_000).unwrap_or(u64::MAX);
        let least = wanted.min(LEAST).min(self.burst());
        if room < least {
            return Err(self.time(least - room).max(Duration::from_millis(1)));
        }
        let granted = wanted.min(room);
        state.saved = state.saved.saturating_sub(self.time(granted).as_nanos() + 1);
        Ok(usize::try_from(granted).unwrap_or(usize::MAX))
    }

    /// Gives back bytes that were taken and not sent.
    pub fn give_back(&self, bytes: usize) {
        let mut state = self.state();
        state.saved = self.most().min(state.saved + self.time(bytes as u64).as_nanos());
    }

    fn burst(&self) -> u64 {
        (self.rate / BURST).max(1)
    }

    fn most(&self) -> u128 {
        self.time(self.burst().max(LEAST.min(self.rate))).as_nanos()
    }

    /// Time that so many bytes take.
    fn time(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_granted_than_time_has_passed_for() {
        for rate in [1, 100, 10_000, 1 << 20, 1 << 40] {
            // The start is taken before the limit is made: a thread may be held up between the two.
            let start = Instant::now();
            let limit = Limit::new(rate);
            let mut granted = 0;
            for wanted in [1, 100_000, 1 << 20, 7, 1 << 30].into_iter().cycle().take(10_000) {
                match limit.take(wanted) {
                    Ok(bytes) => {
                        assert!(bytes <= wanted);
                        granted += bytes as u128;
                    }
                    Err(pause) => assert!(!pause.is_zero()),
                }
            }
            let most = start.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000 + 10_000;
            assert!(granted <= most, "{granted} of {most} at {rate}");
        }
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let limit = Limit::new(1 << 30);
        let first = loop {
            match limit.take(1 << 20) {
                Ok(first) => break first,
                Err(pause) => std::thread::park_timeout(pause),
            }
        };
        limit.give_back(first);
        assert!(limit.take(first).unwrap() >= first);
    }
}
