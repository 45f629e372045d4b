//! The progress of a run.

use std::fmt;
use std::time::Duration;

use super::counts::Counts;

/// The progress of a run at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The counts so far.
    pub counts: Counts,
    /// Files and symbolic links in all, once the walk has found them all.
    pub files_total: Option<u64>,
    /// Their bytes in all, once the walk has found them all, if the observer [wants sizes](super::observer::Observer::wants_sizes).
    pub bytes_found: Option<u64>,
    /// Bytes that were sent and lost with a connection, and are sent again.
    pub bytes_lost: u64,
    /// Bytes of files that are not sent, because the server has the same.
    pub bytes_spared: u64,
    /// The run looks for entries at the server that the source lacks.
    pub is_looking_for_extra: bool,
    /// No connection is up, and this attempt to connect again is under way.
    pub reconnecting: Option<Attempt>,
}

/// An attempt to connect again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// The highest number of attempts in a row, if there is one.
    pub of: Option<u32>,
    /// How long the run goes on to try if nothing comes of it.
    pub left: Duration,
}

/// `(attempt 3), trying again for another 4 min 30 s`.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            Some(of) => write!(f, "({} of {of})", self.number)?,
            None => write!(f, "(attempt {})", self.number)?,
        }
        write!(f, ", trying again for another {}", InWords(self.left))
    }
}

/// A time for people: in seconds, the last one begun, and from an hour on in whole minutes.
struct InWords(Duration);

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => write!(f, "{seconds} s"),
            (0, minutes, 0) => write!(f, "{minutes} min"),
            (0, minutes, seconds) => write!(f, "{minutes} min {seconds} s"),
            (hours, 0, _) => write!(f, "{hours} h"),
            (hours, minutes, _) => write!(f, "{hours} h {minutes} min"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempt_says_how_long_the_run_goes_on() {
        let text =
            |of, millis| Attempt { number: 3, of, left: Duration::from_millis(millis) }.to_string();
        assert_eq!(text(None, 269_400), "(attempt 3), trying again for another 4 min 30 s");
        assert_eq!(text(Some(10), 300_000), "(3 of 10), trying again for another 5 min");
        assert_eq!(text(None, 1), "(attempt 3), trying again for another 1 s");
        assert_eq!(text(None, 7_260_000), "(attempt 3), trying again for another 2 h 1 min");
    }
}
