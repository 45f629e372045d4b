//! A disk in memory, and every state in which a crash may leave it.
//!
//! Assumed of the file system (docs/durability.md, "What is assumed of the file system"): an operation that was not flushed may
//! be lost, whatever came after it; a lost write may leave zeros; a rename is not split; a flush of a
//! file keeps its bytes, one of a directory its entries.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::TempDir;

use super::{Object, Op, RECORDER, Recorder};

/// Pending operations of which all subsets are tried.
const ALL_SUBSETS: usize = 12;

/// Subsets that are tried of more.
const SAMPLES: u64 = 600;

/// The target of a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Node {
    File(Object),
    Directory(Object),
    Link(Vec<u8>),
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    pub(super) root: Object,
    directories: BTreeMap<Object, BTreeMap<Vec<u8>, Node>>,
    files: BTreeMap<Object, Vec<u8>>,
    /// The bytes whose digest a file keeps.
    digests: BTreeMap<Object, Vec<u8>>,
    /// The number of a directory, as inode in names that tell directories apart.
    inodes: BTreeMap<Object, u64>,
}

/// The bytes that a lost write leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Nothing,
    Zeros,
}

/// A root in memory, if this system has such a place: the model is the disk, and flushes cost time only.
pub(super) fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// Starts to record on this thread; entries on the disk now are taken to be durable.
pub(super) fn start(root: &Path) -> Disk {
    let mut recorder = Recorder::default();
    let mut disk = Disk::default();
    let inode = fs::metadata(root).unwrap().ino();
    disk.root = recorder.new_object(inode);
    snapshot(root, disk.root, &mut disk, &mut recorder);
    RECORDER.set(Some(recorder));
    disk
}

/// Ends it.
pub(super) fn stop() -> Vec<Op> {
    RECORDER.take().unwrap().ops
}

fn snapshot(path: &Path, directory: Object, disk: &mut Disk, recorder: &mut Recorder) {
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let object = recorder.new_object(metadata.ino());
        let node = if metadata.is_dir() {
            disk.inodes.insert(object, metadata.ino());
            snapshot(&entry.path(), object, disk, recorder);
            Node::Directory(object)
        } else {
            disk.files.insert(object, fs::read(entry.path()).unwrap());
            Node::File(object)
        };
        entries.insert(entry.file_name().as_bytes().to_vec(), node);
    }
    disk.directories.insert(directory, entries);
}

/// Calls `check` with every state that a crash may leave, each once for the same number of things
/// told, and with what clients had been told by then.
pub(super) fn every_crash(
    start: &Disk,
    ops: &[Op],
    seed: u64,
    mut check: impl FnMut(&Disk, &[&'static str]),
) -> usize {
    let mut seen = HashSet::new();
    let mut random = seed | 1;
    for len in 0..=ops.len() {
        let ops = &ops[..len];
        let told: Vec<&'static str> = ops
            .iter()
            .filter_map(|op| if let Op::Told(what) = op { Some(*what) } else { None })
            .collect();
        let pending: Vec<usize> = (0..len).filter(|&at| is_pending(ops, at)).collect();
        let all = pending.len() <= ALL_SUBSETS;
        let subsets = if all { 1 << pending.len() } else { SAMPLES };
        for subset in 0..subsets {
            // The first two samples are: everything lost, nothing lost.
            let mask = match (all, subset) {
                (true, subset) => subset,
                (false, 0) => u64::MAX,
                (false, 1) => 0,
                (false, _) => next(&mut random),
            };
            for how in [Lost::Nothing, Lost::Zeros] {
                let lost: HashSet<usize> = pending
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| mask >> (bit % 64) & 1 == 1)
                    .map(|(_, at)| *at)
                    .collect();
                let disk = replay(start, ops, &lost, how);
                if seen.insert((disk.visible(), told.len())) {
                    check(&disk, &told);
                }
            }
        }
    }
    seen.len()
}

/// xorshift64: the same seed gives the same samples.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// Whether nothing after the operation has flushed it.
fn is_pending(ops: &[Op], at: usize) -> bool {
    let object = match &ops[at] {
        Op::Write { file, .. } | Op::Truncate { file, .. } | Op::KeepDigest { file } => *file,
        Op::Create { directory, .. } => *directory,
        Op::Rename { to, .. } | Op::Link { to, .. } => *to,
        Op::SecondName { to, .. } => *to,
        // Of two directories: pending as long as either has not been flushed.
        Op::Exchange { one, other, .. } => {
            return !ops[at..].contains(&Op::SyncAll)
                && [one, other].iter().any(|directory| {
                    !ops[at..]
                        .iter()
                        .any(|op| matches!(op, Op::Sync { object } if object == *directory))
                });
        }
        Op::MakeDirectory { parent, .. }
        | Op::MakeLink { parent, .. }
        | Op::Unlink { parent, .. } => *parent,
        Op::CreateUnnamed { .. } | Op::Sync { .. } | Op::SyncAll | Op::Told(_) => return false,
    };
    !ops[at..].iter().any(|op| match op {
        Op::SyncAll => true,
        Op::Sync { object: synced } => *synced == object,
        _ => false,
    })
}

fn replay(start: &Disk, ops: &[Op], lost: &HashSet<usize>, how: Lost) -> Disk {
    let (mut disk, mut live) = (start.clone(), start.clone());
    for (at, op) in ops.iter().enumerate() {
        let kept = !lost.contains(&at);
        // The target of a name at the time, also if that is lost.
        match op {
            Op::Create { directory, name, file } => {
                disk.files.insert(*file, Vec::new());
                live.files.insert(*file, Vec::new());
                live.enter(*directory, name, Node::File(*file));
                if kept {
                    disk.enter(*directory, name, Node::File(*file));
                }
            }
            Op::CreateUnnamed { file } => {
                disk.files.insert(*file, Vec::new());
                live.files.insert(*file, Vec::new());
            }
            Op::Link { file, to, target } => {
                live.enter(*to, target, Node::File(*file));
                if kept {
                    disk.enter(*to, target, Node::File(*file));
                }
            }
            Op::SecondName { from, name, to } => {
                let node = live.node(*from, name);
                live.enter(*to, name, node.clone());
                if kept {
                    disk.enter(*to, name, node);
                }
            }
            Op::Exchange { one, name, other, target } => {
                let (first, second) = (live.node(*one, name), live.node(*other, target));
                let exchange = |disk: &mut Disk| {
                    disk.enter(*one, name, second.clone());
                    disk.enter(*other, target, first.clone());
                };
                exchange(&mut live);
                if kept {
                    exchange(&mut disk);
                }
            }
            Op::Write { file, offset, bytes } => {
                live.write(*file, *offset, bytes);
                match (kept, how) {
                    (true, _) => disk.write(*file, *offset, bytes),
                    (false, Lost::Zeros) => disk.write(*file, *offset, &vec![0; bytes.len()]),
                    (false, Lost::Nothing) => {}
                }
            }
            Op::KeepDigest { file } if kept => {
                disk.digests.insert(*file, live.files[file].clone());
            }
            Op::Truncate { file, len } => {
                let len = usize::try_from(*len).unwrap();
                live.files.get_mut(file).unwrap().truncate(len);
                if kept {
                    disk.files.get_mut(file).unwrap().truncate(len);
                }
            }
            Op::Rename { from, name, to, target } => {
                let node = live.node(*from, name);
                live.remove(*from, name);
                live.enter(*to, target, node.clone());
                if kept {
                    disk.remove(*from, name);
                    disk.enter(*to, target, node);
                }
            }
            Op::MakeDirectory { parent, name, directory, inode } => {
                for disk in [&mut disk, &mut live] {
                    disk.directories.insert(*directory, BTreeMap::new());
                    disk.inodes.insert(*directory, *inode);
                }
                live.enter(*parent, name, Node::Directory(*directory));
                if kept {
                    disk.enter(*parent, name, Node::Directory(*directory));
                }
            }
            Op::MakeLink { parent, name, target } => {
                let node = Node::Link(target.clone());
                live.enter(*parent, name, node.clone());
                if kept {
                    disk.enter(*parent, name, node);
                }
            }
            Op::Unlink { parent, name } => {
                live.remove(*parent, name);
                if kept {
                    disk.remove(*parent, name);
                }
            }
            Op::KeepDigest { .. } | Op::Sync { .. } | Op::SyncAll | Op::Told(_) => {}
        }
    }
    disk
}

impl Disk {
    fn enter(&mut self, directory: Object, name: &[u8], node: Node) {
        self.directories.entry(directory).or_default().insert(name.to_vec(), node);
    }

    fn node(&self, directory: Object, name: &[u8]) -> Node {
        self.directories[&directory][name].clone()
    }

    fn remove(&mut self, directory: Object, name: &[u8]) {
        self.directories.entry(directory).or_default().remove(name);
    }

    fn write(&mut self, file: Object, offset: u64, bytes: &[u8]) {
        let file = self.files.get_mut(&file).unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[start..end].copy_from_slice(bytes);
    }

    /// The disk without what no name leads to.
    fn visible(&self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let mut visible = BTreeMap::new();
        self.walk(self.root, b"", &mut |name, node| {
            let bytes = match node {
                Node::File(file) => Some(self.files[file].clone()),
                Node::Link(target) => Some([b"-> ", &target[..]].concat()),
                Node::Directory(_) => None,
            };
            visible.insert(name.to_vec(), bytes);
        });
        visible
    }

    /// Whether each file that clients can see and that keeps a digest has the bytes of that digest; and the number of
    /// these files.
    pub(super) fn digests_fit(&self) -> (bool, usize) {
        let (mut fit, mut count) = (true, 0);
        self.walk(self.root, b"", &mut |name, node| {
            if let Node::File(file) = node
                && !name.starts_with(b".haul")
                && let Some(bytes) = self.digests.get(file)
            {
                fit &= self.files[file] == *bytes;
                count += 1;
            }
        });
        (fit, count)
    }

    /// The entries that clients can see: bytes by name; links as `-> target`, directories without bytes.
    pub(super) fn published(&self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let mut visible = self.visible();
        visible.retain(|name, _| !name.starts_with(b".haul"));
        visible
    }

    fn walk(&self, directory: Object, at: &[u8], each: &mut impl FnMut(&[u8], &Node)) {
        for (name, node) in self.directories.get(&directory).into_iter().flatten() {
            let path = if at.is_empty() { name.clone() } else { [at, b"/", name].concat() };
            each(&path, node);
            if let Node::Directory(below) = node {
                self.walk(*below, &path, each);
            }
        }
    }

    /// A directory whose name says which inode it is, or is not, says so of its new inode.
    fn renumber(&self, directory: Object, path: &Path) {
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        let Some((inode, token)) =
            name.strip_prefix("ready-").and_then(|rest| rest.split_once('-'))
        else {
            return;
        };
        let real = fs::metadata(path).unwrap().ino();
        let is_itself = self.inodes[&directory].to_string() == inode;
        let inode = if is_itself { real } else { real + 1 };
        fs::rename(path, path.with_file_name(format!("ready-{inode}-{token}"))).unwrap();
    }

    /// Writes it to a real directory.
    pub(super) fn materialize(&self, root: &Path) {
        let mut directories = Vec::new();
        self.walk(self.root, b"", &mut |name, node| {
            let path = root.join(std::ffi::OsStr::from_bytes(name));
            match node {
                Node::Directory(directory) => {
                    fs::create_dir(&path).unwrap();
                    directories.push((*directory, path));
                }
                Node::File(file) => fs::write(path, &self.files[file]).unwrap(),
                Node::Link(target) => {
                    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path).unwrap();
                }
            }
        });
        let real = |path: &Path| fs::metadata(path).unwrap().ino();
        let inodes: BTreeMap<u64, u64> = directories
            .iter()
            .map(|(directory, path)| (self.inodes[directory], real(path)))
            .collect();
        self.walk(self.root, b"", &mut |name, _| {
            renumber_note(&root.join(std::ffi::OsStr::from_bytes(name)), &inodes);
        });
        directories.iter().rev().for_each(|(directory, path)| self.renumber(*directory, path));
    }
}

/// A note about a directory names its new inode; one about a directory that is not there, one that is no directory's.
fn renumber_note(path: &Path, inodes: &BTreeMap<u64, u64>) {
    let name = path.file_name().unwrap().to_str().unwrap_or_default();
    let Some((inode, rest)) = name.strip_prefix("version-").and_then(|rest| rest.split_once('-'))
    else {
        return;
    };
    let inode = inodes.get(&inode.parse().unwrap()).copied().unwrap_or(0);
    fs::rename(path, path.with_file_name(format!("version-{inode}-{rest}"))).unwrap();
}
