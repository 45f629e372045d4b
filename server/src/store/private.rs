//! The server's own directories: nobody else may have a hand in them.
//!
//! Entries that are staged in `.haul` appear under names that clients chose, and the server trusts the entries that it
//! finds there after a crash. So `.haul` and all directories in it belong to the server's user, and nobody else may
//! write to them.

use std::path::PathBuf;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::inherit::{inherits_nothing, take_acls};
use super::root::Root;
use super::sys;
use super::unserved::OpenError;

/// The directory that no client can name.
pub(super) const PRIVATE: &str = ".haul";

/// Opens or makes a directory of our own: no symlink, on the same file system as the root, and nobody else's.
pub(super) fn private_directory(
    root: &Root,
    parent: BorrowedFd<'_>,
    name: &str,
) -> Result<OwnedFd, OpenError> {
    let path = || match name {
        PRIVATE => root.path().join(PRIVATE),
        inner => root.path().join(PRIVATE).join(inner),
    };
    let io = |op, errno: Errno| OpenError::Io { op, path: path(), source: errno.into() };
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(io("make", errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    // Before it is opened for reading, which its mode may forbid: whose it is tells more.
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let found = found.map_err(|errno| io("look at", errno))?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => {}
        FileType::Symlink => return Err(OpenError::StagingElsewhere { path: path() }),
        _ => return Err(OpenError::NotADirectory { path: path() }),
    }
    let directory = match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
        Ok(directory) => directory,
        Err(Errno::XDEV | Errno::LOOP) => {
            return Err(OpenError::StagingElsewhere { path: path() });
        }
        Err(Errno::ACCESS) if !is_own(found.st_uid) => {
            return Err(OpenError::NotOurs { path: path(), owner: found.st_uid, user: user() });
        }
        Err(errno) => return Err(io("open", errno)),
    };
    let stat = rustix::fs::fstat(&directory).map_err(|errno| io("look at", errno))?;
    if !is_own(stat.st_uid) && owner_of_new(&directory) != Ok(stat.st_uid) {
        return Err(OpenError::NotOurs { path: path(), owner: stat.st_uid, user: user() });
    }
    close_to_others(&directory, path())?;
    Ok(directory)
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn is_own(owner: u32) -> bool {
    owner == user()
}

/// The owner of a new file in this directory: not the server's user where a file system has one owner for all (vfat, or
/// NFS for root).
fn owner_of_new(directory: &OwnedFd) -> Result<u32, Errno> {
    const NAME: &str = "owner";
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::unlinkat(directory, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let file = rustix::fs::openat(directory, NAME, flags, Mode::RUSR | Mode::WUSR)?;
    let owner = rustix::fs::fstat(&file)?.st_uid;
    rustix::fs::unlinkat(directory, NAME, AtFlags::empty())?;
    Ok(owner)
}

/// Takes rights from everybody else, and says so if somebody might have used them.
fn close_to_others(directory: &OwnedFd, path: PathBuf) -> Result<(), OpenError> {
    let io = |op, errno: Errno| OpenError::Io { op, path: path.clone(), source: errno.into() };
    let mode = || rustix::fs::fstat(directory).map(|stat| stat.st_mode & 0o7777);
    let before = mode().map_err(|errno| io("look at", errno))?;
    take_acls(directory).map_err(|errno| io("take the ACL from", errno))?;
    // Neither is a reason not to start where the file system can't.
    let tightened = inherits_nothing(directory)
        .and_then(|()| if before == 0o700 { Ok(()) } else { sys::set_mode(directory, Mode::RWXU) });
    if let Err(errno) = tightened {
        tracing::debug!(path = %path.display(), %errno, "could not set group and mode");
    }
    if mode().map_err(|errno| io("look at", errno))? & 0o022 != 0 {
        return Err(OpenError::OpenToOthers { path, mode: before & 0o777 });
    }
    if before & 0o022 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{:o}", before & 0o777),
            "others could write to this directory of the server's own; its mode is 700 now"
        );
    }
    Ok(())
}

/// Refuses a lock file that somebody else might have put there: it is written to.
pub(super) fn check_lock(lock: impl AsFd) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(lock)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if is_file && stat.st_nlink == 1 { Ok(()) } else { Err(Errno::EXIST) }
}
