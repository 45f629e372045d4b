//! Errors of files of rules.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::system::words;

/// Rules can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The rules of a file that the user has named.
    #[error("could not read the rules in {path}: {}", words(source), path = path.display())]
    Named {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The rules of a directory.
    #[error(
        "nothing in this directory is sent: could not read the rules in {path}: {}; mend or remove that file",
        words(source), path = path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The rules are others than those that the walk has gone by.
    #[error("{path} has changed while haul ran; run it again", path = .0.display())]
    Changed(PathBuf),
    /// The client may not even see whether a directory has rules.
    #[error("could not read: {}", words(.0))]
    Closed(#[source] io::Error),
}

impl RulesError {
    /// Whether the rules can be used, but are not those that the walk has gone by.
    #[must_use]
    pub(crate) fn is_changed(&self) -> bool {
        matches!(self, Self::Changed(_))
    }
}
