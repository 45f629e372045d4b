//! The names that directories were seen to have, for one turn: otherwise the server would read a large directory anew for each of
//! many entries of it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use rustix::io::Errno;

/// Names that are kept: of each only a number. In a larger directory the server reads for the others each time.
const MOST: usize = 1 << 16;

/// Names in directories.
#[derive(Debug, Default)]
pub(super) struct Spelled {
    /// The number of changes at the server after which a name may be gone, when the names were seen.
    changes: u64,
    /// The hashes of directories and names in them.
    names: HashSet<u64>,
    /// Of directories that were looked at, and of those that were read to their ends.
    begun: HashSet<u64>,
    whole: HashSet<u64>,
    hasher: RandomState,
}

impl Spelled {
    /// Forgets all names if one of them may be gone since.
    pub(super) fn refresh(&mut self, changes: u64) {
        if self.changes != changes {
            self.clear();
            self.changes = changes;
        }
    }

    /// A name of this directory is gone by a change of this turn, which has this number.
    pub(super) fn is_gone(&mut self, directory: &[u8], last: &[u8], change: u64) {
        if self.changes + 1 == change {
            self.names.remove(&self.hasher.hash_one((directory, last)));
            self.changes = change;
        }
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.begun.clear();
        self.whole.clear();
    }

    /// Whether a directory has a name in just this spelling. `read` calls its argument with one name of the directory after the
    /// other, until that is `false`.
    pub(super) fn has(
        &mut self,
        directory: &[u8],
        last: &[u8],
        read: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> Result<(), Errno>,
    ) -> Result<bool, Errno> {
        let Self { names, hasher, .. } = self;
        if names.contains(&hasher.hash_one((directory, last))) {
            return Ok(true);
        }
        let place = hasher.hash_one(directory);
        // A second entry of it is looked for: there may be many more. After that only new names are missing here.
        let to_the_end = self.begun.contains(&place) && !self.whole.contains(&place);
        let (mut found, mut is_whole) = (false, true);
        read(&mut |name| {
            if names.len() < MOST || name == last {
                names.insert(hasher.hash_one((directory, name)));
            }
            found |= name == last;
            is_whole = to_the_end || !found;
            is_whole
        })?;
        if self.begun.len() + self.whole.len() < MOST {
            self.begun.insert(place);
            if is_whole {
                self.whole.insert(place);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that counts how often its names are read.
    struct Directory(Vec<Vec<u8>>, usize);

    impl Directory {
        fn has(&mut self, spelled: &mut Spelled, name: &str) -> bool {
            let Self(names, read) = self;
            spelled
                .has(b"d", name.as_bytes(), |take| {
                    for name in names {
                        *read += 1;
                        if !take(name) {
                            break;
                        }
                    }
                    Ok(())
                })
                .unwrap()
        }
    }

    #[test]
    fn directory_is_read_at_most_twice_for_all_its_entries() {
        let names: Vec<_> = (0..1000).map(|name: u32| name.to_string()).collect();
        let mut directory =
            Directory(names.iter().map(|name| name.clone().into_bytes()).collect(), 0);
        let mut spelled = Spelled::default();
        for name in names.iter().rev() {
            assert!(directory.has(&mut spelled, name));
        }
        assert!(directory.1 <= 2000, "{}", directory.1);
        let mut spelled = Spelled::default();
        directory.1 = 0;
        for name in &names {
            assert!(directory.has(&mut spelled, name));
        }
        assert!(directory.1 <= 2000, "{}", directory.1);
        assert!(!directory.has(&mut spelled, "another"));
    }

    #[test]
    fn name_that_may_be_gone_is_looked_for_again() {
        let mut directory = Directory(vec![b"a".to_vec(), b"b".to_vec()], 0);
        let mut spelled = Spelled::default();
        spelled.refresh(5);
        assert!(directory.has(&mut spelled, "b") && directory.has(&mut spelled, "a"));
        directory.0.clear();
        assert!(directory.has(&mut spelled, "a"), "it was not read again");
        // The turn itself has removed it; nothing is known about others.
        spelled.is_gone(b"d", b"a", 6);
        spelled.refresh(6);
        assert!(!directory.has(&mut spelled, "a") && directory.has(&mut spelled, "b"));
        // Somebody else has changed something meanwhile.
        spelled.is_gone(b"d", b"a", 8);
        spelled.refresh(8);
        assert!(!directory.has(&mut spelled, "b"));
    }

    #[test]
    fn names_that_are_kept_are_bounded() {
        let names = (0..2 * MOST).map(|name| name.to_string().into_bytes());
        let mut directory = Directory(names.collect(), 0);
        let mut spelled = Spelled::default();
        for name in ["1", "2", "131071"] {
            assert!(directory.has(&mut spelled, name));
        }
        assert!(spelled.names.len() <= MOST + 1, "{}", spelled.names.len());
    }
}
