//! A file under a temporary name, beside its place. Only this process uses it, as its lock tells all others.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::directory::Directory;
use super::incoming::Incoming;
use super::kind::Kind;
use super::lock::{self, Lock};
use super::names::{For, random, usual};
use super::standing::{Over, kind, stat};
use crate::error::FileError;

/// A file that has only a temporary name yet.
#[derive(Debug)]
pub(super) struct Temporary {
    incoming: Incoming,
    name: OsString,
    /// The name is the one that a later run looks for.
    is_usual: bool,
}

impl Temporary {
    fn of(
        directory: &Arc<Directory>,
        component: &OsStr,
        name: OsString,
        file: OwnedFd,
        is_usual: bool,
    ) -> Self {
        Self { incoming: Incoming::new(directory, component, file), name, is_usual }
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

    /// The file itself.
    pub(super) fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// For system calls.
    pub(super) fn file(&self) -> &OwnedFd {
        &self.incoming.file
    }

    /// Whether a later run finds it.
    pub(super) fn is_usual(&self) -> bool {
        self.is_usual
    }

    /// Whether its place can be taken, as far as one can tell before.
    pub(super) fn check_place(&self, over: Over) -> Result<(), FileError> {
        check(self.incoming.directory.handle(), &self.incoming.component, over)
    }

    /// Gives it its final name.
    pub(super) fn place(&self, over: Over) -> Result<(), FileError> {
        place(&self.incoming.directory, &self.name, &self.incoming.component, over)
    }

    /// Removes it.
    pub(super) fn remove(&self) {
        let _ = unlinkat(self.incoming.directory.handle(), &self.name, AtFlags::empty());
    }
}

fn create(directory: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
}

/// Whether an entry that stands under a name makes way.
pub(super) fn check(directory: &OwnedFd, component: &OsStr, over: Over) -> Result<(), FileError> {
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
    let rename = || renameat(directory, temporary, directory, component);
    let renamed = match rename_to_free(directory, temporary, component) {
        Err(Errno::EXIST) => {
            check(directory, component, over)?;
            match over {
                Over::File => rename(),
                // It has gone since.
                Over::Nothing => rename_to_free(directory, temporary, component),
            }
        }
        // The file system can't.
        Err(Errno::INVAL | Errno::NOSYS) => {
            check(directory, component, over)?;
            rename()
        }
        renamed => renamed,
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
    rustix::fs::renameat_with(directory, from, directory, to, flags)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn rename_to_free(_: &OwnedFd, _: &OsStr, _: &OsStr) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}
