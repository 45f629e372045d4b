//! What becomes of symlinks of the source.

use std::fs::Metadata;
use std::io;
use std::path::Path;

/// What becomes of symbolic links of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Links {
    /// They are sent as links.
    #[default]
    Copy,
    /// What they point to is sent in their place.
    Follow,
    /// They are left out.
    Skip,
}

impl Links {
    /// What is at a path of the source, as far as what is sent goes.
    ///
    /// # Errors
    /// If nothing is there, or may not be looked at.
    pub(crate) fn look(self, path: &Path) -> io::Result<Metadata> {
        if self == Self::Follow { path.metadata() } else { path.symlink_metadata() }
    }
}
