//! Locks that tell whether another run of haul uses a temporary file. A lock ends with its process.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::kind::Kind;
use super::standing::{is_same, kind, stat};

/// The lock of a temporary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// This process holds it.
    Ours,
    /// Another run holds it, or has removed the file since.
    Others,
    /// The file system has no locks.
    None,
}

/// Takes the lock of a file, without waiting. Another run may have removed the file, or put another one there, between the
/// opening of the file and its lock: then the file is not that run's leftover.
pub(super) fn take(directory: &OwnedFd, name: &OsStr, file: &OwnedFd) -> io::Result<Lock> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if is_named(directory, name, file)? => Ok(Lock::Ours),
        Ok(()) | Err(Errno::WOULDBLOCK) => Ok(Lock::Others),
        Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(Lock::None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a file that is open is the one under a name.
fn is_named(directory: &OwnedFd, name: &OsStr, file: &OwnedFd) -> io::Result<bool> {
    let (named, own) = (stat(directory, name)?, fstat(file)?);
    Ok(named.is_some_and(|named| is_same(&named, &own)))
}

/// Opens a temporary file that an earlier run has left, and locks it. `None` if it is not there any more, another run uses
/// it, or nobody can tell that it is this user's alone: in a directory that others may write to as well, another user may
/// have put it there.
pub(super) fn leftover(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty());
    let file = match open() {
        // It had got its final mode.
        Err(Errno::ACCESS) if make_writable(directory, name)? => open(),
        file => file,
    };
    let file = match file {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::LOOP | Errno::ACCESS | Errno::ISDIR | Errno::NXIO) => {
            return Ok(None);
        }
        Err(errno) => return Err(errno.into()),
    };
    let found = fstat(&file)?;
    let is_own =
        found.st_uid == geteuid().as_raw() && found.st_nlink == 1 && kind(&found) == Kind::File;
    Ok((is_own && take(directory, name, &file)? == Lock::Ours).then_some(file))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn make_writable(directory: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(place) = openat(directory, name, flags, Mode::empty()) else {
        return Ok(false);
    };
    let found = fstat(&place)?;
    let is_own = kind(&found) == Kind::File && found.st_uid == geteuid().as_raw();
    Ok(is_own && super::attributes::grant(&place, 0o600).is_ok())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn make_writable(_: &OwnedFd, _: &OsStr) -> io::Result<bool> {
    Ok(false)
}
