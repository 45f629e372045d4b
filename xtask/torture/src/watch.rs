//! Looks at the final names all the time: each must show the old bytes or the new ones, or, where
//! there are no old ones, perhaps nothing.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use blake3::{Hash, Hasher};
use haul_tests::random::Random;

use super::client::Acks;
use super::report::Watched;
use super::tree::{Tree, Version};

/// Bytes that are read before there is a pause.
const BUDGET: u64 = 8 << 20;

/// Files that are kept open, to be read again later.
const KEPT: usize = 24;

/// The files that may be seen.
#[derive(Debug)]
pub(crate) struct Expected {
    /// Above the tree.
    pub(crate) root: PathBuf,
    /// The files that stood there before this round.
    pub(crate) old: BTreeMap<String, Version>,
    pub(crate) new: BTreeMap<String, Version>,
    /// Links and directories.
    pub(crate) others: HashSet<String>,
    pub(crate) directories: Vec<String>,
    pub(crate) acks: Arc<Acks>,
}

/// A watcher on a thread of its own.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<Watched>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    failure: Mutex<Option<anyhow::Error>>,
}

impl Watcher {
    /// Starts looking.
    pub(crate) fn start(expected: Expected, random: Random) -> Self {
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut eye = Eye {
                expected,
                random,
                seen: HashMap::new(),
                arrived: HashSet::new(),
                kept: VecDeque::new(),
                watched: Watched::default(),
            };
            while !ours.over.load(Ordering::Relaxed) {
                let start = Instant::now();
                if let Err(error) = eye.look_around() {
                    *ours.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    break;
                }
                // A third of one core at most: the others are for the clients and the server.
                std::thread::sleep((2 * start.elapsed()).max(Duration::from_millis(2)));
            }
            eye.watched
        });
        Self { shared, thread }
    }

    /// Fails when the watcher has seen a wrong entry.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error.context("the watcher saw it")),
            None => Ok(()),
        }
    }

    /// Ends it.
    pub(crate) fn end(self) -> anyhow::Result<Watched> {
        self.shared.over.store(true, Ordering::Relaxed);
        let Self { shared, thread } = self;
        let watched = thread.join().ok().context("the watcher panicked")?;
        match shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error.context("the watcher saw it")),
            None => Ok(watched),
        }
    }
}

struct Eye {
    expected: Expected,
    random: Random,
    /// Inode and time of the last change of the file that was read under a name.
    seen: HashMap<String, (u64, i64, i64)>,
    /// Names that have shown the new version, and must go on to.
    arrived: HashSet<String>,
    kept: VecDeque<(String, File, Hash)>,
    watched: Watched,
}

impl Eye {
    /// Looks at one directory: at files of it that have changed, and some of the others.
    fn look_around(&mut self) -> anyhow::Result<()> {
        let mut left = BUDGET;
        let directories = &self.expected.directories;
        let directory = directories[self.random.index(directories.len())].clone();
        for name in self.list(&directory)? {
            if left == 0 {
                break;
            }
            let changed = match fs::symlink_metadata(self.expected.root.join(&name)) {
                Ok(found) => self.seen.get(&name) != Some(&stamp(&found)),
                Err(_) => true,
            };
            if changed || self.random.chance(2) {
                left = left.saturating_sub(self.look(&name)?);
            }
        }
        // A name that is missing where old bytes were is in no list.
        for _ in 0..8 {
            let names =
                if self.expected.old.is_empty() { &self.expected.new } else { &self.expected.old };
            let name = names.keys().nth(self.random.index(names.len())).cloned();
            let small =
                name.as_ref().and_then(|name| names.get(name)).is_some_and(|v| v.len < BUDGET);
            if let Some(name) = name.filter(|_| small) {
                self.look(&name)?;
            }
        }
        self.look_again()
    }

    /// Names of files in a directory. Every entry must be one of the tree's.
    fn list(&mut self, directory: &str) -> anyhow::Result<Vec<String>> {
        let entries = match fs::read_dir(self.expected.root.join(directory)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context(directory.to_owned()),
        };
        let (mut files, expected) = (Vec::new(), &self.expected);
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_str().context("a name that nobody sent")?;
            let name =
                if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            self.watched.listed += 1;
            if expected.new.contains_key(&name) || expected.old.contains_key(&name) {
                files.push(name);
            } else {
                let known =
                    expected.others.contains(&name) || name == ".haul" || name == Tree::NAME;
                ensure!(known, "{name} is there, and is not in the tree");
            }
        }
        Ok(files)
    }

    /// Reads one file; returns its length.
    fn look(&mut self, name: &str) -> anyhow::Result<u64> {
        let (old, new) = (self.expected.old.get(name), self.expected.new.get(name));
        // Asked before the file is opened: a name that is acknowledged later may not be there yet.
        let must_be_new = self.expected.acks.has(name) || self.arrived.contains(name);
        let mut file = match File::open(self.expected.root.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                ensure!(old.is_none(), "{name} is gone, and an older version was there");
                ensure!(!must_be_new, "{name} is gone, and it had arrived");
                self.watched.absent += 1;
                return Ok(0);
            }
            Err(error) => return Err(error).context(name.to_owned()),
        };
        let found = file.metadata()?;
        let (len, right) = (found.len(), |version: &&Version| version.len == found.len());
        if old.filter(right).is_none() && new.filter(right).is_none() {
            bail!("{name} has {len} bytes: old {old:?}, new {new:?}");
        }
        let digest = digest(&mut file)?;
        let is = |version: Option<&Version>| version == Some(&Version { len, digest });
        self.watched.files += 1;
        self.watched.bytes += len;
        if is(new) {
            self.arrived.insert(name.to_owned());
            self.watched.new += u64::from(old.is_some_and(|old| Some(old) != new));
        } else if is(old) {
            ensure!(!must_be_new, "{name} shows its old version, and the new one had arrived");
            self.watched.old += 1;
        } else {
            bail!("{name} has {len} bytes {digest}: old {old:?}, new {new:?}");
        }
        self.seen.insert(name.to_owned(), stamp(&found));
        if self.random.chance(10) {
            self.kept.push_back((name.to_owned(), file, digest));
        }
        Ok(len)
    }

    /// Bytes that were seen under a final name never change, even if the name shows others by now.
    fn look_again(&mut self) -> anyhow::Result<()> {
        while self.kept.len() > KEPT {
            if let Some((name, mut file, before)) = self.kept.pop_front() {
                file.rewind()?;
                let after = digest(&mut file)?;
                ensure!(before == after, "the bytes of {name} have changed in place");
                self.watched.again += 1;
            }
        }
        Ok(())
    }
}

fn stamp(found: &fs::Metadata) -> (u64, i64, i64) {
    (found.ino(), found.ctime(), found.ctime_nsec())
}

/// The digest of all bytes that can be read.
pub(crate) fn digest(file: &mut File) -> anyhow::Result<Hash> {
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            len => hasher.update(&buffer[..len]),
        };
    }
}
