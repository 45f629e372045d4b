//! A file that is written while a run goes on, and takes the place of another one in the end.
//!
//! Until then the new file has no name, and the file in whose place it comes is as it was: the run may read that, or fail.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tempfile::{Builder, NamedTempFile};

use crate::source::{HOPS, UNFINISHED, identity, names, regular};

/// The name that a new file has for a moment before it takes the place of the other one.
static NAMED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The place of the new file.
#[derive(Debug)]
pub(super) struct Replacement {
    target: PathBuf,
    /// Device and inode of the file that is there, if the platform has such.
    identity: Option<[i64; 2]>,
    /// The file that is there, or that the client has put there.
    expected: Mutex<Option<Version>>,
    /// The file of the beginning, open, so that no other gets its number, and it keeps its number itself.
    _held: Option<File>,
}

/// Tells a file from any other of its name, and from itself once it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    identity: [i64; 2],
    size: u64,
    mtime: Option<SystemTime>,
}

impl Version {
    fn of(file: &Metadata) -> Self {
        Self { identity: identity(file), size: file.len(), mtime: file.modified().ok() }
    }
}

/// Removes the file that has a name for a moment. As long as the result is held, no file gets such a name.
pub(crate) fn remove_unfinished() -> impl Sized {
    let mut named = named();
    if let Some(path) = named.take() {
        let _ = std::fs::remove_file(path);
    }
    named
}

fn named() -> MutexGuard<'static, Option<PathBuf>> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Replacement {
    /// The place that a path leads to, and the file for it. `None` if the path leads to what is no regular file, and can't
    /// be replaced.
    ///
    /// # Errors
    /// If there can't be such a file.
    pub(super) fn of(path: &Path) -> io::Result<Option<(Self, File)>> {
        let found = match path.metadata() {
            Ok(found) if !found.is_file() => return Ok(None),
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let target = target(path)?;
        let (file, held) = match &found {
            Some(_) => {
                // A user who may not write to the file may not replace it.
                let held = File::options().write(true).open(&target)?;
                (beside(&target).or_else(|_| tempfile::tempfile())?, Some(held))
            }
            None => (beside(&target)?, None),
        };
        let identity = found.as_ref().and_then(regular);
        let expected = Mutex::new(found.as_ref().map(Version::of));
        // Elsewhere an open file can't be replaced.
        let held = held.filter(|_| cfg!(unix));
        Ok(Some((Self { target, identity, expected, _held: held }, file)))
    }

    /// Whether the entry at a path is the file that is there now.
    pub(super) fn replaces(&self, path: &Path, entry: &Metadata) -> bool {
        let is_target = || path.canonicalize().is_ok_and(|path| path == self.target);
        // Another name of the file keeps it.
        self.identity.is_some()
            && self.identity == regular(entry)
            && (names(entry) == 1 || is_target())
    }

    /// Whether there is a file to be replaced.
    pub(super) fn has_file(&self) -> bool {
        self.identity.is_some()
    }

    /// Puts the bytes of a file in the place. Where a new file can't be there, or could not belong to the same user and
    /// group, the bytes are written into the file that is there. If a file has come or was written since the run began, it
    /// stays: somebody may have saved it.
    ///
    /// # Errors
    /// If that fails; then the file that is there is as it was, unless the bytes were written into it.
    pub(super) fn put(&self, lines: &File) -> io::Result<()> {
        use io::ErrorKind::{
            CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy, Unsupported,
        };
        let before = match self.target.symlink_metadata() {
            Ok(found) if !found.is_file() => {
                return Err(io::Error::other("it is no regular file any more"));
            }
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        if before.as_ref().is_some_and(|before| *expected != Some(Version::of(before))) {
            return Err(newer());
        }
        match (self.replace(lines, before.as_ref()), before) {
            (Err(error), Some(before)) if names(&before) == 1 => match error.kind() {
                CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy
                | Unsupported => self.overwrite(lines),
                _ => Err(error),
            },
            (replaced, _) => replaced,
        }?;
        // The run may put it there once more.
        *expected = self.target.symlink_metadata().ok().as_ref().map(Version::of);
        Ok(())
    }

    fn replace(&self, lines: &File, before: Option<&Metadata>) -> io::Result<()> {
        let mut file = self.make(before.is_none())?;
        let replaced = copy(lines, file.as_file_mut())
            .and_then(|()| before.map_or(Ok(()), |before| own(file.as_file(), before)))
            .and_then(|()| file.as_file().sync_all())
            .and_then(|()| match before {
                Some(_) => file.persist(&self.target).map_err(|error| error.error),
                None => file.persist_noclobber(&self.target).map_err(|error| match error.error {
                    error if error.kind() == io::ErrorKind::AlreadyExists => newer(),
                    error => error,
                }),
            })
            .map(drop);
        *named() = None;
        replaced
    }

    /// A file beside the place, which only this user may read unless it is to be a new one there.
    fn make(&self, is_new: bool) -> io::Result<NamedTempFile> {
        let mut builder = Builder::new();
        builder.prefix(UNFINISHED).rand_bytes(16);
        if let Some(permissions) = permissions_of_new_files().filter(|_| is_new) {
            builder.permissions(permissions);
        }
        let mut named = named();
        let file = builder.tempfile_in(parent(&self.target))?;
        *named = Some(file.path().to_owned());
        Ok(file)
    }

    fn overwrite(&self, lines: &File) -> io::Result<()> {
        let mut file = File::options().write(true).open(&self.target)?;
        copy(lines, &mut file)?;
        let len = file.stream_position()?;
        file.set_len(len)?;
        file.sync_all()
    }
}

fn newer() -> io::Error {
    io::Error::other("a file was saved there while haul ran, and stays as it is; name another file")
}

fn copy(mut lines: &File, to: &mut File) -> io::Result<()> {
    lines.seek(SeekFrom::Start(0))?;
    io::copy(&mut lines, to).map(drop)
}

/// A file without a name beside a path.
fn beside(path: &Path) -> io::Result<File> {
    tempfile::tempfile_in(parent(path))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// The path of the file that a path leads to, whether it is there or not. No symlink is in it.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..HOPS {
        let is_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let name = path.file_name().filter(|_| !is_directory);
        let name = name.ok_or(io::ErrorKind::IsADirectory)?;
        let above = match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        let above = above.canonicalize()?;
        let found = above.join(name);
        match found.read_link() {
            Ok(target) => path = above.join(target),
            Err(_) => return Ok(found),
        }
    }
    Err(io::Error::other("too many symlinks"))
}

/// Mode, user and group of the file that is replaced.
#[cfg(unix)]
fn own(file: &File, before: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let now = file.metadata()?;
    let [user, group] = [(before.uid(), now.uid()), (before.gid(), now.gid())]
        .map(|(before, now)| Some(before).filter(|before| *before != now));
    if user.is_some() || group.is_some() {
        fchown(file, user, group)?;
    }
    file.set_permissions(before.permissions())
}

/// There is neither a mode nor a group here.
#[cfg(not(unix))]
fn own(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// The umask is taken from it.
#[cfg(unix)]
fn permissions_of_new_files() -> Option<Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(0o666))
}

/// New files have those of their directory here.
#[cfg(not(unix))]
fn permissions_of_new_files() -> Option<Permissions> {
    None
}
