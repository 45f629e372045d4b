//! Notes of the directories that are opened up just now (see [`rights`](crate::store::rights)): if the server is killed
//! meanwhile, the next start gives each directory its mode back.
//!
//! A note is a symlink in `.haul/opened`. Its name has mode, inode and time of birth of the directory (on a file system that keeps no
//! inode numbers, the time of birth alone); its target is the
//! directory's path. To make a note is one system call, and the server flushes none: a loss of power may leave a directory
//! opened up.

use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, Stat, statx};
use rustix::io::Errno;

use super::{NEEDED, is_own, mode};
use crate::store::identity::Identity;
use crate::store::mark::Marking;
use crate::store::{Store, sys};

/// Where notes are kept.
#[derive(Debug)]
pub(in crate::store) struct Notes {
    directory: OwnedFd,
    root: PathBuf,
    marking: Marking,
    next: AtomicU64,
}

/// Names one of them.
#[derive(Debug)]
pub(in crate::store) struct Note(Vec<u8>);

/// A note that an earlier server has left.
#[derive(Debug)]
struct Left {
    note: Note,
    mode: Mode,
    /// As [`Notes::which`] says it.
    which: Vec<u8>,
    /// Below the root.
    path: Vec<u8>,
}

impl Notes {
    pub(in crate::store) fn new(directory: OwnedFd, root: &Path, marking: Marking) -> Self {
        Self { directory, root: root.to_owned(), marking, next: AtomicU64::new(0) }
    }

    /// Notes the mode of a directory. `None` if it can't be noted, which is no reason to refuse a change: on a full disk
    /// entries must be removed.
    pub(in crate::store) fn make(&self, directory: &OwnedFd, stat: &Stat) -> Option<Note> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let which = self.which(directory, stat).ok()?;
        let name = format!("{:o}-{which}-{number}", stat.st_mode & 0o7777).into_bytes();
        let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let path = rustix::fs::readlink(link, Vec::new()).ok()?;
        let below = Path::new(OsStr::from_bytes(path.as_bytes())).strip_prefix(&self.root).ok()?;
        // A symlink leads somewhere.
        let target = Path::new(".").join(below);
        sys::make_link(&self.directory, &name, target.as_os_str().as_bytes()).ok()?;
        Some(Note(name))
    }

    pub(in crate::store) fn remove(&self, note: &Note) {
        if let Err(errno) = sys::unlink(&self.directory, &note.0) {
            let note = String::from_utf8_lossy(&note.0);
            tracing::warn!(%note, %errno, "could not remove a note of a directory's mode");
        }
    }

    /// Tells a directory from a later one in its place; where the file system keeps no time of birth, only inode number and
    /// mode do. Where it keeps no inode numbers, the time of birth does, or only path and mode.
    fn which(&self, directory: &OwnedFd, stat: &Stat) -> Result<String, Errno> {
        if self.marking != Marking::ByInode {
            let found = statx(directory, c"", AtFlags::EMPTY_PATH, Identity::WANTED)?;
            return Ok(self
                .marking
                .of(&found)
                .map_or_else(|_| "?".to_owned(), |it| it.to_string()));
        }
        let identity = Identity::of_open(directory)?;
        Ok(identity.map_or_else(|| format!("{}-?", stat.st_ino), |identity| identity.to_string()))
    }

    fn all(&self) -> Result<Vec<Left>, Errno> {
        let mut all = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..")
                && let Ok(path) = rustix::fs::readlinkat(&self.directory, name, Vec::new())
                && let Some((mode, which)) = parse(name)
            {
                let path = path.as_bytes();
                let path = path.strip_prefix(b"./").unwrap_or_default().to_vec();
                all.push(Left { note: Note(name.to_vec()), mode, which, path });
            }
        }
        Ok(all)
    }
}

/// Mode and directory of a note. One of an earlier server may name the inode without its time of birth, which is no
/// directory's name here.
fn parse(name: &[u8]) -> Option<(Mode, Vec<u8>)> {
    let (mode, rest) = std::str::from_utf8(name).ok()?.split_once('-')?;
    let mode = u32::from_str_radix(mode, 8).ok()?;
    let (which, _number) = rest.rsplit_once('-')?;
    Some((Mode::from_raw_mode(mode & 0o7777), which.as_bytes().to_vec()))
}

impl Store {
    /// Gives directories their mode back that an earlier server had opened up when it was killed.
    pub(in crate::store) fn close_up(&self) -> Result<(), Errno> {
        let Some(notes) = self.rights.notes() else { return Ok(()) };
        let parents = self.parents();
        for Left { note, mode: after, which: noted, path } in notes.all()? {
            let shown = String::from_utf8_lossy(&path);
            let closed = parents.find(&path).and_then(|directory| {
                let stat = rustix::fs::fstat(&*directory)?;
                // Another one, or another mode, is somebody else's.
                let is_it = notes.which(&directory, &stat)?.as_bytes() == noted;
                let is_open = is_it && mode(&stat) == after | NEEDED;
                if is_open && is_own(&stat) { sys::set_mode(&*directory, after) } else { Ok(()) }
            });
            match closed {
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => {
                    tracing::error!(directory = %shown, mode = after.as_raw_mode(), %errno, "a directory stays writable for its owner");
                }
            }
            parents.clear();
            notes.remove(&note);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A server that is killed drops nothing.
    #[test]
    fn directory_that_was_open_when_the_server_was_killed_gets_its_mode_back() {
        let root = TempDir::new().unwrap();
        let at = |name: &str| root.path().join(name);
        let start =
            || Arc::new(Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap());
        let store = start();
        let names = ["a", "a/b", "changed", "replaced", "set"];
        for (name, mode) in names.iter().zip([0o444, 0o555, 0o555, 0o555, 0o555]) {
            fs::create_dir(at(name)).unwrap();
            let parents = store.parents();
            let directory = parents.find(name.as_bytes()).unwrap();
            set(&at(name), mode);
            let opened = store.rights.open_up(&directory).unwrap().unwrap();
            assert_eq!(mode_of(&at(name)), mode | 0o700);
            if *name == "set" {
                let set = |mode| sys::set_mode(&*directory, mode);
                store.rights.set_mode(&directory, |_| Mode::from_raw_mode(0o755), set).unwrap();
            }
            std::mem::forget(opened);
        }
        drop(store);
        set(&at("changed"), 0o711);
        fs::rename(at("replaced"), at("moved")).unwrap();
        fs::create_dir(at("replaced")).unwrap();
        set(&at("replaced"), 0o755);
        drop(start());
        assert_eq!([mode_of(&at("a/b")), mode_of(&at("a"))], [0o555, 0o444]);
        // Somebody has changed these meanwhile.
        let others = ["changed", "replaced", "moved", "set"].map(|name| mode_of(&at(name)));
        assert_eq!(others, [0o711, 0o755, 0o755, 0o755]);
        assert_eq!(fs::read_dir(at(".haul/opened")).unwrap().count(), 0);
    }

    /// The next directory of its name may have its inode number, too.
    #[test]
    fn directory_made_since_in_the_place_of_one_that_was_open_keeps_its_mode() {
        let root = TempDir::new().unwrap();
        let at = root.path().join("a");
        let start = || Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let store = start();
        fs::create_dir(&at).unwrap();
        let parents = store.parents();
        let directory = parents.find(b"a").unwrap();
        set(&at, 0o555);
        std::mem::forget(store.rights.open_up(&directory).unwrap().unwrap());
        drop((parents, directory, store));
        // One that was made later and has the number, as far as the note can tell.
        let notes = root.path().join(".haul/opened");
        let note = fs::read_dir(&notes).unwrap().next().unwrap().unwrap();
        let name = note.file_name().into_string().unwrap();
        let inode = fs::metadata(&at).unwrap().ino();
        let mut words: Vec<&str> = name.split('-').collect();
        assert_eq!(words[1], inode.to_string());
        words[2] = "1.5";
        fs::rename(note.path(), notes.join(words.join("-"))).unwrap();
        drop(start());
        assert_eq!(mode_of(&at), 0o755);
        assert_eq!(fs::read_dir(&notes).unwrap().count(), 0);
    }

    #[test]
    fn note_lasts_as_long_as_the_directory_is_open() {
        let root = TempDir::new().unwrap();
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let notes = || fs::read_dir(root.path().join(".haul/opened")).unwrap().count();
        fs::create_dir(root.path().join("a")).unwrap();
        let parents = store.parents();
        let directory = parents.find(b"a").unwrap();
        set(&root.path().join("a"), 0o555);
        let one = store.rights.open_up(&directory).unwrap().unwrap();
        let other = store.rights.open_up(&directory).unwrap().unwrap();
        assert_eq!(notes(), 1);
        drop(one);
        assert_eq!(notes(), 1);
        drop(other);
        assert_eq!(notes(), 0);
    }
}
