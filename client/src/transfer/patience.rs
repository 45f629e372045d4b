//! How long a slot tries to connect again: for a time since the server last answered the run, or was lost.

use std::time::{Duration, Instant};

use crate::report::status::Attempt;

/// The attempts of one slot since its last progress.
#[derive(Debug)]
pub(crate) struct Patience {
    /// How long attempts go on without any progress.
    limit: Duration,
    /// The most attempts in a row, if the user has given a number.
    most: Option<u32>,
    /// Attempts so far.
    attempts: u32,
    /// When the connection was lost.
    since: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(limit: Duration, most: Option<u32>) -> Self {
        Self { limit, most, attempts: 0, since: None }
    }

    /// The next loss is the first one of a row.
    pub(crate) fn renew(&mut self) {
        (self.attempts, self.since) = (0, None);
    }

    /// Attempts since the last progress.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The connection is lost at `now`, or an attempt has failed; any connection of the run was last answered at
    /// `heard`. `None`: enough has been tried.
    pub(crate) fn next(&mut self, now: Instant, heard: Option<Instant>) -> Option<Attempt> {
        let lost = *self.since.get_or_insert(now);
        let since = heard.map_or(lost, |heard| heard.max(lost));
        let left = self.limit.saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() || self.most.is_some_and(|most| self.attempts >= most) {
            return None;
        }
        self.attempts += 1;
        Some(Attempt { number: self.attempts, of: self.most, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn attempts_go_on_for_a_time_however_many_they_are() {
        let mut patience = Patience::new(300 * SECOND, None);
        let lost = Instant::now();
        for second in 0..300 {
            let attempt = patience.next(lost + second * SECOND, None).unwrap();
            assert_eq!((attempt.number, attempt.left), (second + 1, (300 - second) * SECOND));
        }
        assert_eq!(patience.next(lost + 300 * SECOND, None), None);
        patience.renew();
        let attempt = patience.next(lost + 400 * SECOND, None).unwrap();
        assert_eq!((attempt.number, attempt.left), (1, 300 * SECOND));
    }

    #[test]
    fn answer_to_another_connection_is_progress() {
        let mut patience = Patience::new(10 * SECOND, None);
        let lost = Instant::now();
        assert!(patience.next(lost, None).is_some());
        let heard = Some(lost + 8 * SECOND);
        assert_eq!(patience.next(lost + 12 * SECOND, heard).unwrap().left, 6 * SECOND);
        assert_eq!(patience.next(lost + 18 * SECOND, heard), None);
        // An answer from before the loss counts for nothing.
        let mut patience = Patience::new(10 * SECOND, None);
        assert_eq!(patience.next(lost + 9 * SECOND, Some(lost)).unwrap().left, 10 * SECOND);
    }

    #[test]
    fn number_of_attempts_ends_them_earlier() {
        let mut patience = Patience::new(300 * SECOND, Some(2));
        let now = Instant::now();
        assert_eq!(patience.next(now, None).unwrap().of, Some(2));
        assert!(patience.next(now, None).is_some());
        assert_eq!(patience.next(now, None), None);
    }

    #[test]
    fn no_time_is_no_attempt() {
        assert_eq!(Patience::new(Duration::ZERO, None).next(Instant::now(), None), None);
    }
}
