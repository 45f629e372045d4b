//! The bound that a file meets, and the directory that a server misses, in the words of [`StoreError`](super::error::StoreError).

use std::fmt;

/// Why a file can't be longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SizeLimit {
    /// The process may write files of so many bytes (`RLIMIT_FSIZE`, setrlimit(2)).
    Process(u64),
    /// The file system has longer ones for nobody.
    FileSystem,
}

impl SizeLimit {
    /// The tighter of the two that is known.
    pub(crate) fn now() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        limit.map_or(Self::FileSystem, Self::Process)
    }
}

impl fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(limit) => write!(
                f,
                "it is limited to files of {limit} bytes (ulimit -f, or LimitFSIZE= of systemd)"
            ),
            Self::FileSystem => f.write_str("its file system has no files of that size"),
        }
    }
}

/// The directory that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The root.
    Root,
    /// `.haul` in it.
    Private,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "the server's root",
            Self::Private => "the server's own directory `.haul` in its root",
        })
    }
}
