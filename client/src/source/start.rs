//! When a run began, by the clock that file systems take change times from.

/// Whatever has changed before it has an earlier change time; whatever changes from now on has none.
#[derive(Debug, Clone, Copy)]
pub struct Start([i64; 2]);

impl Start {
    /// Now. Change times may be as coarse as the kernel's ticks, so the client waits for the next ones.
    #[must_use]
    pub fn now() -> Self {
        Self(platform::tick())
    }

    /// Whether a change time is certainly from before this run. One of whole seconds may have been rounded down.
    pub(crate) fn is_after(self, changed: [i64; 2]) -> bool {
        changed < self.0 && changed[1] != 0
    }

    /// Whether a change time is of this run; one that is yet to come is.
    pub(crate) fn is_before(self, changed: [i64; 2]) -> bool {
        match changed {
            // Whole seconds are rounded down, on some file systems by two.
            [s, 0] => s + 1 >= self.0[0],
            changed => changed >= self.0,
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::thread;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// Turns of a millisecond for ticks to come, which takes 20 ms at most if the machine is not stopped.
    const TURNS: u32 = 100;

    pub(super) fn tick() -> [i64; 2] {
        // Whatever has changed until now has this change time at the most: file systems with finer times (Linux 6.13) take
        // them from this clock if somebody has asked for the one before.
        let before = now(ClockId::Realtime);
        for _ in 0..TURNS {
            if now(ClockId::RealtimeCoarse) > before {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // And whatever changes from now on has this one at the least.
        now(ClockId::RealtimeCoarse)
    }

    fn now(clock: ClockId) -> [i64; 2] {
        let now = clock_gettime(clock);
        [now.tv_sec, now.tv_nsec]
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::thread;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    /// Change times are not behind the clock by more than this.
    const COARSE: Duration = Duration::from_millis(20);

    pub(super) fn tick() -> [i64; 2] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        thread::sleep(COARSE);
        [i64::try_from(now.as_secs()).unwrap_or(i64::MAX), i64::from(now.subsec_nanos())]
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn changes_before_it_are_told_from_those_after_it_however_close_they_are() {
        let place = TempDir::new().unwrap();
        let changed = || {
            let found = place.path().metadata().unwrap();
            [found.ctime(), found.ctime_nsec()]
        };
        for index in 0..20 {
            fs::write(place.path().join(format!("{index}")), "x").unwrap();
            let start = Start::now();
            assert!(!start.is_before(changed()));
            fs::remove_file(place.path().join(format!("{index}"))).unwrap();
            assert!(start.is_before(changed()));
        }
    }

    #[test]
    fn change_times_of_whole_seconds_may_have_been_rounded_down() {
        let start = Start([100, 500_000_000]);
        assert!(start.is_before([100, 0]) && start.is_before([99, 0]) && !start.is_before([98, 0]));
        assert!(!start.is_before([100, 1]) && start.is_before([100, 500_000_000]));
        assert!(!start.is_after([100, 0]) && !start.is_after([99, 0]));
        assert!(start.is_after([100, 1]) && !start.is_after([100, 500_000_000]));
    }
}
