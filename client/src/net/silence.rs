//! How long the client waits for a server that owes answers, by the signs of life that the server gives.
//!
//! A server with a slow disk repeats its last ack, so that it doesn't look dead (PROTOCOL.md, section 5.3). But
//! repeats and pieces of an answer keep a connection only so long: a server that is stuck, or means harm, could
//! send them for ever.

use std::time::{Duration, Instant};

use crate::error::{ConnectionError, ProtocolError};

/// For how many timeouts signs of life count while no request is answered.
const LONGEST: u32 = 60;

/// Bytes a second that a server reads at least, if it has to read files before it can answer.
const READS: u64 = 4 * 1024 * 1024;

/// Repeated acks that a server may send at once; after that it may send one a second.
const REPEATS: u64 = 1000;

/// The signs of life of one server.
#[derive(Debug)]
pub(crate) struct Silence {
    timeout: Duration,
    /// The server, or its system, last gave a sign of life.
    heard: Instant,
    /// The server last answered a request, or took bytes of one.
    got_on: Instant,
    /// Acks since then that confirm nothing new.
    repeats: u64,
    /// The time in which the server reads the files that it was asked about.
    reading: Duration,
}

impl Silence {
    /// Nothing is owed yet.
    pub(crate) fn new(timeout: Duration, now: Instant) -> Self {
        Self { timeout, heard: now, got_on: now, repeats: 0, reading: Duration::ZERO }
    }

    /// From now on the server owes an answer, which it did not before.
    pub(crate) fn expects(&mut self, now: Instant) {
        (self.heard, self.got_on) = (now, now);
        self.reading = Duration::ZERO;
    }

    /// The server has to read so many bytes before it can answer.
    pub(crate) fn reads(&mut self, bytes: u64) {
        self.reading = self.reading.saturating_add(Duration::from_secs(bytes / READS));
    }

    /// The server, or its system, gives a sign of life.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The server answers a request, or takes bytes of one. Neither has no end: both are bounded by the window.
    pub(crate) fn got_on(&mut self, now: Instant) {
        self.got_on = now;
        self.repeats = 0;
    }

    /// An ack confirms nothing new.
    ///
    /// # Errors
    /// If there are too many of them in that time.
    pub(crate) fn repeated(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.repeats += 1;
        let most = REPEATS + now.saturating_duration_since(self.got_on).as_secs();
        if self.repeats > most { Err(ProtocolError::Repeats) } else { Ok(()) }
    }

    /// How long to go on waiting for an answer.
    ///
    /// # Errors
    /// If the server was silent too long, or has answered nothing for too long.
    pub(crate) fn left(&self, now: Instant) -> Result<Duration, ConnectionError> {
        let longest = (self.timeout.saturating_mul(LONGEST)).saturating_add(self.reading);
        let silent = now.saturating_duration_since(self.heard);
        let stuck = now.saturating_duration_since(self.got_on);
        if silent >= self.timeout {
            return Err(ConnectionError::Silent(self.timeout));
        }
        if stuck >= longest {
            return Err(ConnectionError::Stuck(longest));
        }
        Ok((self.timeout - silent).min(longest - stuck))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn silence() -> (Silence, Instant) {
        let now = Instant::now();
        (Silence::new(10 * SECOND, now), now)
    }

    #[test]
    fn server_that_repeats_its_last_ack_every_five_seconds_is_waited_for_but_not_for_ever() {
        let (mut silence, start) = silence();
        for repeat in 1..120 {
            let now = start + 5 * repeat * SECOND;
            assert!(silence.left(now).is_ok(), "after {repeat}");
            silence.heard(now);
            silence.repeated(now).unwrap();
        }
        let end = start + 600 * SECOND;
        assert!(matches!(silence.left(end), Err(ConnectionError::Stuck(_))));
        silence.got_on(end);
        assert_eq!(silence.left(end).unwrap(), 5 * SECOND);
    }

    #[test]
    fn server_that_reads_files_is_waited_for_longer() {
        let (mut silence, start) = silence();
        silence.reads(1 << 40);
        let (mut now, hour) = (start, 3600 * SECOND);
        while now < start + 60 * hour {
            silence.heard(now);
            silence.repeated(now).unwrap();
            assert!(silence.left(now).is_ok());
            now += 5 * SECOND;
        }
        silence.expects(now);
        now += 600 * SECOND;
        silence.heard(now);
        assert!(silence.left(now).is_err(), "that was for the earlier request");
    }

    #[test]
    fn silent_server_is_given_up_after_the_timeout() {
        let (mut silence, start) = silence();
        assert_eq!(silence.left(start + 4 * SECOND).unwrap(), 6 * SECOND);
        assert!(matches!(silence.left(start + 10 * SECOND), Err(ConnectionError::Silent(_))));
        silence.heard(start + 10 * SECOND);
        assert_eq!(silence.left(start + 10 * SECOND).unwrap(), 10 * SECOND);
    }

    #[test]
    fn flood_of_repeated_acks_is_an_error() {
        let (mut silence, start) = silence();
        for _ in 0..REPEATS {
            silence.repeated(start).unwrap();
        }
        assert!(matches!(silence.repeated(start), Err(ProtocolError::Repeats)));
        silence.got_on(start);
        silence.repeated(start).unwrap();
    }
}
