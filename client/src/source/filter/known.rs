//! The rules of directories that have been read, in a memory that does not grow with the tree.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Nearest;
use crate::error::rules::RulesError;
use crate::source::Stamp;
use crate::source::seen::Seen;

/// Directories whose rules are remembered; more are forgotten all at once, and read again.
const REMEMBERED: usize = 1024;

/// Directories with rules of their own for which haul remembers what the file was: some MiB. Of more haul takes what it
/// reads for what it was.
const FILES: usize = 128 * 1024;

/// The nearest file of rules, or the one that can't be read: then it is not known which names are left out.
pub(super) type Found = Result<Option<Arc<Nearest>>, Arc<RulesError>>;

/// The file of rules in a directory, as haul has found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum File {
    /// There is none.
    Absent,
    /// It is this one.
    Is(Stamp),
    /// It can't be read.
    Unreadable,
}

/// All rules that haul has read, and the files that they were in.
#[derive(Debug, Default)]
pub(super) struct Known {
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The rules for the entries of a directory, by source and directory below it.
    rules: HashMap<PathBuf, HashMap<PathBuf, Found>>,
    /// The rules that were asked for last: most entries of a walk are in the directory of the one before.
    last: Option<Last>,
    /// For each directory with a file of rules, a hash of its path and one of the file.
    files: HashMap<u64, u64>,
    /// Directories that had no file of rules in this walk.
    absent: Seen,
    /// The walk is over: no directory is seen for the first time.
    walked: bool,
    /// The directory of a file that is not what it was in the walk.
    changed: Option<PathBuf>,
}

/// The rules for the entries of one directory.
#[derive(Debug)]
struct Last {
    root: PathBuf,
    directory: PathBuf,
    found: Found,
}

impl Last {
    /// Byte by byte: to hash and compare two paths component by component takes 2 % of the client's time for a small file.
    fn is_of(&self, root: &Path, directory: &Path) -> bool {
        self.directory.as_os_str() == directory.as_os_str()
            && self.root.as_os_str() == root.as_os_str()
    }
}

impl Known {
    /// The rules of a directory, unless they have to be read.
    pub(super) fn rules(&self, root: &Path, directory: &Path) -> Option<Found> {
        let State { rules, last, .. } = &mut *self.state();
        if let Some(last) = last.as_ref().filter(|last| last.is_of(root, directory)) {
            return Some(last.found.clone());
        }
        let found = rules.get(root)?.get(directory)?.clone();
        let (root, directory) = (root.to_owned(), directory.to_owned());
        *last = Some(Last { root, directory, found: found.clone() });
        Some(found)
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
        let (key, file) = (self.hasher.hash_one(directory.as_os_str()), self.hasher.hash_one(now));
        let state = &mut *self.state();
        let is_full = state.files.len() >= FILES;
        let same = match state.files.get(&key) {
            Some(before) => *before == file,
            None if now == File::Absent => {
                state.absent.entry(directory, 0);
                true
            }
            None if matches!(now, File::Is(_)) && state.absent.had_entry(directory, 0) => false,
            None if is_full => true,
            None if state.walked => false,
            None => {
                state.files.insert(key, file);
                true
            }
        };
        if !same && state.changed.is_none() {
            state.changed = Some(directory.to_owned());
        }
        same
    }

    /// Whether a file of rules was found in a directory, as far as that is remembered.
    pub(super) fn has_file(&self, directory: &Path) -> bool {
        self.state().files.contains_key(&self.hasher.hash_one(directory.as_os_str()))
    }

    /// Everything has been walked.
    pub(super) fn is_walked(&self) {
        self.state().walked = true;
    }

    /// Everything is walked once more. Files of rules that were read must be what they were; new ones hold from now on.
    pub(super) fn walks_again(&self) {
        let state = &mut *self.state();
        state.walked = false;
        state.rules.clear();
        state.last = None;
        state.absent = Seen::default();
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::List;
    use super::*;
    use crate::source::stamp;

    #[test]
    fn file_of_rules_is_what_it_was_in_the_walk_or_has_changed() {
        let (known, is) = (Known::default(), File::Unreadable);
        let [with, without] = ["with", "without"].map(Path::new);
        assert!(known.is_same(with, is) && known.is_same(without, File::Absent));
        known.is_walked();
        assert!(known.is_same(with, is) && known.is_same(without, File::Absent));
        assert_eq!(known.changed(), None);
        assert!(!known.is_same(without, is) && !known.is_same(with, File::Absent));
        assert_eq!(known.changed().as_deref(), Some(without));
        known.walks_again();
        assert!(!known.is_same(with, File::Absent) && known.is_same(Path::new("new"), is));
    }

    #[test]
    fn file_of_rules_that_comes_to_a_directory_that_had_none_in_the_same_walk_has_changed() {
        let (known, directory) = (Known::default(), Path::new("d"));
        let is = File::Is(stamp(&tempfile::tempfile().unwrap().metadata().unwrap()));
        assert!(known.is_same(directory, File::Absent) && known.is_same(directory, File::Absent));
        assert!(!known.is_same(directory, is));
        assert_eq!(known.changed().as_deref(), Some(directory));
        known.walks_again();
        assert!(known.is_same(directory, is));
    }

    #[test]
    fn rules_that_were_asked_for_last_are_those_of_one_directory_and_one_walk() {
        let known = Known::default();
        let rules = || Some(Arc::new(Nearest { list: List::default(), base: 0, above: None }));
        let (with, without): (Found, Found) = (Ok(rules()), Ok(None));
        let [root, other, a, b] = ["s", "o", "s/a", "s/b"].map(Path::new);
        known.keep(root, a, &with);
        known.keep(root, b, &without);
        let has =
            |root, directory| known.rules(root, directory).map(|found| found.unwrap().is_some());
        assert_eq!(
            [has(root, a), has(root, a), has(root, b)],
            [Some(true), Some(true), Some(false)]
        );
        assert_eq!([has(other, b), has(root, other), has(root, a)], [None, None, Some(true)]);
        known.walks_again();
        assert_eq!(has(root, a), None);
        known.keep(root, a, &without);
        assert_eq!(has(root, a), Some(false));
        known.forget();
        assert_eq!(has(root, a), None);
    }

    #[test]
    fn files_beyond_those_that_are_remembered_are_taken_for_what_they_were() {
        let (known, is) = (Known::default(), File::Unreadable);
        for number in 0..=FILES {
            assert!(known.is_same(Path::new(&number.to_string()), is));
        }
        known.is_walked();
        assert!(known.is_same(Path::new(&FILES.to_string()), is));
        assert!(!known.is_same(Path::new("0"), File::Absent));
    }
}
