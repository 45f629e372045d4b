//! Temporary files that killed runs have left in a directory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, unlinkat};

use super::kind::Kind;
use super::lock::leftover;
use super::names::is_usual_of_parts;
use super::standing::{kind, stat};
use crate::source::is_arriving;

/// The fate of parts of large files that no run uses at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// They stay: a later run may go on with them.
    Stay,
    /// They are removed.
    Go,
}

/// The leftovers of a directory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Swept {
    /// Those that were removed.
    pub(super) removed: usize,
    /// Parts of large files that were to stay.
    pub(super) kept: usize,
}

/// Removes the leftovers of a directory that no run uses. Those that can't be removed stay.
pub(super) fn sweep(directory: &OwnedFd, parts: Parts) -> io::Result<Swept> {
    sweep_but(directory, |_| parts == Parts::Stay)
}

/// The same; `stays`: whether parts of large files under a temporary name stay.
pub(super) fn sweep_but(directory: &OwnedFd, stays: impl Fn(&OsStr) -> bool) -> io::Result<Swept> {
    let mut swept = Swept::default();
    for entry in Dir::read_from(directory.as_fd())? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_usual_of_parts(name) && stays(name) {
            swept.kept += 1;
        } else if is_arriving(name) && remove(directory, name, entry.file_type()) {
            swept.removed += 1;
        }
    }
    Ok(swept)
}

/// Whether a leftover was removed.
fn remove(directory: &OwnedFd, name: &OsStr, known: FileType) -> bool {
    // The lock, if there is one, is held until the file is gone.
    let lock = match known {
        FileType::RegularFile | FileType::Unknown => leftover(directory, name).ok().flatten(),
        _ => None,
    };
    // A symlink can't be locked. A run that misses its own makes it again.
    let is_symlink = || {
        let found = stat(directory, name).ok().flatten();
        found.is_some_and(|found| kind(&found) == Kind::Symlink)
    };
    (lock.is_some() || is_symlink()) && unlinkat(directory, name, AtFlags::empty()).is_ok()
}

/// The names and kinds of a directory's entries, without `.`, `..` and haul's temporary names.
pub(super) fn entries(
    directory: &OwnedFd,
) -> io::Result<impl Iterator<Item = io::Result<(OsString, Kind)>> + '_> {
    let entries = Dir::read_from(directory.as_fd())?;
    Ok(entries.filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(errno) => return Some(Err(errno.into())),
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if matches!(name.as_bytes(), b"." | b"..") || is_arriving(name) {
            return None;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match stat(directory, name) {
                Ok(found) => kind(&found?),
                Err(error) => return Some(Err(error)),
            },
            known => Kind::of(known),
        };
        Some(Ok((name.to_owned(), kind)))
    }))
}
