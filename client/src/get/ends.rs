//! The ends of directories: mode and mtime, when nothing comes any more and nothing is removed.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use haul_protocol::{Attributes, Name};

use super::decide::Mode;
use super::wishes::Wishes;
use crate::error::FileError;
use crate::error::target::TargetError;
use crate::report::progress::Progress;
use crate::target::{Directory, Identity, may_be_deep, may_open};

/// Where directories go that are over.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    pub(super) progress: &'a Progress,
    pub(super) wishes: &'a Wishes,
    /// The path of the target, for messages.
    pub(super) target: PathBuf,
    /// Directories that end when nothing more is removed, those in others before those.
    later: Mutex<Vec<Finished>>,
    /// Directories in which entries of a source have come that does not give them mode and mtime.
    changed: Mutex<HashSet<Vec<OsString>>>,
    /// Directories that do not stand any more where files came into them, by the names down to them.
    lost: Mutex<HashSet<Vec<OsString>>>,
    /// Directories that are open, without the target.
    entered: AtomicU64,
    /// The most of those that are open at once if some can wait.
    most_entered: u64,
    /// The most of them if each is in another one.
    deepest: u64,
}

impl<'a> Ends<'a> {
    pub(super) fn new(progress: &'a Progress, wishes: &'a Wishes, target: PathBuf) -> Self {
        let (entered, most_entered) = (AtomicU64::new(0), may_open());
        let (later, changed, lost) = (Mutex::default(), Mutex::default(), Mutex::default());
        let deepest = may_be_deep();
        Self { progress, wishes, target, later, changed, lost, entered, most_entered, deepest }
    }

    /// One more directory is open.
    pub(super) fn entered(&self) {
        self.entered.fetch_add(1, Ordering::Relaxed);
    }

    /// A directory is closed as soon as nobody looks at it any more.
    pub(super) fn left(&self) {
        self.entered.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether more directories may be open.
    pub(super) fn may_enter(&self) -> bool {
        self.entered.load(Ordering::Relaxed) < self.most_entered
    }

    /// Fails if so many directories are open that files and connections need the other files that the process may open.
    pub(super) fn check_depth(&self) -> Result<(), FileError> {
        match self.entered.load(Ordering::Relaxed) < self.deepest {
            true => Ok(()),
            false => Err(TargetError::TooDeep(self.deepest).into()),
        }
    }

    /// The path of a directory of the target, for messages.
    pub(super) fn below(&self, components: &[OsString]) -> PathBuf {
        components.iter().fold(self.target.clone(), |path, name| path.join(name))
    }

    /// Entries have come into a directory, or would in a dry run, of a source that does not give it mode and mtime.
    pub(super) fn change(&self, components: Vec<OsString>) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(components);
    }

    /// Takes those directories.
    pub(super) fn take_changed(&self) -> HashSet<Vec<OsString>> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A directory does not stand any more where files came into it, which is told once.
    pub(super) fn lose(&self, components: Vec<OsString>, error: FileError) {
        let path = self.below(&components);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.insert(components) {
            self.progress.failed(&path, error);
        }
    }

    /// Whether that is so of a directory.
    pub(super) fn has_lost(&self, components: &[OsString]) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(components)
    }

    /// Whether that is so of any directory.
    pub(super) fn has_lost_any(&self) -> bool {
        !self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// A directory is over, but for entries that may still be removed in it, or come from another source.
    pub(super) fn later(&self, finished: Finished) {
        self.later.lock().unwrap_or_else(PoisonError::into_inner).push(finished);
    }

    /// Takes those directories.
    pub(super) fn take(&self) -> Vec<Finished> {
        std::mem::take(&mut *self.later.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A directory in which nothing comes any more.
#[derive(Debug)]
pub(super) struct Finished {
    /// The names from the target down to it.
    pub(super) components: Vec<OsString>,
    /// Tells it from others; `None`: a dry run would make it.
    pub(super) identity: Option<Identity>,
    /// Its name at the server.
    pub(super) name: Name,
    pub(super) attributes: Attributes,
    /// An entry in it has come or gone, or would have in a dry run.
    pub(super) is_changed: bool,
}

impl Finished {
    /// Gives it its mode and mtime; a dry run tells what it would get. `None`: a dry run would make it.
    pub(super) fn finish(&self, directory: Option<&Directory>, ends: &Ends<'_>) {
        let Self { name, attributes, is_changed, .. } = self;
        let Some(directory) = directory else { return ends.progress.directory_done(name) };
        let has = directory.has(attributes);
        if has && !is_changed && ends.wishes.mode == Mode::Sync {
            return;
        }
        let failed = |error| ends.progress.failed(&ends.below(&self.components), error);
        if ends.wishes.dry_run {
            if let Err(error) = directory.takes_attributes(attributes) {
                return failed(error);
            }
            match (is_changed, has) {
                (true, _) => ends.progress.would("adjust", name, "its entries change", None),
                (false, false) => {
                    ends.progress.would("adjust", name, "its mode or mtime is another one", None);
                }
                (false, true) => {}
            }
            return ends.progress.directory_done(name);
        }
        match directory.set_attributes(attributes) {
            Ok(()) => ends.progress.directory_done(name),
            Err(error) => failed(error),
        }
    }
}
