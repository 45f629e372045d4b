//! Entries that stand in the target.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use haul_protocol::{LinkTarget, Mtime};
use rustix::fs::{AtFlags, FileType, Stat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::kind::Kind;
use crate::error::FileError;
use crate::error::target::TargetError;
use crate::source::carried;

/// The entries that make way for one that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// No entry: its place must be free.
    Nothing,
    /// A file or symlink.
    File,
}

/// An entry that stands under a name, as it was at one moment. A symlink is itself, and is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its kind.
    pub kind: Kind,
    /// Bytes of a file.
    pub size: u64,
    /// The path that a symlink points to, if the protocol can carry it.
    pub link: Option<LinkTarget>,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// The time of the last change, if the protocol can carry it.
    pub mtime: Option<Mtime>,
    /// It has other names (hard links), maybe outside of the target.
    pub has_other_names: bool,
    /// This user may change its mode and mtime.
    pub is_own: bool,
}

/// A number that has another length on other systems.
pub(super) fn wide(number: impl Into<u32>) -> u32 {
    number.into()
}

/// The metadata of an entry.
pub(super) fn stat(directory: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn kind(found: &Stat) -> Kind {
    Kind::of(FileType::from_raw_mode(found.st_mode))
}

/// Whether two are of the same entry.
pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Whether this user may change mode and mtime of an entry.
pub(super) fn is_own(found: &Stat) -> bool {
    let user = geteuid();
    user.is_root() || found.st_uid == user.as_raw()
}

/// The time of the last change, if the protocol can carry it.
pub(super) fn mtime_of(found: &Stat) -> Option<Mtime> {
    carried(Mtime { s: found.st_mtime, ns: u32::try_from(found.st_mtime_nsec).unwrap_or(0) })
}

/// The entry under a name.
pub(super) fn look(directory: impl AsFd, name: &OsStr) -> io::Result<Option<Standing>> {
    let Some(found) = stat(&directory, name)? else { return Ok(None) };
    let kind = kind(&found);
    let link = match kind {
        Kind::Symlink => match readlinkat(&directory, name, Vec::new()) {
            Ok(target) => LinkTarget::parse(target.as_bytes()).ok(),
            // It was replaced or removed since.
            Err(Errno::INVAL | Errno::NOENT) => None,
            Err(errno) => return Err(errno.into()),
        },
        _ => None,
    };
    Ok(Some(Standing {
        kind,
        size: u64::try_from(found.st_size).unwrap_or(0),
        link,
        mode: wide(found.st_mode) & 0o7777,
        mtime: mtime_of(&found),
        has_other_names: kind == Kind::File && found.st_nlink > 1,
        is_own: is_own(&found),
    }))
}

/// Of a path at which nothing is: whether a symlink is there that leads nowhere, so that no directory can be made.
pub(super) fn leads_nowhere(path: &Path) -> Result<(), FileError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() && !path.exists() => {
            Err(TargetError::InTheWay("a symlink that leads nowhere").into())
        }
        _ => Ok(()),
    }
}
