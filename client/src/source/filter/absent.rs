//! A file of rules that is not there may only be away for a moment: git removes it and makes it anew, and editors rename
//! the old one before they write the new one. Between the two system calls a directory seems to have no rules.
//!
//! So haul believes only a directory that was left alone that there is no such file in it. A wait makes all directories
//! older that were changed before it: a new tree costs one wait, and not one for each directory.

use std::fs::Metadata;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::source::settled::changed;

/// Time for which a directory must have been left alone. Two system calls of one program come far sooner after each other,
/// also on a busy machine.
const SETTLES: Duration = Duration::from_millis(250);

/// Change times of whole seconds are rounded down, on some file systems by two.
const ROUNDED: Duration = Duration::from_secs(2);

/// The longest wait of a run, all in all, for directories whose change times are in the future. Another clock has set such
/// times, so they may stay in the future.
const OTHER_CLOCK: Duration = Duration::from_secs(3);

/// The waits of a run.
#[derive(Debug, Default)]
pub(super) struct Waits {
    other_clock: Mutex<Duration>,
}

impl Waits {
    /// Time that haul must wait before it looks once more into a directory that seems to have no file of rules; `None`: the
    /// directory has none.
    pub(super) fn wait(&self, directory: &Metadata, now: SystemTime) -> Option<Duration> {
        // The mtime of a directory can be set to any time.
        let time = changed(directory).or_else(|| directory.modified().ok());
        self.wait_since(time.unwrap_or(UNIX_EPOCH), now)
    }

    fn wait_since(&self, changed: SystemTime, now: SystemTime) -> Option<Duration> {
        if let Ok(since) = now.duration_since(changed) {
            let is_whole =
                changed.duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos()) == 0;
            let settles = if is_whole { SETTLES + ROUNDED } else { SETTLES };
            return settles.checked_sub(since).filter(|left| !left.is_zero());
        }
        let mut waited = self.other_clock.lock().unwrap_or_else(PoisonError::into_inner);
        if *waited >= OTHER_CLOCK {
            return None;
        }
        *waited += SETTLES;
        Some(SETTLES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_that_has_just_changed_is_waited_for_and_an_older_one_is_not() {
        let (waits, now) =
            (Waits::default(), UNIX_EPOCH + Duration::new(1_700_000_000, 500_000_000));
        let wait = |since: u64| waits.wait_since(now - Duration::from_millis(since), now);
        assert_eq!(wait(0), Some(SETTLES));
        assert_eq!(wait(100), Some(SETTLES - Duration::from_millis(100)));
        assert_eq!([wait(250), wait(60_000)], [None; 2]);
        // Of whole seconds nobody knows which part of the second it was.
        assert_eq!(wait(500), Some(SETTLES + ROUNDED - Duration::from_millis(500)));
        assert_eq!(wait(2500), None);
    }

    #[test]
    fn change_times_that_are_to_come_are_not_waited_for_without_end() {
        let (waits, now) = (Waits::default(), UNIX_EPOCH + Duration::new(1_700_000_000, 5));
        let to_come = now + Duration::from_secs(3600);
        let all: Duration = std::iter::from_fn(|| waits.wait_since(to_come, now)).sum();
        assert_eq!(all, OTHER_CLOCK);
        assert!(waits.wait_since(now, now).is_some(), "those of this clock still are");
    }
}
