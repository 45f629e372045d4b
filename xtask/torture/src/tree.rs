//! The tree that is sent: made from the seed, and changed between rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blake3::{Hash, Hasher};
use haul_tests::random::Random;

const MIB: u64 = 1 << 20;

/// Small files in the first version.
const SMALL: usize = 2500;

/// Files after many rounds.
const MOST: usize = 5000;

/// Size of the largest small file.
const LONGEST_SMALL: u64 = 64 << 10;

/// Sizes around the bounds of parts.
const BOUNDARIES: [u64; 6] = [MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 5];

/// Large files: the least size and how much more it may be, in MiB.
const LARGE: [(u64, u64); 4] = [(20, 20), (20, 60), (60, 60), (120, 80)];

/// Modes of files. Their owner may read all of them, and must not be able to write each.
const FILE_MODES: [u32; 8] = [0o644, 0o644, 0o644, 0o600, 0o400, 0o444, 0o755, 0o640];

/// Modes of directories.
const DIRECTORY_MODES: [u32; 8] = [0o755, 0o755, 0o700, 0o750, 0o711, 0o500, 0o555, 0o777];

/// The bytes of a file, as far as one has to know them to recognize them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Their number.
    pub(crate) len: u64,
    /// Their digest.
    pub(crate) digest: Hash,
}

/// The source. Names are relative to the directory that contains it, as on the server.
#[derive(Debug)]
pub(crate) struct Tree {
    parent: PathBuf,
    seed: u64,
    version: u64,
    random: Random,
    /// Every file and its bytes.
    pub(crate) files: BTreeMap<String, Version>,
    /// Every link.
    pub(crate) links: BTreeSet<String>,
    /// Every directory and its mode.
    pub(crate) directories: BTreeMap<String, u32>,
}

impl Tree {
    /// Makes the first version below `parent`.
    pub(crate) fn new(parent: &Path, seed: u64) -> anyhow::Result<Self> {
        let mut tree = Self {
            parent: parent.to_owned(),
            seed,
            version: 0,
            random: Random::new(seed, u64::MAX),
            files: BTreeMap::new(),
            links: BTreeSet::new(),
            directories: BTreeMap::from([(String::from(Self::NAME), 0o755)]),
        };
        fs::create_dir_all(tree.path(Self::NAME))?;
        for index in 0..60 {
            let (parent, mode) = (tree.directory(), *tree.random.pick(&DIRECTORY_MODES));
            if parent.matches('/').count() < 6 {
                let name = format!("{parent}/d{index}");
                fs::create_dir(tree.path(&name))?;
                tree.directories.insert(name, mode);
            }
        }
        for index in 0..SMALL {
            tree.add_small(&format!("f{index}"))?;
        }
        for (index, len) in BOUNDARIES.into_iter().enumerate() {
            let name = format!("{}/boundary{index}", tree.directory());
            tree.write(&name, len)?;
        }
        for (index, (least, more)) in LARGE.into_iter().enumerate() {
            let len = least * MIB + tree.random.below(more * MIB);
            let name = format!("{}/large{index}", tree.directory());
            tree.write(&name, len)?;
        }
        for index in 0..40 {
            let name = format!("{}/link{index}", tree.directory());
            tree.link(&name)?;
        }
        tree.shut()?;
        Ok(tree)
    }

    /// Its own name.
    pub(crate) const NAME: &str = "tree";

    /// The path of this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.parent.join(name)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|version| version.len).sum()
    }

    /// The next version: some files get other bytes, some new ones come, links and modes change.
    pub(crate) fn change(&mut self) -> anyhow::Result<()> {
        self.version += 1;
        for name in self.directories.keys() {
            fs::set_permissions(self.path(name), Permissions::from_mode(0o755))?;
        }
        let files: Vec<(String, u64)> =
            self.files.iter().map(|(name, version)| (name.clone(), version.len)).collect();
        for (name, len) in files {
            let percent = if len < MIB - 1 { 25 } else { 50 };
            if self.random.chance(percent) {
                // Half of them keep their size, which is the harder case.
                let other = match self.random.below(4) {
                    0 => len - len / 8,
                    1 if len <= LONGEST_SMALL => (len + len / 7 + 3).min(LONGEST_SMALL),
                    1 => (len + len / 7).min(200 * MIB),
                    _ => len,
                };
                self.write(&name, other)?;
            } else if self.random.chance(3) {
                let mode = *self.random.pick(&FILE_MODES);
                fs::set_permissions(self.path(&name), Permissions::from_mode(mode))?;
            }
        }
        let room = MOST.saturating_sub(self.files.len());
        for index in 0..room.min(60) {
            self.add_small(&format!("new{}_{index}", self.version))?;
        }
        for name in self.links.clone() {
            if self.random.chance(25) {
                self.link(&name)?;
            }
        }
        let mut random = self.random.clone();
        for mode in self.directories.values_mut().filter(|_| random.chance(10)) {
            *mode = *self.random.pick(&DIRECTORY_MODES);
        }
        self.shut()
    }

    /// Gives directories their modes, when nothing is to be written into them any more.
    fn shut(&self) -> anyhow::Result<()> {
        for (name, mode) in &self.directories {
            fs::set_permissions(self.path(name), Permissions::from_mode(*mode))?;
        }
        Ok(())
    }

    /// Any directory.
    fn directory(&mut self) -> String {
        let index = self.random.index(self.directories.len());
        self.directories.keys().nth(index).cloned().unwrap_or_else(|| String::from(Self::NAME))
    }

    fn add_small(&mut self, name: &str) -> anyhow::Result<()> {
        let len = match self.random.below(100) {
            0..5 => 0,
            5..65 => self.random.below(4 << 10),
            _ => self.random.below(LONGEST_SMALL + 1),
        };
        let name = format!("{}/{name}", self.directory());
        self.write(&name, len)
    }

    fn link(&mut self, name: &str) -> anyhow::Result<()> {
        remove(&self.path(name))?;
        let target = format!("../nowhere/{}", self.random.below(1000));
        symlink(target, self.path(name))?;
        self.links.insert(name.to_owned());
        Ok(())
    }

    /// Bytes that no other file has, a mode and an mtime. In place or as a new file: a client must
    /// notice both.
    fn write(&mut self, name: &str, len: u64) -> anyhow::Result<()> {
        let path = self.path(name);
        let writable =
            fs::metadata(&path).is_ok_and(|found| found.permissions().mode() & 0o200 != 0);
        if !writable || self.random.chance(50) {
            remove(&path)?;
        }
        let mut source = Hasher::new();
        source.update(&self.seed.to_le_bytes()).update(&self.version.to_le_bytes());
        let mut source = source.update(name.as_bytes()).finalize_xof();
        let (mut file, mut digest, mut left) = (File::create(&path)?, Hasher::new(), len);
        let mut buffer = vec![0; usize::try_from(len.min(MIB))?];
        while left > 0 {
            let piece = usize::try_from(left.min(MIB))?;
            source.fill(&mut buffer[..piece]);
            digest.update(&buffer[..piece]);
            file.write_all(&buffer[..piece])?;
            left -= piece as u64;
        }
        let mtime = Duration::new(
            1_500_000_000 + self.random.below(200_000_000),
            u32::try_from(self.random.below(1_000_000_000))?,
        );
        file.set_modified(SystemTime::UNIX_EPOCH + mtime)?;
        file.set_permissions(Permissions::from_mode(*self.random.pick(&FILE_MODES)))?;
        self.files.insert(name.to_owned(), Version { len, digest: digest.finalize() });
        Ok(())
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
