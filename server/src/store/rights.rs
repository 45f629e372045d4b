//! Directories that their own owner may not write to (mode 0555, as in Go's module cache), list (0300) or enter (0444).
//!
//! The owner may change the mode, so the mode keeps nobody from anything that the server does for a client; a client that makes
//! such a directory means that people should not edit it. If the server's user owns a directory and the kernel
//! refuses to open it, to look at an entry or to change one, the server gives itself all rights for that moment.
//!
//! Several workers may do so at once: the first one opens the directory up, the last one gives it the mode that
//! it had, or that a `setattr` has set meanwhile. If the server is killed in between, its next start does so (see
//! [`notes`]); after a loss of power the directory may stay open for its owner until a client sets its mode
//! again (a `check` says that it differs).

pub(super) mod notes;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Gid, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::mark::Marking;
use super::mounted::Mounts;
use super::open::{BENEATH, DIRECTORY};
use super::sys;
use crate::locks::{Mutex, MutexGuard, Rank};
use notes::{Note, Notes};

/// The permission bits that an owner needs to list a directory and to change its entries.
pub(super) const NEEDED: Mode = Mode::RWXU;

/// Directories that are opened up just now.
#[derive(Debug)]
pub(super) struct Rights {
    /// Notes for the next start.
    notes: Option<Notes>,
    /// Whether any directory may be opened up.
    opens: bool,
    mounts: Mounts,
    open: Mutex<HashMap<Inode, Opened>>,
    /// Number of times that a directory was closed again.
    closed: AtomicU64,
}

/// Device and inode number; a handle is held as long as it is in the table.
type Inode = (u64, u64);

#[derive(Debug)]
struct Opened {
    /// The number of threads that use it at once.
    by: usize,
    /// The mode that it gets afterwards.
    after: Mode,
    /// The mode that it has meanwhile.
    meanwhile: Mode,
    note: Option<Note>,
}

/// A directory that is opened up until this is dropped.
#[derive(Debug)]
pub(super) struct OpenedUp<'a> {
    rights: &'a Rights,
    directory: &'a OwnedFd,
    inode: Inode,
}

impl Default for Rights {
    fn default() -> Self {
        let open = Mutex::new(Rank::Rights, HashMap::new());
        let mounts = Mounts::default();
        Self { notes: None, opens: true, mounts, open, closed: AtomicU64::new(0) }
    }
}

impl Rights {
    /// With notes in a directory of ours, about directories below a root that have such marks.
    pub(super) fn new(notes: OwnedFd, root: &Path, marking: Marking) -> Self {
        let notes = Some(Notes::new(notes, root, marking));
        Self { notes, mounts: Mounts::below(root), ..Self::default() }
    }

    /// For a store that changes nothing.
    pub(super) fn of_a_reader(root: &Path) -> Self {
        Self { opens: false, mounts: Mounts::below(root), ..Self::default() }
    }

    pub(super) fn notes(&self) -> Option<&Notes> {
        self.notes.as_ref()
    }

    fn forget(&self, note: Option<Note>) {
        if let (Some(notes), Some(note)) = (&self.notes, note) {
            notes.remove(&note);
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Inode, Opened>> {
        self.open.lock()
    }

    /// Changes an entry of a directory, or looks at one; if that is refused because the owner has no right to it, once
    /// more with that right.
    pub(super) fn in_directory<T>(
        &self,
        directory: &OwnedFd,
        work: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match work() {
            Err(Errno::ACCESS) => {}
            done => return done,
        }
        match self.open_up(directory)? {
            Some(_opened) => work(),
            None => Err(Errno::ACCESS),
        }
    }

    /// Opens a directory in another one, also if its owner may not list or enter it. A handle that is open goes on to
    /// read; for each look at an entry there is [`in_directory`](Self::in_directory).
    pub(super) fn open_in(&self, parent: &OwnedFd, last: &[u8]) -> Result<OwnedFd, Errno> {
        let open = |flags| rustix::fs::openat2(parent, last, flags, Mode::empty(), BENEATH);
        self.in_directory(parent, || match open(DIRECTORY) {
            Err(Errno::ACCESS) => self.open_closed(&open(OFlags::PATH | DIRECTORY)?),
            opened => opened,
        })
    }

    /// Opens the directory above another one, in the same way.
    pub(super) fn open_above(&self, directory: &OwnedFd) -> Result<OwnedFd, Errno> {
        let open = |flags| rustix::fs::openat(directory, c"..", flags, Mode::empty());
        self.in_directory(directory, || match open(DIRECTORY) {
            Err(Errno::ACCESS) => self.open_closed(&open(OFlags::PATH | DIRECTORY)?),
            opened => opened,
        })
    }

    /// Opens a directory, of which there is a handle, for reading, which its mode forbids.
    fn open_closed(&self, found: &OwnedFd) -> Result<OwnedFd, Errno> {
        match self.open_up(found)? {
            Some(_opened) => rustix::fs::openat(found, c".", DIRECTORY, Mode::empty()),
            None => Err(Errno::ACCESS),
        }
    }

    /// `None` if that would change nothing, or the directory is not the server's own.
    pub(super) fn open_up<'a>(
        &'a self,
        directory: &'a OwnedFd,
    ) -> Result<Option<OpenedUp<'a>>, Errno> {
        loop {
            if !self.opens {
                return Ok(None);
            }
            let stat = rustix::fs::fstat(directory)?;
            let inode = (stat.st_dev, stat.st_ino);
            // Noted without the lock, which everybody needs.
            let note = match &self.notes {
                Some(notes) if can_be_opened_up(&stat) => notes.make(directory, &stat),
                _ => None,
            };
            let mut table = self.table();
            let opened = match table.entry(inode) {
                Entry::Occupied(mut opened) => {
                    opened.get_mut().by += 1;
                    drop(table);
                    self.forget(note);
                    true
                }
                Entry::Vacant(free) => {
                    let now = rustix::fs::fstat(directory);
                    // Others may have opened it up, closed it or set its mode meanwhile.
                    if now.is_ok_and(|now| mode(&now) != mode(&stat)) {
                        drop(table);
                        self.forget(note);
                        continue;
                    }
                    let (after, meanwhile) = (mode(&stat), mode(&stat) | NEEDED);
                    if !can_be_opened_up(&stat) {
                        false
                    } else if let Err(errno) = set_mode(directory, meanwhile) {
                        drop(table);
                        self.forget(note);
                        return Err(errno);
                    } else {
                        free.insert(Opened { by: 1, after, meanwhile, note });
                        true
                    }
                }
            };
            return Ok(opened.then(|| OpenedUp { rights: self, directory, inode }));
        }
    }

    /// Looks at an entry of a directory; `XDEV` if another file system is mounted on it (see [`mounted`](super::mounted)).
    pub(super) fn stat_at(
        &self,
        directory: impl AsFd,
        last: impl rustix::path::Arg + Copy,
    ) -> Result<Stat, Errno> {
        self.mounts.stat(directory, last)
    }

    /// Before the looks of a turn.
    pub(super) fn refresh_mounts(&self) {
        self.mounts.refresh();
    }

    /// Looks at an entry: a directory has the mode that it has when nobody has opened it up.
    pub(super) fn stat(&self, stat: impl Fn() -> Result<Stat, Errno>) -> Result<Stat, Errno> {
        let before = self.closed.load(Ordering::Acquire);
        let found = stat()?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            return Ok(found);
        }
        let table = self.table();
        let seen = |mut found: Stat| {
            if let Some(opened) = table.get(&(found.st_dev, found.st_ino)) {
                found.st_mode = found.st_mode & !0o7777 | opened.after.as_raw_mode();
            }
            found
        };
        if self.closed.load(Ordering::Acquire) == before {
            return Ok(seen(found));
        }
        // It may have been closed since that look. While the table is locked nobody opens or closes one.
        stat().map(seen)
    }

    /// Sets the mode of a file or directory to what `wanted` makes of the one that it has, also while it is opened up.
    pub(super) fn set_mode(
        &self,
        target: &OwnedFd,
        wanted: impl Fn(Mode) -> Mode,
        set: impl Fn(Mode) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut table = self.table();
        let stat = rustix::fs::fstat(target)?;
        let has = mode(&stat);
        let Some(opened) = table.get_mut(&(stat.st_dev, stat.st_ino)) else {
            let wanted = wanted(has);
            return if wanted == has { Ok(()) } else { set(wanted) };
        };
        let after = wanted(opened.after);
        // It would tell of the mode before.
        self.forget(opened.note.take());
        set(after | NEEDED)?;
        (opened.after, opened.meanwhile) = (after, after | NEEDED);
        Ok(())
    }
}

impl Drop for OpenedUp<'_> {
    fn drop(&mut self) {
        let mut table = self.rights.table();
        let Some(opened) = table.get_mut(&self.inode) else { return };
        opened.by -= 1;
        if opened.by > 0 {
            return;
        }
        let Some(Opened { after, meanwhile, note, .. }) = table.remove(&self.inode) else { return };
        // If somebody at the server has set another mode meanwhile, that mode stays.
        let closed = rustix::fs::fstat(self.directory).and_then(|stat| {
            if mode(&stat) == meanwhile && after != meanwhile {
                set_mode(self.directory, after)
            } else {
                Ok(())
            }
        });
        // After that, and with the table locked: a look that began before is taken again.
        self.rights.closed.fetch_add(1, Ordering::AcqRel);
        drop(table);
        self.rights.forget(note);
        if let Err(errno) = closed {
            tracing::error!(%errno, mode = after.as_raw_mode(), "a directory stays writable for its owner");
        }
    }
}

pub(super) fn is_own(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

/// Whether its owner lacks rights, and the server may give them to itself.
fn can_be_opened_up(stat: &Stat) -> bool {
    is_own(stat) && !mode(stat).contains(NEEDED) && !loses_setgid(stat)
}

/// Also of an `O_PATH` handle.
fn set_mode(directory: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    match sys::set_mode(directory, mode) {
        Err(Errno::BADF) => sys::set_mode_by_path_handle(directory, mode),
        set => set,
    }
}

pub(super) fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

/// If a process sets the mode of a directory whose group it is not in, setgid goes (chmod(2)).
fn loses_setgid(stat: &Stat) -> bool {
    mode(stat).contains(Mode::SGID) && !is_in(Gid::from_raw(stat.st_gid))
}

fn is_in(group: Gid) -> bool {
    group == rustix::process::getegid()
        || rustix::process::getgroups().is_ok_and(|groups| groups.contains(&group))
}

/// Whether the process may give files of its own to a group (chown(2)), but for capabilities that only its
/// service manager knows of.
pub(super) fn may_give(group: Gid) -> bool {
    rustix::process::geteuid().is_root() || is_in(group)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rustix::fs::CWD;
    use tempfile::TempDir;

    use super::*;

    fn closed() -> (TempDir, OwnedFd) {
        let place = TempDir::new().unwrap();
        fs::set_permissions(place.path(), PermissionsExt::from_mode(0o555)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let handle = rustix::fs::openat(CWD, place.path(), flags, Mode::empty()).unwrap();
        (place, handle)
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn last_of_several_gives_the_mode_back() {
        let (place, handle) = closed();
        let rights = Rights::default();
        let first = rights.open_up(&handle).unwrap().unwrap();
        let second = rights.open_up(&handle).unwrap().unwrap();
        assert_eq!(mode_of(place.path()), 0o755);
        drop(first);
        assert_eq!(mode_of(place.path()), 0o755);
        drop(second);
        assert_eq!(mode_of(place.path()), 0o555);
        assert!(rights.table().is_empty());
    }

    #[test]
    fn mode_that_is_set_meanwhile_is_the_one_that_stays() {
        for (wanted, meanwhile) in [(0o500, 0o700), (0o755, 0o755), (0o555, 0o755), (0o050, 0o750)]
        {
            let (place, handle) = closed();
            let rights = Rights::default();
            let opened = rights.open_up(&handle).unwrap().unwrap();
            rights
                .set_mode(
                    &handle,
                    |has| {
                        assert_eq!(has, Mode::from_raw_mode(0o555), "what nobody set is seen");
                        Mode::from_raw_mode(wanted)
                    },
                    |mode| sys::set_mode(&handle, mode),
                )
                .unwrap();
            assert_eq!(mode_of(place.path()), meanwhile);
            drop(opened);
            assert_eq!(mode_of(place.path()), wanted);
        }
    }

    #[test]
    fn many_at_once_never_leave_another_mode() {
        let (place, handle) = closed();
        let rights = Rights::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let opened = rights.open_up(&handle).unwrap();
                        assert_eq!(mode_of(place.path()), 0o755);
                        drop(opened);
                    }
                });
            }
        });
        assert_eq!(mode_of(place.path()), 0o555);
    }

    /// It may be gone by then.
    #[test]
    fn directory_that_is_removed_meanwhile_is_no_matter() {
        let (place, handle) = closed();
        let rights = Rights::default();
        let opened = rights.open_up(&handle).unwrap().unwrap();
        fs::remove_dir(place.path()).unwrap();
        drop(opened);
        assert!(rights.table().is_empty());
    }
}
