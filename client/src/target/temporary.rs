//! A file under a temporary name, beside its place. Only this process uses it, as its lock tells all others.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haul_protocol::Attributes;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::attributes::{set_mode, set_mtime};
use super::directory::Directory;
use super::lock::{self, Lock};
use super::names::{For, random, usual};
use super::standing::{Kind, Over, kind, stat, wide};
use crate::error::FileError;

/// Temporary files of this process that are open.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// How many temporary files of this process are open.
pub(super) fn open_now() -> u64 {
    OPEN.load(Ordering::Relaxed)
}

/// A file that has only a temporary name yet.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: Arc<Directory>,
    component: OsString,
    name: OsString,
    file: OwnedFd,
    /// The name is the one that a later run looks for.
    is_usual: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Temporary {
    fn of(
        directory: &Arc<Directory>,
        component: &OsStr,
        name: OsString,
        file: OwnedFd,
        is_usual: bool,
    ) -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        let (directory, component) = (Arc::clone(directory), component.to_owned());
        Self { directory, component, name, file, is_usual }
    }

    /// A new file for an entry, that only its owner may read and write.
    pub(super) fn make(
        directory: &Arc<Directory>,
        purpose: For,
        component: &OsStr,
    ) -> io::Result<Self> {
        let name = usual(purpose, component);
        // The second time after a leftover was removed.
        for _ in 0..2 {
            match create(directory.handle(), &name) {
                Ok(file) => match lock::take(directory.handle(), &name, &file)? {
                    Lock::Others => break,
                    Lock::Ours | Lock::None => {
                        return Ok(Self::of(directory, component, name, file, true));
                    }
                },
                Err(Errno::EXIST) => match lock::leftover(directory.handle(), &name)? {
                    // Its lock is held until it is gone.
                    Some(_lock) => match unlinkat(directory.handle(), &name, AtFlags::empty()) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(errno) => return Err(errno.into()),
                    },
                    None => break,
                },
                Err(errno) => return Err(errno.into()),
            }
        }
        Self::make_random(directory, purpose, component)
    }

    fn make_random(
        directory: &Arc<Directory>,
        purpose: For,
        component: &OsStr,
    ) -> io::Result<Self> {
        // A run that sweeps may come between the making and the lock.
        for _ in 0..8 {
            let name = random(purpose, component)?;
            let file = create(directory.handle(), &name)?;
            if lock::take(directory.handle(), &name, &file)? != Lock::Others {
                return Ok(Self::of(directory, component, name, file, false));
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// The file that a run before has left for an entry, if no run uses it.
    pub(super) fn left(
        directory: &Arc<Directory>,
        purpose: For,
        component: &OsStr,
    ) -> io::Result<Option<Self>> {
        let name = usual(purpose, component);
        let file = lock::leftover(directory.handle(), &name)?;
        Ok(file.map(|file| Self::of(directory, component, name, file, true)))
    }

    /// For system calls.
    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Whether a later run finds it.
    pub(super) fn is_usual(&self) -> bool {
        self.is_usual
    }

    /// All bytes are there: sets its mtime, and then its mode. A mode that nobody states is that of the file which it
    /// replaces, or else 0666 as the directory's new files get it.
    pub(super) fn complete(&self, attributes: &Attributes) -> Result<(), FileError> {
        if let Some(mtime) = attributes.mtime {
            set_mtime(&self.file, mtime).map_err(FileError::target("set its mtime"))?;
        }
        let failed = FileError::target::<io::Error>("set its mode");
        let mode = match attributes.mode {
            Some(mode) => mode,
            None => self.usual_mode().map_err(&failed)?,
        };
        set_mode(&self.file, mode, false).map_err(&failed)
    }

    fn usual_mode(&self) -> io::Result<u32> {
        let directory = self.directory.handle();
        if let Some(found) = stat(directory, &self.component)?
            && kind(&found) == Kind::File
        {
            return Ok(wide(found.st_mode) & 0o777);
        }
        // Only a new file tells umask and default ACL without changing the process.
        let name = random(For::Moment, &self.component)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let all = Mode::from_bits_truncate(0o666);
        let file = openat(directory, &name, flags | OFlags::CLOEXEC, all)?;
        let found = fstat(&file);
        unlinkat(directory, &name, AtFlags::empty())?;
        Ok(wide(found?.st_mode) & 0o777)
    }

    /// Starts to write it to the disk.
    pub(super) fn start_writeback(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    /// Waits until its bytes and attributes would survive a loss of power.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        rustix::fs::fsync(&self.file).map_err(FileError::target("flush it"))
    }

    /// Whether its place can be taken, as far as one can tell before.
    pub(super) fn check_place(&self, over: Over) -> Result<(), FileError> {
        check(self.directory.handle(), &self.component, over)
    }

    /// Gives it its final name.
    pub(super) fn place(&self, over: Over) -> Result<(), FileError> {
        place(&self.directory, &self.name, &self.component, over)
    }

    /// Removes it.
    pub(super) fn remove(&self) {
        let _ = unlinkat(self.directory.handle(), &self.name, AtFlags::empty());
    }
}

fn create(directory: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
}

fn check(directory: &OwnedFd, component: &OsStr, over: Over) -> Result<(), FileError> {
    let found = stat(directory, component).map_err(FileError::target("look at its place"))?;
    match found.as_ref().map(kind) {
        Some(found @ (Kind::Directory | Kind::Other)) => Err(found.in_the_way()),
        Some(found) if over == Over::Nothing => Err(found.in_the_way()),
        _ => Ok(()),
    }
}

/// Gives a temporary file or symlink its final name. A directory, device, socket or FIFO never makes way.
pub(super) fn place(
    directory: &Directory,
    temporary: &OsStr,
    component: &OsStr,
    over: Over,
) -> Result<(), FileError> {
    let failed = FileError::target::<io::Error>("give it its name");
    let directory = directory.handle();
    check(directory, component, over)?;
    let renamed = match over {
        Over::File => renameat(directory, temporary, directory, component),
        Over::Nothing => rename_to_free(directory, temporary, component),
    };
    match renamed {
        Ok(()) => Ok(()),
        Err(Errno::ISDIR) => Err(Kind::Directory.in_the_way()),
        Err(Errno::EXIST) => Err(Kind::File.in_the_way()),
        Err(errno) => Err(failed(errno.into())),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn rename_to_free(directory: &OwnedFd, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(directory, from, directory, to, flags) {
        // The file system can't; the caller has looked.
        Err(Errno::INVAL | Errno::NOSYS) => renameat(directory, from, directory, to),
        renamed => renamed,
    }
}

/// The caller has looked.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn rename_to_free(directory: &OwnedFd, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    renameat(directory, from, directory, to)
}
