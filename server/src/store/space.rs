//! Room: whether an entry can fit, before its first byte is sent, and that so much stays free as `--keep-free` says.
//!
//! An entry counts with the bytes that it takes on the disk: a file whole blocks, and every entry one block more for its inode
//! and its name. An entry that is admitted has its room *reserved* until its bytes are written, whichever
//! connection it comes over, so that looks at the file system by others do not find that room free.
//!
//! A look at the file system gives a *budget*, half of the room that is available then. While that lasts, nobody looks again:
//! an entry costs no system call. Near the bound there is a look for each.
//!
//! A file that waits for the committer keeps room for its name, by which a directory may grow when the committer
//! commits the file.
//!
//! Not counted: room that the file system itself needs beyond that (its journal, blocks of an index).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haul_protocol::Name;

use rustix::fd::OwnedFd;
use rustix::fs::StatVfsMountFlags;

use super::Store;
use super::error::StoreError;
use crate::locks::{Mutex, Rank};

/// Time for which a look at the file system counts: other processes write as well.
const FRESH: Duration = Duration::from_secs(1);

/// The size of a block if the file system does not tell a sound one.
const USUAL_BLOCK: u64 = 4096;

/// The largest block that is believed.
const MAX_BLOCK: u64 = 1 << 20;

/// Most bytes that an entry takes of its directory beside its name.
const ENTRY: u64 = 16;

/// Free room, and room that is promised.
#[derive(Debug)]
pub(super) struct Space {
    /// On the file system of the root.
    root: OwnedFd,
    /// Bytes that stay free.
    keep_free: AtomicU64,
    /// Bytes of entries that are admitted and not written yet.
    reserved: AtomicU64,
    seen: Mutex<Option<Seen>>,
}

/// The state of the file system of the root.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The root is not the directory any more that it was.
    pub(crate) is_gone: bool,
    /// The file system does not tell its state.
    pub(crate) fails: bool,
    /// Nothing can be written to it.
    pub(crate) is_read_only: bool,
    /// Its size, and the bytes of it that are free for the server's user.
    pub(crate) bytes: u64,
    pub(crate) free: u64,
    /// Files and directories that can still be made; some file systems tell 0, since they need no bound.
    pub(crate) free_inodes: u64,
    /// Bytes that stay free.
    pub(crate) keep_free: u64,
}

/// A look at the file system.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    block: u64,
    /// Room that was neither used, nor to be kept free, nor reserved.
    available: u64,
    /// Bytes of entries that were admitted since.
    spent: u64,
}

impl Space {
    pub(super) fn new(root: OwnedFd, keep_free: u64) -> Self {
        let (keep_free, reserved) = (AtomicU64::new(keep_free), AtomicU64::new(0));
        Self { root, keep_free, reserved, seen: Mutex::new(Rank::Space, None) }
    }

    /// So many bytes stay free from now on.
    pub(super) fn keep_free(&self, bytes: u64) {
        let mut seen = self.seen.lock();
        self.keep_free.store(bytes, Ordering::Release);
        *seen = None;
    }

    /// Admits an entry of `size` bytes, or refuses it: less is available than it takes.
    pub(super) fn reserve(
        self: &Arc<Self>,
        name: &dyn fmt::Display,
        size: u64,
    ) -> Result<Reserved, StoreError> {
        let mut seen = self.seen.lock();
        if let Some(seen) = &mut *seen
            && seen.at.elapsed() < FRESH
        {
            let cost = cost(size, seen.block);
            if seen.spent.saturating_add(cost) <= seen.available / 2 {
                seen.spent += cost;
                return Ok(self.reserved(cost));
            }
        }
        // Before the look: bytes that are written meanwhile count in both, rather than in none.
        let reserved = self.reserved.load(Ordering::Acquire);
        let (free, block) = self.look();
        let keep_free = self.keep_free.load(Ordering::Acquire);
        let available = free.saturating_sub(keep_free).saturating_sub(reserved);
        let cost = cost(size, block);
        let spent = if cost <= available { cost } else { 0 };
        *seen = Some(Seen { at: Instant::now(), block, available, spent });
        if cost > available {
            tracing::debug!(%name, size, free, keep_free, reserved, "no room for a file");
            return Err(StoreError::NoRoom { cost, room: available, keep_free });
        }
        Ok(self.reserved(cost))
    }

    fn reserved(self: &Arc<Self>, cost: u64) -> Reserved {
        self.reserved.fetch_add(cost, Ordering::AcqRel);
        Reserved { space: Arc::clone(self), bytes: AtomicU64::new(cost) }
    }

    /// The state of the file system, for those who watch the server.
    pub(super) fn disk(&self, is_gone: bool) -> Disk {
        let keep_free = self.keep_free.load(Ordering::Acquire);
        match rustix::fs::fstatvfs(&self.root) {
            Ok(stat) => Disk {
                is_gone,
                fails: false,
                is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
                bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
                free: stat.f_bavail.saturating_mul(stat.f_frsize),
                free_inodes: stat.f_favail,
                keep_free,
            },
            Err(_) => Disk { is_gone, fails: true, keep_free, ..Disk::default() },
        }
    }

    /// Bytes that are free for the server's user, and the size of a block.
    fn look(&self) -> (u64, u64) {
        match rustix::fs::fstatvfs(&self.root) {
            Ok(stat) => {
                let sound = (1..=MAX_BLOCK).contains(&stat.f_frsize);
                let block = if sound { stat.f_frsize } else { USUAL_BLOCK };
                (stat.f_bavail.saturating_mul(stat.f_frsize), block)
            }
            // A file system that can't say: the write will.
            Err(_) => (u64::MAX, USUAL_BLOCK),
        }
    }
}

/// The room of an entry: its bytes in whole blocks; one block for inode and name; and of a large file, one part in
/// two thousand for its extents and for the journal of its parts.
fn cost(size: u64, block: u64) -> u64 {
    let bytes = size.saturating_add(size >> 11);
    bytes.div_ceil(block).saturating_add(1).saturating_mul(block)
}

/// Room of an entry that is admitted. It is given back as the entry uses it; dropping this gives the rest back.
#[derive(Debug)]
pub(crate) struct Reserved {
    space: Arc<Space>,
    bytes: AtomicU64,
}

impl Reserved {
    /// So many of the bytes are on the disk now.
    pub(crate) fn used(&self, bytes: u64) {
        let took = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(bytes))
        });
        let before = took.unwrap_or(0);
        self.space.reserved.fetch_sub(before.min(bytes), Ordering::AcqRel);
    }

    /// The bytes of a file are on the disk, its name is not: gives all room back that the name does not need. Directories
    /// split blocks that are full, so a name may take as much again.
    pub(crate) fn keep_for(&self, name: &Name) {
        let needed = 2 * (name.split().1.len() as u64 + ENTRY);
        self.used(self.left().saturating_sub(needed));
    }

    /// Entries without bytes were made: gives back what so many out of `count` took.
    pub(super) fn used_entries(&self, made: u64, count: u64) {
        self.used(self.left() / count * made);
    }

    /// Bytes for which there is still room.
    pub(crate) fn left(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Takes room for more bytes.
    pub(crate) fn grow(&self, name: &Name, bytes: u64) -> Result<(), StoreError> {
        let mut more = self.space.reserve(name, bytes)?;
        self.bytes.fetch_add(std::mem::take(more.bytes.get_mut()), Ordering::AcqRel);
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let left = *self.bytes.get_mut();
        self.space.reserved.fetch_sub(left, Ordering::AcqRel);
    }
}

impl Store {
    /// Admits an entry of `size` bytes, of which none is written yet.
    pub(crate) fn admit(&self, name: &Name, size: u64) -> Result<Reserved, StoreError> {
        self.space.reserve(name, size)
    }

    /// Admits so many entries without bytes.
    pub(super) fn admit_entries(&self, name: &Name, count: usize) -> Result<Reserved, StoreError> {
        let room = self.admit(name, 0)?;
        (1..count).try_for_each(|_| room.grow(name, 0))?;
        Ok(room)
    }

    /// Admits the bytes of a large file that are missing, which may be none: its inode is there.
    pub(crate) fn reserve(&self, name: &Name, missing: u64) -> Result<Reserved, StoreError> {
        if missing == 0 {
            return Ok(self.space.reserved(0));
        }
        self.space.reserve(name, missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_takes_whole_blocks_and_one_more() {
        for (size, blocks) in [(0, 1), (1, 2), (4094, 2), (4096, 3), (40_000, 11), (4 << 20, 1026)]
        {
            assert_eq!(cost(size, 4096), blocks * 4096, "{size}");
        }
        assert_eq!(cost(u64::MAX, 4096), u64::MAX, "no overflow");
        assert_eq!(cost(1, 512), 1024);
    }

    /// Room that is given back is available again; room that others hold is not, however often somebody looks.
    #[test]
    fn reserved_room_is_nobody_elses_until_it_is_given_back() {
        let directory = tempfile::TempDir::new().unwrap();
        let root = || OwnedFd::from(std::fs::File::open(directory.path()).unwrap());
        let free = Space::new(root(), 0).look().0;
        // Far less than other processes may write or free meanwhile is not the bound.
        let space = Arc::new(Space::new(root(), free / 2));
        let third = free / 6;
        let mut held: Vec<Reserved> =
            (0..2).map(|_| space.reserve(&"file", third).unwrap()).collect();
        for _ in 0..10 {
            let refused = space.reserve(&"file", free / 4);
            assert!(matches!(refused, Err(StoreError::NoRoom { .. })), "{refused:?}");
        }
        held.pop();
        held.push(space.reserve(&"file", free / 8).unwrap());
        held[0].used(third);
        drop(held);
        assert_eq!(space.reserved.load(Ordering::Relaxed), 0);
    }
}
