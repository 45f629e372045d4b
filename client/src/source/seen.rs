//! The directories and entries of a source that the walk has seen, in a memory that does not grow with the source.
//!
//! Up to [`EXACT`] facts are remembered as hashes of 64 bits. More go into a Bloom filter of a fixed size: it never
//! forgets a fact; in trees of many millions of entries it may take a few facts for seen that were not.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::held::Place;
use super::start::Start;

/// Facts that are remembered as they are: some 2 MiB.
const EXACT: usize = 128 * 1024;

/// Words of 64 bits in the filter: 16 MiB.
const WORDS: usize = 2 * 1024 * 1024;

/// Bits of the filter for each fact.
const BITS: u32 = 6;

/// A directory that has changed as recently as this may change once more without a new change time.
const RECENT: Duration = Duration::from_secs(1);

/// The directories and entries that the walk has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    hasher: RandomState,
    facts: Mutex<Facts>,
}

#[derive(Debug)]
enum Facts {
    Few(HashSet<u64>),
    Many(Box<[u64]>),
}

impl Default for Facts {
    fn default() -> Self {
        Self::Few(HashSet::new())
    }
}

/// Kinds of facts.
#[derive(Hash, Clone, Copy)]
enum Fact {
    /// A directory is at this path.
    Directory,
    /// In this walk, something else that is sent is.
    Entry(u32),
    /// The directory at this path is this one.
    Identity([u64; 5]),
    /// And its entries have last changed then, long before it was read.
    Changed([u64; 5], [i64; 2]),
    /// Or not long before, but before the walk began.
    Before([u64; 5], [i64; 2]),
    /// The directory at this path has this device and inode.
    Inode([i64; 2]),
    /// The directory at this path is on this device.
    Device(i64),
}

impl Seen {
    /// One that takes everything for seen.
    #[cfg(test)]
    pub(crate) fn overfull() -> Self {
        let facts = Mutex::new(Facts::Many(vec![u64::MAX; WORDS].into_boxed_slice()));
        Self { facts, ..Self::default() }
    }

    /// A directory that is read from now on, and what it was; that is not known if it could not be looked at. `start`:
    /// when the walk began.
    pub(crate) fn directory(&self, path: &Path, place: Option<Place>, start: Option<Start>) {
        let mut facts = self.facts();
        facts.insert(self.hash(path, Fact::Directory));
        let Some(Place { identity, changed }) = place else { return };
        facts.insert(self.hash(path, Fact::Identity(identity)));
        if !is_recent(changed) {
            facts.insert(self.hash(path, Fact::Changed(identity, changed)));
        } else if start.is_some_and(|start| start.is_after(changed)) {
            facts.insert(self.hash(path, Fact::Before(identity, changed)));
        }
    }

    /// The directory at a path is this one, by device and inode.
    pub(crate) fn directory_is(&self, path: &Path, inode: [i64; 2]) {
        let mut facts = self.facts();
        facts.insert(self.hash(path, Fact::Directory));
        facts.insert(self.hash(path, Fact::Inode(inode)));
        facts.insert(self.hash(path, Fact::Device(inode[0])));
    }

    /// Whether a directory at a path was this one, by device and inode.
    pub(crate) fn was_directory(&self, path: &Path, inode: [i64; 2]) -> bool {
        self.has(path, Fact::Inode(inode))
    }

    /// Whether a directory at a path was on this device.
    #[cfg(target_os = "linux")]
    pub(crate) fn was_on_device(&self, path: &Path, device: i64) -> bool {
        self.has(path, Fact::Device(device))
    }

    /// Anything but a directory, in which walk.
    pub(crate) fn entry(&self, path: &Path, walk: u32) {
        let hash = self.hash(path, Fact::Entry(walk));
        self.facts().insert(hash);
    }

    /// Whether there was a directory at a path.
    pub(crate) fn had_directory(&self, path: &Path) -> bool {
        self.has(path, Fact::Directory)
    }

    /// Whether there was anything but a directory at a path in a walk.
    pub(crate) fn had_entry(&self, path: &Path, walk: u32) -> bool {
        self.has(path, Fact::Entry(walk))
    }

    /// Whether the directory at a path was this one.
    pub(crate) fn is_same(&self, path: &Path, place: Place) -> bool {
        self.has(path, Fact::Identity(place.identity))
    }

    /// Whether something may be taken for seen that was not.
    pub(crate) fn is_vague(&self) -> bool {
        matches!(*self.facts(), Facts::Many(_))
    }

    /// Whether it is certain that a directory has the entries that it had.
    pub(crate) fn is_unchanged(&self, path: &Path, place: Place) -> bool {
        self.has(path, Fact::Changed(place.identity, place.changed))
    }

    /// The same, if the file system takes change times from this machine's clock.
    pub(crate) fn is_as_read(&self, path: &Path, place: Place) -> bool {
        let before = Fact::Before(place.identity, place.changed);
        self.is_unchanged(path, place) || self.has(path, before)
    }

    fn has(&self, path: &Path, fact: Fact) -> bool {
        let hash = self.hash(path, fact);
        match &*self.facts() {
            Facts::Few(facts) => facts.contains(&hash),
            Facts::Many(words) => bits(hash).all(|(word, bit)| words[word] & bit != 0),
        }
    }

    fn hash(&self, path: &Path, fact: Fact) -> u64 {
        // Byte by byte: component by component takes far longer.
        self.hasher.hash_one((path.as_os_str(), fact))
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn insert(&mut self, hash: u64) {
        if let Self::Few(facts) = self {
            if facts.len() < EXACT {
                facts.insert(hash);
                return;
            }
            let mut words = vec![0; WORDS].into_boxed_slice();
            facts.iter().for_each(|&hash| set(&mut words, hash));
            *self = Self::Many(words);
        }
        if let Self::Many(words) = self {
            set(words, hash);
        }
    }
}

fn set(words: &mut [u64], hash: u64) {
    bits(hash).for_each(|(word, bit)| words[word] |= bit);
}

/// The bits of a fact, by double hashing.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let (first, step) = (hash, hash.rotate_left(32) | 1);
    (0..u64::from(BITS)).map(move |index| {
        let place =
            first.wrapping_add(index.wrapping_mul(step)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let word = usize::try_from(place >> 32).unwrap_or(0) % WORDS;
        (word, 1 << ((place >> 26) & 63))
    })
}

/// A change time that is long to come was set by a clock that was wrong; a change now has another one. That of whole
/// seconds may be of a clock that is wrong now.
fn is_recent([s, ns]: [i64; 2]) -> bool {
    let (Ok(s), Ok(fraction)) = (u64::try_from(s), u32::try_from(ns)) else { return false };
    let Some(changed) = UNIX_EPOCH.checked_add(Duration::new(s, fraction)) else { return true };
    match SystemTime::now().duration_since(changed) {
        Ok(since) => since <= RECENT,
        Err(to_come) => to_come.duration() <= RECENT || ns == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64) -> Place {
        Place { identity: [1, number, 3, 4, 0], changed: [1_000_000_000, 5] }
    }

    #[test]
    fn nothing_is_forgotten_however_much_there_is_and_little_is_taken_for_seen() {
        let (seen, paths) = (Seen::default(), |number: u64| format!("s/{number}"));
        let count = EXACT as u64;
        for number in 0..count {
            seen.entry(Path::new(&paths(number)), 0);
            if number == 10 {
                assert!(!seen.had_entry(Path::new(&paths(count)), 0));
            }
        }
        for number in 0..1000 {
            seen.directory(Path::new(&paths(number)), Some(place(number)), None);
        }
        assert!(matches!(&*seen.facts(), Facts::Many(_)));
        assert!((0..count).all(|number| seen.had_entry(Path::new(&paths(number)), 0)));
        for number in 0..1000 {
            let path = paths(number);
            let path = Path::new(&path);
            assert!(seen.had_directory(path) && seen.is_same(path, place(number)));
            assert!(seen.is_unchanged(path, place(number)));
        }
        let wrong = |has: &dyn Fn(&Path, u64) -> bool| {
            (count..2 * count).filter(|&number| has(Path::new(&paths(number)), number)).count()
        };
        assert!(wrong(&|path, _| seen.had_entry(path, 0)) < 100);
        assert!(wrong(&|path, _| seen.had_directory(path)) < 100);
        assert!(wrong(&|_, number| seen.is_same(Path::new("s/1"), place(number))) < 100);
    }

    #[test]
    fn directory_that_has_just_changed_is_never_certain_to_have_the_same_entries() {
        let (seen, path) = (Seen::default(), Path::new("d"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        for (s, ns, is_certain) in [(now, 0, false), (now + 1000, 0, false), (now + 1000, 5, true)]
        {
            let place = Place { changed: [i64::try_from(s).unwrap(), ns], ..place(1) };
            seen.directory(path, Some(place), None);
            assert!(seen.is_same(path, place));
            assert_eq!(seen.is_unchanged(path, place), is_certain, "{s}.{ns}");
        }
    }
}
