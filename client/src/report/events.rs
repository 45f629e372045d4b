//! Calls of a run's observer by the run's threads, in a queue for the observer's thread.

use std::path::PathBuf;

use haul_protocol::Name;

use super::note::Note;
use super::status::Attempt;
use crate::error::FileError;

/// Events that wait for the observer at most; then the threads of the run wait.
pub(super) const WAITING: usize = 1024;

/// One call of the observer.
#[derive(Debug)]
pub enum Event {
    FileDone(Name, u64),
    SymlinkDone(Name),
    DirectoryDone(Name),
    Adjusted(Name),
    Removed(Name),
    LeftOut(PathBuf, &'static str),
    Skipped(PathBuf, &'static str),
    Failed(PathBuf, FileError),
    Would {
        action: &'static str,
        name: Name,
        why: &'static str,
        bytes: Option<u64>,
    },
    Differs {
        finding: &'static str,
        name: Name,
        why: Option<&'static str>,
    },
    Reconnecting(Attempt, String),
    Note(Note),
    /// The thread looks whether it is to do anything else.
    Look,
    /// The run is over.
    End,
}
