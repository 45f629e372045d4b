//! Private directories on the way to an entry: others than their owner may not list or enter them.
//!
//! Connections overtake each other. If an entry reaches the server before the directory that it is in, the server makes the
//! directory with its own umask, and others could look into it until the directory itself comes. So each batch, which goes
//! over one connection, begins with the private directories above its first entry.

use std::path::Path;

use crate::plan::policy::Policy;
use crate::work::{Item, Kind};

/// The bits of a directory's mode that nearly every umask leaves to others.
const OPEN: u32 = 0o055;

/// The private directories above an entry, from the top.
pub(super) struct Private {
    /// Others could look into what this run makes.
    counts: bool,
    directories: Vec<Item>,
}

impl Private {
    /// A dry run makes nothing, and nobody sees a version before it is published.
    pub(super) fn of(policy: &Policy) -> Self {
        let counts = !policy.dry_run && !policy.verifies() && !policy.is_publish();
        Self { counts, directories: Vec::new() }
    }

    /// The walk has found an entry, and goes on below it if it is a directory.
    pub(super) fn enters(&mut self, item: Option<&Item>) {
        let Some(item) = item.filter(|_| self.counts) else { return };
        if matches!(item.kind, Kind::Directory(Some(mode)) if mode & OPEN != OPEN) {
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

#[cfg(test)]
mod tests {
    use haul_protocol::Name;

    use super::*;

    fn directory(path: &str, mode: u32) -> Item {
        let name = Name::parse(path.as_bytes()).unwrap();
        Item::new(path.into(), name, Kind::Directory(Some(mode)))
    }

    #[test]
    fn batch_begins_with_the_private_directories_above_it() {
        let mut private = Private { counts: true, directories: Vec::new() };
        for (path, mode) in [("a", 0o700), ("a/b", 0o755), ("a/b/c", 0o750), ("a/b/c/d", 0o711)] {
            private.enters(Some(&directory(path, mode)));
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
    fn run_that_nobody_sees_needs_none() {
        let mut private = Private { counts: false, directories: Vec::new() };
        private.enters(Some(&directory("a", 0o700)));
        assert_eq!(private.above(Path::new("a/b")).count(), 0);
    }
}
