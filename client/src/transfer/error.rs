//! Reasons why a transfer can't begin, or did not come to its end.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::outcome::Report;
use crate::error::ConnectionError;
use crate::error::credentials::CredentialsError;
use crate::error::receipt::ReceiptError;
use crate::plan::PlanError;
use crate::source::filter::FilterError;

/// The wishes for a transfer make no sense together, or a file that they name can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No task is given.
    #[error("there is nothing to do: put, sync, verify or publish")]
    NoTask,
    /// A list of sources with nothing in it.
    #[error("there is no source, so nothing would be sent")]
    NoSources,
    /// One wish excludes another one.
    #[error("`{0}` does not go with `{1}`")]
    Conflict(&'static str, &'static str),
    /// Not a number of connections.
    #[error("{0} is not a number of connections from 1 to 64")]
    Connections(usize),
    /// A server that may not be silent for any time.
    #[error("the timeout is no time at all")]
    Timeout,
    /// So slow that a server would give up.
    #[error("less than 1 KB a second, for which no server waits")]
    Rate,
    /// Sources outside of the one that was given would be removed.
    #[error(
        "--remove-source would remove what links lead to, outside of SRC: not with --links follow"
    )]
    RemovesFollowed,
    /// Entries of one source would be removed because another one lacks them.
    #[error(
        "--delete with several SRC: `{path}` becomes DEST itself, where it would remove what the others send; \
         write each SRC without a slash, or leave --delete out", path = .0.display()
    )]
    DeletesUnion(PathBuf),
    /// Entries of one source would be told as extra because another one lacks them.
    #[error(
        "verify with several SRC: `{path}` is DEST itself, where entries of the others would be told as extra; \
         write each SRC without a slash if it was sent so, or verify one at a time", path = .0.display()
    )]
    VerifiesUnion(PathBuf),
    /// A version of the server's root.
    #[error(
        "publish gives a directory its next version, and the server's root is none: HOST/DIR, or HOST:DIR over ssh"
    )]
    PublishesRoot,
    /// A version of something else than a directory.
    #[error("there is no directory {}, of which to publish the contents", .0.display())]
    NoDirectory(PathBuf),
    /// A version of which only some names are sent.
    #[error("--files-from names single files, and a version is a whole directory")]
    PublishesNames,
    /// Links of a server are to be followed.
    #[error("a server reads no file through a symlink: --links copy or skip")]
    FollowsAtServer,
    /// Sources at several servers, or of several accounts.
    #[error(
        "the sources are at {0} and at {1}: haul gets from one server, as one account, at a time"
    )]
    TwoServers(String, String),
    /// One name for several sources.
    #[error("--as takes a single SRC")]
    RenamesMany,
    /// Two sources with one name here.
    #[error("two SRC would both become `{}` here; get one of them into another directory", .0.display())]
    SameName(PathBuf),
    /// An account at a server of the classic dialect.
    #[error("a classic server knows no accounts: write {0}")]
    ClassicAccount(String),
    /// The token of the account can't be used, or is not there.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The sources make no sense together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The rules that say what is left out can't be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The receipt can't be written.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

/// A run did not come to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The server could not be reached, or was lost for good.
    #[error("{source}")]
    Connection {
        /// The last error of the last connection.
        source: ConnectionError,
        /// The report of the run up to then.
        report: Box<Report>,
    },
    /// The run was stopped while it read sources that can be read only once. Nothing was sent.
    #[error("stopped before anything was sent")]
    Stopped,
    /// This machine has no threads or no random numbers.
    #[error(transparent)]
    System(#[from] io::Error),
}
