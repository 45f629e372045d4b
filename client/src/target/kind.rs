//! The kind of an entry, on all systems.

use crate::error::FileError;
use crate::error::target::TargetError;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink.
    Symlink,
    /// A device, socket or FIFO.
    Other,
}

impl Kind {
    #[cfg(unix)]
    pub(super) fn of(kind: rustix::fs::FileType) -> Self {
        use rustix::fs::FileType;
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }

    /// For messages.
    fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Symlink => "a symlink",
            Self::Other => "a device, socket or FIFO",
        }
    }

    /// The error of an entry that can't come because of this one.
    pub(crate) fn in_the_way(self) -> FileError {
        TargetError::InTheWay(self.words()).into()
    }
}
