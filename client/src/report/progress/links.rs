//! Whether any connection is up.

use crate::report::status::Attempt;

/// The states of the connections of a run.
#[derive(Debug, Default)]
pub(super) struct Links {
    up: usize,
    /// The highest attempt to connect again since all were lost.
    attempt: Option<Attempt>,
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
    pub(super) fn reconnecting(&mut self, attempt: u32, of: u32) -> bool {
        let news = self.up == 0 && self.attempt.is_none_or(|known| known.number < attempt);
        if news {
            self.attempt = Some(Attempt { number: attempt, of });
        }
        news
    }

    /// The number of the attempt that is under way while no connection is up.
    pub(super) fn attempt(&self) -> Option<Attempt> {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_news_once_and_while_nothing_is_up() {
        let mut links = Links::default();
        links.connected();
        links.connected();
        links.disconnected();
        assert!(!links.reconnecting(1, 10) && links.attempt().is_none());
        links.disconnected();
        assert!(links.reconnecting(1, 10) && !links.reconnecting(1, 10));
        assert!(links.reconnecting(3, 10) && !links.reconnecting(2, 10));
        assert_eq!(links.attempt(), Some(Attempt { number: 3, of: 10 }));
        links.connected();
        assert_eq!(links.attempt(), None);
    }
}
