//! The sources of a run, for connections that open entries that the walk has found.
//!
//! A path may lead to another directory meanwhile: a symlink comes in its place, something is mounted there, or a directory
//! above is exchanged. So a connection takes files only from the very directories that the walk has found. If entries are
//! removed at the server or a version is published by what the walk has found, no other mount may be there either.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::anchor::Anchor;
use super::identity;
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

    /// Whether a directory at a path is the one that the walk has found there; `None` if the walk has found none, as of a
    /// source that is a file.
    ///
    /// # Errors
    /// If the directory can't be looked at.
    pub(crate) fn is_as_found(
        &self,
        path: &Path,
        directory: &File,
        links: Links,
    ) -> io::Result<Option<bool>> {
        let anchors = self.anchors.read().unwrap_or_else(PoisonError::into_inner);
        let is_as_walked = anchors.iter().all(|anchor| anchor.is_as_walked(path, directory, links));
        if !is_as_walked || !self.directories.had_directory(path) {
            return Ok(Some(false).filter(|_| !is_as_walked));
        }
        let found = identity(&directory.metadata()?);
        Ok(Some(self.directories.was_directory(path, found)))
    }
}
