//! Sources as Windows has them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::windows::fs::FileExt;
use std::path::Path;

use super::{Look, stamp};
use crate::error::FileError;
use crate::source::links::Links;

pub(super) fn open(path: &Path, links: Links) -> io::Result<File> {
    if links == Links::Follow || path.symlink_metadata()?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("not a regular file any more"))
    }
}

pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let (mut buffer, mut offset) = (buffer, offset);
    while !buffer.is_empty() {
        match file.seek_read(buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                buffer = &mut buffer[len..];
                offset += len as u64;
            }
        }
    }
    Ok(())
}

pub(super) fn nameless(_: &Path) -> Option<File> {
    None
}

/// A file that is open can lose its name here, too; the directory that it was in goes then.
pub(super) fn unname(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// A directory can't be kept open here.
pub(super) fn hold(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

pub(super) fn is_dead(_: &File) -> bool {
    false
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// The local form of one component of a name.
#[must_use]
pub fn from_bytes(bytes: &[u8]) -> Cow<'_, OsStr> {
    Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into())
}

pub(super) fn look(file: &File) -> io::Result<Look> {
    let found = file.metadata()?;
    Ok(Look { is_file: found.is_file(), mode: mode(&found), stamp: stamp(&found) })
}

/// Paths have more than one form here.
pub(super) fn split(_: &Path) -> Option<(&Path, &OsStr)> {
    None
}

pub(super) fn inode(_: &Metadata) -> [i64; 4] {
    [0; 4]
}

pub(super) fn names(_: &Metadata) -> u64 {
    1
}

pub(super) fn mode(_: &Metadata) -> Option<u32> {
    None
}

/// Paths have to be taken apart here.
pub(super) fn below<'a>(_: &'a Path, _: &Path) -> Option<&'a Path> {
    None
}

/// The bytes of a name, with `/` between components.
///
/// # Errors
/// If the name is not Unicode.
pub fn bytes(text: &OsStr) -> Result<Cow<'_, [u8]>, FileError> {
    match text.to_str() {
        Some(text) => Ok(Cow::Owned(text.replace('\\', "/").into_bytes())),
        None => Err(FileError::local("send the name")(io::Error::other("not Unicode"))),
    }
}
