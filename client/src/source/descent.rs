//! The way from a source down to a directory, from one open directory to the next.
//!
//! A path may lead through a symlink that has come in the place of a directory since its entries were read. On the way down
//! no such symlink is followed, so every directory that is found is in the source. Platforms other than Linux look at the
//! path.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use super::identity;
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
    pub(crate) fn look(&mut self, path: &Path) -> Result<Metadata, FileError> {
        let began = self.began;
        let is_root = |found: &Metadata| began.is_none_or(|began| began == identity(found));
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
    use std::fs::{File, Metadata};
    use std::io;
    use std::path::{Path, PathBuf};

    use rustix::fs::{Mode, OFlags, open, openat};

    use crate::source::links::Links;

    /// Directories that are open at the same time.
    const OPEN: usize = 16;

    /// The last directories on the way, each in the one before it.
    #[derive(Debug, Default)]
    pub(super) struct Way(Vec<(PathBuf, File)>);

    impl Way {
        /// `None`: another directory is at the path of the source.
        pub(super) fn look(
            &mut self,
            root: &Path,
            path: &Path,
            links: Links,
            is_root: impl Fn(&Metadata) -> bool,
        ) -> io::Result<Option<Metadata>> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            // The directory itself may be another one by now, so it is opened again.
            while self.0.last().is_some_and(|(last, _)| path == last || !path.starts_with(last)) {
                self.0.pop();
            }
            if self.0.is_empty() {
                let directory = File::from(open(root, flags, Mode::empty())?);
                if !is_root(&directory.metadata()?) {
                    return Ok(None);
                }
                self.0.push((root.to_owned(), directory));
            }
            let flags = if links == Links::Follow { flags } else { flags | OFlags::NOFOLLOW };
            let below = self.0.last().and_then(|(last, _)| path.strip_prefix(last).ok());
            for component in below.into_iter().flat_map(Path::components) {
                let Some((last, directory)) = self.0.last() else { break };
                let next = openat(directory, component.as_os_str(), flags, Mode::empty())?;
                let next = (last.join(component), File::from(next));
                if self.0.len() == OPEN {
                    self.0.remove(0);
                }
                self.0.push(next);
            }
            self.0.last().map(|(_, directory)| directory.metadata()).transpose()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::fs::Metadata;
    use std::io;
    use std::path::Path;

    use crate::source::links::Links;

    #[derive(Debug, Default)]
    pub(super) struct Way;

    impl Way {
        pub(super) fn look(
            &mut self,
            root: &Path,
            path: &Path,
            links: Links,
            is_root: impl Fn(&Metadata) -> bool,
        ) -> io::Result<Option<Metadata>> {
            if path == root {
                return path.metadata().map(|found| is_root(&found).then_some(found));
            }
            links.look(path).map(Some)
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

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
            assert_eq!(identity(&descent.look(path).unwrap()), real(path));
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
