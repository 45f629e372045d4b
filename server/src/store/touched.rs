//! What a group of changes has touched, and is to be flushed.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustix::fd::OwnedFd;

/// The directories that a group of changes touched.
#[derive(Debug)]
pub(super) struct Touched {
    ignored: bool,
    pub(super) directories: BTreeMap<Box<[u8]>, Rc<OwnedFd>>,
    /// Something changed that can't be flushed alone.
    pub(super) everything: bool,
    /// What the change that is being applied has touched.
    latest: Vec<Box<[u8]>>,
}

impl Touched {
    /// For changes that nobody waits for the disk with.
    pub(super) fn ignored() -> Self {
        Self { ignored: true, ..Self::new() }
    }

    pub(super) fn new() -> Self {
        Self { ignored: false, directories: BTreeMap::new(), everything: false, latest: Vec::new() }
    }

    /// The attributes of a directory or file changed: the same, since it may be new itself and its own
    /// entry not durable yet.
    pub(super) fn attributes(&mut self, name: &[u8], handle: &Rc<OwnedFd>) {
        self.directory(name, handle);
    }

    /// The entries of a directory (empty: the root) changed.
    pub(super) fn directory(&mut self, name: &[u8], handle: &Rc<OwnedFd>) {
        if self.ignored {
            return;
        }
        self.latest.push(name.into());
        if !self.directories.contains_key(name) {
            self.directories.insert(name.into(), Rc::clone(handle));
        }
    }

    /// Something changed that can't be flushed alone.
    pub(super) fn everything(&mut self) {
        self.everything = true;
        self.latest.push(Box::default());
    }

    /// What the last change has touched, once.
    pub(super) fn take_latest(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.latest)
    }
}
