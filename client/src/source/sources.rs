//! The sources of a run, for connections that open entries that the walk has found.
//!
//! A path may lead to another directory for a moment: something is mounted there, or a directory above is exchanged. If
//! entries are removed or a version is published by what the walk has found, a connection takes files only from the very
//! directories that the walk has read.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::anchor::Anchor;
use super::links::Links;

/// The sources, as the present walk has them.
#[derive(Debug, Default)]
pub struct Sources(RwLock<Vec<Arc<Anchor>>>);

impl Sources {
    /// A walk over these begins.
    pub(crate) fn walked(&self, anchors: &[Arc<Anchor>]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = anchors.to_vec();
    }

    /// Whether a directory at a path is one that the walk has read there, as far as that matters.
    pub(crate) fn is_as_walked(&self, path: &Path, directory: &File, links: Links) -> bool {
        let anchors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        anchors.iter().all(|anchor| anchor.is_as_walked(path, directory, links))
    }
}
