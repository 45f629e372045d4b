//! Errors of sources that change while a run goes on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// A source is not the one that the run began with.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Adrift {
    /// A process may still be in a directory that has been removed; the directory looks empty then.
    #[error("this directory has been removed, and nobody knows what it would hold now")]
    Removed,
    /// Another directory, or none, is at its path.
    #[error("gone or another since this began")]
    Another,
    /// Entries below it are to be sent, and it was no directory when the run began.
    #[error("not a directory")]
    NoDirectory,
    /// The same state of a directory below the source.
    #[error(
        "gone or another since this began: moved, replaced, mounted or unmounted; nothing more is removed"
    )]
    Below,
    /// The directory of an entry is not the one in which the walk has found the entry.
    #[error(
        "its directory was replaced while haul ran; nothing of the other one is sent or removed; run it again"
    )]
    Replaced,
    /// The same of a directory that is there, and whose file system gives other numbers to directories while haul runs.
    #[error(
        "the file system has renumbered its directory while haul ran, so haul can't tell it from another one; nothing of it \
         is sent or removed; put, and sync without --delete, send it"
    )]
    Renumbered,
    /// A file system was mounted below it and is not any more, or the other way round.
    #[error("what is mounted at {path} has come, is gone or another since this began", path = .0.display())]
    Unmounted(PathBuf),
    /// A directory below it lacks entries that it may have had when this began.
    #[error(
        "changed while haul ran, so what it lacks may have been moved; nothing more of it is removed; the next run \
         removes what is not there then"
    )]
    Changed,
    /// Each time that it was read, its entries have changed before the run was over.
    #[error(
        "changed each of the {0} times that haul looked through it; run it when nothing changes it"
    )]
    Restless(usize),
    /// Its entries could not be read.
    #[error("could not be read")]
    Unreadable,
    /// The system does not tell the source's state.
    #[error("could not look at: {0}")]
    Unknown(#[source] Arc<io::Error>),
}

impl Adrift {
    /// The error for a system that does not tell the source's state.
    pub(crate) fn unknown(error: io::Error) -> Self {
        Self::Unknown(Arc::new(error))
    }
}
