//! The rules of directories that have been read, in a memory that does not grow with the tree.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Nearest;
use super::rules::RulesError;
use crate::source::Stamp;

/// Directories whose rules are remembered; more are forgotten all at once, and read again.
const REMEMBERED: usize = 1024;

/// Directories with rules of their own for which haul remembers what the file was: some MiB.
const STAMPS: usize = 32 * 1024;

/// The nearest file of rules, or the one that can't be read: then it is not known which names are left out.
pub(super) type Found = Result<Option<Arc<Nearest>>, Arc<RulesError>>;

/// What the file of rules in a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    /// There is none.
    Absent,
    /// It is this one.
    Is(Stamp),
    /// It can't be read.
    Unreadable,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By source and directory below it, the rules for what is in that directory.
    rules: HashMap<PathBuf, HashMap<PathBuf, Found>>,
    /// What the file was, for directories that have one.
    files: HashMap<PathBuf, File>,
    /// The walk is over: no directory is seen for the first time.
    walked: bool,
    /// The directory of a file that is not what it was in the walk.
    changed: Option<PathBuf>,
}

impl Known {
    /// The rules of a directory, unless they have to be read.
    pub(super) fn rules(&self, root: &Path, directory: &Path) -> Option<Found> {
        self.state().rules.get(root)?.get(directory).cloned()
    }

    /// Keeps the rules of a directory.
    pub(super) fn keep(&self, root: &Path, directory: &Path, rules: &Found) {
        let mut state = self.state();
        let known = state.rules.entry(root.to_owned()).or_default();
        if known.len() == REMEMBERED {
            known.clear();
        }
        known.insert(directory.to_owned(), rules.clone());
    }

    /// The file of rules in a directory has been read. Whether it is what it was when it was read before.
    pub(super) fn is_same(&self, directory: &Path, now: File) -> bool {
        let state = &mut *self.state();
        let same = match state.files.get(directory) {
            Some(before) => *before == now,
            None if now == File::Absent => true,
            None if state.walked => false,
            None => {
                if state.files.len() < STAMPS {
                    state.files.insert(directory.to_owned(), now);
                }
                true
            }
        };
        if !same && state.changed.is_none() {
            state.changed = Some(directory.to_owned());
        }
        same
    }

    /// Everything has been walked.
    pub(super) fn is_walked(&self) {
        self.state().walked = true;
    }

    /// Everything is walked once more, with the rules that there are then.
    pub(super) fn forget(&self) {
        *self.state() = State::default();
    }

    /// A directory whose file of rules is not what it was.
    pub(super) fn changed(&self) -> Option<PathBuf> {
        self.state().changed.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
