//! The pause before the next attempt to connect.

use std::time::Duration;

/// The most that the first attempt waits.
const FIRST: Duration = Duration::from_millis(100);

/// The most that any attempt waits.
pub const LONGEST: Duration = Duration::from_secs(10);

/// The pause before attempt number `attempt`, which counts from 1: any time up to a bound that
/// doubles with each attempt. The whole pause is chance ("full jitter"), so that the clients of a
/// server that comes back don't come back all at once.
#[must_use]
pub fn pause(attempt: u32) -> Duration {
    // Without randomness in the system, everybody waits longest.
    scaled(attempt, getrandom::u32().unwrap_or(u32::MAX))
}

fn scaled(attempt: u32, random: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(30));
    doubled.min(LONGEST).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_doubles_up_to_the_longest() {
        assert_eq!(scaled(1, u32::MAX), FIRST);
        assert_eq!(scaled(2, u32::MAX), FIRST * 2);
        assert_eq!(scaled(5, u32::MAX), FIRST * 16);
        for attempt in [9, 31, 32, 33, u32::MAX] {
            assert_eq!(scaled(attempt, u32::MAX), LONGEST, "{attempt}");
        }
        assert_eq!(scaled(7, 0), Duration::ZERO);
    }
}
