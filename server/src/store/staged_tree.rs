//! New directories, filled before they appear.
//!
//! A directory that is not there yet is made among staged entries, the next files for it are written
//! into it under its final name, and one rename makes all of it visible. A file then needs no name of its
//! own among staged entries, and no link or rename: a quarter of what its system calls cost in memory,
//! half on a disk.
//!
//! For moments only, since nobody sees the entries in here: the worker that fills a tree commits it, or has the committer
//! flush and commit it, before any entry is acknowledged.

mod publish;
mod tree;

use std::sync::Arc;

use haul_protocol::{Attributes, Digest, LinkTarget, Mtime, Name};

use super::commit::dirty::Touched;
use super::error::StoreError;
use super::mode::kept;
use super::quota::Share;
use super::root::Parents;
use super::{Staged, Store};
use rustix::fs::Mode;
pub(crate) use tree::Tree;
pub(super) use tree::open;

/// Entries at which a tree that is to be flushed takes no more directories: so it is while others are filled.
const ENOUGH: usize = 1024;

/// At most one tree of new directories.
#[derive(Debug)]
pub(crate) struct Fresh<'a> {
    store: &'a Arc<Store>,
    tree: Option<Tree>,
}

impl<'a> Fresh<'a> {
    pub(crate) fn new(store: &'a Arc<Store>) -> Self {
        Self { store, tree: None }
    }

    /// Whether a name is that of the tree or below it, so that what happens to it must wait or go here.
    pub(crate) fn concerns(&self, name: &Name) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.concerns(name))
    }

    /// Whether a name is in one of these directories, and nothing has it.
    pub(crate) fn is_free(&self, name: &Name) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.is_free(name))
    }

    /// Takes a directory: into the tree or, if there is none, as a new one. `false`: it has to be made
    /// where it belongs, after [`publish`](Self::publish).
    pub(crate) fn directory(&mut self, parents: &Parents, name: &Name, mode: Option<u32>) -> bool {
        if let Some(tree) = &mut self.tree {
            let is_enough = self.store.durable && tree.len() >= ENOUGH;
            return !is_enough && tree.directory(name, mode);
        }
        // There each name is looked at when it appears.
        if self.store.spelling.may_fold() {
            return false;
        }
        self.tree = Tree::begin(self.store, parents, name, mode);
        self.tree.is_some()
    }

    /// Takes a file whose bytes have been verified, with their digest if it is known. `false` as for [`directory`](Self::directory).
    pub(crate) fn file(
        &mut self,
        name: &Name,
        attributes: &Attributes,
        bytes: &[u8],
        digest: Option<Digest>,
    ) -> bool {
        self.tree.as_mut().is_some_and(|tree| tree.file(name, attributes, bytes, digest))
    }

    /// Keeps the share of the file that was taken last.
    pub(crate) fn keep(&mut self, share: Option<Share>) {
        if let Some(tree) = &mut self.tree {
            tree.keep(share);
        }
    }

    /// Takes a file that is staged already: then it becomes visible with the tree. `false` as for
    /// [`directory`](Self::directory).
    pub(crate) fn staged(&mut self, staged: &mut Staged, name: &Name) -> bool {
        self.tree.as_mut().is_some_and(|tree| tree.staged(staged, name))
    }

    /// Takes a symbolic link. `false` as for [`directory`](Self::directory).
    pub(crate) fn link(&mut self, name: &Name, target: &LinkTarget, mtime: Option<Mtime>) -> bool {
        self.tree.as_mut().is_some_and(|tree| tree.link(name, target, mtime))
    }

    /// Gives all that was taken away, to be made durable before it becomes visible.
    pub(crate) fn take(&mut self) -> Option<Tree> {
        let mut tree = self.tree.take()?;
        tree.rest();
        Some(tree)
    }

    /// Makes all that was taken visible, and tells what became of each, in the order of taking.
    pub(crate) fn publish(&mut self, parents: &Parents) -> Vec<Result<(), StoreError>> {
        let tree = self.tree.take();
        tree.map_or_else(Vec::new, |tree| tree.publish(parents, &mut Touched::ignored()))
    }

    /// As [`publish`](Self::publish), unless it would be in a directory that is being published.
    pub(crate) fn publish_guarded(&mut self, parents: &Parents) -> Vec<Result<(), StoreError>> {
        let tree = self.tree.take();
        tree.map_or_else(Vec::new, |tree| tree.publish_guarded(parents, &mut Touched::ignored()))
    }

    /// The kind of each entry that was taken, for those who count them.
    pub(crate) fn kinds(&self) -> Vec<super::ChangeKind> {
        let mut kinds = Vec::new();
        if let Some(tree) = &self.tree {
            tree.kinds(&mut kinds);
        }
        kinds
    }

    /// Drops all that was taken.
    pub(crate) fn discard(&mut self) {
        self.tree = None;
    }
}

impl Store {
    /// Whether a file that is alone in a tree is kept open, to be flushed alone: only where a close, which is
    /// then left to a drop, tells nothing.
    fn keeps_alone(&self) -> bool {
        self.durable && self.staging.unnamed
    }

    /// The mode that a file gets.
    pub(super) fn file_mode(&self, attributes: &Attributes) -> Mode {
        kept(attributes.mode).unwrap_or(Mode::from_raw_mode(0o666) - self.umask)
    }

    /// The mode that a new directory gets.
    pub(super) fn directory_mode(&self, mode: Option<u32>) -> Mode {
        kept(mode).unwrap_or(Mode::from_raw_mode(0o777) - self.umask)
    }
}

#[cfg(test)]
mod tests;
