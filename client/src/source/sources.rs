//! The sources of a run, for connections that open entries that the walk has found.
//!
//! A path may lead to another directory meanwhile: a symlink comes in its place, something is mounted there, or a directory
//! above is exchanged. So a connection takes files only from the very directories that the walk has found. If entries are
//! removed at the server or a version is published by what the walk has found, no other mount may be there either.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::anchor::Anchor;
#[cfg(target_os = "linux")]
use super::directory::Directory;
#[cfg(target_os = "linux")]
use super::links::Links;
use super::seen::Seen;

/// The sources, as the present walk has them.
#[derive(Debug, Default)]
pub struct Sources {
    anchors: RwLock<Vec<Arc<Anchor>>>,
    /// The directories that the walk has found, by device and inode.
    directories: Seen,
}

impl Sources {
    /// A walk over these begins.
    pub(crate) fn walked(&self, anchors: &[Arc<Anchor>]) {
        *self.anchors.write().unwrap_or_else(PoisonError::into_inner) = anchors.to_vec();
    }

    /// The directories that the walk has found.
    pub(crate) fn directories(&self) -> &Seen {
        &self.directories
    }

    /// Whether a directory that was opened at a path is the one that the walk has found there; `None` if the walk has found none,
    /// as of a source that is a file.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_as_found(
        &self,
        path: &Path,
        directory: &Directory,
        links: Links,
    ) -> Option<bool> {
        let anchors = self.anchors.read().unwrap_or_else(PoisonError::into_inner);
        let mut anchors = anchors.iter();
        if !anchors.all(|anchor| anchor.is_as_walked(path, directory.handle(), links)) {
            return Some(false);
        }
        let found = &self.directories;
        found.had_directory(path).then(|| found.was_directory(path, directory.identity()))
    }
}
