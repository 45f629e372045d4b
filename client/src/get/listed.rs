//! The names that the server has listed: `--delete` removes entries here that are not among them.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};

use haul_protocol::Name;

use crate::source::bytes;
use crate::target::{Directory, Identity};

/// A directory that the server has listed to its end.
#[derive(Debug)]
pub(super) struct Listed {
    /// The names from the target down to it.
    pub(super) components: Vec<OsString>,
    /// Tells it from others; `None`: a dry run would make it.
    pub(super) identity: Option<Identity>,
    /// Its name at the server; `None` for the root.
    pub(super) name: Option<Name>,
    /// The names of its entries there.
    pub(super) names: Names,
}

/// Hashes of the names of a directory's entries at the server: eight bytes for each file of a run, however long its name is,
/// and eight more if its name has capital letters. Should a name that the server lacks have the hash of another one, its
/// entry stays.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: Vec<u64>,
    /// Of the names that [`fold`] changes, as it changes them.
    folded: Vec<u64>,
}

impl Names {
    /// The server has an entry of this name.
    pub(super) fn add(&mut self, name: &[u8], hasher: &RandomState) {
        self.exact.push(hasher.hash_one(name));
        let folded = fold(name);
        if folded.as_bytes() != name {
            self.folded.push(hasher.hash_one(folded.as_bytes()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }
}

/// A name as one that differs from it in case only is as well.
pub(super) fn fold(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

/// The entries of a directory here, beside those of the server's.
pub(super) struct Beside<'a> {
    hasher: &'a RandomState,
    exact: HashSet<u64>,
    folded: HashSet<u64>,
    /// This machine takes names that differ in case only for one.
    folds: bool,
    /// A name of the server's is none here as it is spelled.
    any_missing: bool,
}

impl<'a> Beside<'a> {
    /// `here`: the names of all entries of the directory.
    pub(super) fn new<'n>(
        names: &Names,
        hasher: &'a RandomState,
        directory: &Directory,
        here: impl Iterator<Item = &'n OsStr>,
    ) -> Self {
        let exact: HashSet<u64> = names.exact.iter().copied().collect();
        let folded = names.folded.iter().copied().collect();
        let here: HashSet<&OsStr> = here.collect();
        let found = here.iter().filter(|name| exact.contains(&hash(hasher, name))).count();
        // Otherwise nothing is removed, and nobody needs to know.
        let folds = found < here.len() && directory.takes_for_one(&here);
        let any_missing = found < exact.len();
        Self { hasher, exact, folded, folds, any_missing }
    }

    /// Whether the server has an entry of this name, or one that is the same entry here although it is spelled otherwise.
    pub(super) fn has(&self, name: &OsStr) -> bool {
        if self.exact.contains(&hash(self.hasher, name)) {
            return true;
        }
        // Each name of the server's that is spelled so has its own entry here.
        if !self.folds || !self.any_missing {
            return false;
        }
        // A file system may spell other letters in ways of its own, which nobody can tell from here.
        let Some(folded) =
            name.to_str().filter(|name| name.is_ascii()).map(str::as_bytes).map(fold)
        else {
            return true;
        };
        let folded = self.hasher.hash_one(folded.as_bytes());
        self.exact.contains(&folded) || self.folded.contains(&folded)
    }
}

fn hash(hasher: &RandomState, name: &OsStr) -> u64 {
    bytes(name).map_or(0, |name| hasher.hash_one(&*name))
}
