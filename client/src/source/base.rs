//! A directory of the source in which haul removes entries: the one that the walk has found, whatever comes under its path.
//!
//! Platforms other than Linux do so by paths.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[cfg(target_os = "linux")]
use super::sources::Opened;
use super::sources::Sources;
use crate::error::FileError;
use crate::error::adrift::Adrift;
pub(crate) use platform::Base;

/// The directory of the last entry that was removed, which is usually that of the next one.
#[derive(Debug)]
pub(crate) struct Bases<'a> {
    sources: &'a Sources,
    last: RefCell<Option<(PathBuf, Rc<Base>)>>,
}

impl<'a> Bases<'a> {
    /// Of these sources.
    pub(crate) fn new(sources: &'a Sources) -> Self {
        Self { sources, last: RefCell::default() }
    }

    /// The directory that an entry is in.
    ///
    /// # Errors
    /// If it can't be opened, or is not the one that the walk has found.
    pub(crate) fn of(&self, path: &Path) -> Result<Rc<Base>, FileError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let mut last = self.last.borrow_mut();
        if let Some((known, base)) = &*last
            && known.as_os_str() == parent.as_os_str()
        {
            return Ok(Rc::clone(base));
        }
        let failed = |error| FileError::NotRemoved(std::sync::Arc::new(error));
        let base = Base::open(parent).map_err(failed)?;
        self.check(parent, &base)?;
        let base = Rc::new(base);
        *last = Some((parent.to_owned(), Rc::clone(&base)));
        Ok(base)
    }

    /// Whether a directory is the one that the walk has found, if the walk has found one.
    #[cfg(target_os = "linux")]
    fn check(&self, parent: &Path, base: &Base) -> Result<(), Adrift> {
        // Nothing is removed of what symlinks lead to.
        match self.sources.compare(parent, base.directory(), super::links::Links::Copy) {
            Opened::Unknown | Opened::Same => Ok(()),
            Opened::Renumbered { .. } => Err(Adrift::Renumbered),
            Opened::Another => Err(Adrift::Replaced),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn check(&self, parent: &Path, _: &Base) -> Result<(), Adrift> {
        let found = parent.metadata().map(|found| super::identity(&found));
        let directories = self.sources.directories();
        let is_as_found = !directories.had_directory(parent)
            || found.is_ok_and(|found| directories.was_directory(parent, found));
        if is_as_found { Ok(()) } else { Err(Adrift::Replaced) }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, unlinkat};

    use crate::source::Stamp;
    use crate::source::directory::Directory;
    use crate::source::links::Links;

    /// A directory that is open.
    #[derive(Debug)]
    pub(crate) struct Base(Directory);

    impl Base {
        /// The directory at a path; an empty one means the working directory.
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            Directory::open(path).map(Self)
        }

        pub(super) fn directory(&self) -> &Directory {
            &self.0
        }

        /// The stamp of an entry.
        pub(crate) fn stamp(&self, name: &OsStr) -> io::Result<Stamp> {
            self.0.stamp(name)
        }

        /// Opens a file.
        pub(crate) fn file(&self, name: &OsStr) -> io::Result<File> {
            self.0.file(name, Links::Copy)
        }

        /// Gives an entry a name that no other has.
        pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
            let directory = self.0.handle();
            Ok(renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE)?)
        }

        /// The same on a file system that can't keep what may have the name.
        pub(crate) fn rename_over(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
            Ok(renameat(self.0.handle(), from, self.0.handle(), to)?)
        }

        /// Removes a file or symlink.
        pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
            Ok(unlinkat(self.0.handle(), name, AtFlags::empty())?)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};

    use crate::source::links::Links;
    use crate::source::{self, Stamp};

    /// The path of a directory.
    #[derive(Debug)]
    pub(crate) struct Base(PathBuf);

    #[expect(clippy::unnecessary_wraps, reason = "a directory may be opened on Linux")]
    impl Base {
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            Ok(Self(path.to_owned()))
        }

        pub(crate) fn stamp(&self, name: &OsStr) -> io::Result<Stamp> {
            Ok(source::stamp(&self.0.join(name).symlink_metadata()?))
        }

        pub(crate) fn file(&self, name: &OsStr) -> io::Result<File> {
            source::open(&self.0.join(name), Links::Copy)
        }

        pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
            if self.0.join(to).symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.rename_over(from, to)
        }

        pub(crate) fn rename_over(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
            std::fs::rename(self.0.join(from), self.0.join(to))
        }

        pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
            std::fs::remove_file(self.0.join(name))
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;

    use super::*;
    use crate::source::{identity, stamp};

    #[test]
    fn stamp_is_that_of_the_path() {
        let place = TempDir::new().unwrap();
        let (path, link) = (place.path().join("f"), place.path().join("link"));
        fs::write(&path, "12345").unwrap();
        symlink("f", &link).unwrap();
        let base = Base::open(place.path()).unwrap();
        for time in [Duration::new(1_700_000_000, 5), Duration::from_millis(500)] {
            for time in [SystemTime::UNIX_EPOCH + time, SystemTime::UNIX_EPOCH - time] {
                fs::File::open(&path).unwrap().set_modified(time).unwrap();
                for path in [&path, &link] {
                    let name = path.file_name().unwrap();
                    let expected = stamp(&path.symlink_metadata().unwrap());
                    assert_eq!(base.stamp(name).unwrap(), expected);
                }
            }
        }
        assert!(base.stamp(OsStr::new("gone")).is_err());
    }

    #[test]
    fn directory_is_the_one_that_was_found() {
        let (place, sources) = (TempDir::new().unwrap(), Sources::default());
        let [directory, other] = ["d", "other"].map(|name| place.path().join(name));
        for directory in [&directory, &other] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("f"), "x").unwrap();
        }
        sources.directories().directory_is(&directory, identity(&directory.metadata().unwrap()));
        assert!(Bases::new(&sources).of(&other.join("f")).is_ok());
        assert!(Bases::new(&sources).of(&directory.join("f")).is_ok());
        fs::rename(&directory, place.path().join("moved")).unwrap();
        symlink("other", &directory).unwrap();
        assert!(Bases::new(&sources).of(&directory.join("f")).unwrap_err().is_replaced());
    }
}
