//! Errors: of this machine, of the network, or by the server's word.

pub mod account;
pub mod adrift;
mod at_target;
mod cause;
pub mod credentials;
pub mod destination;
mod file;
pub mod install;
pub mod receipt;
pub(crate) mod refused;
pub mod rules;
pub mod ssh;
pub(crate) mod system;
pub mod target;
pub mod trust;

use std::io;
use std::time::Duration;

use haul_protocol::{ClientError, Code, DecodeError, Name, Refusal};
use thiserror::Error;

use account::{Lacking, OtherAccount, Unauthorized};
use refused::{Refused, advice};
use ssh::SshError;
use trust::TrustError;

pub(crate) use file::Retry;
pub use file::{Failure, FileError};

/// The server can't be reached, or not any more.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// No address of the server answered.
    #[error("could not reach {server}: {source}")]
    Unreachable {
        /// The server as given.
        server: String,
        /// The error of the last address.
        source: io::Error,
    },
    /// There is no connection over ssh, or no longer.
    #[error(transparent)]
    Ssh(Box<SshError>),
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Lost(#[source] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server is silent.
    #[error("no word from the server for {0:?}")]
    Silent(Duration),
    /// The server gives signs of life, but answers nothing.
    #[error("the server has answered nothing for {0:?}, though it is there: its disk may be stuck")]
    Stuck(Duration),
    /// No answer to `hello`.
    #[error(
        "no answer to `hello` in {0:?}: the server is stopped, full or no haul server; a \
         classic server never answers: for one, use --classic"
    )]
    NoHello(Duration),
    /// Closed before `hello` was answered.
    #[error(
        "the server closed the connection before it answered `hello`: it is stopping, or no haul server (TLS?); \
         for a classic one, use --classic"
    )]
    ClosedAtHello,
    /// The bytes that came in answer to `hello` are of another protocol.
    #[error("this is no haul server: {0}")]
    NotHaul(#[source] DecodeError),
    /// The server is not trusted, or the connection would be in clear.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// A server that the client has reached before is not trusted any more, or takes no TLS any more: what was sent before is
    /// sent.
    #[error("{}", .0.to_string().replace("nothing was sent", "nothing more was sent"))]
    Later(Box<Self>),
    /// The server takes no TLS.
    #[error(
        "{0} takes no TLS 1.3: hauld was started with --tls never or --insecure, or on loopback without --tls always, or this \
         is no haul server; nothing was sent. --insecure sends everything to it in clear"
    )]
    NoTls(String),
    /// The server has ended a connection of the classic dialect before it had closed it in order.
    #[error(
        "the server has broken off the connection, so nothing says that the file is there. It may ask for an account or take \
         only TLS, and the classic dialect has neither: leave --classic out"
    )]
    ClassicEnded,
    /// The server is on this machine, under a name that may lead elsewhere, and takes no TLS, so it gets nothing.
    #[error(
        "{server} leads to this machine now, and the server there takes no TLS. haul speaks in clear only to a name that never \
         leads elsewhere, so nothing was sent: write localhost:{port}"
    )]
    NoTlsHere {
        /// The server's host and port.
        server: String,
        /// The port.
        port: u16,
    },
    /// The TLS handshake has failed.
    #[error("the TLS handshake with {server} failed: {why}; nothing was sent")]
    Handshake {
        /// The server's host and port.
        server: String,
        /// The reason.
        why: String,
    },
    /// No answer in the TLS handshake.
    #[error(
        "no answer to the TLS handshake in {0:?}: the server is stopped, full or no haul server, or takes no TLS; a \
         classic server never answers: for one, use --classic"
    )]
    NoHandshake(Duration),
    /// Closed in the TLS handshake.
    #[error(
        "the server closed the connection in the TLS handshake: it is stopping, takes no TLS, or is no haul server"
    )]
    ClosedAtHandshake,
    /// The server ended the connection with a reason.
    #[error("the server ended the connection: {0}{advice}", advice = advice(&.0.code))]
    Ended(Refusal),
    /// Closed before the login was answered.
    #[error(
        "the server closed the connection before it answered the login: it is stopping, or too many logins from this \
         address have failed, and a minute later it answers again"
    )]
    ClosedAtLogin,
    /// The server did not take the login, or takes it no longer.
    #[error("{0}")]
    Unauthorized(Box<Unauthorized>),
    /// The token is of another account than the destination names.
    #[error("{0}")]
    OtherAccount(Box<OtherAccount>),
    /// The account lacks a right.
    #[error("{0}")]
    Lacking(Box<Lacking>),
    /// The server lets this run begin no version of the directory.
    #[error("{name}: not published: {}", Refused(.refusal))]
    NotPublished {
        /// The directory.
        name: Name,
        /// The reason.
        refusal: Refusal,
    },
    /// Every attempt to connect again failed.
    #[error("lost the server for good: {source}; {}", gave_up(*.attempts))]
    GaveUp {
        /// The number of attempts since the server last acknowledged a request.
        attempts: u32,
        /// The error of the last attempt.
        source: Box<Self>,
    },
    /// A request could not be put into words, which is a bug here.
    #[error(transparent)]
    Encode(#[from] haul_protocol::EncodeError),
    /// Acknowledgements that a loss of power may undo.
    #[error(
        "the server does not wait for its disk (durability {0}), so nothing is sent: --remove-source needs \
         a hauld with --durability group"
    )]
    NotDurable(String),
    /// The tree of this run is not there any more.
    #[error(
        "another run has begun or published a version meanwhile; nothing of this one is; run it again"
    )]
    VersionGone,
    /// The system gave no means to wait for a connection.
    #[error("could not wait for a connection: {0}")]
    Poller(#[source] io::Error),
    /// The server works in too small pieces.
    #[error(
        "this haul can't work with a server whose limit `{limit}` is {announced}: it needs {least} or more"
    )]
    Limit {
        /// The limit's field in the answer to `hello`.
        limit: &'static str,
        /// The server's value.
        announced: u64,
        /// The least value that haul works with.
        least: u64,
    },
    /// The server lacks the feature `get`.
    #[error("this server gives no files back: it lacks the feature `get`, as an older hauld does")]
    GivesNothingBack,
    /// The server speaks another version of the protocol than it was asked for.
    #[error("this haul can't work with the server: it answers with version {0} of the protocol")]
    Version(u64),
    /// The bytes from the server are no answer.
    #[error("the server's answer makes no sense: {0}")]
    Protocol(#[from] ProtocolError),
    /// Another connection of the run failed first, or the user interrupted.
    #[error("stopped")]
    Stopped,
}

impl ConnectionError {
    /// Whether a server that has been reached before may be there again later: the one place that
    /// decides it.
    #[must_use]
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Ended(refusal) | Self::NotPublished { refusal, .. } => refusal.retry,
            Self::Later(error) => error.is_lost(),
            Self::Ssh(error) => error.is_lost(),
            // A balancer or the like answers in the server's place while the server is away.
            Self::NotHaul(_) | Self::ClosedAtHello | Self::ClosedAtLogin | Self::NoHello(_) => true,
            Self::NoTls(_) | Self::ClosedAtHandshake | Self::NoHandshake(_) => true,
            Self::Unreachable { .. } | Self::Lost(_) | Self::Closed => true,
            Self::Silent(_) | Self::Stuck(_) => true,
            // Another attempt counts as one more login that has failed.
            Self::Unauthorized(_) | Self::OtherAccount(_) | Self::Lacking(_) => false,
            Self::GaveUp { .. }
            | Self::NoTlsHere { .. }
            | Self::ClassicEnded
            | Self::NotDurable(_)
            | Self::VersionGone
            | Self::Encode(_)
            | Self::Poller(_)
            | Self::Protocol(_)
            | Self::Limit { .. }
            | Self::GivesNothingBack
            | Self::Version(_)
            | Self::Untrusted(_)
            | Self::Handshake { .. }
            | Self::Stopped => false,
        }
    }

    /// Whether Ctrl-C may be the reason: it also reaches the ssh that haul has started.
    #[must_use]
    pub(crate) fn may_be_ctrl_c(&self) -> bool {
        match self {
            Self::Stopped => true,
            Self::Ssh(error) => !error.is_answered(),
            Self::GaveUp { source, .. } => source.may_be_ctrl_c(),
            _ => false,
        }
    }

    /// The error of a connection whose server had answered another one before. `was_reached`: it had.
    #[must_use]
    pub(crate) fn later(self, was_reached: bool) -> Self {
        match self {
            Self::Untrusted(_) | Self::NoTls(_) | Self::Handshake { .. } if was_reached => {
                Self::Later(Box::new(self))
            }
            error => error,
        }
    }

    /// The error of a run. `has_large`: large files were on their way.
    #[must_use]
    pub(crate) fn of_run(mut self, has_large: bool) -> Self {
        if let Self::Unauthorized(error) = &mut self {
            error.has_large = has_large;
        }
        self
    }

    /// Whether the server has too much to do, or another client is at work on the same directory.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Ended(refusal) | Self::NotPublished { refusal, .. }
            if refusal.code == Code::Busy)
    }
}

impl From<SshError> for ConnectionError {
    fn from(error: SshError) -> Self {
        Self::Ssh(Box::new(error))
    }
}

impl From<ClientError> for ConnectionError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotHaul(error) => Self::NotHaul(error),
            ClientError::NoHello(time) => Self::NoHello(time),
            ClientError::Silent(time) => Self::Silent(time),
            ClientError::Stuck(time) => Self::Stuck(time),
            ClientError::Limit { limit, announced, least } => {
                Self::Limit { limit, announced, least }
            }
            ClientError::Version { answered, .. } => Self::Version(answered),
            broken => Self::Protocol(ProtocolError::Broken(broken)),
        }
    }
}

/// Advice for a server that is lost for good.
fn gave_up(attempts: u32) -> String {
    let tried = match attempts {
        0 => String::new(),
        1 => String::from("1 attempt to reconnect failed; "),
        _ => format!("{attempts} attempts to reconnect failed; "),
    };
    format!("{tried}run the same command again, it goes on where this one stopped")
}

/// The server breaks the protocol.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Malformed bytes in a body.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The server's half of the connection is not as the protocol says.
    #[error(transparent)]
    Broken(ClientError),
    /// An answer of another kind than was asked for.
    #[error("unexpected kind of answer")]
    Kind,
    /// The answer to `open` does not fit the file.
    #[error(transparent)]
    Geometry(#[from] haul_protocol::GeometryError),
    /// The answer to `open` has parts that are longer than any body that the server takes.
    #[error("it wants parts of {part_size} bytes, over its own limit `max_body` of {max_body}")]
    PartSize {
        /// The size of the parts.
        part_size: u64,
        /// The limit.
        max_body: u64,
    },
    /// The answer to `check` or `adopt` does not have one letter for each entry.
    #[error("it has {letters} letters for {entries} entries")]
    Letters {
        /// The letters of the answer.
        letters: usize,
        /// The entries of the request.
        entries: usize,
    },
    /// A list with names in it that are not of the directory that was asked for, or not in order.
    #[error("the list of a directory has something else in it")]
    List,
    /// An answer with files that are not those that were asked for, or not whole.
    #[error("the answer with files is not what was asked for")]
    Fetched,
}
