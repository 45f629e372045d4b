//! What goes wrong: on this machine, on the way, or at the server's word.

pub mod rules;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use haul_protocol::{ClientError, Code, DecodeError, Refusal};
use thiserror::Error;

use rules::RulesError;

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
    /// The rules of its directory can't be read, so haul does not know which entries they leave out.
    #[error("{0}")]
    Rules(Arc<RulesError>),
    /// The source was written to meanwhile, every time that it was read.
    #[error("changed while it was read; send it again when nothing writes to it")]
    Changed,
    /// Its bytes are fewer or more than its size, which it nevertheless has still.
    #[error("has another size than it says; its file system makes it up")]
    Size,
    /// Its name can't be sent.
    #[error("{0}")]
    Name(#[from] haul_protocol::NameError),
    /// The server refused it.
    #[error("refused by the server: {0}")]
    Refused(Refusal),
    /// The server takes it from somebody else now.
    #[error(
        "a newer run sends this file, with what was there already; this run leaves it to that one"
    )]
    TakenOver,
    /// The connection was lost, again and again, while this waited for its answer before all others.
    #[error("the connection was lost {times} times while this was sent, the last time: {reason}")]
    Lost {
        /// How often.
        times: u32,
        /// What was wrong with the connection.
        reason: String,
    },
    /// It is named in a list, and a symlink leads to it.
    #[error("{} is a symlink, through which haul goes only with --links follow", .0.display())]
    Through(PathBuf),
    /// `--remove-source` gave it that name.
    #[error(
        "left by a run of haul --remove-source that was killed, as its name tells; give the file its old name again"
    )]
    Aside,
    /// Another source of the run has a file or symlink of its name at the server.
    #[error(
        "another source has {0} as well, which is sent; this one is not, as only one can be there"
    )]
    SameName(String),
    /// It was to be removed here, and another source has another file or symlink of its name at the server.
    #[error(
        "arrived, but is not removed here: {} gets the same name, or may, and would take its place; rename one of them",
        .0.display()
    )]
    Namesake(PathBuf),
    /// It is named and of a kind that is not sent.
    #[error("{0}, which can't be sent")]
    NoFile(&'static str),
    /// The bytes of a stream could not be kept in a temporary file.
    #[error(
        "could not keep it in {place} until it is sent (TMPDIR names another place): {source}",
        place = place.display()
    )]
    Spool {
        /// Where temporary files are.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing is known of the rest of what it wrote.
    #[error("the command failed ({0}), so nothing that it wrote is stored")]
    Command(ExitStatus),
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

    /// Whether what the server has staged of a large file is of no use to a later run either.
    #[must_use]
    pub fn spoils_upload(&self) -> bool {
        match self {
            Self::Changed | Self::Size => true,
            Self::Refused(refusal) => {
                matches!(refusal.code, Code::DigestMismatch | Code::BadPart)
            }
            _ => false,
        }
    }

    /// Whether the source is gone since it was found.
    #[must_use]
    pub fn is_vanished(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Self::Local { source, .. } if matches!(source.kind(), NotFound | NotADirectory))
    }

    /// Whether something of another kind stands in the way at the server.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == Code::Conflict)
    }

    /// Whether the way to it leads out of the server's root, or over a symlink.
    #[must_use]
    pub fn is_escape(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == Code::Escape)
    }

    /// Whether sending the same thing again can help: the one place that decides it.
    #[must_use]
    pub fn retry(&self, is_directory: bool) -> Retry {
        match self {
            Self::Changed => Retry::Now(3),
            // Then it is read to its end first.
            Self::Size => Retry::Now(2),
            // Others have all of the server's places.
            Self::Refused(refusal) if refusal.code == Code::Busy => {
                Retry::Later(1200, Duration::from_millis(250))
            }
            // A read-only directory of an earlier upload may be opened up by a request that is still
            // on its way; directories in directories take one round for each level.
            Self::Refused(refusal) if refusal.code == Code::Permission => {
                Retry::Last(if is_directory { 64 } else { 2 })
            }
            // What the server holds of the file is not the file; from the start it may be.
            Self::Refused(refusal) if refusal.code == Code::BadPart => Retry::Now(3),
            Self::Refused(refusal) if refusal.retry => Retry::Now(3),
            Self::Refused(_)
            | Self::Local { .. }
            | Self::Rules(_)
            | Self::Through(_)
            | Self::Aside
            | Self::SameName(_)
            | Self::Name(_)
            | Self::TakenOver
            | Self::Lost { .. }
            | Self::NoFile(_)
            | Self::Spool { .. }
            | Self::Command(_)
            | Self::Namesake(_)
            | Self::TooLarge { .. } => Retry::Never,
        }
    }
}

/// When to send the same thing again, and how often at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It can't help.
    Never,
    /// At once.
    Now(u32),
    /// After a pause.
    Later(u32, Duration),
    /// When everything else is settled.
    Last(u32),
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
    #[error("the connection to the server broke: {0}")]
    Lost(io::Error),
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
        "no answer to `hello` in {0} seconds: the server is stopped, full or no haul server; a \
         classic server never answers: for one, use --classic"
    )]
    NoHello(u64),
    /// Closed before `hello` was answered.
    #[error(
        "the server closed the connection without an answer to `hello`: it is stopping, or no haul \
         server; for a classic one, use --classic"
    )]
    ClosedAtHello,
    /// What came in answer to `hello` is of another protocol.
    #[error("this is no haul server: {0}")]
    NotHaul(DecodeError),
    /// The server ended the connection with a reason.
    #[error("the server ended the connection: {0}")]
    Ended(Refusal),
    /// Every attempt to connect again failed.
    #[error("lost the server for good: {source}; {}", gave_up(*.attempts))]
    GaveUp {
        /// How often it was tried since the server last acknowledged something.
        attempts: u32,
        /// What the last attempt met.
        source: Box<Self>,
    },
    /// A request could not be put into words, which is a bug here.
    #[error("{0}")]
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
    Poller(io::Error),
    /// What came is no answer.
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
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Ended(refusal) => refusal.retry,
            // Something else answers in its place while it is away, such as a balancer.
            Self::NotHaul(_) | Self::ClosedAtHello | Self::NoHello(_) => true,
            Self::Unreachable { .. } | Self::Lost(_) | Self::Closed => true,
            Self::Silent(_) | Self::Stuck(_) => true,
            Self::GaveUp { .. }
            | Self::NotDurable(_)
            | Self::VersionGone
            | Self::Encode(_)
            | Self::Poller(_)
            | Self::Protocol(_)
            | Self::Stopped => false,
        }
    }

    /// Whether the server has too much to do, or something else with the same directory.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Ended(refusal) if refusal.code == Code::Busy)
    }
}

impl From<ClientError> for ConnectionError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotHaul(error) => Self::NotHaul(error),
            ClientError::NoHello(time) => Self::NoHello(time.as_secs()),
            ClientError::Silent(time) => Self::Silent(time),
            ClientError::Stuck(time) => Self::Stuck(time),
            broken => Self::Protocol(ProtocolError::Broken(broken)),
        }
    }
}

/// What to do when the server is lost for good.
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
pub enum ProtocolError {
    /// The server's half of the connection is not as the protocol says.
    #[error("{0}")]
    Broken(ClientError),
    /// Malformed bytes in a body.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// An answer of another kind than was asked for.
    #[error("unexpected kind of answer")]
    Kind,
    /// The answer to `open` does not fit the file.
    #[error("{0}")]
    Geometry(#[from] haul_protocol::GeometryError),
    /// A list with names in it that are not of the directory that was asked for, or not in order.
    #[error("the list of a directory has something else in it")]
    List,
    /// A limit that is too small to work with.
    #[error("its limit `{limit}` is {announced}, and at least {least} is needed")]
    Limit {
        /// The field of `hello`.
        limit: &'static str,
        /// The server's value.
        announced: u64,
        /// The least value that is of use.
        least: u64,
    },
}
