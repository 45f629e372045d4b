//! Errors of one file.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use haul_protocol::{Code, Refusal};
use thiserror::Error;

use super::adrift::Adrift;
use super::receipt::ReceiptError;
use super::refused::Refused;
use super::rules::RulesError;
use super::system::words;
use super::target::TargetError;

/// One file did not arrive. The others go on.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum FileError {
    /// This machine could not read the source.
    #[error("could not {op}: {}", words(source))]
    Local {
        /// The operation.
        op: &'static str,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The source is not the one that the run began with.
    #[error(transparent)]
    Adrift(#[from] Adrift),
    /// This machine could not take it from the server.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A list of names could not be read to its end.
    #[error(transparent)]
    List(Arc<io::Error>),
    /// The file arrived, but its digest could not be written down.
    #[error("arrived, but is not in the receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// The file arrived, and this machine could not remove the source.
    #[error("arrived, but could not be removed here: {}", words(.0))]
    NotRemoved(#[source] Arc<io::Error>),
    /// Another reason, in words.
    #[error("{0}")]
    Other(Cow<'static, str>),
    /// The rules of its directory can't be read, so haul does not know which entries they leave out.
    #[error(transparent)]
    Rules(Arc<RulesError>),
    /// The source was written to meanwhile, every time that it was read.
    #[error("changed while it was read; send it again when nothing writes to it")]
    Changed,
    /// Its bytes are fewer or more than its size, which it nevertheless has still.
    #[error("has another size than it says; its file system makes it up")]
    Size,
    /// Its name can't be sent.
    #[error(transparent)]
    Name(#[from] haul_protocol::NameError),
    /// The server refused it.
    #[error("{}", Refused(.0))]
    Refused(Refusal),
    /// A newer run sends the file, and the server takes it from that run.
    #[error(
        "a newer run sends this file, with what was there already; this run leaves it to that one"
    )]
    TakenOver,
    /// The connection was lost, again and again, while this waited for its answer before all others.
    #[error("the connection was lost {} while this waited for its answer: {reason}", times_in_words(*.times))]
    Lost {
        /// The number of losses.
        times: u32,
        /// The failure of the last connection.
        reason: String,
    },
    /// The file is named in a list, and a symlink leads to it.
    #[error("{} is a symlink, through which haul goes only with --links follow", .0.display())]
    Through(PathBuf),
    /// `--remove-source` gave it that name.
    #[error(
        "left by a run of haul --remove-source that was killed, as its name tells; give the file its old name again"
    )]
    Aside,
    /// An earlier source of the run has an entry of its name at the server, and one of both is no directory.
    #[error(
        "another source has {0} as well, which is sent; this one is not, as only one can be there"
    )]
    SameName(String),
    /// The source was to be removed here, and another source has another file or symlink of its name at the server.
    #[error(
        "arrived, but is not removed here: {} gets the same name, or may, and would take its place; rename one of them",
        .0.display()
    )]
    Namesake(PathBuf),
    /// The source is named and of a kind that is not sent.
    #[error("{0}, which can't be sent")]
    NoFile(&'static str),
    /// The bytes of a stream could not be kept in a temporary file.
    #[error(
        "could not keep it in {place} until it is sent (TMPDIR names another place): {}",
        words(source), place = place.display()
    )]
    Spool {
        /// The directory of temporary files.
        place: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The rest of the command's output is not known.
    #[error("the command failed ({0}), so nothing that it wrote is stored")]
    Command(ExitStatus),
    /// Entries of a directory at the server have names that the protocol can't say.
    #[error(
        "{} in it can't be named in a request (a path has at most 4,096 bytes and does not begin with .haul); haul neither \
         gets nor removes such an entry",
        entries_in_words(*.0)
    )]
    Unlisted(u64),
    /// The server has no entry of that name.
    #[error("no such entry at the server")]
    NotThere,
    /// The bytes that arrived are not those of their digest, every time that they were asked for.
    #[error("arrived damaged; the file here is as it was. Get it again")]
    Damaged,
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
    pub(crate) fn local(op: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Local { op, source: Arc::new(source) }
    }

    /// Whether the parts that the server has staged of a large file are of no use to a later run
    /// either.
    #[must_use]
    pub(crate) fn spoils_upload(&self) -> bool {
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
    pub(crate) fn is_vanished(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Self::Local { source, .. } if matches!(source.kind(), NotFound | NotADirectory))
    }

    /// Whether its directory is another one since it was found.
    #[must_use]
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self, Self::Adrift(Adrift::Replaced | Adrift::Renumbered))
    }

    /// Whether an entry of another kind stands in the way at the server.
    #[must_use]
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == Code::Conflict)
    }

    /// Whether the server's disk, the account's part of it, or a disk of this machine has no room.
    #[must_use]
    pub(crate) fn is_full_disk(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(refusal.code, Code::NoSpace | Code::Quota),
            Self::Target(TargetError::FullOfParts { .. }) => true,
            _ => self.is_full_target(),
        }
    }

    /// Whether the way to it leads out of the server's root, or over a symlink.
    #[must_use]
    pub(crate) fn is_escape(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == Code::Escape)
    }

    /// Whether sending the same thing again can help: the one place that decides it.
    #[must_use]
    pub(crate) fn retry(&self, is_directory: bool) -> Retry {
        match self {
            Self::Changed => Retry::Now(3),
            // Then it is read to its end first.
            Self::Size => Retry::Now(2),
            Self::Damaged => Retry::Now(3),
            // Other clients have all of the server's places.
            Self::Refused(refusal) if refusal.code == Code::Busy => {
                Retry::Later(Duration::from_millis(250))
            }
            // A read-only directory of an earlier upload may be opened up by a request that is still
            // on its way; directories in directories take one round for each level.
            Self::Refused(refusal) if refusal.code == Code::Permission => {
                Retry::Last(if is_directory { 64 } else { 2 })
            }
            // The parts that the server holds are not the file's; if sent again from the start, they
            // may be.
            Self::Refused(refusal) if refusal.code == Code::BadPart => Retry::Now(3),
            Self::Refused(refusal) if refusal.retry => Retry::Now(3),
            Self::Refused(_)
            | Self::Local { .. }
            | Self::Adrift(_)
            | Self::Target(_)
            | Self::List(_)
            | Self::Receipt(_)
            | Self::NotRemoved(_)
            | Self::Other(_)
            | Self::Rules(_)
            | Self::Through(_)
            | Self::Aside
            | Self::SameName(_)
            | Self::Namesake(_)
            | Self::Name(_)
            | Self::TakenOver
            | Self::Lost { .. }
            | Self::NoFile(_)
            | Self::Spool { .. }
            | Self::Command(_)
            | Self::Unlisted(_)
            | Self::NotThere
            | Self::TooLarge { .. } => Retry::Never,
        }
    }
}

fn entries_in_words(count: u64) -> String {
    if count == 1 { String::from("1 entry") } else { format!("{count} entries") }
}

fn times_in_words(times: u32) -> String {
    if times == 1 { String::from("once") } else { format!("{times} times") }
}

/// A failure of an entry, as the threads of a run tell it.
pub trait Failure {
    /// The same failure for the observer, who has it after the thread has gone on.
    fn into_error(self) -> FileError;
}

impl Failure for FileError {
    fn into_error(self) -> FileError {
        self
    }
}

impl Failure for Adrift {
    fn into_error(self) -> FileError {
        self.into()
    }
}

impl Failure for ReceiptError {
    fn into_error(self) -> FileError {
        self.into()
    }
}

impl Failure for &FileError {
    fn into_error(self) -> FileError {
        self.clone()
    }
}

impl Failure for &Arc<FileError> {
    fn into_error(self) -> FileError {
        FileError::clone(self)
    }
}

impl Failure for &Adrift {
    fn into_error(self) -> FileError {
        FileError::Adrift(self.clone())
    }
}

impl Failure for &&'static str {
    fn into_error(self) -> FileError {
        FileError::Other(Cow::Borrowed(self))
    }
}

impl Failure for String {
    fn into_error(self) -> FileError {
        FileError::Other(Cow::Owned(self))
    }
}

/// When to send the same thing again, and how often at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Another attempt can't help.
    Never,
    /// At once.
    Now(u32),
    /// After a pause, for as long as a lost server is tried again.
    Later(Duration),
    /// When all other entries are settled.
    Last(u32),
}
