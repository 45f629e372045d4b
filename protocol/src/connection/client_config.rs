//! The bounds of a client's half.

use core::time::Duration;

use crate::limits::{MIN_PART_LEN, WINDOW_BYTES, WINDOW_REQUESTS};

/// Limits of the client's own, besides those of the server.
#[derive(Debug, Clone, Copy)]
pub struct ClientConfig {
    /// Time that the server may take to answer `hello`.
    pub hello: Duration,
    /// Time that the server may be silent while it owes an answer. While the server gives signs of life but answers
    /// nothing, the client waits for sixty times as long, and longer if the server has files to read.
    pub timeout: Duration,
    /// Time without a byte after which the client sends a `ping`, so that the server and the network keep the
    /// connection.
    pub idle: Duration,
    /// Requests that may be unanswered: the book keeps one `T` for each.
    pub window_requests: u64,
    /// Bytes of unanswered bodies: those are sent again if the connection is lost.
    pub window_bytes: u64,
    /// The longest body that the client sends of its own accord. A server that takes less is of no use.
    pub longest_body: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            window_requests: 4 * WINDOW_REQUESTS,
            window_bytes: 8 * WINDOW_BYTES,
            longest_body: 2 * MIN_PART_LEN,
        }
    }
}
