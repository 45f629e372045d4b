//! Trees that nobody needs any more: moved out of the way at once, removed when there is time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::entries;
use crate::locks::{Condvar, Mutex, Rank};
use crate::store::sys;

/// `.haul/trash`, and the names in it that are still free.
#[derive(Debug)]
pub(crate) struct Trash {
    directory: OwnedFd,
    next: AtomicUsize,
    /// Rung when a tree is to be removed.
    pub(crate) bell: Bell,
}

/// Wakes the sweeper.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

/// The reason why a thread was woken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Rung {
    /// For no reason but that it was time.
    #[default]
    Not,
    /// There is work to do.
    Look,
    /// There will never be again.
    Stop,
}

impl Default for Bell {
    fn default() -> Self {
        Self { rung: Mutex::new(Rank::Bell, Rung::Not), changed: Condvar::new() }
    }
}

impl Bell {
    fn ring(&self, why: Rung) {
        let mut rung = self.rung.lock();
        if *rung != Rung::Stop {
            *rung = why;
        }
        self.changed.notify_all();
    }

    /// Ends the waiting for good.
    pub(crate) fn stop(&self) {
        self.ring(Rung::Stop);
    }

    /// Whether it was told to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.rung.lock() == Rung::Stop
    }

    /// Waits for so long at most.
    pub(crate) fn wait(&self, timeout: Duration) -> Rung {
        let rung = self.rung.lock();
        let mut rung = self.changed.wait_timeout_while(rung, timeout, |rung| *rung == Rung::Not);
        let why = *rung;
        if why == Rung::Look {
            *rung = Rung::Not;
        }
        why
    }
}

impl Trash {
    pub(in crate::store) fn new(directory: OwnedFd) -> Self {
        let used = entries(&directory).unwrap_or_default();
        let numbers = used.iter().filter_map(|name| usize::from_str_radix(name, 16).ok());
        let next = AtomicUsize::new(numbers.max().map_or(0, |most| most + 1));
        Self { directory, next, bell: Bell::default() }
    }

    fn free(&self) -> String {
        format!("{:x}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether there is anything to remove.
    pub(crate) fn has_any(&self) -> bool {
        entries(&self.directory).is_ok_and(|names| !names.is_empty())
    }

    /// Moves a directory here, if it is there.
    pub(in crate::store) fn throw(&self, from: &OwnedFd, name: &str) -> Result<(), Errno> {
        let throw = || sys::rename(from, name.as_bytes(), &self.directory, self.free().as_bytes());
        match throw() {
            Err(Errno::NOENT) => return Ok(()),
            // A directory that its owner may not write to can't be moved.
            Err(Errno::ACCESS) => {
                sys::set_mode_at(from, name, FileType::Directory, Mode::RWXU)?;
                throw()?;
            }
            thrown => thrown?,
        }
        self.bell.ring(Rung::Look);
        Ok(())
    }

    /// Removes everything, unless the server stops; calls `between` after each directory, as there may be work for hours. A tree
    /// is made flat on the way, so that one that is deep needs no more open files than any other.
    pub(crate) fn empty(&self, between: &mut dyn FnMut()) -> Result<(), Errno> {
        let mut first = None;
        loop {
            let names = entries(&self.directory)?;
            let mut any = false;
            for name in names {
                if self.bell.is_stopped() {
                    return Ok(());
                }
                match self.remove(&name) {
                    Ok(()) => any = true,
                    Err(errno) => {
                        let path = name.escape_debug();
                        tracing::warn!(path = %format_args!(".haul/trash/{path}"), %errno, "could not remove");
                        first = first.or(Some(errno));
                    }
                }
                between();
            }
            // A tree that can't be removed keeps no other one here.
            if !any {
                return first.map_or(Ok(()), Err);
            }
        }
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            removed => return removed,
        }
        // A directory that its owner may not write to can't be emptied, nor moved.
        sys::set_mode_at(&self.directory, name, FileType::Directory, Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let tree = rustix::fs::openat(&self.directory, name, flags, Mode::empty())?;
        // An entry that can't be removed keeps no other one here.
        let mut first = Ok(());
        for entry in rustix::fs::Dir::read_from(&tree)? {
            let entry = entry?;
            let inner = entry.file_name();
            if matches!(inner.to_bytes(), b"." | b"..") {
                continue;
            }
            // A directory may have millions of entries; the next start goes on.
            if self.bell.is_stopped() {
                return Ok(());
            }
            let removed = match rustix::fs::unlinkat(&tree, inner, AtFlags::empty()) {
                Err(Errno::ISDIR) => {
                    sys::set_mode_at(&tree, inner, FileType::Directory, Mode::RWXU).and_then(|()| {
                        rustix::fs::renameat(&tree, inner, &self.directory, self.free())
                    })
                }
                removed => removed,
            };
            first = first.and(removed);
        }
        first?;
        rustix::fs::unlinkat(&self.directory, name, AtFlags::REMOVEDIR)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, RenameFlags};
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn large_directory_holds_up_no_server_that_stops() {
        let place = TempDir::new().unwrap();
        let old = place.path().join("old");
        fs::create_dir(&old).unwrap();
        for index in 0..10 {
            fs::write(old.join(index.to_string()), "").unwrap();
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let trash =
            Trash::new(rustix::fs::openat(CWD, place.path(), flags, Mode::empty()).unwrap());
        trash.bell.stop();
        trash.remove("old").unwrap();
        assert_eq!(fs::read_dir(&old).unwrap().count(), 10);
    }

    /// Trap `symlink_swapped_in`: somebody who has a thrown away directory open puts a symlink in the place of a
    /// directory in it, and back. The target of the symlink keeps its mode.
    #[test]
    fn symlink_that_is_swapped_in_changes_no_mode_elsewhere() {
        const TRIES: usize = 20_000;
        let (place, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let victim = outside.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o555)).unwrap();
        let (inner, link) = (place.path().join("inner"), place.path().join("link"));
        fs::create_dir(&inner).unwrap();
        symlink(&victim, &link).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let tree = rustix::fs::openat(CWD, place.path(), flags, Mode::empty()).unwrap();
        let over = AtomicBool::new(false);
        let set = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, &inner, CWD, &link, RenameFlags::EXCHANGE)
                        .unwrap();
                }
            });
            let set = (0..TRIES)
                .filter(|_| {
                    sys::set_mode_at(&tree, "inner", FileType::Directory, Mode::RWXU).is_ok()
                })
                .count();
            over.store(true, Ordering::Relaxed);
            set
        });
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o555, "after {set} modes set");
    }

    /// Trees may come faster than they are removed.
    #[test]
    fn others_have_their_turn_while_the_trash_is_emptied() {
        let place = TempDir::new().unwrap();
        for tree in ["0/inner", "1"] {
            fs::create_dir_all(place.path().join(tree)).unwrap();
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = rustix::fs::openat(CWD, place.path(), flags, Mode::empty()).unwrap();
        let trash = Trash::new(directory);
        let mut left = Vec::new();
        trash.empty(&mut || left.push(fs::read_dir(place.path()).unwrap().count())).unwrap();
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left[0] > 0 && left[2] == 0, "{left:?}");
    }

    /// Nor is a symlink in the trash, or in a directory there, taken for a directory.
    #[test]
    fn symlink_in_the_trash_is_removed_itself() {
        let (place, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        fs::write(outside.path().join("kept"), "kept").unwrap();
        fs::create_dir_all(place.path().join("0/inner")).unwrap();
        for link in ["1", "0/link", "0/inner/link"] {
            symlink(outside.path(), place.path().join(link)).unwrap();
        }
        fs::set_permissions(place.path().join("0/inner"), fs::Permissions::from_mode(0o000))
            .unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = rustix::fs::openat(CWD, place.path(), flags, Mode::empty()).unwrap();
        Trash::new(directory).empty(&mut || ()).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }
}
