//! Walking: finds what a plan's sources hold, in a memory that does not grow with them.
//!
//! First every entry, parents before children. When all of that is settled, every directory again,
//! children before parents, with its final mode and mtime: putting a file into a directory changes
//! its mtime, and a read-only directory takes none.

mod again;
mod directories;
mod end;
mod listed;

use std::cell::Cell;
use std::fs::{FileType, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use haul_protocol::Name;
use walkdir::{DirEntry, WalkDir};

use crate::error::FileError;
use crate::given::Given;
use crate::plan::{Plan, Root};
use crate::progress::Progress;
use crate::source::anchor::{Adrift, Anchor};
use crate::source::spool::Opened;
use crate::source::start::Start;
use crate::source::{attributes, below, bytes, identity};
use crate::sync::{Links, Sync};
use crate::work::{BATCH, Item, Kind, Stopped, Work};

/// Items of one batch, if they are all in one directory.
const MAX_BATCH: usize = 256 * BATCH;

/// Directories that are remembered for their attributes: some hundred KiB.
const REMEMBERED: usize = 4096;

/// What the owner must be allowed to do in a directory that is being filled.
const WRITABLE: u32 = 0o700;

/// Walks everything, to the end of the run.
///
/// # Errors
/// If the run was stopped.
pub fn walk(plan: &Plan, work: &Work, progress: &Progress, sync: &Sync) -> Result<(), Stopped> {
    let walk = Walk { work, progress, sync, sizes: progress.wants_sizes() };
    if let (Some(names), Some(root)) = (&plan.named, plan.roots.first()) {
        let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
        let anchors = walk.anchors(plan);
        walk.named(root, &mut names)?;
        walk.are_there(&anchors);
    } else {
        let walked = walk.once(plan)?;
        if let Some(name) = &sync.publish {
            let walked = walk.until_at_rest(plan, walked)?;
            walk.publish(name, &walked.anchors)?;
        }
    }
    work.close();
    Ok(())
}

/// The directories that a walk has found, parents first; `None` if they were too many.
type Found = Option<Vec<PathBuf>>;

struct Walk<'a> {
    work: &'a Work,
    progress: &'a Progress,
    sync: &'a Sync,
    sizes: bool,
}

/// What one walk has found, for each root.
struct Walked {
    anchors: Vec<Arc<Anchor>>,
    found: Vec<Found>,
    /// What had vanished before it began.
    vanished: u64,
}

impl Walk<'_> {
    /// The sources as they are now.
    fn anchors(&self, plan: &Plan) -> Vec<Arc<Anchor>> {
        let start = self.sync.delete.as_ref().map(|_| Start::now());
        let anchor = |root: &Root| Arc::new(Anchor::new(&root.source, start));
        plan.roots.iter().map(anchor).collect()
    }

    /// Sends everything, removes what is too much, and ends with the attributes of directories.
    fn once(&self, plan: &Plan) -> Result<Walked, Stopped> {
        let Self { work, progress, sync, .. } = *self;
        let vanished = progress.counts().vanished;
        let anchors = self.anchors(plan);
        let (mut room, mut found) = (REMEMBERED, Vec::new());
        for (root, anchor) in plan.roots.iter().zip(&anchors) {
            found.push(self.entries(root, anchor, &mut room)?);
        }
        progress.walk_ended();
        sync.filter.is_walked();
        work.drain()?;
        // Whatever has vanished with a source was skipped, which would look like success.
        let is_there = self.are_there(&anchors);
        if !is_there && sync.delete.is_some() && !sync.whole && !sync.verify {
            progress.note(&"haul: nothing is removed, because of what failed above");
        }
        if let Some(delete) = &sync.delete
            && is_there
            && !self.is_empty_version(&anchors, delete)
            && (sync.publish.is_none() || sync.is_resumed())
        {
            found = self.remove(plan, &found, &anchors, delete)?.unwrap_or(found);
        }
        for (root, found) in plan.roots.iter().zip(&found).filter(|_| !sync.verify) {
            self.directories(root, found)?;
        }
        work.drain()?;
        if sync.publish.is_none()
            && let Some(path) = sync.filter.changed()
        {
            let removed = if sync.delete.is_some() { ", so nothing more is removed" } else { "" };
            progress.failed(&path, &format_args!("changed while haul ran{removed}; run it again"));
        }
        Ok(Walked { anchors, found, vanished })
    }

    /// Puts every entry in, parents first.
    fn entries(&self, root: &Root, anchor: &Anchor, room: &mut usize) -> Result<Found, Stopped> {
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
        let mut found = Some(Vec::new());
        let mut batch = Vec::with_capacity(BATCH);
        if root.contents {
            anchor.reads_directory(&root.source, self.sync.links);
        }
        if let (true, Some(name)) = (root.contents && anchor.is_directory(), &root.target) {
            // Made if it is missing, also for a source with nothing in it.
            let (path, name) = (root.source.clone(), name.clone());
            batch.push(Item::new(path, name, Kind::Directory(None)));
        }
        let filter = &self.sync.filter;
        let kept = |entry: &DirEntry| {
            entry.depth() == 0
                || !filter.excludes(&root.source, entry.path(), entry.file_type().is_dir())
        };
        let mut entries = self.walker(root).into_iter().filter_entry(kept);
        if root.contents && !self.enter(root, &root.source) {
            anchor.unreadable();
            self.work.push(batch)?;
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
            let Some(name) = name(root, entry.path(), self.progress) else {
                continue;
            };
            let directory = Cell::new(None);
            let metadata = || {
                let metadata = entry.metadata()?;
                directory.set(Some(identity(&metadata)));
                Ok(metadata)
            };
            if entry.depth() == 0 && is_special(entry.file_type()) {
                self.progress.failed(entry.path(), &FileError::NoFile(special(entry.file_type())));
                continue;
            }
            if entry.depth() == 0 && entry.path_is_symlink() && self.sync.links == Links::Skip {
                let error = FileError::NoFile("a symbolic link with --links skip");
                self.progress.failed(entry.path(), &error);
                continue;
            }
            let kind = match self.kind(entry.path(), entry.file_type(), metadata) {
                Ok(Some(kind)) => kind,
                Ok(None) => continue,
                Err(error) => {
                    if entry.file_type().is_dir() && self.is_gone(entry.path()) {
                        continue;
                    }
                    self.progress.failed(entry.path(), &error);
                    continue;
                }
            };
            // What is in a directory goes with it, over one connection: a server can fill a new directory
            // before it appears.
            let ends = matches!(kind, Kind::Directory(_)) && batch.len() >= BATCH;
            if ends || batch.len() >= MAX_BATCH {
                self.work.push(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))?;
            }
            if entry.depth() > 0 {
                anchor.found_entry();
            }
            if matches!(kind, Kind::Directory(_)) {
                if let Some(identity) = directory.get() {
                    anchor.found_directory(entry.path(), identity);
                }
                anchor.reads_directory(entry.path(), self.sync.links);
                if !self.enter(root, entry.path()) {
                    if entry.depth() == 0 {
                        anchor.unreadable();
                    }
                    entries.skip_current_dir();
                }
                found = found.filter(|_| *room > 0);
                if let Some(found) = &mut found {
                    found.push(entry.path().to_owned());
                    *room -= 1;
                }
            }
            if !matches!(kind, Kind::Directory(_)) {
                anchor.found_file(entry.path());
            }
            let inside = entry.depth() > usize::from(root.contents);
            let named = entry.depth() == 0;
            batch.push(Item { inside, named, ..Item::new(entry.into_path(), name, kind) });
        }
        self.work.push(batch)?;
        Ok(found)
    }

    /// A directory below the source could not be looked at. If it is gone, it may have been moved to where the walk had
    /// been before: nothing is removed, or everything is walked once more. Returns whether that is all.
    fn is_gone(&self, path: &Path) -> bool {
        // A symlink that leads nowhere is there.
        let error = path.symlink_metadata().err();
        if error.is_none_or(|error| error.kind() != std::io::ErrorKind::NotFound) {
            return false;
        }
        if self.sync.publish.is_some() {
            self.progress.vanished(path);
            return true;
        }
        let _ = self.sync.halt();
        false
    }

    /// Reads the rules of a directory before anything in it is looked at; returns whether that worked. If not, the
    /// directory counts as one that could not be read.
    fn enter(&self, root: &Root, directory: &Path) -> bool {
        let entered = self.sync.filter.enter(&root.source, directory, |path, line, flaw| {
            if !self.sync.is_again() {
                self.progress.flawed(path, line, flaw);
            }
        });
        match entered {
            Ok(()) => true,
            Err(error) => {
                self.progress.failed(directory, &FileError::Rules(error));
                false
            }
        }
    }

    /// Puts in a file that is open already.
    fn opened(&self, root: &Root, opened: &Arc<Opened>) -> Result<Found, Stopped> {
        let size = opened.source().map_or(0, |source| source.size);
        self.progress.found(size);
        if let Some(name) = &root.target {
            let item = Item::new(root.source.clone(), name.clone(), Kind::File);
            self.work.push(vec![Item { opened: Some(Arc::clone(opened)), named: true, ..item }])?;
        }
        Ok(Some(Vec::new()))
    }

    fn walker(&self, root: &Root) -> WalkDir {
        let depth = usize::from(root.contents);
        // `link/` means what the link points to, `link` the link itself.
        WalkDir::new(&root.source)
            .min_depth(depth)
            .follow_root_links(root.contents)
            .follow_links(self.sync.links == Links::Follow)
    }

    /// What an entry is; `None` for what is not carried.
    fn kind(
        &self,
        path: &Path,
        file_type: FileType,
        metadata: impl FnOnce() -> std::io::Result<Metadata>,
    ) -> Result<Option<Kind>, FileError> {
        let (progress, is_new) = (self.progress, !self.sync.is_again());
        let metadata = || metadata().map_err(FileError::local("look at"));
        if file_type.is_file() {
            let size = if self.sizes { metadata()?.len() } else { 0 };
            if is_new {
                progress.found(size);
            }
            Ok(Some(Kind::File))
        } else if file_type.is_dir() {
            let mode = attributes(&metadata()?).mode;
            Ok(Some(Kind::Directory(mode.map(|mode| mode | WRITABLE))))
        } else if file_type.is_symlink() && self.sync.links == Links::Skip {
            if is_new {
                progress.left_out(path, "a symbolic link");
            }
            Ok(None)
        } else if file_type.is_symlink() {
            if is_new {
                progress.found(0);
            }
            Ok(Some(Kind::Link))
        } else {
            if is_new {
                progress.skipped(path, special(file_type));
            }
            Ok(None)
        }
    }
}

/// The target's name of a path. Failures are told and leave `None`.
fn name(root: &Root, path: &Path, progress: &Progress) -> Option<Name> {
    let found = || -> Result<Name, FileError> {
        let below = bytes(below(path, &root.source).as_os_str())?;
        Ok(match &root.target {
            Some(target) if below.is_empty() => target.clone(),
            Some(target) => target.join(&below)?,
            None => Name::parse(&below)?,
        })
    };
    found().map_err(|error| progress.failed(path, &error)).ok()
}

fn unreadable(root: &Root, error: walkdir::Error, progress: &Progress) {
    let path = error.path().unwrap_or(&root.source).to_owned();
    let source = error
        .into_io_error()
        .unwrap_or_else(|| std::io::Error::other("links lead back to a directory above"));
    progress.failed(&path, &FileError::Local { op: "read", source });
}

/// Whether it is of a kind that is not carried.
fn is_special(file_type: FileType) -> bool {
    !(file_type.is_file() || file_type.is_dir() || file_type.is_symlink())
}

#[cfg(unix)]
fn special(file_type: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if file_type.is_fifo() {
        "a FIFO"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_: std::fs::FileType) -> &'static str {
    "not a file, directory or link"
}
