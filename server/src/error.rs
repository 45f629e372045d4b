//! Why a server can't start.

use thiserror::Error;

use crate::keys::KeyError;
use crate::net::listen::ListenError;

/// The server can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The command line asks for what isn't there.
    #[error("{0}")]
    Usage(String),
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The server's key or its certificate.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The root directory.
    #[error("{0}")]
    Root(String),
    /// A thread or a file descriptor could not be had.
    #[error("could not start: {0}")]
    Io(#[from] std::io::Error),
}
