//! Walking: finds what a plan's sources hold, in a memory that does not grow with them.
//!
//! First every entry, parents before children. When all of that is settled, every directory again,
//! children before parents, with its final mode and mtime: putting a file into a directory changes
//! its mtime, and a read-only directory takes none.

mod end;
mod listed;

use std::cell::Cell;
use std::fs::{FileType, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use haul_protocol::{Attributes, Name};
use walkdir::{DirEntry, WalkDir};

use crate::error::FileError;
use crate::given::Given;
use crate::plan::{Plan, Root};
use crate::progress::Progress;
use crate::source::anchor::{Adrift, Anchor};
use crate::source::spool::Opened;
use crate::source::start::Start;
use crate::source::{attributes, below, bytes, has_special_bits, identity};
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
    let start = sync.delete.as_ref().map(|_| Start::now());
    let anchor = |root: &Root| Arc::new(Anchor::new(&root.source, start));
    let anchors: Vec<_> = plan.roots.iter().map(anchor).collect();
    if let (Some(names), Some(root)) = (&plan.named, plan.roots.first()) {
        let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
        walk.named(root, &mut names)?;
        walk.are_there(&anchors);
        work.close();
        return Ok(());
    }
    let mut room = REMEMBERED;
    let mut found = Vec::new();
    for (root, anchor) in plan.roots.iter().zip(&anchors) {
        found.push(walk.entries(root, anchor, &mut room)?);
    }
    progress.walk_ended();
    work.drain()?;
    // Whatever has vanished with a source was skipped, which would look like success.
    let is_there = walk.are_there(&anchors);
    if !is_there && sync.delete.is_some() && !sync.whole && !sync.verify {
        progress.note(&"haul: nothing is removed, because of what failed above");
    }
    if let Some(delete) = &sync.delete
        && is_there
        && !walk.is_empty_version(&anchors, delete)
        && (sync.publish.is_none() || sync.is_resumed())
    {
        found = walk.remove(plan, &found, &anchors, delete)?.unwrap_or(found);
    }
    for (root, found) in plan.roots.iter().zip(&found).filter(|_| !sync.verify) {
        walk.directories(root, found)?;
    }
    work.drain()?;
    walk.publish(&anchors)?;
    work.close();
    Ok(())
}

/// The directories that the first walk has found, parents first; `None` if they were too many.
type Found = Option<Vec<PathBuf>>;

struct Walk<'a> {
    work: &'a Work,
    progress: &'a Progress,
    sync: &'a Sync,
    sizes: bool,
}

impl Walk<'_> {
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
                    if depth == 0 || (depth == 1 && error.path().is_none()) {
                        anchor.unreadable();
                    }
                    self.is_gone(error.path());
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
                    if entry.file_type().is_dir() {
                        self.is_gone(Some(entry.path()));
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

    /// A directory could not be looked at. If it is gone, it may have been moved to where the walk had been before:
    /// nothing is removed.
    fn is_gone(&self, path: Option<&Path>) {
        let is_gone = |path: &Path| {
            // A symlink that leads nowhere is there.
            let error = path.symlink_metadata().err();
            error.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        if path.is_some_and(is_gone) {
            let _ = self.sync.halt();
        }
    }

    /// Reads the rules of a directory before anything in it is looked at; returns whether that worked. If not, the
    /// directory counts as one that could not be read.
    fn enter(&self, root: &Root, directory: &Path) -> bool {
        let entered = self.sync.filter.enter(&root.source, directory, |path, line, flaw| {
            if !self.sync.is_last_round() {
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

    /// Every directory once more, children before parents. Those that are remembered are not searched
    /// for: in a large tree of small files, reading all directories again would cost a twentieth of the
    /// run.
    fn each_directory(
        &self,
        root: &Root,
        found: &Found,
        mut then: impl FnMut(PathBuf) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if let Some(found) = found {
            return found.iter().rev().try_for_each(|path| then(path.clone()));
        }
        // What can't be read now was told in the first walk, or has come since.
        for entry in self.walker(root).contents_first(true).into_iter().flatten() {
            let excluded = || self.sync.filter.excludes_above(&root.source, entry.path(), true);
            // If rules can't be read, that was told in the first walk.
            if entry.file_type().is_dir() && matches!(excluded(), Ok(false)) {
                then(entry.into_path())?;
            }
        }
        Ok(())
    }

    /// Gives every directory its final attributes.
    fn directories(&self, root: &Root, found: &Found) -> Result<(), Stopped> {
        let mut batch = Vec::with_capacity(BATCH);
        self.each_directory(root, found, |path| self.directory(root, path, &mut batch))?;
        self.work.push(batch)?;
        // The next root may be inside this one.
        self.work.drain()
    }

    fn directory(&self, root: &Root, path: PathBuf, batch: &mut Vec<Item>) -> Result<(), Stopped> {
        let work = self.work;
        let (Some(name), Ok(metadata)) =
            (name(root, &path, self.progress), self.sync.links.look(&path))
        else {
            return Ok(());
        };
        if !metadata.is_dir() {
            return Ok(());
        }
        if has_special_bits(&metadata) {
            self.progress.special_bits_dropped();
        }
        let attributes: Attributes = attributes(&metadata);
        // Batches overtake each other, so nothing below may be on its way when the owner loses the
        // right to read it and to pass through.
        let closes = attributes.mode.is_some_and(|mode| mode & 0o500 != 0o500);
        if closes {
            work.push(std::mem::take(batch))?;
            work.drain()?;
        }
        batch.push(Item::new(path, name, Kind::Attributes(attributes)));
        if closes || batch.len() >= BATCH {
            work.push(std::mem::take(batch))?;
        }
        if closes { work.drain() } else { Ok(()) }
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
        let progress = self.progress;
        let metadata = || metadata().map_err(FileError::local("look at"));
        if file_type.is_file() {
            let size = if self.sizes { metadata()?.len() } else { 0 };
            progress.found(size);
            Ok(Some(Kind::File))
        } else if file_type.is_dir() {
            let mode = attributes(&metadata()?).mode;
            Ok(Some(Kind::Directory(mode.map(|mode| mode | WRITABLE))))
        } else if file_type.is_symlink() && self.sync.links == Links::Skip {
            progress.left_out(path, "a symbolic link");
            Ok(None)
        } else if file_type.is_symlink() {
            progress.found(0);
            Ok(Some(Kind::Link))
        } else {
            progress.skipped(path, special(file_type));
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
