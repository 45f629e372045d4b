//! Time that a client waits for a server that owes answers, by the signs of life that the server gives.
//!
//! A server with a slow disk repeats its last ack, so that it doesn't look dead (PROTOCOL.md, section 5.3). But
//! repeats and pieces of an answer keep a connection only so long: a server that is stuck, or means harm, could
//! send them for ever.

use core::time::Duration;

use super::time::Time;
use crate::error::ClientError;

/// Number of timeouts for which signs of life count while no request is answered.
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
    heard: Time,
    /// The server last answered a request, or took bytes of one.
    advanced: Time,
    /// Acks since then that confirm nothing new.
    repeats: u64,
    /// The time in which the server reads the files that it was asked about.
    reading: Duration,
}

impl Silence {
    /// A server that owes no answer yet.
    pub(crate) fn new(timeout: Duration, now: Time) -> Self {
        Self { timeout, heard: now, advanced: now, repeats: 0, reading: Duration::ZERO }
    }

    /// From now on the server owes an answer, which it did not before.
    pub(crate) fn expect(&mut self, now: Time) {
        (self.heard, self.advanced) = (now, now);
        self.reading = Duration::ZERO;
    }

    /// The server has to read so many bytes before it can answer.
    pub(crate) fn reads(&mut self, bytes: u64) {
        self.reading = self.reading.saturating_add(Duration::from_secs(bytes / READS));
    }

    /// The server, or its system, gives a sign of life.
    pub(crate) fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// The server answers a request, or takes bytes of one. Neither goes on without end, because the window bounds both.
    pub(crate) fn advanced(&mut self, now: Time) {
        self.advanced = now;
        self.repeats = 0;
    }

    /// An ack confirms nothing new.
    ///
    /// # Errors
    /// If there are too many of them in that time.
    pub(crate) fn repeated(&mut self, now: Time) -> Result<(), ClientError> {
        self.repeats += 1;
        let most = REPEATS + now.since(self.advanced).as_secs();
        if self.repeats > most { Err(ClientError::Repeats) } else { Ok(()) }
    }

    /// When the client has waited long enough.
    pub(crate) fn deadline(&self) -> Time {
        self.heard.after(self.timeout).min(self.advanced.after(self.longest()))
    }

    /// The server's failure, once [`deadline`](Self::deadline) has passed.
    pub(crate) fn error(&self, now: Time) -> ClientError {
        if now >= self.heard.after(self.timeout) {
            ClientError::Silent(self.timeout)
        } else {
            ClientError::Stuck(self.longest())
        }
    }

    fn longest(&self) -> Duration {
        self.timeout.saturating_mul(LONGEST).saturating_add(self.reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn silence() -> (Silence, Time) {
        let now = Time::from_millis(1);
        (Silence::new(10 * SECOND, now), now)
    }

    #[test]
    fn server_that_repeats_its_last_ack_every_five_seconds_is_waited_for_but_not_for_ever() {
        let (mut silence, start) = silence();
        for repeat in 1..120 {
            let now = start.after(5 * repeat * SECOND);
            assert!(silence.deadline() > now, "after {repeat}");
            silence.heard(now);
            assert_eq!(silence.repeated(now), Ok(()));
        }
        let end = start.after(600 * SECOND);
        silence.heard(end);
        assert_eq!(silence.deadline(), end);
        assert_eq!(silence.error(end), ClientError::Stuck(600 * SECOND));
        silence.advanced(end);
        assert_eq!(silence.deadline(), end.after(10 * SECOND));
    }

    #[test]
    fn server_that_reads_files_is_waited_for_longer() {
        let (mut silence, start) = silence();
        silence.reads(1 << 40);
        let (mut now, hour) = (start, 3600 * SECOND);
        while now < start.after(60 * hour) {
            silence.heard(now);
            assert_eq!(silence.repeated(now), Ok(()));
            assert!(silence.deadline() > now);
            now = now.after(5 * SECOND);
        }
        silence.expect(now);
        now = now.after(600 * SECOND);
        silence.heard(now);
        assert!(silence.deadline() <= now, "that was for the earlier request");
    }

    #[test]
    fn silent_server_is_given_up_after_the_timeout() {
        let (mut silence, start) = silence();
        let end = start.after(10 * SECOND);
        assert_eq!(silence.deadline(), end);
        assert_eq!(silence.error(end), ClientError::Silent(10 * SECOND));
        silence.heard(end);
        assert_eq!(silence.deadline(), end.after(10 * SECOND));
    }

    #[test]
    fn flood_of_repeated_acks_is_an_error() {
        let (mut silence, start) = silence();
        for _ in 0..REPEATS {
            assert_eq!(silence.repeated(start), Ok(()));
        }
        assert_eq!(silence.repeated(start), Err(ClientError::Repeats));
        silence.advanced(start);
        assert_eq!(silence.repeated(start), Ok(()));
    }
}
