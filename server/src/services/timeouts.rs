//! Times for which a peer may be silent.

use std::time::Duration;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// The debt of a peer at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Owes {
    /// The next bytes of a header or a body, or the next request.
    Bytes,
    /// Reading the answers that it was sent.
    Reading,
    /// Nothing: the server does, and repeats its last ack so that the peer knows it is there.
    Nothing,
}

/// When a peer has been silent for too long, in milliseconds of the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: u64,
    /// The same when connections are scarce: a peer that asks for nothing then makes room for others.
    pub(crate) scarce: u64,
    pub(crate) owes: Owes,
}

impl Deadline {
    pub(crate) const NONE: Self = Self { at: NEVER, scarce: NEVER, owes: Owes::Bytes };

    /// `timeout` after a moment of the server's clock.
    pub(crate) fn after(moment: u64, timeout: Duration, owes: Owes) -> Self {
        Self { at: later(moment, timeout), scarce: NEVER, owes }
    }

    /// The same deadline, and `timeout` after a moment when connections are scarce.
    pub(crate) fn or_when_scarce(self, moment: u64, timeout: Duration) -> Self {
        Self { scarce: later(moment, timeout), ..self }
    }

    /// Whether the peer has been silent for too long, if nothing of it waits to be read.
    pub(crate) fn is_over(&self, now: u64, is_scarce: bool) -> bool {
        self.at <= now || (self.scarce <= now && is_scarce)
    }
}

fn later(moment: u64, timeout: Duration) -> u64 {
    moment.saturating_add(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
}

/// The longest time of each kind of silence.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// The longest time from the first byte of a header to its last. When connections are scarce, also from connecting to the first
    /// byte, and from the end of one request to the next.
    pub header: Duration,
    /// The longest pause between two pieces of a body, and between two pieces of answers that the peer reads.
    pub body: Duration,
    /// The longest pause between two requests of the haul dialect.
    pub idle: Duration,
    /// The time from the first signal to stop until transfers are cut off.
    pub grace: Duration,
}

impl Default for Timeouts {
    /// The times of `hauld`.
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            grace: Duration::from_secs(10),
        }
    }
}
