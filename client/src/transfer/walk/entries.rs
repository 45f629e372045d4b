//! One walk over a source: every entry becomes an item, parents before children.

use std::cell::{Cell, RefCell};
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_protocol::Name;
use walkdir::DirEntry;

use super::private::Private;
use super::{Found, Walk, is_put_aside, is_special, last_name, name, special};
use crate::error::FileError;
use crate::error::rules::RulesError;
use crate::plan::Root;
use crate::plan::given::Given;
use crate::plan::namesakes::Sort;
use crate::report::progress::Progress;
use crate::source::anchor::{Adrift, Anchor};
use crate::source::descent::Descent;
use crate::source::facts::Facts;
use crate::source::links::Links;
use crate::source::spool::Opened;
use crate::source::{attributes, is_unfinished};
use crate::work::{BATCH, Item, Kind, Stopped};

/// Items of one batch, if they are all in one directory.
const MAX_BATCH: usize = 256 * BATCH;

/// Rights that the owner needs in a directory that is being filled.
const WRITABLE: u32 = 0o700;

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
        let links = self.policy.links;
        let mut descent = Descent::new(&root.source, anchor.directory_identity(), links);
        let look = FileError::local("look at");
        let mut found = Some(Vec::new());
        let mut batch = Vec::with_capacity(BATCH);
        let mut private = Private::of(self.policy);
        if root.contents {
            // Of a file walkdir would find nothing, and no error.
            if root.source.metadata().is_ok_and(|found| !found.is_dir()) {
                anchor.tell(Adrift::NoDirectory, self.progress);
                anchor.unreadable();
                return Ok(found);
            }
            self.reads_directory(anchor, &root.source);
        }
        if let (true, Some(name)) = (root.contents && anchor.is_directory(), &root.target) {
            // Made if it is missing, also for a source with nothing in it.
            let (path, name) = (root.source.clone(), name.clone());
            let mode = || attributes(&anchor.check().ok()?).mode;
            let is_own = self.gives_attributes(root) && !self.is_of_earlier_source(root, &name);
            let mode = Some(mode).filter(|_| is_own).and_then(|mode| mode());
            let kind = Kind::Directory(mode.map(|mode| mode | WRITABLE));
            let is_told = self.before(root, &name, Sort::Directory).is_some();
            let is_new = self.course.was_missing(&name);
            batch.push(Item { is_told, ..Item::new(path, name, kind) });
            private.enters(batch.last(), self.course);
            if is_new {
                // Over another connection an entry could come first, and its missing parent would have another mode.
                self.work.push(self.of_refused(anchor, std::mem::take(&mut batch)))?;
                self.work.drain()?;
            }
        }
        let told = RefCell::new(PathBuf::new());
        let kept =
            |entry: &DirEntry| entry.depth() == 0 || self.is_kept(root, anchor, entry, &told);
        let mut entries = self.walker(root).into_iter().filter_entry(kept);
        if root.contents && !self.enter(root, &root.source, None) {
            anchor.unreadable();
            self.work.push(self.of_refused(anchor, batch))?;
            return Ok(found);
        }
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    // An error while the entries of the source itself are read has no path.
                    let depth = error.depth();
                    if error.path().is_some_and(|path| depth > 0 && self.is_gone(path)) {
                        continue;
                    }
                    if depth == 0 || (depth == 1 && error.path().is_none()) {
                        anchor.unreadable();
                    }
                    unreadable(root, error, self.progress);
                    continue;
                }
            };
            if is_put_aside(&entry) {
                self.progress.failed(entry.path(), FileError::Aside);
                continue;
            }
            let is_file = entry.file_type().is_file();
            if is_file && is_unfinished(last_name(&entry)) {
                self.leave_unfinished(entry.path());
                continue;
            }
            if is_file && self.committed.is_receipt(entry.path(), || entry.metadata().ok()) {
                self.leave_receipt(entry.path());
                continue;
            }
            let Some(name) = name(root, entry.path(), self.progress) else {
                continue;
            };
            let directory = Cell::new(None);
            let look_at = || {
                let is_below = entry.depth() > 0 && entry.file_type().is_dir();
                let found = match is_below {
                    true => descent.look(entry.path())?,
                    false => Facts::from(&entry.metadata().map_err(|error| look(error.into()))?),
                };
                directory.set(Some(found.identity));
                Ok(found)
            };
            if entry.depth() == 0 && is_special(entry.file_type()) {
                self.progress.failed(entry.path(), FileError::NoFile(special(entry.file_type())));
                continue;
            }
            if entry.depth() == 0 && entry.path_is_symlink() && self.policy.links == Links::Skip {
                let error = FileError::NoFile("a symbolic link with --links skip");
                self.progress.failed(entry.path(), &error);
                continue;
            }
            let kind = match self.kind(entry.path(), entry.file_type(), look_at) {
                Ok(Some(Kind::Directory(_))) if self.is_of_earlier_source(root, &name) => {
                    Kind::Directory(None)
                }
                Ok(Some(Kind::Directory(_)))
                    if self.is_another_by_now(anchor, &entry, directory.get()) =>
                {
                    Kind::Directory(None)
                }
                Ok(Some(kind)) => kind,
                Ok(None) => continue,
                Err(error) => {
                    if entry.file_type().is_dir() {
                        // The walk would read the entries of another directory.
                        entries.skip_current_dir();
                        if self.is_gone(entry.path()) {
                            continue;
                        }
                    }
                    if error.is_replaced() && self.policy.is_publish() {
                        self.progress.vanished(entry.path());
                        continue;
                    }
                    self.progress.failed(entry.path(), &error);
                    continue;
                }
            };
            let sort = match kind {
                Kind::Directory(_) => Sort::Directory,
                _ => Sort::Other,
            };
            let before = self.before(root, &name, sort);
            if before.is_some_and(|before| before != sort || sort == Sort::Other) {
                self.progress.failed(entry.path(), FileError::SameName(name.to_string()));
                if sort == Sort::Directory {
                    entries.skip_current_dir();
                }
                continue;
            }
            // The entries of a directory go with it, over one connection: a server can fill a new directory
            // before it appears.
            let ends = matches!(kind, Kind::Directory(_)) && batch.len() >= BATCH;
            if ends || batch.len() >= MAX_BATCH {
                self.work.push(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))?;
                batch.extend(private.above(entry.path()));
            }
            if entry.depth() > 0 {
                anchor.found_entry();
            }
            if matches!(kind, Kind::Directory(_)) {
                if let Some(identity) = directory.get() {
                    anchor.found_directory(entry.path(), identity);
                    // A source that has come since the run began is what it is now.
                    if entry.depth() > 0 || !anchor.is_directory() {
                        self.found_directory(entry.path(), identity);
                    }
                }
                let is_beyond = self.policy.one_file_system
                    && directory.get().is_some_and(|identity| anchor.is_beyond(identity));
                if is_beyond {
                    self.leave_beyond(entry.path());
                    entries.skip_current_dir();
                } else {
                    self.reads_directory(anchor, entry.path());
                    if !self.enter(root, entry.path(), directory.get()) {
                        if entry.depth() == 0 {
                            anchor.unreadable();
                        }
                        entries.skip_current_dir();
                    }
                }
                found = found.filter(|_| *room > 0);
                if let Some(found) = &mut found {
                    found.push(entry.path().to_owned());
                    *room -= 1;
                }
            }
            // Only who may not remove anything if one is gone asks for it.
            if !matches!(kind, Kind::Directory(_)) && self.policy.needs_all() {
                anchor.found_file(entry.path());
            }
            let is_in_destination = root.contents && !self.gives_attributes(root);
            let inside = entry.depth() > usize::from(is_in_destination);
            let named = entry.depth() == 0;
            let is_told = before.is_some();
            batch.push(Item { inside, named, is_told, ..Item::new(entry.into_path(), name, kind) });
            private.enters(batch.last(), self.course);
        }
        self.work.push(self.of_refused(anchor, batch))?;
        Ok(found)
    }

    /// A directory is read from now on. In a last round nobody asks the server any more what it has too much, so whatever
    /// has changed since the first one counts as changed.
    fn reads_directory(&self, anchor: &Anchor, path: &Path) {
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
    fn is_gone(&self, path: &Path) -> bool {
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
    fn leave_beyond(&self, path: &Path) {
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

    /// Reads the rules of a directory before anything in it is looked at; returns whether that worked. If not, the
    /// directory counts as one that could not be read.
    fn enter(&self, root: &Root, directory: &Path, found: Option<[i64; 2]>) -> bool {
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
    fn is_kept(
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

    /// The sort of entry that another source has had of this name. The server would keep only one of them, unless both are
    /// directories.
    fn before(&self, root: &Root, name: &Name, sort: Sort) -> Option<Sort> {
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

fn unreadable(root: &Root, error: walkdir::Error, progress: &Progress) {
    let path = error.path().unwrap_or(&root.source).to_owned();
    let source = error
        .into_io_error()
        .unwrap_or_else(|| std::io::Error::other("links lead back to a directory above"));
    progress.failed(&path, FileError::local("read")(source));
}
