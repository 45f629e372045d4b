//! A directory of the target that is open: every entry in it is reached from its handle, by a single name and through no
//! symlink, wherever the directory is moved and whatever comes under its path.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use haul_protocol::Attributes;
use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::attributes::{set_mode, set_mtime};
use super::identity::Identity;
use super::kind::Kind;
use super::names::single;
use super::standing::{Over, Standing, kind, leads_nowhere, look, mtime_of, stat, wide};
use super::systems::{System, Systems};
use super::way::Way;
use crate::error::FileError;

const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// A directory that is open: the target, or one below it.
#[derive(Debug)]
pub(crate) struct Directory {
    handle: OwnedFd,
    /// Of the target itself as the user has written it; of others for messages only.
    path: PathBuf,
    identity: Identity,
    /// The permission bits that it gets back, if haul has opened it up and nobody states others.
    before: Mutex<Option<u32>>,
    /// The last sweep has left parts of large files in it.
    pub(super) keeps_parts: AtomicBool,
    /// Its file system.
    system: Arc<System>,
    /// The file systems that entries were taken to, the target's own first.
    systems: Arc<Systems>,
}

impl Directory {
    /// Opens the target itself, whatever symlinks of the user lead there.
    ///
    /// # Errors
    /// If there is no directory, or it can't be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let failed = FileError::target::<io::Error>("open the directory");
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let open = || -> io::Result<Self> {
            let handle = rustix::fs::open(path, OPEN, Mode::empty())?;
            let found = fstat(&handle)?;
            let systems = Arc::new(Systems::default());
            let system = systems.of(&handle, &found)?;
            let (path, before) = (path.to_owned(), Mutex::default());
            let keeps_parts = AtomicBool::default();
            let identity = Identity::of(&handle)?;
            Ok(Self { handle, path, identity, before, keeps_parts, system, systems })
        };
        open().map_err(failed)
    }

    /// Opens the target itself, and makes it first if it is missing, with the directories above it.
    ///
    /// # Errors
    /// If it can't be made or opened.
    pub fn make(path: &Path) -> Result<Self, FileError> {
        if !path.as_os_str().is_empty() {
            let failed = FileError::target::<io::Error>("make the directory");
            if let Err(error) = std::fs::create_dir_all(path) {
                path.ancestors().try_for_each(leads_nowhere)?;
                return Err(failed(error));
            }
        }
        Self::open(path)
    }

    /// Lets the owner of the target itself write to it as long as this is there, even if its mode says otherwise.
    pub fn open_up(&self) {
        if let Ok(found) = fstat(&self.handle) {
            let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            *before = opened_up(&self.handle, &found, 0o700);
        }
    }

    /// The open directory itself, for system calls.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// The path under which it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells it from any other directory.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// How a file without a name gets one in it.
    pub(super) fn way(&self) -> Way {
        self.system.way(&self.handle)
    }

    /// Before anybody has asked.
    #[cfg(test)]
    pub(super) fn set_way(&self, way: Way) {
        self.system.set_way(way);
    }

    /// The entry that stands under a name, if there is one.
    ///
    /// # Errors
    /// If it can't be looked at, or the name is none.
    pub fn look(&self, component: &OsStr) -> Result<Option<Standing>, FileError> {
        look(&self.handle, single(component)?).map_err(FileError::target("look at it"))
    }

    /// Opens a directory in this one, and makes it first if it is missing; `true` if it was made. Its owner may write to it
    /// as long as the result is there, even if its mode says otherwise: it gets its mode by
    /// [`set_attributes`](Self::set_attributes), or else back when the result is dropped.
    ///
    /// # Errors
    /// [`FileError::is_in_the_way`] if an entry of another kind is there that does not make way. Otherwise if the directory
    /// can't be made or opened.
    pub fn enter(&self, component: &OsStr, over: Over) -> Result<(Self, bool), FileError> {
        let name = single(component)?;
        let failed = FileError::target::<io::Error>("open the directory");
        // Another process may make and remove entries meanwhile, but not for ever.
        for _ in 0..8 {
            match self.open_below(name).map_err(&failed)? {
                Some(opened) => {
                    return Ok((self.below(name, opened, 0o700).map_err(&failed)?, false));
                }
                None => match stat(&self.handle, name).map_err(&failed)?.as_ref().map(kind) {
                    None => {
                        let mode = Mode::from_bits_truncate(0o777);
                        match mkdirat(&self.handle, name, mode) {
                            Ok(()) => {}
                            Err(Errno::EXIST) => continue,
                            Err(errno) => {
                                return Err(FileError::target("make the directory")(errno));
                            }
                        }
                        if let Some(opened) = self.open_below(name).map_err(&failed)? {
                            return Ok((self.below(name, opened, 0o700).map_err(&failed)?, true));
                        }
                    }
                    Some(Kind::File | Kind::Symlink) if over == Over::File => {
                        match unlinkat(&self.handle, name, AtFlags::empty()) {
                            Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
                            Err(errno) => {
                                return Err(FileError::target("remove the file in its place")(
                                    errno,
                                ));
                            }
                        }
                    }
                    // It has come just now.
                    Some(Kind::Directory) => {}
                    Some(other) => return Err(other.in_the_way()),
                },
            }
        }
        Err(failed(Errno::AGAIN.into()))
    }

    /// Opens a directory that stands in this one, only to look at what is in it: its mode changes, as by
    /// [`enter`](Self::enter), only if this user may not read it otherwise.
    ///
    /// # Errors
    /// [`FileError::is_in_the_way`] if it is none. Otherwise if it can't be opened.
    pub fn visit(&self, component: &OsStr) -> Result<Self, FileError> {
        let name = single(component)?;
        let failed = FileError::target::<io::Error>("open the directory");
        match self.open_below(name).map_err(&failed)? {
            Some(handle) => self.below(name, handle, 0o500).map_err(&failed),
            None => Err(match stat(&self.handle, name).map_err(&failed)?.as_ref().map(kind) {
                None | Some(Kind::Directory) => failed(Errno::NOENT.into()),
                Some(other) => other.in_the_way(),
            }),
        }
    }

    /// `None` if there is none, or an entry of another kind.
    fn open_below(&self, name: &OsStr) -> io::Result<Option<(OwnedFd, Option<u32>)>> {
        let flags = OPEN | OFlags::NOFOLLOW;
        match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Some((handle, None))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(Errno::ACCESS) => self.open_unreadable(name),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a directory that even its owner may not read, by giving that right first.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn open_unreadable(&self, name: &OsStr) -> io::Result<Option<(OwnedFd, Option<u32>)>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = match openat(&self.handle, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            place => place?,
        };
        let mode = wide(fstat(&place)?.st_mode) & 0o777;
        super::attributes::grant(&place, 0o700).map_err(|_| Errno::ACCESS)?;
        let handle = openat(&place, c".", OPEN | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Some((handle, Some(mode))))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn open_unreadable(&self, _: &OsStr) -> io::Result<Option<(OwnedFd, Option<u32>)>> {
        Err(Errno::ACCESS.into())
    }

    /// `was`: its mode before haul had to change that to open it. `needs`: the rights that its owner is to have.
    fn below(
        &self,
        name: &OsStr,
        (handle, was): (OwnedFd, Option<u32>),
        needs: u32,
    ) -> io::Result<Self> {
        let found = fstat(&handle)?;
        let (system, systems) = (self.systems.of(&handle, &found)?, Arc::clone(&self.systems));
        let before = Mutex::new(was.or_else(|| opened_up(&handle, &found, needs)));
        let (path, keeps_parts) = (self.path.join(name), AtomicBool::default());
        let identity = Identity::of(&handle)?;
        Ok(Self { handle, path, identity, before, keeps_parts, system, systems })
    }

    /// Sets mode and mtime of the directory itself: when all entries are in it, since each of them changes its mtime and
    /// needs the right to write. Without a mode it has that of before, or 0777 under the umask if it was made.
    ///
    /// # Errors
    /// If they can't be set.
    pub fn set_attributes(&self, attributes: &Attributes) -> Result<(), FileError> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mode) = attributes.mode.or(*before) {
            set_mode(&self.handle, mode, true)
                .map_err(FileError::target("set the mode of the directory"))?;
        }
        *before = None;
        if let Some(mtime) = attributes.mtime {
            set_mtime(&self.handle, mtime)
                .map_err(FileError::target("set the mtime of the directory"))?;
        }
        Ok(())
    }

    /// Whether the directory itself has this mode and mtime already.
    #[must_use]
    pub fn has(&self, attributes: &Attributes) -> bool {
        let Ok(found) = fstat(&self.handle) else { return false };
        // A mode by which haul has opened it up is not its own.
        let before = *self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let present = before.unwrap_or(wide(found.st_mode) & 0o777);
        let Attributes { mode, mtime } = *attributes;
        mode.is_none_or(|mode| mode & 0o777 == present)
            && mtime.is_none_or(|mtime| mtime_of(&found) == Some(mtime))
    }

    /// Whether it is the place of a mount: of another file system, or of a directory from elsewhere. `false` if the system
    /// does not tell.
    #[must_use]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn is_mounted(&self) -> bool {
        use rustix::fs::{StatxAttributes, StatxFlags, statx};
        let found = statx(&self.handle, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE);
        found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    /// The system does not tell.
    #[must_use]
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn is_mounted(&self) -> bool {
        false
    }

    /// Waits until the file systems of the target have kept all that was written to them, names and directories too
    /// (syncfs(2)).
    ///
    /// # Errors
    /// If one of them could not.
    pub fn sync_file_system(&self) -> Result<(), FileError> {
        self.systems.flush().map_err(FileError::target("flush the file system"))
    }
}

/// Gives the owner of a directory these rights, if one is missing; returns its mode of before if that was necessary. The system says no where the
/// directory is another user's; it may be writable nevertheless.
fn opened_up(handle: &OwnedFd, found: &Stat, needs: u32) -> Option<u32> {
    let mode = wide(found.st_mode) & 0o777;
    let is_opened = mode & needs != needs && set_mode(handle, mode | 0o700, true).is_ok();
    is_opened.then_some(mode)
}

impl Drop for Directory {
    fn drop(&mut self) {
        let before = self.before.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mode) = before.take() {
            let _ = set_mode(&self.handle, mode, true);
        }
    }
}
