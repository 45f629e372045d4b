//! Whether more connections would make a run faster: where the line loses segments now and then, and the congestion
//! control takes each loss for a full line.

use std::time::Duration;

use crate::net::line::{Interval, PERIOD};

/// The most connections that a run has without being told a number.
pub const MOST: usize = 8;

/// Bytes a second of one connection from which losses hurt little.
const FAST: u64 = 100_000_000 / 8;

/// Segments that were sent again, on all connections together, that are more than an accident.
const LOSSES: u32 = 2;

/// A queue that a full line builds up is at least so long.
const QUEUE: Duration = Duration::from_millis(5);

/// The connections of a run, and what happened on their lines lately.
#[derive(Debug)]
pub struct More {
    connections: usize,
    /// The last interval of each connection since the last decision.
    lines: Vec<(usize, Interval)>,
}

impl More {
    /// For a run that begins with so many connections.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self { connections, lines: Vec::new() }
    }

    /// The interval of connection `number` is over. Returns the numbers of the connections that are added; the run has
    /// them from now on.
    pub fn look(&mut self, number: usize, interval: Interval) -> std::ops::Range<usize> {
        self.lines.retain(|(known, _)| *known != number);
        self.lines.push((number, interval));
        let before = self.connections;
        // Each decision needs an interval of every connection since the one before, so a connection that waits for
        // the server or for work lets nothing be decided.
        if self.lines.len() >= before {
            let lines: Vec<Interval> = self.lines.drain(..).map(|(_, line)| line).collect();
            self.connections += added(before, &lines);
        }
        before..self.connections
    }
}

/// How many connections are added to `connections`, whose last intervals these are: as many again, up to [`MOST`], if
/// the lines lose segments, are slow, always have bytes to send, and are not full.
fn added(connections: usize, lines: &[Interval]) -> usize {
    let retransmits: u32 = lines.iter().map(|line| line.retransmits).sum();
    let is_slow = lines.iter().all(|line| rate(line) < FAST);
    // A connection with nothing to send shows nothing of the line.
    let is_waiting = lines.iter().filter(|line| line.blocked).count() * 2 > lines.len();
    // On a full line the segments wait in a queue, and more connections would get nothing more out of it.
    let is_full = |line: &&Interval| line.round_trip > line.lowest + (line.lowest / 4).max(QUEUE);
    let is_free = lines.iter().filter(is_full).count() * 2 <= lines.len();
    match retransmits >= LOSSES && is_slow && is_waiting && is_free {
        true => connections.min(MOST.saturating_sub(connections)),
        false => 0,
    }
}

/// Bytes a second.
fn rate(line: &Interval) -> u64 {
    let millis = u64::try_from(line.time.max(PERIOD).as_millis()).unwrap_or(u64::MAX);
    line.bytes.saturating_mul(1000) / millis
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// One stream of the usual algorithm with one segment of a hundred lost, 50 ms away and back.
    const LOSSY: Interval = Interval {
        time: PERIOD,
        bytes: 330_000,
        retransmits: 3,
        round_trip: Duration::from_millis(52),
        lowest: Duration::from_millis(50),
        blocked: true,
    };

    #[test]
    fn connections_are_added_where_losses_slow_them_down() {
        assert_eq!(added(2, &[LOSSY, LOSSY]), 2);
        assert_eq!(added(4, &[LOSSY; 4]), 4);
        assert_eq!(added(5, &[LOSSY; 5]), 3);
        assert_eq!(added(1, &[LOSSY]), 1);
        assert_eq!(added(8, &[LOSSY; 8]), 0);
        assert_eq!(added(12, &[LOSSY; 12]), 0);
    }

    #[test]
    fn line_without_losses_has_enough() {
        assert_eq!(added(2, &[Interval { retransmits: 0, ..LOSSY }; 2]), 0);
        assert_eq!(added(1, &[Interval { retransmits: 1, ..LOSSY }]), 0);
    }

    #[test]
    fn fast_line_has_enough() {
        assert_eq!(added(2, &[Interval { bytes: 60_000_000, ..LOSSY }; 2]), 0);
        // The same bytes in a longer time.
        let line = Interval { bytes: 60_000_000, time: 60 * PERIOD, ..LOSSY };
        assert_eq!(added(2, &[line; 2]), 2);
    }

    #[test]
    fn full_line_has_enough() {
        let line = Interval { round_trip: 80 * MILLI, ..LOSSY };
        assert_eq!(added(2, &[line; 2]), 0);
        // A short line has no queue worth the name.
        let line = Interval { round_trip: 4 * MILLI, lowest: MILLI, ..LOSSY };
        assert_eq!(added(2, &[line; 2]), 2);
    }

    #[test]
    fn connections_without_work_need_no_company() {
        assert_eq!(added(2, &[Interval { blocked: false, ..LOSSY }, LOSSY]), 0);
        assert_eq!(added(3, &[Interval { blocked: false, ..LOSSY }, LOSSY, LOSSY]), 3);
    }

    #[test]
    fn decision_waits_for_every_connection() {
        let mut more = More::new(2);
        assert!(more.look(0, LOSSY).is_empty() && more.look(0, LOSSY).is_empty());
        assert_eq!(more.look(1, LOSSY), 2..4);
        for number in 0..3 {
            assert!(more.look(number, LOSSY).is_empty());
        }
        assert_eq!(more.look(3, LOSSY), 4..8);
        for number in 0..8 {
            assert!(more.look(number, LOSSY).is_empty());
        }
    }
}
