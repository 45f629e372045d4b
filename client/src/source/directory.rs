//! A directory of the source that is open, so that the kernel need not walk its whole path again for each of its entries, and
//! so that no other directory takes its place.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use haul_protocol::{Attributes, Mtime};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Statx, StatxFlags, makedev, open, openat, readlinkat, statx,
};

use super::facts::Facts;
use super::links::Links;
use super::{Stamp, carried, identity, open_flags};

/// A directory that is open.
#[derive(Debug)]
pub(crate) struct Directory {
    handle: File,
    identity: [i64; 2],
}

impl Directory {
    /// The directory at a path, whatever symlinks lead there; an empty one means the working directory.
    ///
    /// # Errors
    /// If there is none, or it can't be looked at.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = File::from(open(path, flags, Mode::empty())?);
        let identity = identity(&handle.metadata()?);
        Ok(Self { handle, identity })
    }

    /// The open directory itself, for system calls.
    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }

    /// Device and inode, which stay the same while it is open.
    pub(crate) fn identity(&self) -> [i64; 2] {
        self.identity
    }

    /// Whether a path leads to it now.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|found| identity(&found) == self.identity)
    }

    /// The stamp of an entry; a symlink is not followed.
    ///
    /// # Errors
    /// If there is no such entry, or it can't be looked at.
    pub(crate) fn stamp(&self, name: &OsStr) -> io::Result<Stamp> {
        self.look(name, Links::Copy).map(|found| stamp(&found))
    }

    /// Size and attributes of a file; `None` if the entry is no regular one.
    ///
    /// # Errors
    /// If there is no such entry, or it can't be looked at.
    pub(crate) fn attributes(
        &self,
        name: &OsStr,
        links: Links,
    ) -> io::Result<Option<(u64, Attributes)>> {
        let found = self.look(name, links)?;
        let mode = u32::from(found.stx_mode);
        if FileType::from_raw_mode(mode) != FileType::RegularFile {
            return Ok(None);
        }
        let attributes = Attributes { mode: Some(mode & 0o777), mtime: mtime(&found) };
        Ok(Some((found.stx_size, attributes)))
    }

    /// Opens a file.
    ///
    /// # Errors
    /// If it can't be opened.
    pub(crate) fn file(&self, name: &OsStr, links: Links) -> io::Result<File> {
        let flags = open_flags(links) | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::empty())?.into())
    }

    /// The stamp of a symlink and the path that it points to.
    ///
    /// # Errors
    /// If it can't be read, or is no symlink.
    pub(crate) fn link(&self, name: &OsStr) -> io::Result<(Stamp, OsString)> {
        link_at(&self.handle, Path::new(name))
    }

    fn look(&self, name: &OsStr, links: Links) -> io::Result<Statx> {
        look_at(&self.handle, name, links)
    }
}

/// The facts of a directory in another one that is open.
///
/// # Errors
/// If there is no such directory, or it can't be looked at.
pub(super) fn facts_at(directory: &File, name: &OsStr, links: Links) -> io::Result<Facts> {
    let found = look_at(directory, name, links)?;
    let mode = u32::from(found.stx_mode);
    if FileType::from_raw_mode(mode) != FileType::Directory {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let [device, inode, ..] = stamp(&found).inode;
    let identity = [device, inode];
    Ok(Facts { size: found.stx_size, mode: Some(mode & 0o777), identity })
}

fn look_at(directory: &File, name: &OsStr, links: Links) -> io::Result<Statx> {
    let flags = match links {
        Links::Follow => AtFlags::empty(),
        Links::Copy | Links::Skip => AtFlags::SYMLINK_NOFOLLOW,
    };
    Ok(statx(directory, name, flags, StatxFlags::BASIC_STATS)?)
}

/// The stamp of a symlink below a directory and the path that it points to. Both are of one symlink, which is open meanwhile:
/// another one may have the name at any moment, and `--remove-source` removes the symlink that was sent.
///
/// # Errors
/// If it can't be read, or is no symlink.
pub(crate) fn link_at(directory: impl AsFd, path: &Path) -> io::Result<(Stamp, OsString)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = openat(directory, path, flags, Mode::empty())?;
    let found = statx(&link, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    if FileType::from_raw_mode(found.stx_mode.into()) != FileType::Symlink {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let target = readlinkat(&link, "", Vec::new())?.into_bytes();
    Ok((stamp(&found), OsString::from_vec(target)))
}

fn stamp(found: &Statx) -> Stamp {
    let device = makedev(found.stx_dev_major, found.stx_dev_minor);
    let changed = [found.stx_ctime.tv_sec, i64::from(found.stx_ctime.tv_nsec)];
    Stamp {
        size: found.stx_size,
        mtime: mtime(found),
        inode: [device.cast_signed(), found.stx_ino.cast_signed(), changed[0], changed[1]],
        names: found.stx_nlink.into(),
    }
}

fn mtime(found: &Statx) -> Option<Mtime> {
    carried(Mtime { s: found.stx_mtime.tv_sec, ns: found.stx_mtime.tv_nsec })
}
