//! A source as it was when the run began. A source that is gone, or another one by now, is not an empty source.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::held::{Held, Here, Place, way};
use super::mounted::{self, Mount};
use super::renumbering;
use super::seen::Seen;
use super::start::Start;
use super::{identity, platform};
use crate::error::Failure;
pub use crate::error::adrift::Adrift;
use crate::report::progress::Progress;
use crate::source::links::Links;

/// Mount points that are remembered for one source: more than any sane tree has.
const MOUNTS: usize = 4096;

/// One source of a run.
#[derive(Debug)]
pub struct Anchor {
    path: PathBuf,
    began: Result<Began, io::Error>,
    /// Kept open, so that no other directory gets its inode.
    held: Option<Arc<File>>,
    /// Kept open if it may get another inode otherwise.
    pinned: Option<Arc<File>>,
    /// The mounts below it, as the walk has seen them.
    mounts: Mutex<Vec<(PathBuf, [i64; 2])>>,
    /// The path of the source without symlinks, and the mounts at or below it when the run began.
    mounted: Option<Arc<(PathBuf, Vec<Mount>)>>,
    /// The walk has found an entry below it that is to be sent.
    found: AtomicBool,
    unreadable: AtomicBool,
    told: AtomicBool,
    /// The directories and entries that the walk has seen, if entries may be removed at the server because of them.
    seen: Option<Arc<Seen>>,
    /// When this walk began, if there is one and that is needed.
    start: Option<Start>,
    /// Walks before this one.
    walk: u32,
}

/// A directory below a source, open, in which entries are looked for.
#[derive(Debug)]
pub(crate) struct Directory<'a> {
    held: Held,
    path: PathBuf,
    seen: &'a Seen,
    walk: u32,
    start: Option<Start>,
}

/// The entry under a name of a directory.
#[derive(Debug)]
pub(crate) enum Found {
    /// Something.
    Here(Here),
    /// Nothing, and there was nothing.
    Nothing,
    /// Nothing any more.
    Gone,
}

/// A source as it was when the run began.
#[derive(Debug, Clone, Copy)]
struct Began {
    identity: [i64; 2],
    /// The symlinks that lead to it.
    way: u64,
    is_dir: bool,
    size: u64,
}

impl Anchor {
    /// The source at a path, now: before the run waits for anything.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::at(path, false)
    }

    /// The same if entries may be removed at the server because this source lacks them.
    #[must_use]
    pub fn held(path: &Path) -> Self {
        Self::at(path, true)
    }

    fn at(path: &Path, hold: bool) -> Self {
        let pinned = renumbering::pin(path).map(Arc::new);
        let found = path.metadata();
        let is_dir = found.as_ref().is_ok_and(Metadata::is_dir);
        let mounted = Some(path).filter(|_| hold && is_dir).and_then(|path| {
            let path = path.canonicalize().ok()?;
            let mounts = mounted::below(&path)?;
            Some(Arc::new((path, mounts)))
        });
        let held = if hold && is_dir { platform::hold(path) } else { Ok(None) };
        let (began, held) = match (found, held) {
            (Ok(found), Ok(held)) => {
                let began =
                    |way| Began { identity: identity(&found), way, is_dir, size: found.len() };
                (way(path).map(began), held)
            }
            (Err(error), _) | (_, Err(error)) => (Err(error), None),
        };
        Self {
            path: path.to_owned(),
            began,
            held: held.map(Arc::new),
            pinned,
            mounts: Mutex::default(),
            mounted,
            found: AtomicBool::new(false),
            unreadable: AtomicBool::new(false),
            told: AtomicBool::new(false),
            seen: hold.then(Arc::default),
            start: None,
            walk: 0,
        }
    }

    /// The same source in a first walk, or in a walk for which earlier ones count as nothing. `start`: when that walk begins.
    #[must_use]
    pub fn first_walk(&self, start: Option<Start>) -> Self {
        let began = match &self.began {
            Ok(began) => Ok(*began),
            Err(error) => Err(again(error)),
        };
        Self {
            path: self.path.clone(),
            began,
            held: self.held.clone(),
            pinned: self.pinned.clone(),
            mounts: Mutex::default(),
            mounted: self.mounted.clone(),
            found: AtomicBool::new(false),
            unreadable: AtomicBool::new(false),
            told: AtomicBool::new(false),
            seen: self.seen.as_ref().map(|_| Arc::default()),
            start,
            walk: 0,
        }
    }

    /// The same source in a later walk of the run: directories that have been seen count as seen. `start`: when that walk
    /// begins.
    #[must_use]
    pub fn next_walk(&self, start: Option<Start>) -> Self {
        Self {
            mounts: Mutex::new(self.mounts().clone()),
            // Entries that an earlier walk has found may be gone.
            unreadable: AtomicBool::new(self.unreadable.load(Ordering::Acquire)),
            told: AtomicBool::new(self.told.load(Ordering::Acquire)),
            seen: self.seen.clone(),
            walk: self.walk + 1,
            ..self.first_walk(start)
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was a directory when the run began.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.began.as_ref().is_ok_and(|began| began.is_dir)
    }

    /// The size of the file that it was when the run began; `None` if it was a directory, or nothing.
    pub(crate) fn file_size(&self) -> Option<u64> {
        self.began.as_ref().ok().filter(|began| !began.is_dir).map(|began| began.size)
    }

    /// Device and inode that it had when the run began, if it was a directory.
    pub(crate) fn directory_identity(&self) -> Option<[i64; 2]> {
        self.began.as_ref().ok().filter(|began| began.is_dir).map(|began| began.identity)
    }

    /// Whether it is the source of the beginning, with the same mounts below it.
    ///
    /// # Errors
    /// If it is not, or nobody can say.
    pub fn check(&self) -> Result<Metadata, Adrift> {
        if self.held.as_deref().is_some_and(platform::is_dead) {
            return Err(Adrift::Removed);
        }
        let found = self.check_with(|_| true)?;
        if let Some((path, before)) = self.mounted.as_deref()
            && let Some(now) = mounted::below(path)
            && let Some(differs) = mounted::differ(before, &now)
        {
            return Err(Adrift::Unmounted(differs.to_owned()));
        }
        Ok(found)
    }

    /// Whether it is still the source of the beginning, if it was a directory then. `must_be_directory`: entries below it are
    /// sent, so anything else has none of them.
    ///
    /// # Errors
    /// If it is not, or nobody can say.
    pub fn check_kind(&self, must_be_directory: bool) -> Result<(), Adrift> {
        match &self.began {
            Ok(began) if began.is_dir => self.check().map(drop),
            Ok(_) if must_be_directory => Err(Adrift::NoDirectory),
            Err(error) if must_be_directory => Err(Adrift::unknown(again(error))),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The same, as far as one path below it is concerned; cheap enough to be asked for every directory.
    ///
    /// # Errors
    /// If it is not, or nobody can say.
    pub fn check_at(&self, path: &Path) -> Result<(), Adrift> {
        self.check_with(|mount| path.starts_with(mount)).map(drop)
    }

    fn check_with(&self, concerns: impl Fn(&Path) -> bool) -> Result<Metadata, Adrift> {
        let began = match &self.began {
            Ok(began) => began,
            Err(error) => return Err(Adrift::unknown(again(error))),
        };
        if self.unreadable.load(Ordering::Acquire) {
            return Err(Adrift::Unreadable);
        }
        let now = self.path.metadata().map_err(gone)?;
        let way = way(&self.path).map_err(gone)?;
        if (identity(&now), way) != (began.identity, began.way) {
            return Err(Adrift::Another);
        }
        if now.is_dir() && platform::names(&now) == 0 {
            return Err(Adrift::Removed);
        }
        for (path, before) in self.mounts().iter().filter(|(path, _)| concerns(path)) {
            let now = path.metadata().ok();
            if now.as_ref().map(identity) != Some(*before) {
                return Err(Adrift::Unmounted(path.clone()));
            }
        }
        Ok(now)
    }

    /// The walk has found a directory at or below it.
    pub fn found_directory(&self, path: &Path, found: [i64; 2]) {
        let Ok(Began { identity: [device, _], .. }) = self.began else { return };
        if found[0] == device {
            return;
        }
        let mut mounts = self.mounts();
        let is_known = |(mount, [device, _]): &(PathBuf, [i64; 2])| {
            *device == found[0] && path.starts_with(mount)
        };
        if !mounts.iter().rev().any(is_known) && mounts.len() < MOUNTS {
            mounts.push((path.to_owned(), found));
        }
    }

    /// Whether a directory below it is on another file system, where the platform tells file systems apart.
    pub fn is_beyond(&self, found: [i64; 2]) -> bool {
        self.began.as_ref().is_ok_and(|began| began.identity[0] != found[0])
    }

    /// The walk is about to read a directory, the source itself or one below it.
    pub fn reads_directory(&self, path: &Path, links: Links) {
        if let Some(seen) = &self.seen {
            seen.directory(path, Place::at(path, self.follows(path, links)).ok(), self.start);
        }
    }

    /// A symlink in the place of the source itself leads to the source.
    fn follows(&self, path: &Path, links: Links) -> bool {
        links == Links::Follow || path == self.path
    }

    /// A directory that may have to lose entries at the server, open. `None`: the walk has not seen it.
    ///
    /// # Errors
    /// If the directory is not the one that the walk has read, or can't be opened.
    pub(crate) fn directory(
        &self,
        path: &Path,
        links: Links,
    ) -> Result<Option<Directory<'_>>, Adrift> {
        let Some(seen) = self.seen.as_deref().filter(|seen| seen.had_directory(path)) else {
            return Ok(None);
        };
        let held = Held::open(path, self.follows(path, links)).map_err(gone_below)?;
        let place = held.place().map_err(Adrift::unknown)?;
        if !seen.is_same(path, place) {
            return Err(Adrift::Below);
        }
        let (path, walk) = (path.to_owned(), self.walk);
        Ok(Some(Directory { held, path, seen, walk, start: self.start }))
    }

    /// Whether a directory that the walk has found is still that one.
    ///
    /// # Errors
    /// If not, or nobody can say.
    pub fn check_below(&self, path: &Path, links: Links) -> Result<(), Adrift> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let place = Place::at(path, self.follows(path, links)).map_err(gone_below)?;
        if seen.is_same(path, place) { Ok(()) } else { Err(Adrift::Below) }
    }

    /// Whether a directory that is open is the one that the walk has read at its path, or the walk has read none there.
    pub(crate) fn is_as_walked(&self, path: &Path, directory: &File, links: Links) -> bool {
        let Some(seen) = self.seen.as_ref().filter(|seen| seen.had_directory(path)) else {
            return true;
        };
        let place = Place::of(directory, path, self.follows(path, links));
        place.is_ok_and(|place| seen.is_same(path, place))
    }

    /// Whether a directory certainly is the one that the walk has read, with the entries that it had then.
    pub(crate) fn is_as_read(&self, path: &Path, links: Links) -> bool {
        let Some(seen) = &self.seen else { return false };
        Place::at(path, self.follows(path, links)).is_ok_and(|place| seen.is_as_read(path, place))
    }

    /// Whether the walk has found a directory at a path.
    pub(crate) fn had_directory(&self, path: &Path) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.had_directory(path))
    }

    /// The walk has found an entry below it that is to be sent, and is no directory.
    pub fn found_file(&self, path: &Path) {
        if let Some(seen) = &self.seen {
            seen.entry(path, self.walk);
        }
    }

    /// The walk has found an entry below it that is to be sent.
    pub fn found_entry(&self) {
        if !self.found.load(Ordering::Relaxed) {
            self.found.store(true, Ordering::Release);
        }
    }

    /// The walk could not read it, which has been told.
    pub fn unreadable(&self) {
        self.unreadable.store(true, Ordering::Release);
        self.told.store(true, Ordering::Release);
    }

    /// Whether the walk has found nothing to send below a directory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.found.load(Ordering::Acquire)
    }

    /// It is told as failed, unless that was done before.
    pub fn tell(&self, error: impl Failure, progress: &Progress) {
        if !self.is_told() {
            progress.failed(&self.path, error);
        }
    }

    /// Whether it was told as failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Somebody tells that it failed; whether that was done before.
    pub fn is_told(&self) -> bool {
        self.told.swap(true, Ordering::AcqRel)
    }

    fn mounts(&self) -> MutexGuard<'_, Vec<(PathBuf, [i64; 2])>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory<'_> {
    /// Whether an entry may have gone from it since the run began, perhaps to where the walk had been before.
    ///
    /// # Errors
    /// If so, or nobody can say.
    pub(crate) fn check_unchanged(&self) -> Result<(), Adrift> {
        let changed = self.held.place().map_err(Adrift::unknown)?.changed;
        if self.start.is_some_and(|start| start.is_before(changed)) {
            return Err(Adrift::Changed);
        }
        Ok(())
    }

    /// Whether the walk has found an entry, so that it must have gone since then. That is asked after the entry was looked
    /// for. If what is remembered may be wrong and the directory has the change time that it had, it is wrong: on a file
    /// system that keeps no change times, nothing else tells.
    fn had_entry(&self, path: &Path) -> io::Result<bool> {
        let had = self.seen.had_entry(path, self.walk);
        let may_be_wrong = || self.seen.is_vague();
        Ok(had && !(may_be_wrong() && self.seen.is_unchanged(&self.path, self.held.place()?)))
    }

    /// Looks for an entry; `path` is where the walk would have found it.
    ///
    /// # Errors
    /// If it can't be looked at.
    pub(crate) fn look(&self, name: &OsStr, path: &Path, links: Links) -> io::Result<Found> {
        let found = self.held.look(name, links)?;
        // The walk has found it with just this spelling, or it has come since.
        let is_it = found.is_none() || self.had_entry(path)? || self.held.has_spelling(name)?;
        Ok(match found.filter(|_| is_it) {
            Some(here) => Found::Here(here),
            None if self.had_entry(path)? => Found::Gone,
            None => Found::Nothing,
        })
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn gone(error: io::Error) -> Adrift {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Adrift::Another,
        _ => Adrift::unknown(error),
    }
}

fn gone_below(error: io::Error) -> Adrift {
    match gone(error) {
        Adrift::Another => Adrift::Below,
        other => other,
    }
}

#[cfg(all(test, unix))]
mod tests;
