//! The result of reading once from a transport.

use rustix::io::Errno;
use thiserror::Error;

/// The result of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// Bytes have come.
    Bytes {
        /// Bytes that are in the room.
        plain: usize,
        /// Bytes that the socket has given.
        taken: usize,
    },
    /// The peer sends no more. `cut`: a TLS peer has not said so.
    End { cut: bool },
}

/// A stream can't go on.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    /// The socket says no; `AGAIN` is no error but means that nothing has come.
    #[error(transparent)]
    Socket(#[from] Errno),
    /// The peer breaks the rules of TLS, or has no cipher suite, version or group in common with the server.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// A handshake message of several records.
    #[error("a handshake message is longer than a record")]
    Message,
    /// A key has encrypted as much as it may.
    #[error("nothing more can be encrypted")]
    Exhausted,
    /// TLS at an address that takes none.
    #[error("the address takes no TLS")]
    NoTls,
}
