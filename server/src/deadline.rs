//! Time: how long a peer may be silent, and the one thread that minds it.

use std::sync::Arc;
use std::time::Duration;

use crate::pool::Shared;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// What a peer owes at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Owes {
    /// Its first byte. Counts only when connections are scarce: until then the peer may be a classic
    /// user at a prompt.
    FirstByte,
    /// The next bytes of a header or a body, or the next request.
    Bytes,
    /// Reading what it was sent.
    Reading,
    /// Nothing: the server does, and repeats its last ack so that the peer knows it is there.
    Nothing,
}

/// When a peer has been silent for too long, in milliseconds of the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: u64,
    pub(crate) owes: Owes,
}

impl Deadline {
    pub(crate) const NONE: Self = Self { at: NEVER, owes: Owes::Bytes };

    /// `timeout` after a moment of the server's clock.
    pub(crate) fn after(moment: u64, timeout: Duration, owes: Owes) -> Self {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Self { at: moment.saturating_add(timeout), owes }
    }

    /// Whether the peer has been silent for too long, if nothing of it waits to be read.
    pub(crate) fn is_over(&self, shared: &Shared) -> bool {
        self.at <= shared.now() && (self.owes != Owes::FirstByte || shared.is_full())
    }
}

/// How long each kind of silence may last.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a header to its last, and from connecting to the first byte when
    /// connections are scarce.
    pub header: Duration,
    /// Between two pieces of a body, and between two pieces of answers that the peer reads.
    pub body: Duration,
    /// Between two requests of the haul dialect.
    pub idle: Duration,
    /// From the first signal to stop until transfers are cut off.
    pub grace: Duration,
}

/// How often deadlines are looked at: a scan is one atomic load a connection.
const TICK: Duration = Duration::from_millis(100);

/// Runs until the server has stopped: expires silent peers, lets listeners try again that ran out of
/// file descriptors, and ends the grace time.
pub(crate) fn run(shared: &Arc<Shared>) {
    while !shared.finished() {
        std::thread::park_timeout(TICK);
        let now = shared.now();
        let scarce = shared.is_full();
        shared.expire(now, scarce);
        shared.retry_listeners();
    }
}
