//! New directories, filled before they appear.
//!
//! A directory that is not there yet is made among what is staged, what comes for it next is written
//! into it under its final name, and one rename publishes all of it. A file then needs no place of its
//! own among what is staged, and no link or rename: a quarter of what its system calls cost.
//!
//! For moments only, since nobody sees what is in here: whoever fills a tree publishes it before
//! anything is acknowledged. Not for changes that are to be durable, whose files are flushed in groups.

use haul_protocol::{Attributes, LinkTarget, Mtime, Name};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{kept, times};
use super::error::StoreError;
use super::root::Parents;
use super::staging::{self, Place};
use super::touched::Touched;
use super::{Staged, Store, disk};

/// Directories of one tree: each is an open handle, and their depth is that of recursions.
const MAX_DIRECTORIES: usize = 32;

/// At most one tree of new directories.
#[derive(Debug)]
pub(crate) struct Fresh<'a> {
    store: &'a Store,
    tree: Option<Tree>,
}

/// Invariant: what is below its place is what `entries` say, unless it is spoiled.
#[derive(Debug)]
struct Tree {
    place: Place,
    /// Final names and handles, parents first; the first is what will be renamed.
    directories: Vec<(Name, OwnedFd)>,
    /// What was taken, in that order.
    entries: Vec<(Name, Kind)>,
    /// Something that nobody has asked for may be in it: it can't be published as it is.
    spoiled: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// With the mode that was sent.
    Directory(Option<u32>),
    /// A file or link.
    Other,
}

impl<'a> Fresh<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, tree: None }
    }

    /// Whether a name is that of the tree or below it, so that what happens to it must wait or go here.
    pub(crate) fn concerns(&self, name: &Name) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.concerns(name))
    }

    /// Takes a directory: into the tree or, if there is none, as a new one. `false`: it has to be made
    /// where it belongs, after [`publish`](Self::publish).
    pub(crate) fn directory(&mut self, parents: &Parents, name: &Name, mode: Option<u32>) -> bool {
        let bits = self.store.directory_mode(mode);
        // What its owner may not fill can't be filled here, nor swept.
        if !bits.contains(Mode::RWXU) {
            return false;
        }
        match &mut self.tree {
            Some(tree) => tree.add_directory(name, bits),
            none => {
                *none = Tree::begin(self.store, parents, name, bits);
                none.is_some()
            }
        }
        .then(|| self.took(name, Kind::Directory(mode)))
        .is_some()
    }

    /// Takes a file whose bytes have been verified. `false` as for [`directory`](Self::directory).
    pub(crate) fn file(&mut self, name: &Name, attributes: &Attributes, bytes: &[u8]) -> bool {
        let mode = self.store.file_mode(attributes);
        let Some(tree) = &mut self.tree else { return false };
        let Some(directory) = tree.parent(name) else { return false };
        let last = name.split().1;
        let flags = OFlags::WRONLY | OFlags::EXCL;
        let Ok(file) = disk::create(directory, last, flags, mode) else { return false };
        if fill(file, attributes, bytes).is_err() {
            tree.spoiled |= disk::unlink(directory, last).is_err();
            return false;
        }
        self.took(name, Kind::Other);
        true
    }

    /// Takes a file that is staged already: then it is published with the tree. `false` as for
    /// [`directory`](Self::directory).
    pub(crate) fn staged(&mut self, staged: &mut Staged, name: &Name) -> bool {
        let directory = self.tree.as_ref().and_then(|tree| tree.parent(name));
        let taken = directory.is_some_and(|directory| staged.publish_new(directory, name).is_ok());
        if taken {
            self.took(name, Kind::Other);
        }
        taken
    }

    /// Takes a symbolic link. `false` as for [`directory`](Self::directory).
    pub(crate) fn link(&mut self, name: &Name, target: &LinkTarget, mtime: Option<Mtime>) -> bool {
        let Some(tree) = &mut self.tree else { return false };
        let Some(directory) = tree.parent(name) else { return false };
        let last = name.split().1;
        if disk::make_link(directory, last, target.as_bytes()).is_err() {
            return false;
        }
        let timed = mtime.map_or(Ok(()), |mtime| {
            rustix::fs::utimensat(directory, last, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
        });
        if timed.is_err() {
            tree.spoiled |= disk::unlink(directory, last).is_err();
            return false;
        }
        self.took(name, Kind::Other);
        true
    }

    fn took(&mut self, name: &Name, kind: Kind) {
        if let Some(tree) = &mut self.tree {
            tree.entries.push((name.clone(), kind));
        }
    }

    /// The directory that was taken first: everything else is in it.
    pub(crate) fn top(&self) -> Option<&Name> {
        self.tree.as_ref().map(|tree| &tree.directories[0].0)
    }

    /// As [`publish`](Self::publish), unless it would be in a directory that is being published.
    pub(crate) fn publish_guarded(&mut self, parents: &Parents) -> Vec<Result<(), StoreError>> {
        let Some(top) = self.top().cloned() else { return Vec::new() };
        let guard = &self.store.guard;
        let Ok(_leave) = guard.enter_tree(&top) else {
            let entries = self.tree.as_ref().map_or(0, |tree| tree.entries.len());
            self.discard();
            let busy = || StoreError::Publishing { name: top.to_string() };
            return (0..entries).map(|_| Err(busy())).collect();
        };
        parents.refresh(guard.swaps());
        self.publish(parents)
    }

    /// Makes all that was taken visible, and tells what became of each, in the order of taking.
    pub(crate) fn publish(&mut self, parents: &Parents) -> Vec<Result<(), StoreError>> {
        let Some(tree) = self.tree.take() else { return Vec::new() };
        if !tree.spoiled && tree.rename(self.store, parents).is_ok() {
            let results = tree.entries.iter().map(|_| Ok(())).collect();
            parents.remember(tree.directories);
            return results;
        }
        // Somebody else has made the directory meanwhile, most likely.
        let results = tree.entries.iter().map(|entry| tree.merge(self.store, parents, entry));
        let results = results.collect();
        tree.remove(self.store);
        results
    }

    /// Drops all that was taken.
    pub(crate) fn discard(&mut self) {
        if let Some(tree) = self.tree.take() {
            tree.remove(self.store);
        }
    }
}

impl Tree {
    /// `None` if such a directory is there, or if it would inherit what only its parent can give.
    fn begin(store: &Store, parents: &Parents, name: &Name, mode: Mode) -> Option<Self> {
        let (above, last) = name.split();
        let parent = parents.existing(above).ok()?;
        let found = rustix::fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW);
        if !matches!(found, Err(Errno::NOENT)) || gives_to_children(&parent) {
            return None;
        }
        let place = store.staging.place();
        let (staged, temporary) = store.staging.at(place);
        disk::make_directory(staged, temporary.as_bytes(), mode).ok()?;
        let Ok(directory) = open(staged, temporary.as_bytes()) else {
            remove(store, place);
            return None;
        };
        let directories = vec![(name.clone(), directory)];
        Some(Self { place, directories, entries: Vec::new(), spoiled: false })
    }

    fn add_directory(&mut self, name: &Name, mode: Mode) -> bool {
        let last = name.split().1;
        let Some(parent) = self.parent(name) else { return false };
        if self.directories.len() == MAX_DIRECTORIES
            || disk::make_directory(parent, last, mode).is_err()
        {
            return false;
        }
        let Ok(directory) = open(parent, last) else {
            self.spoiled = true;
            return false;
        };
        self.directories.push((name.clone(), directory));
        true
    }

    fn concerns(&self, name: &Name) -> bool {
        let rest = name.as_bytes().strip_prefix(self.directories[0].0.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }

    /// The directory that a name is to be in, if it is one of these.
    fn parent(&self, name: &Name) -> Option<&OwnedFd> {
        let above = name.split().0;
        let known = self.directories.iter().rev();
        known.filter(|(name, _)| name.as_bytes() == above).map(|(_, directory)| directory).next()
    }

    fn rename(&self, store: &Store, parents: &Parents) -> Result<(), StoreError> {
        let name = &self.directories[0].0;
        let (staged, temporary) = store.staging.at(self.place);
        disk::rename_new(staged, temporary.as_bytes(), &parents.of(name)?, name.split().1)
            .map_err(|errno| StoreError::new("publish", name, errno))
    }

    /// Publishes one entry by itself.
    fn merge(
        &self,
        store: &Store,
        parents: &Parents,
        (name, kind): &(Name, Kind),
    ) -> Result<(), StoreError> {
        let mut touched = Touched::ignored();
        if let Kind::Directory(mode) = kind {
            return store.make_directory(parents, name, *mode, &mut touched);
        }
        let staged =
            self.parent(name).ok_or_else(|| StoreError::new("publish", name, Errno::NOENT))?;
        store.rename(parents, staged, name.split().1, name, &mut touched)
    }

    fn remove(&self, store: &Store) {
        remove(store, self.place);
    }
}

/// Removes a tree that is not published. What can't be removed is swept at the next start.
fn remove(store: &Store, place: Place) {
    let (staged, temporary) = store.staging.at(place);
    if let Err(errno) = staging::remove(staged, temporary.as_bytes()) {
        tracing::warn!(directory = temporary, %errno, "could not remove a half-filled directory");
    }
}

fn open(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn fill(file: OwnedFd, attributes: &Attributes, bytes: &[u8]) -> std::io::Result<()> {
    disk::write_at(&file, 0, bytes)?;
    if let Some(mtime) = attributes.mtime {
        disk::set_times(&file, &times(mtime))?;
    }
    disk::close(file)
}

/// Whether directories that are made in `parent` get something from it: its group, with setgid, or a
/// default ACL (acl(5)). One that is made elsewhere and moved would not.
fn gives_to_children(parent: &OwnedFd) -> bool {
    let setgid = |mode| Mode::from_raw_mode(mode).contains(Mode::SGID);
    if !rustix::fs::fstat(parent).is_ok_and(|stat| !setgid(stat.st_mode)) {
        return true;
    }
    let default_acl = rustix::fs::fgetxattr(parent, c"system.posix_acl_default", &mut [0; 0]);
    !matches!(default_acl, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

impl Store {
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
