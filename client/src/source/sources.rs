//! The sources of a run, for connections that open entries that the walk has found.
//!
//! A path may lead to another directory meanwhile: a symlink comes in its place, something is mounted there, or a directory
//! above is exchanged. So a connection takes files only from the very directories that the walk has found. If entries are
//! removed at the server or a version is published by what the walk has found, no other mount may be there either.
//!
//! Some file systems give a directory another number while haul runs. There a connection takes files from a directory to
//! which no symlink leads from the source, on the same device, unless anything may be removed because of that directory.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::anchor::Anchor;
#[cfg(target_os = "linux")]
use super::descent::Descent;
#[cfg(target_os = "linux")]
use super::directory::Directory;
use super::links::Links;
#[cfg(target_os = "linux")]
use super::renumbering::renumbers;
use super::seen::Seen;

/// The sources, as the present walk has them.
#[derive(Debug, Default)]
pub struct Sources {
    anchors: RwLock<Vec<Arc<Anchor>>>,
    /// The directories that the walk has found, by device and inode.
    directories: Seen,
}

/// A directory that was opened at a path, and the one that the walk has found there.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// The walk has found none, as of a source that is a file.
    Unknown,
    /// It is the same.
    Same,
    /// The file system has given it another number. The way down from the source leads to it.
    Renumbered {
        /// Nothing is removed because of it, so its files may be sent.
        may_be_read: bool,
    },
    /// It is another one.
    Another,
}

impl Sources {
    /// A walk over these begins.
    pub(crate) fn walked(&self, anchors: &[Arc<Anchor>]) {
        *self.anchors.write().unwrap_or_else(PoisonError::into_inner) = anchors.to_vec();
    }

    /// The directories that the walk has found.
    pub(crate) fn directories(&self) -> &Seen {
        &self.directories
    }

    /// Compares a directory that was opened at a path with the one that the walk has found there.
    #[cfg(target_os = "linux")]
    pub(crate) fn compare(&self, path: &Path, directory: &Directory, links: Links) -> Opened {
        let (found, inode) = (&self.directories, directory.identity());
        let is_known = found.had_directory(path);
        let is_walked = self.is_as_walked(path, directory, links);
        match (is_walked, is_known) {
            (true, false) => Opened::Unknown,
            (true, true) if found.was_directory(path, inode) => Opened::Same,
            _ if renumbers(directory.handle()) && self.is_below(path, directory, links) => {
                Opened::Renumbered { may_be_read: is_walked }
            }
            _ => Opened::Another,
        }
    }

    #[cfg(target_os = "linux")]
    fn is_as_walked(&self, path: &Path, directory: &Directory, links: Links) -> bool {
        let anchors = self.anchors.read().unwrap_or_else(PoisonError::into_inner);
        anchors.iter().all(|anchor| anchor.is_as_walked(path, directory.handle(), links))
    }

    /// Whether the way down from a source, without symlinks, leads to a directory that is open, on the device on which the walk
    /// has found one at this path.
    #[cfg(target_os = "linux")]
    fn is_below(&self, path: &Path, directory: &Directory, links: Links) -> bool {
        let [device, inode] = directory.identity();
        let anchors = self.anchors.read().unwrap_or_else(PoisonError::into_inner);
        let mut above = anchors
            .iter()
            .filter(|anchor| anchor.is_directory() && path.starts_with(anchor.path()));
        self.directories.was_on_device(path, device)
            && above.any(|anchor| {
                let mut descent = Descent::new(anchor.path(), anchor.directory_identity(), links);
                descent.look(path).is_ok_and(|found| found.identity == [device, inode])
            })
    }

    /// Whether the directory at a path is the one that the walk has found there, by device and inode, or may count as that
    /// because the file system gives other numbers to directories.
    pub(crate) fn is_as_found(&self, path: &Path, inode: [i64; 2], links: Links) -> bool {
        self.directories.was_directory(path, inode) || self.is_renumbered(path, inode, links)
    }

    #[cfg(target_os = "linux")]
    fn is_renumbered(&self, path: &Path, inode: [i64; 2], links: Links) -> bool {
        Directory::open(path).is_ok_and(|directory| {
            directory.identity() == inode
                && self.compare(path, &directory, links) == Opened::Renumbered { may_be_read: true }
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn is_renumbered(&self, _: &Path, _: [i64; 2], _: Links) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::source::identity;

    /// As of a directory that the file system has renumbered: no file system of a test does so.
    #[test]
    fn directory_with_another_number_is_found_below_its_source_by_no_symlink_and_on_its_device() {
        let place = TempDir::new().unwrap();
        let root = place.path().join("s");
        let [inner, symlinked, other] = ["d/e", "symlink/e", "f/e"].map(|name| root.join(name));
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        symlink("d", root.join("symlink")).unwrap();
        let sources = Sources::default();
        sources.walked(&[Arc::new(Anchor::new(&root))]);
        let [device, inode] = identity(&inner.metadata().unwrap());
        for path in [&inner, &symlinked] {
            sources.directories().directory_is(path, [device, inode + 1]);
        }
        sources.directories().directory_is(&other, [device + 1, inode]);
        let is_below =
            |path: &Path| sources.is_below(path, &Directory::open(path).unwrap(), Links::Copy);
        assert!(is_below(&inner));
        assert!(!is_below(&symlinked), "a symlink has come above it");
        assert!(!is_below(&other), "it is on another device");
        let outside = Directory::open(place.path()).unwrap();
        assert!(!sources.is_below(&inner, &outside, Links::Copy));
        // This file system gives no other numbers, so it is another directory.
        let directory = Directory::open(&inner).unwrap();
        assert_eq!(sources.compare(&inner, &directory, Links::Copy), Opened::Another);
        fs::rename(&root, place.path().join("moved")).unwrap();
        fs::create_dir_all(&inner).unwrap();
        assert!(!is_below(&inner), "the source is another one");
    }
}
