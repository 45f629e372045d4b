//! The crash model: what may be left on the disk when the machine stops at any moment.
//!
//! [`disk`](super::sys) records what it does; [`model`] replays every prefix of that record with
//! operations lost that were not flushed; [`tests`] run the store and check what recovery finds.

mod model;
mod ordered;
mod renames;
mod tests;
mod versions;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, fstat, statat};

/// A file or directory, whatever its names are.
pub(super) type Object = usize;

/// One operation on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    Create {
        directory: Object,
        name: Vec<u8>,
        file: Object,
    },
    CreateUnnamed {
        file: Object,
    },
    Link {
        file: Object,
        to: Object,
        target: Vec<u8>,
    },
    /// A second name of the same file.
    SecondName {
        from: Object,
        name: Vec<u8>,
        to: Object,
    },
    Exchange {
        one: Object,
        name: Vec<u8>,
        other: Object,
        target: Vec<u8>,
    },
    Write {
        file: Object,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: Object,
        len: u64,
    },
    /// A file gets an attribute with the digest of its bytes.
    KeepDigest {
        file: Object,
    },
    Sync {
        object: Object,
    },
    SyncAll,
    Rename {
        from: Object,
        name: Vec<u8>,
        to: Object,
        target: Vec<u8>,
    },
    MakeDirectory {
        parent: Object,
        name: Vec<u8>,
        directory: Object,
        inode: u64,
    },
    MakeLink {
        parent: Object,
        name: Vec<u8>,
        target: Vec<u8>,
    },
    Unlink {
        parent: Object,
        name: Vec<u8>,
    },
    /// A client has been told that this is done.
    Told(&'static str),
}

/// The record of one thread.
#[derive(Debug, Default)]
struct Recorder {
    ops: Vec<Op>,
    /// Inodes are used again after a file is gone; objects are not.
    objects: HashMap<u64, Object>,
    next: Object,
}

impl Recorder {
    fn new_object(&mut self, inode: u64) -> Object {
        self.next += 1;
        self.objects.insert(inode, self.next);
        self.next
    }

    fn object(&mut self, inode: u64) -> Object {
        match self.objects.get(&inode) {
            Some(object) => *object,
            None => self.new_object(inode),
        }
    }
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

thread_local! {
    static KEEPS_NO_BIRTH: Cell<bool> = const { Cell::new(false) };
}

/// From here on this thread's file system is one that keeps no time of birth of an inode.
fn forget_births() {
    KEEPS_NO_BIRTH.set(true);
}

/// Whether it is.
pub(super) fn keeps_no_birth() -> bool {
    KEEPS_NO_BIRTH.get()
}

/// Records an operation, if this thread records.
pub(super) fn record(op: impl FnOnce() -> Op) {
    if RECORDER.with_borrow(Option::is_some) {
        let op = op();
        with(|recorder| recorder.ops.push(op));
    }
}

fn with<T>(f: impl FnOnce(&mut Recorder) -> T) -> T {
    RECORDER.with_borrow_mut(|recorder| f(recorder.get_or_insert_default()))
}

fn inode(file: impl AsFd) -> u64 {
    fstat(file).unwrap().st_ino
}

fn object(file: impl AsFd) -> Object {
    let inode = inode(file);
    with(|recorder| recorder.object(inode))
}

impl Op {
    pub(super) fn create(directory: impl AsFd, name: &[u8], file: impl AsFd) -> Self {
        let inode = inode(file);
        let file = with(|recorder| recorder.new_object(inode));
        Self::Create { directory: object(directory), name: name.to_vec(), file }
    }

    pub(super) fn create_unnamed(file: impl AsFd) -> Self {
        let inode = inode(file);
        Self::CreateUnnamed { file: with(|recorder| recorder.new_object(inode)) }
    }

    pub(super) fn link(file: impl AsFd, to: impl AsFd, target: &[u8]) -> Self {
        Self::Link { file: object(file), to: object(to), target: target.to_vec() }
    }

    pub(super) fn second_name(from: impl AsFd, name: &[u8], to: impl AsFd) -> Self {
        Self::SecondName { from: object(from), name: name.to_vec(), to: object(to) }
    }

    pub(super) fn exchange(one: impl AsFd, name: &[u8], other: impl AsFd, target: &[u8]) -> Self {
        Self::Exchange {
            one: object(one),
            name: name.to_vec(),
            other: object(other),
            target: target.to_vec(),
        }
    }

    pub(super) fn write(file: impl AsFd, offset: u64, bytes: &[u8]) -> Self {
        Self::Write { file: object(file), offset, bytes: bytes.to_vec() }
    }

    pub(super) fn truncate(file: impl AsFd, len: u64) -> Self {
        Self::Truncate { file: object(file), len }
    }

    pub(super) fn keep_digest(file: impl AsFd) -> Self {
        Self::KeepDigest { file: object(file) }
    }

    pub(super) fn sync(file: impl AsFd) -> Self {
        Self::Sync { object: object(file) }
    }

    pub(super) fn rename(from: impl AsFd, name: &[u8], to: impl AsFd, target: &[u8]) -> Self {
        Self::Rename {
            from: object(from),
            name: name.to_vec(),
            to: object(to),
            target: target.to_vec(),
        }
    }

    pub(super) fn make_directory(parent: impl AsFd, name: &[u8]) -> Self {
        let inode = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).unwrap().st_ino;
        let directory = with(|recorder| recorder.new_object(inode));
        Self::MakeDirectory { parent: object(parent), name: name.to_vec(), directory, inode }
    }

    pub(super) fn make_link(parent: impl AsFd, name: &[u8], target: &[u8]) -> Self {
        Self::MakeLink { parent: object(parent), name: name.to_vec(), target: target.to_vec() }
    }

    pub(super) fn unlink(parent: impl AsFd, name: &[u8]) -> Self {
        Self::Unlink { parent: object(parent), name: name.to_vec() }
    }
}
