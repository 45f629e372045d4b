//! The settings of the connections of a run, in either direction.

use std::time::Duration;

use crate::net::rate_limit::Limit;

/// How long a run tries to connect again if nobody says otherwise.
pub const RETRY_FOR: Duration = Duration::from_secs(300);

/// Time that a server may be silent unless the caller states another.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How often one request may be lost with a connection, and blamed for that, if nobody says otherwise.
const LOSSES: u32 = 10;

/// The settings of the connections of a run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Connections at once, if the user has given a number.
    pub connections: Option<usize>,
    /// Time for which the run tries to connect again, and waits for a server that is busy.
    pub retry_for: Duration,
    /// Attempts to connect again, in a row, if they are bounded; and how often one request may be lost with a connection.
    pub retries: Option<u32>,
    /// Time that the server may be silent while it owes answers.
    pub timeout: Duration,
    /// Bytes a second that all connections move at most.
    pub rate: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: None,
            retry_for: RETRY_FOR,
            retries: None,
            timeout: TIMEOUT,
            rate: None,
        }
    }
}

impl Settings {
    /// How often one request may be lost with a connection, and blamed for that.
    #[must_use]
    pub fn most_losses(&self) -> u32 {
        self.retries.unwrap_or(LOSSES)
    }

    /// The bound of the bytes that all connections move.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        self.rate.map(Limit::new)
    }
}
