//! The way from a source down to a directory, from one open directory to the next.
//!
//! A path may lead through a symlink that has come in the place of a directory since its entries were read. On the way down
//! no such symlink is followed, so every directory that is found is in the source. Platforms other than Linux look at the
//! path.

use std::io;
use std::path::{Path, PathBuf};

use super::facts::Facts;
use super::links::Links;
use crate::error::FileError;
use crate::error::adrift::Adrift;

/// The directories down to the one that was looked at last.
#[derive(Debug)]
pub(crate) struct Descent {
    root: PathBuf,
    /// Device and inode of the source, if it was a directory when the run began.
    began: Option<[i64; 2]>,
    links: Links,
    way: platform::Way,
}

impl Descent {
    /// Below a source.
    pub(crate) fn new(root: &Path, began: Option<[i64; 2]>, links: Links) -> Self {
        Self { root: root.to_owned(), began, links, way: platform::Way::default() }
    }

    /// Looks at a directory that was found below the source, or at the source.
    ///
    /// # Errors
    /// If the path leads to another directory, or it can't be looked at.
    pub(crate) fn look(&mut self, path: &Path) -> Result<Facts, FileError> {
        let began = self.began;
        let is_root = |found: Facts| began.is_none_or(|began| began == found.identity);
        match self.way.look(&self.root, path, self.links, is_root) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Adrift::Replaced.into()),
            Err(error) if is_gone(&error) && path.symlink_metadata().is_ok() => {
                Err(Adrift::Replaced.into())
            }
            Err(error) => Err(FileError::local("look at")(error)),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};

    use rustix::fs::{Mode, OFlags, open, openat};

    use crate::source::directory::facts_at;
    use crate::source::facts::Facts;
    use crate::source::links::Links;
    use crate::source::renumbering::renumbers;

    /// Directories that are open at the same time.
    const OPEN: usize = 16;

    /// How directories on the way are opened.
    const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    /// The way down. Most directories have no other ones in them, so the directory that was looked at last is opened only
    /// when one below it is looked at.
    #[derive(Debug, Default)]
    pub(super) struct Way {
        /// The last directories on the way, each in the one before it.
        open: Vec<(PathBuf, File)>,
        /// The directory that was looked at last, if it is not open.
        last: Option<(PathBuf, [i64; 2])>,
        /// The device of the source, if directories on it keep their numbers while they are not open.
        steady: Option<i64>,
    }

    impl Way {
        /// `None`: another directory is at the path of the source, or of the directory that was looked at last.
        pub(super) fn look(
            &mut self,
            root: &Path,
            path: &Path,
            links: Links,
            is_root: impl Fn(Facts) -> bool,
        ) -> io::Result<Option<Facts>> {
            // The directory itself may be another one by now, so it is opened again.
            while self.open.last().is_some_and(|(last, _)| path == last || !path.starts_with(last))
            {
                self.open.pop();
            }
            if self.open.is_empty() {
                let directory = File::from(open(root, FLAGS, Mode::empty())?);
                let found = Facts::from(&directory.metadata()?);
                if !is_root(found) {
                    return Ok(None);
                }
                self.steady = Some(found.identity[0]).filter(|_| !renumbers(&directory));
                self.open.push((root.to_owned(), directory));
                if path == root {
                    return Ok(Some(found));
                }
            }
            let below = self.open.last().and_then(|(last, _)| path.strip_prefix(last).ok());
            let mut components = below.unwrap_or(Path::new("")).components();
            let last = components.next_back();
            for component in components {
                if !self.descend(component.as_ref(), links)? {
                    return Ok(None);
                }
            }
            let (Some(name), Some((_, directory))) = (last, self.open.last()) else {
                return Ok(None);
            };
            let found = facts_at(directory, name.as_ref(), links)?;
            if self.steady == Some(found.identity[0]) {
                self.last = Some((path.to_owned(), found.identity));
                return Ok(Some(found));
            }
            if !self.descend(name.as_ref(), links)? {
                return Ok(None);
            }
            let opened = self.open.last().map(|(_, directory)| directory.metadata()).transpose()?;
            Ok(opened.as_ref().map(Facts::from))
        }

        /// Opens the next directory on the way. Returns whether it is the one that was looked at.
        fn descend(&mut self, name: &Path, links: Links) -> io::Result<bool> {
            let Some((above, directory)) = self.open.last() else { return Ok(false) };
            let flags = if links == Links::Follow { FLAGS } else { FLAGS | OFlags::NOFOLLOW };
            let next = File::from(openat(directory, name, flags, Mode::empty())?);
            let path = above.join(name);
            if let Some((_, looked)) = self.last.take_if(|(last, _)| *last == path)
                && Facts::from(&next.metadata()?).identity != looked
            {
                return Ok(false);
            }
            if self.open.len() == OPEN {
                self.open.remove(0);
            }
            self.open.push((path, next));
            Ok(true)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::io;
    use std::path::Path;

    use crate::source::facts::Facts;
    use crate::source::links::Links;

    #[derive(Debug, Default)]
    pub(super) struct Way;

    impl Way {
        pub(super) fn look(
            &mut self,
            root: &Path,
            path: &Path,
            links: Links,
            is_root: impl Fn(Facts) -> bool,
        ) -> io::Result<Option<Facts>> {
            if path == root {
                let found = Facts::from(&path.metadata()?);
                return Ok(Some(found).filter(|found| is_root(*found)));
            }
            links.look(path).map(|found| Some(Facts::from(&found)))
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::source::{attributes, identity};

    #[test]
    fn facts_are_those_of_the_path() {
        use std::os::unix::fs::PermissionsExt;

        let place = TempDir::new().unwrap();
        let path = place.path().join("d");
        fs::create_dir(&path).unwrap();
        let mut descent = Descent::new(place.path(), None, Links::Copy);
        for mode in [0o700, 0o1777, 0o2751] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let (found, expected) = (descent.look(&path).unwrap(), path.metadata().unwrap());
            assert_eq!(found.identity, identity(&expected));
            assert_eq!((found.mode, found.size), (attributes(&expected).mode, expected.len()));
        }
    }

    #[test]
    fn nothing_is_looked_at_below_a_directory_that_has_come_in_the_place_of_the_last_one() {
        let place = TempDir::new().unwrap();
        let path = |name: &str| place.path().join(name);
        for directory in ["s/a/b", "other/b"] {
            fs::create_dir_all(path(directory)).unwrap();
        }
        let mut descent = Descent::new(&path("s"), None, Links::Copy);
        descent.look(&path("s/a")).unwrap();
        fs::rename(path("s/a"), path("moved")).unwrap();
        fs::rename(path("other"), path("s/a")).unwrap();
        assert!(descent.look(&path("s/a/b")).unwrap_err().is_replaced());
        // It is the last one once it was looked at itself.
        descent.look(&path("s/a")).unwrap();
        descent.look(&path("s/a/b")).unwrap();
    }

    #[test]
    fn file_in_the_place_of_a_directory_is_none() {
        let place = TempDir::new().unwrap();
        fs::write(place.path().join("f"), "x").unwrap();
        let mut descent = Descent::new(place.path(), None, Links::Copy);
        assert!(descent.look(&place.path().join("f")).unwrap_err().is_replaced());
    }

    #[test]
    fn directory_is_found_however_deep_it_is_and_only_in_the_source() {
        let place = TempDir::new().unwrap();
        let root = place.path().join("s");
        let mut paths = vec![root.clone()];
        for name in 0..40 {
            paths.push(paths[name].join(name.to_string()));
        }
        fs::create_dir_all(&paths[40]).unwrap();
        let real = |path: &Path| identity(&path.metadata().unwrap());
        let mut descent = Descent::new(&root, Some(real(&root)), Links::Copy);
        for path in paths.iter().chain(paths.iter().rev()).chain([&paths[3], &paths[33]]) {
            assert_eq!(descent.look(path).unwrap().identity, real(path));
        }
        let other = place.path().join("other");
        fs::create_dir_all(other.join("b")).unwrap();
        symlink(&other, root.join("symlink")).unwrap();
        assert!(descent.look(&root.join("symlink")).unwrap_err().is_replaced());
        assert!(descent.look(&root.join("symlink/b")).unwrap_err().is_replaced());
        assert!(descent.look(&root.join("gone")).unwrap_err().is_vanished());
        let mut follows = Descent::new(&root, Some(real(&root)), Links::Follow);
        assert!(follows.look(&root.join("symlink/b")).is_ok());
        let mut another = Descent::new(&other, Some(real(&root)), Links::Copy);
        assert!(another.look(&other.join("b")).unwrap_err().is_replaced());
    }
}
