//! Private directories that the walk has found and the server has not acknowledged: others than their owner may not list or
//! enter them.
//!
//! An entry may go over another connection than the directory that it is in: because a connection was lost, or the entry is
//! tried again. If the entry reached the server first, the server would make the directory with its own umask. So each
//! connection asks here which directories it must make before it sends an entry.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_protocol::Name;

use super::known::Known;
use super::{Item, Kind};
use crate::plan::policy::Policy;

/// The bits of a directory's mode that nearly every umask leaves to others.
const OPEN: u32 = 0o055;

/// Whether others could look into the directories that a run makes. A dry run makes nothing, and nobody sees a version before
/// it is published.
#[must_use]
pub fn counts(policy: &Policy) -> bool {
    !policy.dry_run && !policy.verifies() && !policy.is_publish()
}

/// Whether an item is a private directory.
#[must_use]
pub fn is_private(item: &Item) -> bool {
    matches!(item.kind, Kind::Directory(Some(mode)) if mode & OPEN != OPEN)
}

/// Private directories without an acknowledgement. They are as few as the items that wait or are under way.
#[derive(Debug, Default)]
pub struct Unmade {
    directories: Mutex<HashMap<Vec<u8>, Item>>,
    /// There are some; looked at without the lock.
    any: AtomicBool,
}

impl Unmade {
    fn directories(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Item>> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The walk has found a private directory.
    pub fn found(&self, directory: &Item) {
        let mut item = Item { is_repeated: true, ..directory.clone() };
        // It is made before the entry that needs it, and not compared.
        item.compared.known = Known::Unknown;
        self.directories().insert(item.name.as_bytes().to_vec(), item);
        self.any.store(true, Ordering::Release);
    }

    /// The server has a directory, or has refused it for good.
    pub fn settled(&self, name: &Name) {
        if self.is_empty() {
            return;
        }
        let mut directories = self.directories();
        directories.remove(name.as_bytes());
        self.any.store(!directories.is_empty(), Ordering::Release);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Whether a directory is one of them.
    #[must_use]
    pub fn has(&self, name: &Name) -> bool {
        self.directories().contains_key(name.as_bytes())
    }

    /// Those that an entry is in, from the top.
    #[must_use]
    pub fn above(&self, name: &Name) -> Vec<Item> {
        let (name, directories) = (name.as_bytes(), self.directories());
        let above = (0..name.len()).filter(|&at| name[at] == b'/').map(|at| &name[..at]);
        above.filter_map(|above| directories.get(above).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_needs_the_private_directories_above_it_until_they_are_settled() {
        let unmade = Unmade::default();
        let name = |name: &str| Name::parse(name.as_bytes()).unwrap();
        let above = |entry: &str| -> Vec<String> {
            unmade.above(&name(entry)).iter().map(|item| item.name.to_string()).collect()
        };
        assert!(unmade.is_empty());
        for path in ["a", "a/b/c", "ab"] {
            unmade.found(&Item::new(path.into(), name(path), Kind::Directory(Some(0o700))));
        }
        assert_eq!(above("a/b/c/d/f"), ["a", "a/b/c"]);
        assert_eq!(above("a/b/c"), ["a"]);
        assert_eq!(above("abc/f"), [""; 0]);
        assert!(unmade.has(&name("a")) && !unmade.has(&name("a/b")));
        unmade.settled(&name("a"));
        unmade.settled(&name("never there"));
        assert_eq!(above("a/b/c/f"), ["a/b/c"]);
        unmade.settled(&name("a/b/c"));
        unmade.settled(&name("ab"));
        assert!(unmade.is_empty());
    }
}
