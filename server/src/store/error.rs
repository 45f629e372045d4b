//! What can go wrong with a file, in the store's own words.

use std::path::PathBuf;

use haul_protocol::Name;
use rustix::io::Errno;
use thiserror::Error;

/// An operation on a file below the root failed. Other than with [`Uncertain`](Self::Uncertain),
/// what stood there before has not changed.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// A parent is a symbolic link.
    #[error("`{link}` is a symbolic link, and names are not followed through links")]
    Escape {
        /// The component, as a name from the root.
        link: String,
    },
    /// A directory stands where something else comes, or the reverse.
    #[error("`{name}` is {found}")]
    Conflict {
        /// What is in the way.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// A mount point lies between the root and the file.
    #[error("`{name}` is on another file system than the root")]
    CrossDevice {
        /// The file.
        name: String,
    },
    /// The bytes are not those of the digest.
    #[error("the bytes of `{name}` do not match their digest")]
    DigestMismatch {
        /// The file.
        name: String,
    },
    /// The file system is full.
    #[error("no space left on the server for `{name}`")]
    NoSpace {
        /// The file.
        name: String,
    },
    /// The file system's quota is used up.
    #[error("the server's disk quota is used up, no room for `{name}`")]
    Quota {
        /// The file.
        name: String,
    },
    /// The server's user may not do this.
    #[error("the server may not {op} `{name}`: permission denied")]
    Permission {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
    },
    /// Nothing is there.
    #[error("`{name}` does not exist")]
    NotFound {
        /// The file.
        name: String,
    },
    /// The file can't fit.
    #[error(
        "`{name}` has {size} bytes, but the server has room for {room}: {free} free, {keep_free} of them \
         kept free, {reserved} needed by other uploads"
    )]
    NoRoom {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// What it may have.
        room: u64,
        /// What the file system has free for the server's user.
        free: u64,
        /// The floor that is not to be touched.
        keep_free: u64,
        /// What other uploads have announced and not yet sent.
        reserved: u64,
    },
    /// A flush of the upload failed, or it was interrupted: it has to be opened again.
    #[error("the upload of `{name}` has to start again, its disk or its connection failed")]
    Spoiled {
        /// The file.
        name: String,
    },
    /// A file that was published before has been replaced since.
    #[error("`{name}` was replaced in the meantime; open the file again")]
    Replaced {
        /// The file.
        name: String,
    },
    /// The file system could not be flushed, and does not say for which file.
    #[error(
        "the server could not flush its disk, so nothing of what came together with this is kept: {source}"
    )]
    Group {
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The change is visible, but not known to be durable.
    #[error(
        "it is there, but the server could not flush `{directory}`, so it may not survive a loss of \
         power: {source}"
    )]
    Uncertain {
        /// The directory, empty for the root.
        directory: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The next version of a directory is being put together.
    #[error("`{name}` is being published, and nothing in it can be changed until that is over")]
    Publishing {
        /// The directory.
        name: String,
    },
    /// There is no version before the present one.
    #[error("there is no earlier version of `{name}` to go back to")]
    NoVersion {
        /// The directory.
        name: String,
    },
    /// Another run has taken the next version of a directory over.
    #[error(
        "another run has begun or published a version of `{name}` meanwhile; run the command again"
    )]
    VersionGone {
        /// The directory.
        name: String,
    },
    /// Anything else.
    #[error("the server could not {op} `{name}`: {source}")]
    Io {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether it is about one name only, and others may go well.
    pub(crate) fn is_of_one_name(&self) -> bool {
        matches!(
            self,
            Self::Escape { .. }
                | Self::Conflict { .. }
                | Self::CrossDevice { .. }
                | Self::Permission { .. }
                | Self::NotFound { .. }
        )
    }

    /// What an error number means when it comes from `op` on `name`.
    pub(crate) fn new(op: &'static str, name: &Name, errno: Errno) -> Self {
        Self::at(op, name.to_string(), errno)
    }

    /// As [`new`](Self::new), for what has no [`Name`] of its own.
    pub(crate) fn at(op: &'static str, name: String, errno: Errno) -> Self {
        match errno {
            Errno::NOSPC | Errno::FBIG => Self::NoSpace { name },
            Errno::DQUOT => Self::Quota { name },
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Permission { op, name },
            Errno::XDEV | Errno::BUSY => Self::CrossDevice { name },
            Errno::NOENT => Self::NotFound { name },
            Errno::ISDIR | Errno::NOTEMPTY => Self::Conflict { name, found: "a directory" },
            Errno::NOTDIR => Self::Conflict { name, found: "not a directory" },
            errno => Self::Io { op, name, source: errno.into() },
        }
    }
}

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
    #[error("`{path}` is on another file system than the root above it, or is a link")]
    StagingElsewhere {
        /// `.haul` or something in it.
        path: PathBuf,
    },
    /// The kernel or a sandbox does not allow `openat2`, without which names can't be kept below
    /// the root.
    #[error("openat2 does not work here (Linux 5.6 or later needed; a sandbox may block it): {0}")]
    NoOpenat2(std::io::Error),
    /// Anything else.
    #[error("could not {op} `{path}`: {source}")]
    Io {
        /// The operation.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}
