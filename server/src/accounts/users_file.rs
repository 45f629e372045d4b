//! `users.toml` on the disk: who may own it, how it is read, and how a command replaces it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use super::file::FileError;

/// The file, in the server's configuration directory.
const NAME: &str = "users.toml";

/// Bytes of the longest file: some hundred thousand accounts.
const LONGEST: u64 = 64 << 20;

/// `users.toml` can't be used.
#[derive(Debug, Error)]
pub(crate) enum UsersError {
    /// The text can't be understood.
    #[error("`{0}`, {1}")]
    Text(PathBuf, FileError),
    /// Others decide who has an account.
    #[error("others may write to `{0}` (mode {1:o}): set it to 600")]
    OpenToOthers(PathBuf, u32),
    /// Another user decides who has an account.
    #[error("`{0}` belongs to user {1}; it has to belong to the user of hauld or to root")]
    NotOurs(PathBuf, u32),
    /// The server's user may not look for it.
    #[error(
        "`{0}` can't be read by the user of hauld, to whom it and its directory have to belong (chown -R)"
    )]
    Unreadable(PathBuf),
    /// It is longer than any such file.
    #[error("`{0}` is larger than 64 MiB")]
    TooLong(PathBuf),
    /// It could not be read or written.
    #[error("`{0}`: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// A command asks for something that can't be.
    #[error("{0}")]
    Command(String),
}

/// Tells one reading of the file from a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    len: u64,
    changed: [(i64, i64); 2],
}

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct UsersFile {
    directory: PathBuf,
    path: PathBuf,
}

impl UsersFile {
    /// That of a configuration directory.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), path: directory.join(NAME) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self) -> impl Fn(io::Error) -> UsersError + '_ {
        |error| UsersError::Io(self.path.clone(), error)
    }

    /// The present state of the file; `None` if there is none, or it can't be looked at.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().map(|found| Stamp::of(&found))
    }

    /// The text; empty if there is no file.
    pub(crate) fn read(&self) -> Result<String, UsersError> {
        let file = match crate::regular::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(UsersError::Unreadable(self.path.clone()));
            }
            Err(error) => return Err(self.failed()(error)),
        };
        let found = file.metadata().map_err(self.failed())?;
        let user = rustix::process::geteuid().as_raw();
        // Root may change the accounts of a server that has a user of its own, whose directory it is.
        let is_of_directory =
            || fs::metadata(&self.directory).is_ok_and(|directory| directory.uid() == found.uid());
        let may_be_others = user == 0 && is_of_directory();
        if found.uid() != user && found.uid() != 0 && !may_be_others {
            return Err(UsersError::NotOurs(self.path.clone(), found.uid()));
        }
        if found.mode() & 0o022 != 0 {
            return Err(UsersError::OpenToOthers(self.path.clone(), found.mode() & 0o777));
        }
        let mut text = String::new();
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(self.failed())?;
        if text.len() as u64 > LONGEST {
            return Err(UsersError::TooLong(self.path.clone()));
        }
        Ok(text)
    }

    /// Replaces the text by what `edit` makes of it. Two commands at once change it one after the other, and no reader sees a
    /// part of it.
    pub(crate) fn change<T>(
        &self,
        edit: impl FnOnce(&str) -> Result<(String, T), UsersError>,
    ) -> Result<T, UsersError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| UsersError::Io(self.directory.clone(), error))?;
        let lock = self.directory.join("users.lock");
        let locked =
            open_new(OpenOptions::new().create(true).truncate(false), &lock).and_then(|file| {
                flock(&file, FlockOperation::LockExclusive).map(|()| file).map_err(io::Error::from)
            });
        let locked = locked.map_err(|error| UsersError::Io(lock.clone(), error))?;
        // The server's own user has to lock it after root.
        keep_owner(&locked, &self.directory).map_err(|error| UsersError::Io(lock, error))?;
        let (text, told) = edit(&self.read()?)?;
        let temporary = self.directory.join(format!("{NAME}.new"));
        // Of a command that was ended: the lock is ours.
        let _ = fs::remove_file(&temporary);
        let write = || {
            let mut file = open_new(OpenOptions::new().create_new(true), &temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            let is_there = self.path.exists();
            keep_owner(&file, if is_there { &self.path } else { &self.directory })?;
            fs::rename(&temporary, &self.path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| {
            // It may have no room on the disk, or hold a token that nobody has.
            let _ = fs::remove_file(&temporary);
            self.failed()(error)
        })?;
        Ok(told)
    }
}

/// A file that root makes beside or in place of something of another user is that user's.
fn keep_owner(new: &File, other: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(other)?;
    std::os::unix::fs::fchown(new, Some(owner.uid()), Some(owner.gid()))
}

fn open_new(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.write(true).mode(0o600).open(path)
}

impl Stamp {
    /// Whether both are of one file, whatever was written into it.
    pub(super) fn is_of_same_file(&self, other: &Self) -> bool {
        self.inode == other.inode
    }

    fn of(found: &fs::Metadata) -> Self {
        Self {
            inode: (found.dev(), found.ino()),
            len: found.len(),
            changed: [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn no_other_file_stays_behind_if_the_file_can_not_be_written() {
        let place = tempfile::tempdir().unwrap();
        let users = UsersFile::in_directory(place.path());
        let changed = users.change(|_| {
            // No file takes the place of a directory.
            fs::create_dir(users.path()).unwrap();
            Ok((String::from("# one\n"), ()))
        });
        assert!(changed.is_err());
        let left = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = left.collect();
        left.sort();
        assert_eq!(left, ["users.lock", "users.toml"]);
    }

    #[test]
    fn file_is_replaced_whole_and_only_its_user_may_read_it() {
        let place = tempfile::tempdir().unwrap();
        let users = UsersFile::in_directory(&place.path().join("config"));
        assert_eq!((users.read().unwrap(), users.stamp()), (String::new(), None));
        let told = users.change(|before| Ok((format!("{before}# one\n"), 1))).unwrap();
        let first = users.stamp();
        users.change(|before| Ok((format!("{before}# two\n"), ()))).unwrap();
        assert_eq!((told, &*users.read().unwrap()), (1, "# one\n# two\n"));
        assert_ne!(users.stamp(), first);
        assert_eq!(fs::metadata(users.path()).unwrap().mode() & 0o777, 0o600);
        let refused: Result<(), _> = users.change(|_| Err(UsersError::Command("no".into())));
        assert!(refused.is_err() && users.read().unwrap().ends_with("two\n"));
    }

    /// Otherwise the server's own user could not change the accounts after root.
    #[test]
    fn files_that_root_makes_belong_to_the_owner_of_the_directory() {
        let place = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(place.path(), Some(1234), Some(1235)).unwrap();
        }
        let users = UsersFile::in_directory(place.path());
        let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid()));
        for _ in 0..2 {
            users.change(|before| Ok((format!("{before}# one\n"), ()))).unwrap();
            for entry in fs::read_dir(place.path()).unwrap() {
                let path = entry.unwrap().path();
                assert_eq!(owner(&path).unwrap(), owner(place.path()).unwrap(), "{path:?}");
            }
        }
    }

    #[test]
    fn file_that_others_may_write_to_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let users = UsersFile::in_directory(place.path());
        fs::write(users.path(), "").unwrap();
        for (mode, is_taken) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            fs::set_permissions(users.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(users.read().is_ok(), is_taken, "{mode:o}");
        }
    }
}
