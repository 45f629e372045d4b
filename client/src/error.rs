//! What goes wrong: on this machine, on the way, or at the server's word.

use std::io;

use haul_protocol::{DecodeError, OrderError, Refusal};
use thiserror::Error;

/// One file did not arrive. The others go on.
#[derive(Debug, Error)]
pub enum FileError {
    /// This machine could not read the source.
    #[error("could not {op}: {source}")]
    Local {
        /// The operation.
        op: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The source was written to meanwhile, every time that it was read.
    #[error("changed while it was read; send it again when nothing writes to it")]
    Changed,
    /// Its name can't be sent.
    #[error("{0}")]
    Name(#[from] haul_protocol::NameError),
    /// The server refused it.
    #[error("refused by the server: {0}")]
    Refused(Refusal),
    /// Larger than the server takes.
    #[error("{size} bytes are over the server's limit of {max}")]
    TooLarge {
        /// The file's size.
        size: u64,
        /// The announced limit.
        max: u64,
    },
}

impl FileError {
    /// For `map_err`: an error of this machine in `op`.
    pub fn local(op: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Local { op, source }
    }

    /// Whether sending the same file again soon can help: the one place that decides it.
    #[must_use]
    pub fn retry(&self) -> bool {
        match self {
            Self::Changed => true,
            Self::Refused(refusal) => refusal.retry,
            Self::Local { .. } | Self::Name(_) | Self::TooLarge { .. } => false,
        }
    }
}

/// The server can't be reached, or not any more.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// No address of the server answered.
    #[error("could not reach {server}: {source}")]
    Unreachable {
        /// The server as given.
        server: String,
        /// What the last address said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("lost the server: {0}")]
    Lost(io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server is silent.
    #[error("no word from the server for {0} seconds")]
    Silent(u64),
    /// No answer to `hello`.
    #[error("no answer to `hello`: this is no haul server. If it is a classic one, use --classic")]
    NotHaul,
    /// The server ended the connection with a reason.
    #[error("the server ended the connection: {0}")]
    Ended(Refusal),
    /// What came is no answer.
    #[error("the server's answer makes no sense: {0}")]
    Protocol(#[from] ProtocolError),
    /// Another connection of the run failed first, or the user interrupted.
    #[error("stopped")]
    Stopped,
}

/// The server breaks the protocol.
#[derive(Debug, Error)]
pub enum ProtocolError {
    /// Malformed bytes.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// An answer nobody waits for.
    #[error("{0}")]
    Order(#[from] OrderError),
    /// An answer of another kind than was asked for.
    #[error("unexpected kind of answer")]
    Kind,
    /// The answer to `open` does not fit the file.
    #[error("{0}")]
    Geometry(#[from] haul_protocol::GeometryError),
    /// A limit below what the protocol demands.
    #[error("announced limits are too small to work with")]
    Limits,
}
