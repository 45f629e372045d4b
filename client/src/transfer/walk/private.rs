//! Private directories on the way to an entry: others than their owner may not list or enter them.
//!
//! Connections overtake each other. If an entry reaches the server before the directory that it is in, the server makes the
//! directory with its own umask, and others could look into it until the directory itself comes. So each batch, which goes
//! over one connection, begins with the private directories above its first entry. Where entries go over a connection that
//! has no whole batch, the connection takes care of the directories that are not acknowledged.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::plan::policy::Policy;
use crate::work::Item;
use crate::work::course::Course;
use crate::work::private::{counts, is_private};

/// Private directories of a list that are remembered until they have arrived: some hundred KiB.
const REMEMBERED: usize = 1024;

/// The private directories above an entry, from the top.
pub(super) struct Private {
    /// Others could look into what this run makes.
    counts: bool,
    directories: Vec<Item>,
}

impl Private {
    pub(super) fn of(policy: &Policy) -> Self {
        Self { counts: counts(policy), directories: Vec::new() }
    }

    /// The walk has found an entry, and goes on below it if it is a directory.
    pub(super) fn enters(&mut self, item: Option<&Item>, course: &Course) {
        let Some(item) = item.filter(|_| self.counts) else { return };
        if is_private(item) {
            course.unmade().found(item);
            self.leave(&item.path);
            self.directories.push(item.clone());
        }
    }

    /// Those that an entry is in.
    pub(super) fn above(&mut self, path: &Path) -> impl Iterator<Item = Item> {
        self.leave(path);
        self.directories.iter().map(|item| Item { is_repeated: true, ..item.clone() })
    }

    fn leave(&mut self, path: &Path) {
        while self.directories.pop_if(|last| !path.starts_with(&last.path)).is_some() {}
    }
}

/// The private directories that a list has named so far, and that may not have arrived. A list may name its entries in any
/// order.
pub(super) struct PrivateOfList {
    /// Others could look into what this run makes.
    counts: bool,
    /// Each directory with the number of the last batch that has it.
    directories: HashMap<PathBuf, (Item, u64)>,
    /// The number of the present batch.
    batch: u64,
}

impl PrivateOfList {
    pub(super) fn of(policy: &Policy) -> Self {
        Self { counts: counts(policy), directories: HashMap::new(), batch: 0 }
    }

    /// The list has named an entry, which goes into the present batch.
    pub(super) fn names(&mut self, item: &Item, course: &Course) {
        if self.counts && is_private(item) {
            course.unmade().found(item);
            self.directories.insert(item.path.clone(), (item.clone(), self.batch));
        }
    }

    /// The directories that an entry is in and that the present batch lacks, from the top: they go into that batch.
    pub(super) fn above(&mut self, path: &Path) -> Vec<Item> {
        let mut above = Vec::new();
        if self.directories.is_empty() {
            return above;
        }
        for directory in path.ancestors().skip(1) {
            if let Some((item, batch)) = self.directories.get_mut(directory)
                && *batch != self.batch
            {
                *batch = self.batch;
                above.push(Item { is_repeated: true, ..item.clone() });
            }
        }
        above.reverse();
        above
    }

    /// The present batch is full, and the next one begins.
    pub(super) fn begins_batch(&mut self) {
        self.batch += 1;
    }

    /// Whether no more directories are remembered before these have arrived.
    pub(super) fn is_full(&self) -> bool {
        self.directories.len() >= REMEMBERED
    }

    /// All directories have arrived.
    pub(super) fn have_arrived(&mut self) {
        self.directories.clear();
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::Name;

    use super::*;
    use crate::work::Kind;

    fn directory(path: &str, mode: u32) -> Item {
        let name = Name::parse(path.as_bytes()).unwrap();
        Item::new(path.into(), name, Kind::Directory(Some(mode)))
    }

    #[test]
    fn batch_begins_with_the_private_directories_above_it() {
        let mut private = Private { counts: true, directories: Vec::new() };
        for (path, mode) in [("a", 0o700), ("a/b", 0o755), ("a/b/c", 0o750), ("a/b/c/d", 0o711)] {
            private.enters(Some(&directory(path, mode)), &Course::default());
        }
        let mut above = |path: &str| -> Vec<_> {
            private.above(Path::new(path)).map(|item| item.name.to_string()).collect()
        };
        assert_eq!(above("a/b/c/d/file"), ["a", "a/b/c", "a/b/c/d"]);
        assert_eq!(above("a/b/c/other"), ["a", "a/b/c"]);
        assert_eq!(above("a/bc"), ["a"]);
        assert_eq!(above("b"), [""; 0]);
    }

    #[test]
    fn batch_of_a_list_has_each_private_directory_before_the_first_entry_in_it() {
        let mut private = PrivateOfList { counts: true, directories: HashMap::new(), batch: 0 };
        for (path, mode) in [("a", 0o700), ("b", 0o700), ("a/c", 0o755), ("a/c/d", 0o750)] {
            private.names(&directory(path, mode), &Course::default());
        }
        let above = |private: &mut PrivateOfList, path: &str| -> Vec<_> {
            let items = private.above(Path::new(path)).into_iter();
            items.map(|item| item.name.to_string()).collect()
        };
        assert_eq!(above(&mut private, "a/c/d/file"), [""; 0]);
        private.begins_batch();
        assert_eq!(above(&mut private, "b/file"), ["b"]);
        assert_eq!(above(&mut private, "a/c/d/file"), ["a", "a/c/d"]);
        assert_eq!(above(&mut private, "a/c/d/other"), [""; 0]);
        private.have_arrived();
        private.begins_batch();
        assert_eq!(above(&mut private, "b/other"), [""; 0]);
    }

    #[test]
    fn run_that_nobody_sees_needs_none() {
        let mut private = Private { counts: false, directories: Vec::new() };
        private.enters(Some(&directory("a", 0o700)), &Course::default());
        assert_eq!(private.above(Path::new("a/b")).count(), 0);
    }
}
