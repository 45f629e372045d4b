//! Directories that a group of changes has touched, and that are to be flushed.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustix::fd::OwnedFd;

/// The directories that a group of changes touched.
#[derive(Debug)]
pub(in crate::store) struct Touched {
    ignored: bool,
    pub(in crate::store) directories: BTreeMap<Box<[u8]>, Rc<OwnedFd>>,
    /// An entry changed that can't be flushed alone.
    pub(in crate::store) everything: bool,
    /// Directories that the change that is being applied has touched.
    latest: Vec<Box<[u8]>>,
}

impl Touched {
    /// For changes that nobody waits for the disk with.
    pub(in crate::store) fn ignored() -> Self {
        Self { ignored: true, ..Self::new() }
    }

    /// Whether nobody waits for the disk.
    pub(in crate::store) fn is_ignored(&self) -> bool {
        self.ignored
    }

    pub(in crate::store) fn new() -> Self {
        Self { ignored: false, directories: BTreeMap::new(), everything: false, latest: Vec::new() }
    }

    /// The attributes of a directory or file changed: the same, since it may be new itself and its own
    /// entry not durable yet.
    pub(in crate::store) fn attributes(&mut self, name: &[u8], handle: &Rc<OwnedFd>) {
        self.directory(name, handle);
    }

    /// The entries of a directory (empty: the root) changed.
    pub(in crate::store) fn directory(&mut self, name: &[u8], handle: &Rc<OwnedFd>) {
        if self.ignored {
            return;
        }
        self.latest.push(name.into());
        match self.directories.get(name) {
            None => {
                self.directories.insert(name.into(), Rc::clone(handle));
            }
            // Removed and made again in this group.
            Some(known) if !is_same(known, handle) => self.everything = true,
            Some(_) => {}
        }
    }

    /// An entry changed that can't be flushed alone.
    pub(in crate::store) fn everything(&mut self) {
        self.everything = true;
        self.latest.push(Box::default());
    }

    /// Directories that the last change has touched, once.
    pub(in crate::store) fn take_latest(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.latest)
    }
}

/// Whether two handles are on one directory. Both are open, so neither inode can have been used again.
fn is_same(one: &Rc<OwnedFd>, other: &Rc<OwnedFd>) -> bool {
    let inode = |handle| rustix::fs::fstat(handle).map(|stat| (stat.st_dev, stat.st_ino));
    Rc::ptr_eq(one, other) || inode(one).is_ok_and(|one| inode(other) == Ok(one))
}
