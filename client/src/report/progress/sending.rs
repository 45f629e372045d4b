//! The time in which bytes were on their way to the server.

use std::time::{Duration, Instant};

/// A clock that runs while any body is sent and not answered. Times without a connection, and times in which the client only
/// compares or hashes, do not count.
#[derive(Debug, Default)]
pub(super) struct Sending {
    unanswered: u64,
    since: Option<Instant>,
    before: Duration,
}

impl Sending {
    /// Bytes of bodies were given to a connection.
    pub(super) fn sent(&mut self, bytes: u64, now: Instant) {
        self.unanswered += bytes;
        if self.unanswered > 0 {
            self.since.get_or_insert(now);
        }
    }

    /// Bytes of bodies are answered, or lost with their connection.
    pub(super) fn answered(&mut self, bytes: u64, now: Instant) {
        self.unanswered = self.unanswered.saturating_sub(bytes);
        if self.unanswered == 0
            && let Some(since) = self.since.take()
        {
            self.before += now.saturating_duration_since(since);
        }
    }

    /// The time so far.
    pub(super) fn time(&self, now: Instant) -> Duration {
        self.before
            + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_while_bytes_are_unanswered() {
        let (mut sending, begun) = (Sending::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        sending.sent(10, at(5));
        sending.sent(10, at(6));
        sending.answered(10, at(7));
        assert_eq!(sending.time(at(8)), Duration::from_secs(3));
        sending.answered(10, at(9));
        assert_eq!(sending.time(at(100)), Duration::from_secs(4));
        sending.sent(1, at(200));
        sending.answered(1, at(201));
        assert_eq!(sending.time(at(300)), Duration::from_secs(5));
    }
}
