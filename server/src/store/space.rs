//! Room: whether a file can fit, before its first byte is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haul_protocol::Name;

use super::Store;
use super::error::StoreError;
use crate::sync::{Mutex, Rank};

/// How long a look at the file system counts, other processes write as well.
const FRESH: Duration = Duration::from_secs(1);

/// What is free, and what is promised.
#[derive(Debug)]
pub(super) struct Space {
    keep_free: u64,
    /// Bytes that open uploads have announced and not yet sent.
    reserved: AtomicU64,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    free: u64,
    /// Bytes that were let in since.
    spent: u64,
}

impl Space {
    pub(super) fn new(keep_free: u64) -> Self {
        Self { keep_free, reserved: AtomicU64::new(0), seen: Mutex::new(Rank::Space, None) }
    }
}

/// Room that an upload has announced; given back as it is used, and what is left when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    store: std::sync::Arc<Store>,
    bytes: AtomicU64,
}

impl Reserved {
    /// So many of the bytes are on the disk now.
    pub(crate) fn used(&self, bytes: u64) {
        let took = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(bytes))
        });
        let before = took.unwrap_or(0);
        self.store.space.reserved.fetch_sub(before.min(bytes), Ordering::Relaxed);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let left = *self.bytes.get_mut();
        self.store.space.reserved.fetch_sub(left, Ordering::Relaxed);
    }
}

impl Store {
    /// Refuses a file that can't fit: less is free than it needs, without the floor and without what
    /// others have announced.
    pub(crate) fn check_room(&self, name: &Name, size: u64) -> Result<(), StoreError> {
        let space = &self.space;
        let mut seen = space.seen.lock();
        let reserved = space.reserved.load(Ordering::Relaxed);
        let room = |free: u64| free.saturating_sub(space.keep_free).saturating_sub(reserved);
        if let Some(seen) = &mut *seen
            && seen.at.elapsed() < FRESH
            // Far from the limit an old look is good enough.
            && size <= room(seen.free.saturating_sub(seen.spent)) / 2
        {
            seen.spent += size;
            return Ok(());
        }
        let free = match rustix::fs::fstatvfs(&self.root) {
            Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
            // A file system that can't say: the write will.
            Err(_) => u64::MAX,
        };
        *seen = Some(Seen { at: Instant::now(), free, spent: size });
        if size > room(free) {
            return Err(StoreError::NoRoom {
                name: name.to_string(),
                size,
                room: room(free),
                free,
                keep_free: space.keep_free,
                reserved,
            });
        }
        Ok(())
    }

    /// As [`check_room`](Self::check_room), and keeps the room for what is still to come.
    pub(crate) fn reserve(
        self: &std::sync::Arc<Self>,
        name: &Name,
        size: u64,
    ) -> Result<Reserved, StoreError> {
        self.check_room(name, size)?;
        self.space.reserved.fetch_add(size, Ordering::Relaxed);
        Ok(Reserved { store: std::sync::Arc::clone(self), bytes: AtomicU64::new(size) })
    }
}
