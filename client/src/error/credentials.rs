//! Reasons why a token can't be used or kept.

use std::io;
use std::path::PathBuf;

use haul_protocol::AccessTokenError;
use thiserror::Error;

use super::system::words;
use super::trust::KnownError;

/// A token can't be found, used or kept. No text of these has anything of a token in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file can't be read.
    #[error("could not read {}: {}", .path.display(), words(.source))]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file or its directory can't be written, or the environment names no directory.
    #[error(transparent)]
    Directory(#[from] KnownError),
    /// The file is open to other users.
    #[error(
        "other users may read or write {path}, which has tokens, so haul uses none of them: chmod 600 {path}; if others may \
         have read it, ask for new tokens", path = .0.display()
    )]
    Open(PathBuf),
    /// The file is another user's.
    #[error("{} belongs to another user, so haul takes no token from it", .0.display())]
    Foreign(PathBuf),
    /// The text in the place of a token is none.
    #[error("{place}: {source}")]
    Malformed {
        /// The variable, or the file and its line.
        place: String,
        /// The error, which does not repeat the text.
        source: AccessTokenError,
    },
    /// A destination names an account, and no token of it is there.
    #[error("no token of {account} is stored for {server}: haul login {account}@{server}")]
    Missing {
        /// The account.
        account: String,
        /// The server.
        server: String,
    },
    /// A destination names no account, and there are tokens of several.
    #[error(
        "for {server} the tokens of {} are stored: write which account is meant, as in {}@{server}", .accounts.join(", "),
        .accounts.first().map_or("ACCOUNT", String::as_str)
    )]
    Several {
        /// The accounts.
        accounts: Vec<String>,
        /// The server.
        server: String,
    },
}

impl CredentialsError {
    /// Whether `haul login` would help, and nothing else is wrong.
    #[must_use]
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}
