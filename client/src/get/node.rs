//! Directories of a run: each is open here while entries in it are under way, and gets its mode and mtime when all of
//! them are over.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use haul_protocol::{Attributes, Name};

use super::decide::Mode;
use super::ends::{Ends, Finished};
use super::listed::Names;
use super::wishes::Wishes;
use crate::error::FileError;
use crate::error::target::TargetError;
use crate::target::{Directory, Kind, Over, Parts};

/// Why a directory would be made that is not there.
pub(super) const LACKS: &str = "this machine lacks it";

/// A directory here.
#[derive(Debug)]
pub(super) struct Node {
    /// The one that it is in, and its name there; `None` for the target itself.
    above: Option<(Arc<Self>, OsString)>,
    /// The number of the source that it is of.
    source: usize,
    /// Where it is, for messages.
    path: PathBuf,
    /// Its name at the server, if the run tells that it would make it.
    name: Option<Name>,
    /// Open from when the client first needs it; `None` inside: a dry run would make it.
    directory: OnceLock<Option<Arc<Directory>>>,
    /// Its final mode and mtime, if they are this run's to set.
    attributes: Option<Attributes>,
    /// The names of its entries at the server, if entries here are to be removed that it lacks.
    names: Mutex<Names>,
    /// Hashes of the names of its entries at the server in lower case, if the list of it has several pages and names that
    /// differ in case only are one name here.
    folded: OnceLock<Option<Mutex<HashSet<u64>>>>,
    /// The names of large files that the server has in it, if parts of any are here.
    large: Mutex<HashSet<OsString>>,
    /// An entry in it has come, or would in a dry run.
    is_changed: AtomicBool,
    /// The server refuses to list it.
    is_refused: AtomicBool,
    /// The server has listed it to its end.
    is_listed: AtomicBool,
    /// Entries in it that are not over, and the list of them.
    open: AtomicUsize,
}

impl Node {
    /// The target itself, with one entry under way in it. It gets mode and mtime of a source if it was made for that. `number`:
    /// that of the source.
    pub(super) fn target(
        path: PathBuf,
        directory: Option<Arc<Directory>>,
        (number, source): (usize, Option<(Name, Attributes)>),
    ) -> Arc<Self> {
        let (name, attributes) = source.unzip();
        let directory = OnceLock::from(directory);
        Arc::new(Self {
            above: None,
            source: number,
            path,
            name,
            directory,
            attributes,
            names: Mutex::default(),
            folded: OnceLock::new(),
            large: Mutex::default(),
            is_changed: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            is_listed: AtomicBool::new(false),
            open: AtomicUsize::new(1),
        })
    }

    /// A directory in this one, which is not over before the new one is. It is made when it is [entered](Self::enter).
    pub(super) fn below(
        self: &Arc<Self>,
        component: OsString,
        name: Option<Name>,
        attributes: Option<Attributes>,
    ) -> Arc<Self> {
        self.begin(1);
        Arc::new(Self {
            path: self.path(&component),
            above: Some((Arc::clone(self), component)),
            source: self.source,
            name,
            directory: OnceLock::new(),
            attributes,
            names: Mutex::default(),
            folded: OnceLock::new(),
            large: Mutex::default(),
            is_changed: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            is_listed: AtomicBool::new(false),
            open: AtomicUsize::new(1),
        })
    }

    /// The path of an entry in it, for messages.
    pub(super) fn path(&self, component: &OsStr) -> PathBuf {
        self.path.join(component)
    }

    /// Its own path, for messages.
    pub(super) fn own_path(&self) -> &PathBuf {
        &self.path
    }

    /// The number of the source that it is of.
    pub(super) fn source(&self) -> usize {
        self.source
    }

    /// How deep in the target it is.
    pub(super) fn depth(&self) -> usize {
        let above = std::iter::successors(self.above.as_ref(), |(above, _)| above.above.as_ref());
        above.count()
    }

    /// So many more entries are under way.
    pub(super) fn begin(&self, entries: usize) {
        self.open.fetch_add(entries, Ordering::Relaxed);
    }

    /// Opens it here, made if it is missing. In a dry run it is only looked for.
    ///
    /// # Errors
    /// If another entry is in its way, or this machine does not allow it.
    pub(super) fn enter(&self, ends: &Ends<'_>) -> Result<(), FileError> {
        let (Some((above, component)), None) = (&self.above, self.directory.get()) else {
            return Ok(());
        };
        ends.check_depth()?;
        let above_node = above;
        let over = match ends.wishes.mode {
            Mode::Get => Over::Nothing,
            Mode::Sync if ends.wishes.ignore_existing => Over::Nothing,
            Mode::Sync => Over::File,
        };
        let mut why = LACKS;
        let directory = match above.directory() {
            Some(above) if ends.wishes.dry_run => match above.look(component)?.map(|it| it.kind) {
                None => {
                    above_node.takes_entries("make the directory", ends.wishes)?;
                    None
                }
                Some(Kind::Directory) => Some(above.visit(component)?),
                Some(Kind::File | Kind::Symlink) if over == Over::File => {
                    above_node.takes_entries("remove the file in its place", ends.wishes)?;
                    above.makes_way(component)?;
                    why = "another kind of entry is here";
                    None
                }
                Some(other) => return Err(other.in_the_way()),
            },
            Some(above) => {
                let entered = above.enter(component, over);
                let (directory, is_made) = entered.map_err(|error| above_node.explain(error))?;
                if is_made {
                    above_node.change();
                } else {
                    // A killed run may have left files there, which nobody would miss.
                    let _ = directory.sweep(Parts::Stay);
                }
                Some(directory)
            }
            None => None,
        };
        let is_open = directory.is_some();
        if self.directory.set(directory.map(Arc::new)).is_ok() && is_open {
            ends.entered();
        }
        if self.tell_made(why, ends) {
            above_node.change();
        }
        Ok(())
    }

    /// In a dry run: whether entries can be made and replaced in it.
    ///
    /// # Errors
    /// The error that the `op` would have.
    pub(super) fn takes_entries(&self, op: &'static str, wishes: &Wishes) -> Result<(), FileError> {
        // As `enter` and `Place::node` open it up.
        let opens_up = self.above.is_some() || wishes.mode == Mode::Sync;
        self.directory().map_or(Ok(()), |directory| directory.takes_entries(op, opens_up))
    }

    /// In a dry run: whether the entry under a name in it, if there is one, can be replaced.
    ///
    /// # Errors
    /// If it can't be.
    pub(super) fn makes_way(&self, component: &OsStr) -> Result<(), FileError> {
        self.directory().map_or(Ok(()), |directory| directory.makes_way(component))
    }

    /// Tells that the run would make it, and why, if this is a dry run and it is not there.
    pub(super) fn tell_made(&self, why: &'static str, ends: &Ends<'_>) -> bool {
        let made = self.name.as_ref().filter(|_| ends.wishes.dry_run && self.directory().is_none());
        if let Some(name) = made {
            ends.progress.would("make", name, why, None);
        }
        made.is_some()
    }

    /// The open directory; `None` if a dry run would make it, or it was not entered.
    pub(super) fn directory(&self) -> Option<&Arc<Directory>> {
        self.directory.get().and_then(Option::as_ref)
    }

    /// An entry in it, or the list of them, is over. If it is the last one, the directory gets its attributes, and so on
    /// upwards.
    pub(super) fn settle(self: &Arc<Self>, ends: &Ends<'_>) {
        let mut node = self;
        while node.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            node.finish(ends);
            let Some((above, _)) = &node.above else { return };
            if node.directory().is_some() {
                ends.left();
            }
            node = above;
        }
    }

    /// The names from the target down to it.
    pub(super) fn components(&self) -> Vec<OsString> {
        let above = std::iter::successors(self.above.as_ref(), |(above, _)| above.above.as_ref());
        let mut components: Vec<_> = above.map(|(_, component)| component.clone()).collect();
        components.reverse();
        components
    }

    /// The names of the entries that the server has in it, as far as it has listed them.
    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes of names in lower case; `None` if it has no need of them. `folds`: names that differ in case only are one here.
    pub(super) fn folded(
        &self,
        folds: impl FnOnce() -> bool,
    ) -> Option<MutexGuard<'_, HashSet<u64>>> {
        let known = self.folded.get_or_init(|| folds().then(Mutex::default)).as_ref()?;
        Some(known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names of all entries that the server has in it.
    pub(super) fn take_names(&self) -> Names {
        std::mem::take(&mut *self.names())
    }

    /// An entry in it comes, or would in a dry run.
    pub(super) fn change(&self) {
        self.is_changed.store(true, Ordering::Relaxed);
    }

    /// Whether it gets mode and mtime of the server's.
    pub(super) fn is_like_source(&self) -> bool {
        self.attributes.is_some()
    }

    /// The server refuses to list it: with the mtime of the server's it would seem to have all entries.
    pub(super) fn refuse(&self) {
        self.is_refused.store(true, Ordering::Relaxed);
    }

    /// The server has listed it to its end.
    pub(super) fn listed(&self) {
        self.is_listed.store(true, Ordering::Relaxed);
    }

    /// The server has these large files in it. `is_all`: and no others than those that it has told before. Parts that are here of
    /// other files go then, before any file needs their room; only a directory that has no other source is sure to need them no more.
    pub(super) fn has_large(
        &self,
        names: impl Iterator<Item = OsString>,
        is_all: bool,
        ends: &Ends<'_>,
    ) {
        let Some(directory) = self.directory().filter(|it| it.keeps_parts()) else { return };
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        large.extend(names);
        if is_all && !ends.wishes.merges {
            let _ = directory.sweep_but(&large);
        }
    }

    /// Removes parts that a killed run has left of files that have come otherwise, or come no more. They stay if a file has
    /// failed, and if another source may have the same directory with more files in it.
    fn sweep(&self, ends: &Ends<'_>) {
        let keeps = |directory: &&Arc<Directory>| directory.keeps_parts();
        if let Some(directory) = self.directory().filter(keeps)
            && self.is_listed.load(Ordering::Relaxed)
            && !ends.wishes.merges
            && ends.progress.counts().failed == 0
        {
            let _ = directory.sweep(Parts::Go);
        }
    }

    /// Whether it still stands where entries came into it. Of the target itself that is asked in the end.
    fn stands(&self) -> Result<(), FileError> {
        let Some((above, component)) = &self.above else { return Ok(()) };
        match (above.directory(), self.directory()) {
            (Some(above), Some(directory)) => above.holds(component, &directory.identity()),
            _ => Ok(()),
        }
    }

    /// The error of an entry in it, or that it was removed itself, or has no room for it because of parts that are in it.
    pub(super) fn explain(&self, error: FileError) -> FileError {
        match self.directory() {
            Some(directory) if directory.is_removed() => TargetError::Removed.into(),
            Some(directory) if error.is_full_target() && directory.keeps_parts() => {
                TargetError::FullOfParts { error: error.to_string(), directory: self.path.clone() }
                    .into()
            }
            _ => error,
        }
    }

    /// All entries in it are over: it gets its mode and mtime, after all that may still be removed in it.
    fn finish(&self, ends: &Ends<'_>) {
        self.sweep(ends);
        if let Err(error) = self.stands() {
            return ends.lose(self.components(), error);
        }
        let is_changed = self.is_changed.load(Ordering::Relaxed);
        let (Some(name), Some(attributes)) = (&self.name, self.attributes) else {
            if is_changed && ends.wishes.merges {
                ends.change(self.components());
            }
            return;
        };
        let is_entered = self.directory.get().is_some() || self.above.is_none();
        if !is_entered || self.is_refused.load(Ordering::Relaxed) {
            return;
        }
        let name = name.clone();
        let identity = self.directory().map(|directory| directory.identity());
        let components = self.components();
        let finished = Finished { components, identity, name, attributes, is_changed };
        // Entries of it may still go, or come from another source.
        match ends.wishes.delete.is_some() || ends.wishes.merges {
            true => ends.later(finished),
            false => finished.finish(self.directory().map(|directory| &**directory), ends),
        }
    }
}
