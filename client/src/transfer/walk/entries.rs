//! The entries of a source: what becomes of each kind, and of what is not there any more.

use std::fs::FileType;
use std::path::Path;
use std::sync::Arc;

use haul_protocol::Name;

use super::reading::Reading;
use super::{Found, WRITABLE, Walk, special};
use crate::error::FileError;
use crate::plan::Root;
use crate::plan::given::Given;
use crate::plan::namesakes::Sort;
use crate::source::anchor::{Adrift, Anchor};
use crate::source::facts::Facts;
use crate::source::links::Links;
use crate::source::spool::Opened;
use crate::work::{Item, Kind, Stopped};

impl Walk<'_> {
    /// Puts every entry in, parents first.
    pub(super) fn entries(
        &self,
        root: &Root,
        anchor: &Anchor,
        room: &mut usize,
    ) -> Result<Found, Stopped> {
        if let Err(error @ Adrift::Removed) = anchor.check() {
            anchor.tell(&error, self.progress);
            return Ok(Some(Vec::new()));
        }
        match &root.given {
            Given::Opened(opened) => return self.opened(root, opened),
            Given::Failed(error) => {
                anchor.tell(error, self.progress);
                return Ok(Some(Vec::new()));
            }
            Given::Path | Given::Stdin | Given::Command(_) => {}
        }
        self.found_source(root, anchor);
        // Of a file walkdir would find nothing, and no error.
        if root.contents && root.source.metadata().is_ok_and(|found| !found.is_dir()) {
            anchor.tell(Adrift::NoDirectory, self.progress);
            anchor.unreadable();
            return Ok(Some(Vec::new()));
        }
        Reading::new(self, root, anchor, room).put_all()
    }

    /// A directory is read from now on. In a last round nobody asks the server any more what it has too much, so whatever
    /// has changed since the first one counts as changed.
    pub(super) fn reads_directory(&self, anchor: &Anchor, path: &Path) {
        if self.course.is_last_round() {
            return;
        }
        // In a later walk another directory does not take the place of one that was walked before.
        if !self.course.is_again() || !self.is_another(anchor, path) {
            anchor.reads_directory(path, self.policy.links);
        }
    }

    /// A directory below the source could not be looked at. If it is gone, it may have been moved to where the walk had
    /// been before: nothing is removed, or everything is walked once more. Returns whether that is all.
    pub(super) fn is_gone(&self, path: &Path) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        // A symlink that leads nowhere is there.
        let error = path.symlink_metadata().err();
        let is_gone = |error: std::io::Error| matches!(error.kind(), NotFound | NotADirectory);
        if !error.is_some_and(is_gone) {
            return false;
        }
        if self.policy.is_publish() {
            self.progress.vanished(path);
            return true;
        }
        let _ = self.course.halt();
        false
    }

    /// Another file system is mounted on a directory, and its entries are left out.
    pub(super) fn leave_beyond(&self, path: &Path) {
        if !self.course.is_again() {
            self.progress.left_out(path, "all in it, which is on another file system");
        }
    }

    /// The receipt is in the source. It gets its lines while the entries are sent, and stays here.
    pub(super) fn leave_receipt(&self, path: &Path) {
        if !self.course.is_again() {
            self.progress.skipped(path, "the receipt");
        }
    }

    /// A killed run has left a receipt that was about to take its place.
    pub(super) fn leave_unfinished(&self, path: &Path) {
        if !self.course.is_again() {
            self.progress.skipped(path, "a receipt that a killed run has left");
        }
    }

    /// The sort of entry that another source has had of this name. The server would keep only one of them, unless both are
    /// directories.
    pub(super) fn before(&self, root: &Root, name: &Name, sort: Sort) -> Option<Sort> {
        self.names.as_ref().and_then(|names| names.before(root, name, sort, self.policy))
    }

    /// Puts in a file that is open already.
    fn opened(&self, root: &Root, opened: &Arc<Opened>) -> Result<Found, Stopped> {
        let size = opened.source().map_or(0, |source| source.size);
        self.progress.found(size);
        if let Some(name) = &root.target {
            if self.before(root, name, Sort::Other).is_some() {
                self.progress.failed(&root.source, FileError::SameName(name.to_string()));
                return Ok(Some(Vec::new()));
            }
            let item = Item::new(root.source.clone(), name.clone(), Kind::File);
            self.work.push(vec![Item { opened: Some(Arc::clone(opened)), named: true, ..item }])?;
        }
        Ok(Some(Vec::new()))
    }

    /// The kind of an entry; `None` for an entry that is not carried.
    pub(super) fn kind(
        &self,
        path: &Path,
        file_type: FileType,
        look: impl FnOnce() -> Result<Facts, FileError>,
    ) -> Result<Option<Kind>, FileError> {
        let (progress, is_new) = (self.progress, !self.course.is_again());
        if file_type.is_file() {
            let size = if self.sizes { look()?.size } else { 0 };
            if is_new {
                progress.found(size);
            }
            self.course.found_file();
            Ok(Some(Kind::File))
        } else if file_type.is_dir() {
            let mode = look()?.mode;
            Ok(Some(Kind::Directory(mode.map(|mode| mode | WRITABLE))))
        } else if file_type.is_symlink() && self.policy.links == Links::Skip {
            if is_new {
                progress.left_out(path, "a symbolic link");
            }
            Ok(None)
        } else if file_type.is_symlink() {
            if is_new {
                progress.found(0);
            }
            self.course.found_file();
            Ok(Some(Kind::Link))
        } else {
            if is_new {
                progress.skipped(path, special(file_type));
            }
            Ok(None)
        }
    }
}
