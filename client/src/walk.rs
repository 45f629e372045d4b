//! Walking: finds what a plan's sources hold, in a memory that does not grow with them.
//!
//! First every entry, parents before children. When all of that is settled, every directory again,
//! children before parents, with its final mode and mtime: putting a file into a directory changes
//! its mtime, and a read-only directory takes none.

use std::collections::VecDeque;
use std::fs::{FileType, Metadata};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use haul_protocol::{Attributes, Name};
use walkdir::{DirEntry, WalkDir};

use crate::error::FileError;
use crate::named::{Later, Names, below};
use crate::plan::{Plan, Root};
use crate::progress::Progress;
use crate::source::{attributes, bytes, has_special_bits, identity};
use crate::sync::{Delete, Links, Sync};
use crate::work::{BATCH, Item, Kind, Listing, Stopped, Work};

/// Items of one batch, if they are all in one directory.
const MAX_BATCH: usize = 8 * BATCH;

/// Directories that are remembered for their attributes: some hundred KiB.
const REMEMBERED: usize = 4096;

/// Directories of a list that are remembered for the names that follow, which are usually in them.
const RECENT: usize = 64;

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
        walk.named(root, &mut names)?;
        work.close();
        return Ok(());
    }
    let mut room = REMEMBERED;
    let mut found = Vec::new();
    let identities: Vec<_> = plan.roots.iter().map(identity_of).collect();
    for root in &plan.roots {
        found.push(walk.entries(root, &mut room)?);
    }
    progress.walk_ended();
    work.drain()?;
    for (root, before) in plan.roots.iter().zip(&identities) {
        // Whatever has vanished with it was skipped, which would look like success.
        if before.is_some() && identity_of(root) != *before {
            progress.failed(&root.source, &"gone or another since this began");
        }
    }
    if let Some(delete) = &sync.delete
        && (sync.publish.is_none() || sync.is_resumed())
    {
        found = walk.remove(plan, &found, &identities, delete)?.unwrap_or(found);
    }
    for (root, found) in plan.roots.iter().zip(&found).filter(|_| !sync.verify) {
        walk.directories(root, found)?;
    }
    work.drain()?;
    walk.publish(plan)?;
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
    fn entries(&self, root: &Root, room: &mut usize) -> Result<Found, Stopped> {
        let mut found = Some(Vec::new());
        let mut batch = Vec::with_capacity(BATCH);
        if let (true, Some(name)) = (root.contents, &root.target) {
            // Made if it is missing, also for a source with nothing in it.
            let (path, name) = (root.source.clone(), name.clone());
            batch.push(Item::new(path, name, Kind::Directory(None)));
        }
        let filter = &self.sync.filter;
        let kept = |entry: &DirEntry| {
            entry.depth() == 0
                || !filter.excludes(&root.source, entry.path(), entry.file_type().is_dir())
        };
        for entry in self.walker(root).into_iter().filter_entry(kept) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    unreadable(root, error, self.progress);
                    continue;
                }
            };
            let Some(name) = name(root, entry.path(), self.progress) else {
                continue;
            };
            let metadata = || entry.metadata().map_err(std::io::Error::from);
            let kind = match self.kind(entry.path(), entry.file_type(), metadata) {
                Ok(Some(kind)) => kind,
                Ok(None) => continue,
                Err(error) => {
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
            if matches!(kind, Kind::Directory(_)) {
                found = found.filter(|_| *room > 0);
                if let Some(found) = &mut found {
                    found.push(entry.path().to_owned());
                    *room -= 1;
                }
            }
            let inside = entry.depth() > usize::from(root.contents);
            batch.push(Item { inside, ..Item::new(entry.into_path(), name, kind) });
        }
        self.work.push(batch)?;
        Ok(found)
    }

    /// Looks through every directory at the server that the source has too, for what the source lacks;
    /// then sends what a directory was in the way of, and returns what that walk has found.
    fn remove(
        &self,
        plan: &Plan,
        found: &[Found],
        identities: &[Option<[i64; 2]>],
        delete: &Delete,
    ) -> Result<Option<Vec<Found>>, Stopped> {
        let vanished = self.progress.counts().vanished;
        if self.sync.publish.is_none() && vanished > 0 && !delete.force {
            // They may have been moved, and be here under names that were not found.
            self.progress.failed(
                Path::new("--delete"),
                &format_args!(
                    "nothing is removed, because {vanished} of what was found is gone; run it again, or with \
                     --force-delete"
                ),
            );
            return Ok(None);
        }
        if self.progress.counts().failed > 0 && !delete.force {
            self.progress.note(
                &"haul: nothing is removed, because of what failed above; --force-delete removes all \
                  the same",
            );
            return Ok(None);
        }
        self.progress.removing(true);
        for ((root, found), identity) in plan.roots.iter().zip(found).zip(identities) {
            let mut batch = Vec::with_capacity(BATCH);
            let mut list = |path: PathBuf, name: Option<Name>| {
                let (root, target) = (root.source.clone(), name.clone());
                let identity = *identity;
                let listing = Listing { root, identity, name: target, after: None, doomed: None };
                // The server's root has no name; that of the item is for nobody then.
                let Some(name) = name.or_else(|| Name::parse(b"root").ok()) else { return Ok(()) };
                batch.push(Item::new(path, name, Kind::List(Box::new(listing))));
                if batch.len() < BATCH {
                    return Ok(());
                }
                self.work.push(std::mem::take(&mut batch))
            };
            if root.contents {
                list(root.source.clone(), root.target.clone())?;
            }
            // What is below the root of a next version is found on the way.
            if self.sync.publish.is_none() {
                self.each_directory(root, found, |path| match name(root, &path, self.progress) {
                    Some(name) => list(path, Some(name)),
                    None => Ok(()),
                })?;
            }
            self.work.push(batch)?;
        }
        self.work.drain()?;
        self.progress.removing(false);
        if !self.sync.begin_last_round() {
            return Ok(None);
        }
        let (mut again, mut room) = (Vec::new(), REMEMBERED);
        for root in &plan.roots {
            again.push(self.entries(root, &mut room)?);
        }
        self.work.drain()?;
        Ok(Some(again))
    }

    /// Everything is in the next version: it is published, if nothing has failed.
    fn publish(&self, plan: &Plan) -> Result<(), Stopped> {
        let (Some(name), Some(root)) = (&self.sync.publish, plan.roots.first()) else {
            return Ok(());
        };
        let counts = self.progress.counts();
        if counts.vanished > 0 {
            // It may be back by now, or here under another name.
            self.progress.failed(
                &root.source,
                &format_args!(
                    "{} of what was found is gone: no version, but a mixture",
                    counts.vanished
                ),
            );
        }
        if counts.failed + counts.vanished > 0 {
            self.progress.message(&format_args!(
                "haul: nothing is published, because of what failed above; {name} is as it was"
            ));
            return Ok(());
        }
        match root.source.metadata() {
            Ok(metadata) => {
                let kind = Kind::Publish(attributes(&metadata));
                self.work.push(vec![Item::new(root.source.clone(), name.clone(), kind)])?;
                self.work.drain()
            }
            Err(error) => {
                self.progress.failed(&root.source, &FileError::local("look at")(error));
                Ok(())
            }
        }
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
            if entry.file_type().is_dir() && !excluded() {
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

    /// Puts in what a list names below a directory, and nothing else; then the attributes of directories in
    /// it, the last ones first.
    fn named(&self, root: &Root, names: &mut Names) -> Result<(), Stopped> {
        let (mut batch, mut directories) = (Vec::with_capacity(BATCH), Later::default());
        let mut recent = VecDeque::new();
        loop {
            let name = match names.next(&|| self.work.is_stopped()) {
                Ok(Some(name)) => name,
                Ok(None) => break,
                Err(error) => {
                    self.progress.failed(Path::new("--files-from"), &error);
                    break;
                }
            };
            match self.name_of_list(root, &name, &mut directories, &mut recent) {
                Ok(item) => batch.extend(item),
                Err(error) => self.progress.failed(&name, &error),
            }
            if batch.len() >= BATCH {
                self.work.push(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))?;
            }
        }
        self.work.push(std::mem::take(&mut batch))?;
        self.progress.walk_ended();
        self.work.drain()?;
        while let Ok(Some(path)) = directories.pop() {
            self.directory(root, path, &mut batch)?;
        }
        self.work.push(batch)?;
        self.work.drain()
    }

    /// What a name in a list stands for, if it is to be sent.
    fn name_of_list(
        &self,
        root: &Root,
        listed: &Path,
        directories: &mut Later,
        recent: &mut VecDeque<PathBuf>,
    ) -> Result<Option<Item>, FileError> {
        let elsewhere = || FileError::local("send")(std::io::Error::other("it is not below SRC"));
        let below = below(listed).ok_or_else(elsewhere)?;
        let itself = below.as_os_str().is_empty();
        let path = if itself { root.source.clone() } else { root.source.join(below) };
        let metadata = self.sync.links.look(&path).map_err(FileError::local("look at"))?;
        let excluded = self.sync.filter.excludes_above(&root.source, &path, metadata.is_dir());
        // The destination itself, which only takes the contents.
        if excluded || (itself && root.contents) {
            return Ok(None);
        }
        let Some(kind) = self.kind(&path, metadata.file_type(), || Ok(metadata))? else {
            return Ok(None);
        };
        let Some(name) = name(root, &path, self.progress) else { return Ok(None) };
        if matches!(kind, Kind::Directory(_)) && !self.sync.verify {
            directories.push(&path).map_err(FileError::local("remember"))?;
        }
        let inside = path.parent().is_some_and(|parent| recent.iter().any(|known| known == parent));
        if matches!(kind, Kind::Directory(_)) {
            recent.truncate(RECENT - 1);
            recent.push_front(path.clone());
        }
        Ok(Some(Item { inside, ..Item::new(path, name, kind) }))
    }
}

/// What tells a source from another one in its place.
fn identity_of(root: &Root) -> Option<[i64; 2]> {
    root.source.metadata().ok().as_ref().map(identity)
}

/// The target's name of a path. Failures are told and leave `None`.
fn name(root: &Root, path: &Path, progress: &Progress) -> Option<Name> {
    let found = || -> Result<Name, FileError> {
        let below = path.strip_prefix(&root.source).unwrap_or_else(|_| Path::new(""));
        let below = bytes(below.as_os_str())?;
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
