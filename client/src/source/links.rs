//! Symlinks of the source, and how they are sent.

use std::fs::Metadata;
use std::io;
use std::path::Path;

/// The treatment of symbolic links of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Links {
    /// They are sent as links.
    #[default]
    Copy,
    /// Their targets are sent in their place.
    Follow,
    /// They are left out.
    Skip,
}

impl Links {
    /// The entry at a path of the source, as it would be sent.
    ///
    /// # Errors
    /// If nothing is there, or may not be looked at.
    pub(crate) fn look(self, path: &Path) -> io::Result<Metadata> {
        if self == Self::Follow { path.metadata() } else { path.symlink_metadata() }
    }
}
