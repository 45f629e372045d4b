//! A tree of new directories, and how it is filled.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use haul_protocol::limits::MAX_FETCHED_SIZE;
use haul_protocol::{Attributes, Digest, LinkTarget, Mtime, Name};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::store::attributes::times;
use crate::store::inherit::gives_to_children;
use crate::store::quota::{Amount, Counting, Share};
use crate::store::root::Parents;
use crate::store::temp::staging;
use crate::store::temp::staging::Place;
use crate::store::versions::guard::is_at_or_below;
use crate::store::{ChangeKind, Staged, Store, sys};

/// Directories of one tree: each is an open handle, and their depth is that of recursions.
const MAX_DIRECTORIES: usize = 32;

/// Directories that nobody sees, and the entries in them. Dropping it removes all that did not become visible.
///
/// Invariant: the directory has just the entries of `entries`, and the directories that this implies; unless it is
/// spoiled.
#[derive(Debug)]
pub(crate) struct Tree {
    /// A handle of its own, so that dropping needs nobody's help.
    pub(super) store: Arc<Store>,
    pub(super) place: Place,
    /// Final names, parents first; the first is what will be renamed.
    pub(super) directories: Vec<Name>,
    /// Handles on all of them; or none, while it rests.
    pub(super) handles: Vec<OwnedFd>,
    /// The entries that were taken, in that order.
    pub(super) entries: Vec<(Name, Kind)>,
    /// The file in it, if there is no other, and no link: it can be flushed alone.
    pub(super) only: Option<OwnedFd>,
    /// It may have an entry that nobody has asked for: it can't become visible as it is.
    pub(super) spoiled: bool,
    pub(super) published: bool,
    /// Where its entries count, and what they have reserved.
    pub(super) counting: Counting,
    pub(super) share: Share,
    /// Flushes of the file system that had failed when it was begun.
    pub(in crate::store) failures_before: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// With the mode that was sent.
    Directory(Option<u32>),
    /// A file, its bytes, and whether its mode was sent.
    File { has_mode: bool, size: u64 },
    /// A symlink, and the bytes of its target.
    Link { size: u64 },
}

impl Tree {
    /// With the missing directories above it, which nobody may have asked for yet: the entries of a directory may
    /// come before it, over another connection. `None` if such a directory is there, or if it would inherit what
    /// only its parent can give.
    pub(super) fn begin(
        store: &Arc<Store>,
        parents: &Parents,
        name: &Name,
        mode: Option<u32>,
    ) -> Option<Self> {
        if !store.flushes_all.load(Ordering::Acquire) {
            return None;
        }
        let (missing, parent) = missing(parents, name)?;
        let top = missing.first().unwrap_or(name);
        let found = parents.rights().stat_at(&parent, top.split().1);
        if !matches!(found, Err(Errno::NOENT)) || gives_to_children(&parent) {
            return None;
        }
        let mut tree = Self {
            store: Arc::clone(store),
            place: store.staging.place(),
            directories: Vec::new(),
            handles: Vec::new(),
            entries: Vec::new(),
            only: None,
            spoiled: false,
            published: false,
            counting: parents.counting().clone(),
            share: Share::default(),
            failures_before: store.flush_failures.load(Ordering::Acquire),
        };
        let made = missing.iter().all(|above| tree.make(above, None)) && tree.directory(name, mode);
        made.then_some(tree)
    }

    /// The kind of each of its entries, for those who count them.
    pub(crate) fn kinds(&self, kinds: &mut Vec<ChangeKind>) {
        kinds.extend(self.entries.iter().map(|(_, kind)| match kind {
            Kind::Directory(_) => ChangeKind::Directory,
            Kind::File { .. } => ChangeKind::File,
            Kind::Link { .. } => ChangeKind::Symlink,
        }));
    }

    /// Takes a directory. `false`: it has to be made where it belongs, as for all that follow.
    pub(super) fn directory(&mut self, name: &Name, mode: Option<u32>) -> bool {
        let made = self.make(name, mode);
        if made {
            self.entries.push((name.clone(), Kind::Directory(mode)));
        }
        made
    }

    fn make(&mut self, name: &Name, mode: Option<u32>) -> bool {
        let mode = self.store.directory_mode(mode);
        // A directory that its owner may not fill can't be filled here, nor swept.
        if !mode.contains(Mode::RWXU) || self.directories.len() == MAX_DIRECTORIES {
            return false;
        }
        let Ok(_room) = self.store.admit(name, 0) else { return false };
        let Ok(share) = self.counting.share(name.as_bytes(), Amount::DIRECTORY) else {
            return false;
        };
        let opened = if self.directories.is_empty() {
            let (staged, temporary) = self.store.staging.at(self.place);
            make_open(staged, temporary.as_bytes(), mode)
        } else {
            let Some(parent) = self.parent(name) else { return false };
            make_open(parent, name.split().1, mode)
        };
        match opened {
            Ok(directory) => {
                self.directories.push(name.clone());
                self.handles.push(directory);
                self.keep(share);
                true
            }
            Err(there) => {
                self.spoiled |= there;
                false
            }
        }
    }

    /// Takes a file whose bytes have been verified, with their digest if it is known.
    pub(super) fn file(
        &mut self,
        name: &Name,
        attributes: &Attributes,
        bytes: &[u8],
        digest: Option<Digest>,
    ) -> bool {
        let mode = self.store.file_mode(attributes);
        let Some(directory) = self.parent(name) else { return false };
        let last = name.split().1;
        let flags = OFlags::WRONLY | OFlags::EXCL;
        let Ok(file) = sys::create(directory, last, flags, mode) else { return false };
        let keeps = self.store.keeps_alone() && self.holds_directories_only();
        let filled = fill(&file, attributes, bytes)
            .inspect(|()| {
                if let Some(digest) = digest.filter(|_| bytes.len() as u64 > MAX_FETCHED_SIZE) {
                    self.store.keep_digest(&file, digest);
                }
            })
            .and_then(|()| if keeps { Ok(Some(file)) } else { sys::close(file).map(|()| None) });
        let Ok(only) = filled else {
            self.spoiled |= sys::unlink(directory, last).is_err();
            return false;
        };
        self.only = only;
        let (has_mode, size) = (attributes.mode.is_some(), bytes.len() as u64);
        self.entries.push((name.clone(), Kind::File { has_mode, size }));
        true
    }

    /// Takes a file that is staged already.
    pub(super) fn staged(&mut self, staged: &mut Staged, name: &Name) -> bool {
        let Some(directory) = self.parent(name) else { return false };
        let size = staged.amount().map_or(0, |amount| amount.bytes.unsigned_abs());
        if staged.failures_before != self.failures_before
            || staged.has_inherited()
            || staged.publish_new(directory, name).is_err()
        {
            return false;
        }
        self.only = None;
        self.entries.push((name.clone(), Kind::File { has_mode: staged.mode.is_some(), size }));
        true
    }

    /// Takes a symbolic link.
    pub(super) fn link(&mut self, name: &Name, target: &LinkTarget, mtime: Option<Mtime>) -> bool {
        let Some(directory) = self.parent(name) else { return false };
        let size = target.as_bytes().len() as u64;
        let Ok(_room) = self.store.admit(name, size) else { return false };
        let Ok(share) = self.counting.share(name.as_bytes(), Amount::file(size)) else {
            return false;
        };
        let last = name.split().1;
        if sys::make_link(directory, last, target.as_bytes()).is_err() {
            return false;
        }
        let timed = mtime.map_or(Ok(()), |mtime| {
            rustix::fs::utimensat(directory, last, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
        });
        if timed.is_err() {
            self.spoiled |= sys::unlink(directory, last).is_err();
            return false;
        }
        self.only = None;
        self.entries.push((name.clone(), Kind::Link { size }));
        self.keep(share);
        true
    }

    /// Keeps the share of an entry that was taken.
    pub(super) fn keep(&mut self, share: Option<Share>) {
        if let Some(share) = share {
            self.share.absorb(share);
        }
    }

    /// The entries in it at or below a name.
    pub(super) fn amount_below(&self, name: &Name) -> Amount {
        let directories = self.directories.iter().filter(|other| is_at_or_below(other, name));
        let directories = directories.map(|_| Amount::DIRECTORY);
        let entries = self.entries.iter().filter(|(other, _)| is_at_or_below(other, name));
        let entries = entries.filter_map(|(_, kind)| match kind {
            Kind::Directory(_) => None,
            Kind::File { size, .. } | Kind::Link { size } => Some(Amount::file(*size)),
        });
        directories.chain(entries).fold(Amount::default(), |sum, amount| sum + amount)
    }

    pub(super) fn holds_directories_only(&self) -> bool {
        self.entries.iter().all(|(_, kind)| matches!(kind, Kind::Directory(_)))
    }

    /// Gives up its handles, which are scarce: it may wait long in a queue.
    pub(super) fn rest(&mut self) {
        self.handles.clear();
    }

    /// The directory that was taken first: everything else is in it.
    pub(in crate::store) fn top(&self) -> &Name {
        &self.directories[0]
    }

    pub(super) fn concerns(&self, name: &Name) -> bool {
        is_at_or_below(name, self.top())
    }

    pub(super) fn is_free(&self, name: &Name) -> bool {
        let found = self.parent(name).map(|directory| {
            rustix::fs::statat(directory, name.split().1, AtFlags::SYMLINK_NOFOLLOW)
        });
        matches!(found, Some(Err(Errno::NOENT)))
    }

    /// The directory that a name is to be in, if it is one of these.
    pub(super) fn parent(&self, name: &Name) -> Option<&OwnedFd> {
        let above = name.split().0;
        let at = self.directories.iter().rposition(|name| name.as_bytes() == above)?;
        self.handles.get(at)
    }
}

impl Drop for Tree {
    /// Entries that can't be removed are swept at the next start.
    fn drop(&mut self) {
        if self.published || (self.directories.is_empty() && !self.spoiled) {
            return;
        }
        let (staged, temporary) = self.store.staging.at(self.place);
        if let Err(errno) = staging::remove(staged, temporary.as_bytes()) {
            tracing::warn!(directory = temporary, %errno, "could not remove a half-filled directory");
        }
    }
}

/// The directories above `name` that are not there, the highest first, and a handle on the one that those are to
/// be in. `None` if there are too many.
fn missing(parents: &Parents, name: &Name) -> Option<(Vec<Name>, Rc<OwnedFd>)> {
    let (mut missing, mut above) = (Vec::new(), name.split().0.to_vec());
    while missing.len() < MAX_DIRECTORIES {
        match parents.find(&above) {
            Ok(parent) => {
                missing.reverse();
                return Some((missing, parent));
            }
            Err(Errno::NOENT) if !above.is_empty() => {
                let directory = Name::parse(&above).ok()?;
                above = directory.split().0.to_vec();
                missing.push(directory);
            }
            Err(_) => return None,
        }
    }
    None
}

/// Makes a directory and opens it; or tells whether it may be there.
fn make_open(parent: &OwnedFd, name: &[u8], mode: Mode) -> Result<OwnedFd, bool> {
    sys::make_directory(parent, name, mode).map_err(|_| false)?;
    open(parent, name).map_err(|_| true)
}

pub(in crate::store) fn open(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn fill(file: &OwnedFd, attributes: &Attributes, bytes: &[u8]) -> std::io::Result<()> {
    sys::write_at(file, 0, bytes)?;
    if let Some(mtime) = attributes.mtime {
        sys::set_times(file, &times(mtime))?;
    }
    Ok(())
}
