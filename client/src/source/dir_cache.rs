//! Opening and looking at one file after the other, most of them in the same directory.
//!
//! The cache keeps that directory open for a while, so that the kernel need not walk the whole path again for each of its
//! files: 2.5 % of the time that a tree of small files takes. If the walk has found the directory, its files are opened in no
//! other one: whatever comes under the path meanwhile may not be of the source. Of other files, such as a source that is a file,
//! the path decides. A directory that is moved takes its handle along, so in the end the cache looks whether the directory is
//! still under its path. Platforms other than Linux open every file by its path.

use std::fs::File;
use std::path::{Path, PathBuf};

use haul_protocol::Attributes;

use super::sources::Sources;
use super::{Link, attributes};
use crate::error::FileError;
use crate::error::adrift::Adrift;
use crate::source;
use crate::source::links::Links;

/// Where the last file was.
#[derive(Debug)]
pub(crate) struct Nearby<'a> {
    sources: &'a Sources,
    kept: platform::Kept,
}

/// The way to a file.
enum Reached<T> {
    /// Through the directory that it is in.
    Here(T),
    /// The file is opened by its path only.
    ByPath,
    /// The directory at its path may not be the one that the walk has found.
    Adrift(Adrift),
}

impl<'a> Nearby<'a> {
    /// Files of these sources.
    pub(crate) fn new(sources: &'a Sources) -> Self {
        Self { sources, kept: platform::Kept::default() }
    }

    /// Opens a file as [`Source::open`](crate::source::Source::open) does.
    ///
    /// # Errors
    /// If it can't be opened, or its directory is not the one that the walk has read.
    pub(crate) fn open(&mut self, path: &Path, links: Links) -> Result<File, FileError> {
        let open = FileError::local("open");
        match self.kept.open(self.sources, path, links).map_err(&open)? {
            Reached::Here(file) => Ok(file),
            Reached::ByPath => source::open(path, links).map_err(open),
            Reached::Adrift(error) => Err(error.into()),
        }
    }

    /// Size and attributes of a file; `None` if it is no regular one.
    ///
    /// # Errors
    /// If it can't be looked at, or its directory is not the one that the walk has read.
    pub(crate) fn look(
        &mut self,
        path: &Path,
        links: Links,
    ) -> Result<Option<(u64, Attributes)>, FileError> {
        let look = FileError::local("look at");
        match self.kept.look(self.sources, path, links).map_err(&look)? {
            Reached::Here(found) => return Ok(found),
            Reached::ByPath => {}
            Reached::Adrift(error) => return Err(error.into()),
        }
        let metadata = links.look(path).map_err(look)?;
        Ok(metadata.is_file().then(|| (metadata.len(), attributes(&metadata))))
    }

    /// Reads a symlink.
    ///
    /// # Errors
    /// If it can't be read or is none any more, or its directory is not the one that the walk has read.
    pub(crate) fn link(&mut self, path: &Path, links: Links) -> Result<Link, FileError> {
        let reached = self.kept.link(self.sources, path, links);
        match reached.map_err(FileError::local("read link"))? {
            Reached::Here((stamp, target)) => Link::new(stamp, &target),
            Reached::ByPath => source::link(path),
            Reached::Adrift(error) => Err(error.into()),
        }
    }

    /// Closes the directory. Returns all from which something was taken since the last call and that are not under
    /// their paths any more.
    pub(crate) fn leave(&mut self) -> Vec<PathBuf> {
        self.kept.leave()
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::ffi::{OsStr, OsString};
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};

    use haul_protocol::Attributes;

    use super::Reached;
    use crate::error::adrift::Adrift;
    use crate::source::Stamp;
    use crate::source::directory::Directory;
    use crate::source::links::Links;
    use crate::source::sources::{Opened, Sources};
    use crate::source::split;

    #[derive(Debug)]
    struct Last {
        path: PathBuf,
        directory: Directory,
        /// The walk has found it.
        is_known: bool,
    }

    #[derive(Debug, Default)]
    pub(super) struct Kept {
        last: Option<Last>,
        moved: Vec<PathBuf>,
    }

    impl Kept {
        pub(super) fn open(
            &mut self,
            sources: &Sources,
            path: &Path,
            links: Links,
        ) -> io::Result<Reached<File>> {
            self.reach(sources, path, links, |directory, name| directory.file(name, links))
        }

        pub(super) fn look(
            &mut self,
            sources: &Sources,
            path: &Path,
            links: Links,
        ) -> io::Result<Reached<Option<(u64, Attributes)>>> {
            self.reach(sources, path, links, |directory, name| directory.attributes(name, links))
        }

        pub(super) fn link(
            &mut self,
            sources: &Sources,
            path: &Path,
            links: Links,
        ) -> io::Result<Reached<(Stamp, OsString)>> {
            self.reach(sources, path, links, Directory::link)
        }

        pub(super) fn leave(&mut self) -> Vec<PathBuf> {
            self.close();
            std::mem::take(&mut self.moved)
        }

        fn close(&mut self) {
            let Some(Last { path, directory, .. }) = self.last.take() else { return };
            if !directory.is_at(&path) {
                self.moved.push(path);
            }
        }

        /// Does something with the directory that a path is in and its name there. By its path, if that is not all there is to
        /// it, or if `with` fails in a directory that the walk has not found.
        fn reach<T>(
            &mut self,
            sources: &Sources,
            path: &Path,
            links: Links,
            with: impl FnOnce(&Directory, &OsStr) -> io::Result<T>,
        ) -> io::Result<Reached<T>> {
            let Some((parent, name)) = split(path) else { return Ok(Reached::ByPath) };
            // A file of the working directory is opened by its name, which is its path.
            if parent.as_os_str().is_empty() {
                return Ok(Reached::ByPath);
            }
            // Byte by byte: comparing paths takes as long as what is spared here.
            let is_last = |last: &Last| last.path.as_os_str() == parent.as_os_str();
            if !self.last.as_ref().is_some_and(is_last) {
                self.close();
                let directory = match Directory::open(parent) {
                    Ok(directory) => directory,
                    Err(error) if sources.directories().had_directory(parent) => {
                        return Err(error);
                    }
                    Err(_) => return Ok(Reached::ByPath),
                };
                let is_known = match sources.compare(parent, &directory, links) {
                    Opened::Unknown => false,
                    Opened::Same | Opened::Renumbered { may_be_read: true } => true,
                    Opened::Renumbered { may_be_read: false } => {
                        return Ok(Reached::Adrift(Adrift::Renumbered));
                    }
                    Opened::Another => return Ok(Reached::Adrift(Adrift::Replaced)),
                };
                self.last = Some(Last { path: parent.to_owned(), directory, is_known });
            }
            let Some(Last { directory, is_known, .. }) = &self.last else {
                return Ok(Reached::ByPath);
            };
            match with(directory, name) {
                Ok(found) => Ok(Reached::Here(found)),
                Err(error) if *is_known => Err(error),
                Err(_) => Ok(Reached::ByPath),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::ffi::OsString;
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};

    use haul_protocol::Attributes;

    use super::Reached;
    use crate::source::Stamp;
    use crate::source::links::Links;
    use crate::source::sources::Sources;

    #[derive(Debug, Default)]
    pub(super) struct Kept;

    impl Kept {
        pub(super) fn open(
            &mut self,
            _: &Sources,
            _: &Path,
            _: Links,
        ) -> io::Result<Reached<File>> {
            Ok(Reached::ByPath)
        }

        pub(super) fn look(
            &mut self,
            _: &Sources,
            _: &Path,
            _: Links,
        ) -> io::Result<Reached<Option<(u64, Attributes)>>> {
            Ok(Reached::ByPath)
        }

        pub(super) fn link(
            &mut self,
            _: &Sources,
            _: &Path,
            _: Links,
        ) -> io::Result<Reached<(Stamp, OsString)>> {
            Ok(Reached::ByPath)
        }

        pub(super) fn leave(&mut self) -> Vec<PathBuf> {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;

    use super::*;

    fn read(nearby: &mut Nearby<'_>, path: &Path) -> Result<String, FileError> {
        let mut text = String::new();
        nearby.open(path, Links::Copy)?.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn directories_are_told_apart() {
        let (place, sources) = (TempDir::new().unwrap(), Sources::default());
        let mut nearby = Nearby::new(&sources);
        let paths = ["a/x", "a/y", "b/x", "a/b/x", "x"].map(|name| place.path().join(name));
        for path in &paths {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
        }
        for path in paths.iter().chain(paths.iter().rev()) {
            assert_eq!(read(&mut nearby, path).unwrap(), path.to_str().unwrap());
            let (size, _) = nearby.look(path, Links::Copy).unwrap().unwrap();
            assert_eq!(size, path.as_os_str().len() as u64);
        }
    }

    #[test]
    fn what_is_seen_is_what_the_path_shows() {
        let (place, sources) = (TempDir::new().unwrap(), Sources::default());
        let mut nearby = Nearby::new(&sources);
        let path = place.path().join("file");
        fs::write(&path, b"12345").unwrap();
        for time in [Duration::new(1_700_000_000, 5), Duration::from_millis(500)] {
            for time in [SystemTime::UNIX_EPOCH + time, SystemTime::UNIX_EPOCH - time] {
                File::open(&path).unwrap().set_modified(time).unwrap();
                let metadata = path.metadata().unwrap();
                let found = nearby.look(&path, Links::Copy).unwrap();
                assert_eq!(found, Some((5, attributes(&metadata))));
            }
        }
        assert_eq!(nearby.look(place.path(), Links::Copy).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_only_if_told() {
        let (place, sources) = (TempDir::new().unwrap(), Sources::default());
        let mut nearby = Nearby::new(&sources);
        let link = place.path().join("link");
        fs::write(place.path().join("file"), b"123").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert!(nearby.open(&link, Links::Copy).is_err());
        assert_eq!(nearby.look(&link, Links::Copy).unwrap(), None);
        assert!(nearby.open(&link, Links::Follow).is_ok());
        assert_eq!(nearby.look(&link, Links::Follow).unwrap().unwrap().0, 3);
    }

    #[test]
    fn directory_that_was_moved_is_told_and_not_used_again() {
        let (place, sources) = (TempDir::new().unwrap(), Sources::default());
        let mut nearby = Nearby::new(&sources);
        let (directory, moved) = (place.path().join("d"), place.path().join("moved"));
        let path = directory.join("file");
        fs::create_dir(&directory).unwrap();
        fs::write(&path, b"one").unwrap();
        assert_eq!(read(&mut nearby, &path).unwrap(), "one");
        assert_eq!(nearby.leave(), Vec::<PathBuf>::new());
        for other in [None, Some(b"two")] {
            assert!(nearby.look(&path, Links::Copy).unwrap().is_some());
            fs::rename(&directory, &moved).unwrap();
            if let Some(other) = other {
                fs::create_dir(&directory).unwrap();
                fs::write(&path, other).unwrap();
            }
            // Also if another one is used next.
            assert!(nearby.look(&moved.join("file"), Links::Copy).unwrap().is_some());
            assert_eq!(nearby.leave(), std::slice::from_ref(&directory));
            assert_eq!(nearby.leave(), Vec::<PathBuf>::new());
            match other {
                None => assert!(read(&mut nearby, &path).unwrap_err().is_vanished()),
                Some(_) => assert_eq!(read(&mut nearby, &path).unwrap(), "two"),
            }
            nearby.leave();
            fs::remove_dir_all(&directory).ok();
            fs::rename(&moved, &directory).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_taken_from_another_directory_than_the_one_that_was_found() {
        let (place, sources) = (TempDir::new().unwrap(), Sources::default());
        let [directory, other] = ["d", "other"].map(|name| place.path().join(name));
        for directory in [&directory, &other] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("file"), "x").unwrap();
        }
        fs::write(other.join("only"), "x").unwrap();
        let found = source::identity(&directory.metadata().unwrap());
        sources.directories().directory_is(&directory, found);
        let mut nearby = Nearby::new(&sources);
        assert_eq!(read(&mut nearby, &directory.join("file")).unwrap(), "x");
        fs::rename(&directory, place.path().join("moved")).unwrap();
        std::os::unix::fs::symlink("other", &directory).unwrap();
        // The other directory has it, and this one is open still.
        assert!(read(&mut nearby, &directory.join("only")).unwrap_err().is_vanished());
        nearby.leave();
        for name in ["file", "only"] {
            let path = directory.join(name);
            assert!(read(&mut nearby, &path).unwrap_err().is_replaced());
            assert!(nearby.look(&path, Links::Follow).unwrap_err().is_replaced());
            assert!(nearby.link(&path, Links::Copy).unwrap_err().is_replaced());
        }
    }
}
