//! Errors of entries that this machine is to get from a server.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::system::words;

/// This machine could not take an entry from the server. What stood in its place is as it was.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The system said no.
    #[error("could not {op}: {}{}", words(source), advice(source))]
    System {
        /// The operation.
        op: &'static str,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The system has no room, and parts of files that have not come whole take some.
    #[error(
        "{error}; the files .haul-arrives-p* in {} take room, too: they are parts with which haul goes on",
        directory.display()
    )]
    FullOfParts {
        /// The system's error, in words.
        error: String,
        /// The directory that they are in.
        directory: PathBuf,
    },
    /// An entry that does not make way has its name here.
    #[error("{0} is in its place on this machine; move that away, or name another directory")]
    InTheWay(&'static str),
    /// The directory that it was to come into was removed meanwhile.
    #[error("its directory was removed while files came; run the same command again")]
    Removed,
    /// The directory that files came into is not there any more.
    #[error(
        "it was removed or moved away while files came into it, and nothing more is done in it; put it back, or run the same command again"
    )]
    GoneDirectory,
    /// Another directory stands where files came into one.
    #[error(
        "another directory is here now, or is mounted here, than the one that files came into; nothing is removed in it; \
         put the first one back, or run the same command again if this one is meant"
    )]
    OtherDirectory,
    /// Another entry stands where a directory was that files came into.
    #[error(
        "another entry is here now, and no more the directory that files came into; nothing is removed; move that away, \
         and run the same command again"
    )]
    OtherEntry,
    /// An earlier source of the run has an entry of its name, and one of both is no directory.
    #[error(
        "another source has {0} as well, which comes; this one does not, as only one can be here"
    )]
    SameName(String),
    /// Something is mounted on an entry that was to go.
    #[error("something is mounted on it, so it stays; unmount that, or leave it out")]
    Mounted,
    /// The directories above it are open, and the process may open no more.
    #[error(
        "each level of a tree takes an open file, and {0} are open: let haul open more (ulimit -n), and run it again"
    )]
    TooDeep(u64),
    /// Its name begins as those of haul's temporary files do.
    #[error(
        "its name begins with .haul-arrives-, as those of files that haul has not finished; rename it at the server"
    )]
    Reserved,
    /// Its name is none of one entry of a directory.
    #[error("its name can't be that of an entry on this machine")]
    Component,
    /// A part has another length or place than the file's size tells.
    #[error("the server has sent bytes that are no part of the file")]
    NoPart,
    /// The server has read other bytes than those that came there.
    #[error(
        "its bytes at the server are not those that came there; there, a disk may be failing: `haul verify --reread` finds such files"
    )]
    Rotten,
    /// haul can write no trees on this system.
    #[error("haul can't write directories on this system yet; run it on Linux or another Unix")]
    Unsupported,
}

/// Advice against an error of the system, after a semicolon.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind::{
        NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, ResourceBusy,
        StorageFull,
    };
    match error.kind() {
        StorageFull => "; make room and run it again: it goes on where it stopped",
        QuotaExceeded => {
            "; remove files of this user and run it again: it goes on where it stopped"
        }
        ReadOnlyFilesystem => "; name a directory on a file system that can be written to",
        PermissionDenied => "; name a directory that this user may write to, or change its mode",
        NotADirectory => "; name a directory",
        ResourceBusy => "; something may be mounted on it",
        _ => "",
    }
}
