//! The reasons for which a server can't serve its root.

use std::path::PathBuf;

use thiserror::Error;

/// The root can't be served.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// Another server has it.
    #[error("`{path}` is already served by process {pid}; one server a root")]
    InUse {
        /// The root.
        path: PathBuf,
        /// The other server's process id, as it wrote it.
        pid: String,
    },
    /// `.haul` is on another file system, so nothing could be renamed out of it.
    #[error("`{path}` is on another file system than the root above it, or is a symlink")]
    StagingElsewhere {
        /// `.haul` or something in it.
        path: PathBuf,
    },
    /// An entry of another kind stands where a directory of the server's own is to be.
    #[error(
        "`{path}` is not a directory; hauld keeps its own files there, so move that away and start again"
    )]
    NotADirectory {
        /// `.haul` or something in it.
        path: PathBuf,
    },
    /// The owner of a directory of the server's own decides which entries become visible.
    #[error(
        "`{path}` belongs to user {owner}, who could change what is published; run hauld as that user, chown -R \
         it to user {user}, or remove it with the interrupted uploads in it"
    )]
    NotOurs {
        /// `.haul` or something in it.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The server's user.
        user: u32,
    },
    /// Everybody could.
    #[error(
        "others may write to `{path}` (mode {mode:o}), and hauld could not change its mode: set it to 700, or \
         mount the file system so that others may not write"
    )]
    OpenToOthers {
        /// `.haul` or something in it.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The kernel or a sandbox does not allow `openat2`, without which names can't be kept below
    /// the root.
    #[error("openat2 does not work here (Linux 5.6 or later needed; a sandbox may block it): {0}")]
    NoOpenat2(std::io::Error),
    /// A sandbox around the server does not let it rename, and so every upload would fail.
    #[error(
        "nothing can be moved from one directory in `{path}` to another: a sandbox around hauld lacks the right to (REFER \
         of Landlock)"
    )]
    NoRefer {
        /// `.haul`.
        path: PathBuf,
    },
    /// Anything else.
    #[error("could not {op} `{path}`: {source}")]
    Io {
        /// The operation.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's error.
        source: std::io::Error,
    },
}
