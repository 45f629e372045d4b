//! Whether any connection is up.

use std::time::Instant;

use crate::report::status::Attempt;

/// The states of the connections of a run.
#[derive(Debug, Default)]
pub(super) struct Links {
    up: usize,
    /// The highest attempt to connect again since all were lost.
    attempt: Option<Told>,
}

/// An attempt, and the moment that its time is counted from.
#[derive(Debug, Clone, Copy)]
struct Told {
    attempt: Attempt,
    at: Instant,
}

impl Links {
    /// A connection is up.
    pub(super) fn connected(&mut self) {
        self.up += 1;
        self.attempt = None;
    }

    /// A connection has ended.
    pub(super) fn disconnected(&mut self) {
        self.up = self.up.saturating_sub(1);
    }

    /// A connection is tried again; returns whether that is news: no connection is up, and none was
    /// tried as often.
    pub(super) fn reconnecting(&mut self, attempt: Attempt, at: Instant) -> bool {
        let is_higher = |known: Told| known.attempt.number < attempt.number;
        let news = self.up == 0 && self.attempt.is_none_or(is_higher);
        if news {
            self.attempt = Some(Told { attempt, at });
        }
        news
    }

    /// The attempt that is under way while no connection is up, with the time that is left at `now`.
    pub(super) fn attempt(&self, now: Instant) -> Option<Attempt> {
        let Told { attempt, at } = self.attempt?;
        let left = attempt.left.saturating_sub(now.saturating_duration_since(at));
        Some(Attempt { left, ..attempt })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attempts_are_news_once_and_while_nothing_is_up() {
        const SECOND: Duration = Duration::from_secs(1);
        let attempt = |number| Attempt { number, of: None, left: 5 * SECOND };
        let now = Instant::now();
        let mut links = Links::default();
        links.connected();
        links.connected();
        links.disconnected();
        assert!(!links.reconnecting(attempt(1), now) && links.attempt(now).is_none());
        links.disconnected();
        assert!(links.reconnecting(attempt(1), now) && !links.reconnecting(attempt(1), now));
        assert!(links.reconnecting(attempt(3), now) && !links.reconnecting(attempt(2), now));
        let left = Attempt { left: 3 * SECOND, ..attempt(3) };
        assert_eq!(links.attempt(now + 2 * SECOND), Some(left));
        links.connected();
        assert_eq!(links.attempt(now), None);
    }
}
