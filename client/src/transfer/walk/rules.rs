//! The rules of a source, by which the walk leaves entries out.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::DirEntry;

use super::{Walk, is_put_aside};
use crate::error::FileError;
use crate::error::rules::RulesError;
use crate::plan::Root;
use crate::source::anchor::Anchor;

impl Walk<'_> {
    /// Reads the rules of a directory before anything in it is looked at; returns whether that worked. If not, the
    /// directory counts as one that could not be read.
    pub(super) fn enter(&self, root: &Root, directory: &Path, found: Option<[i64; 2]>) -> bool {
        self.committed.needs_rules(directory);
        let entered =
            self.policy.filter.enter(&root.source, directory, found, |path, line, flaw| {
                if !self.course.is_again() {
                    self.progress.flawed(path, line, flaw);
                }
            });
        match entered {
            Ok(()) => true,
            Err(error) => {
                self.rules_failed(directory, error);
                false
            }
        }
    }

    /// Whether an entry is not left out. If that is not known, because rules that have to be read again can't be, its
    /// directory counts as one that could not be read, which is told once.
    pub(super) fn is_kept(
        &self,
        root: &Root,
        anchor: &Anchor,
        entry: &DirEntry,
        told: &RefCell<PathBuf>,
    ) -> bool {
        let (path, is_dir) = (entry.path(), entry.file_type().is_dir());
        // It is told, whatever the rules say of such names.
        if is_put_aside(entry) {
            return true;
        }
        match self.policy.filter.excludes(&root.source, path, is_dir) {
            Ok(excluded) => !excluded,
            Err(error) => {
                let directory = path.parent().unwrap_or(&root.source);
                if *told.borrow() != directory {
                    told.replace(directory.to_owned());
                    if directory == root.source {
                        anchor.unreadable();
                    }
                    self.rules_failed(directory, error);
                }
                false
            }
        }
    }

    fn rules_failed(&self, directory: &Path, error: Arc<RulesError>) {
        // They may be others than those that a first part of the walk has gone by: it is walked again.
        if !(self.policy.is_publish() && error.is_changed()) {
            self.progress.failed(directory, FileError::Rules(error));
        }
    }
}
