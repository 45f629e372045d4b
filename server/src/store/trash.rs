//! Trees that nobody needs any more: moved out of the way at once, removed when there is time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::disk;
use super::version::entries;
use crate::sync::{Condvar, Mutex, Rank};

/// `.haul/trash`, and the names in it that are still free.
#[derive(Debug)]
pub(crate) struct Trash {
    directory: OwnedFd,
    next: AtomicUsize,
    /// Rung when there is something to remove.
    pub(crate) bell: Bell,
}

/// Wakes whoever removes it.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

/// Why somebody was woken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Rung {
    /// For no reason but that it was time.
    #[default]
    Not,
    /// There is something to do.
    Look,
    /// There will never be again.
    Stop,
}

impl Default for Bell {
    fn default() -> Self {
        Self { rung: Mutex::new(Rank::Bell, Rung::Not), changed: Condvar::new() }
    }
}

impl Bell {
    fn ring(&self, why: Rung) {
        let mut rung = self.rung.lock();
        if *rung != Rung::Stop {
            *rung = why;
        }
        self.changed.notify_all();
    }

    /// Ends the waiting for good.
    pub(crate) fn stop(&self) {
        self.ring(Rung::Stop);
    }

    /// Whether it was told to stop.
    fn is_stopped(&self) -> bool {
        *self.rung.lock() == Rung::Stop
    }

    /// Waits for so long at most.
    pub(crate) fn wait(&self, timeout: Duration) -> Rung {
        let rung = self.rung.lock();
        let mut rung = self.changed.wait_timeout_while(rung, timeout, |rung| *rung == Rung::Not);
        let why = *rung;
        if why == Rung::Look {
            *rung = Rung::Not;
        }
        why
    }
}

impl Trash {
    pub(super) fn new(directory: OwnedFd) -> Self {
        let used = entries(&directory).unwrap_or_default();
        let numbers = used.iter().filter_map(|name| usize::from_str_radix(name, 16).ok());
        let next = AtomicUsize::new(numbers.max().map_or(0, |most| most + 1));
        Self { directory, next, bell: Bell::default() }
    }

    fn free(&self) -> String {
        format!("{:x}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Moves a directory here, if it is there.
    pub(super) fn throw(&self, from: &OwnedFd, name: &str) -> Result<(), Errno> {
        let throw = || disk::rename(from, name.as_bytes(), &self.directory, self.free().as_bytes());
        match throw() {
            Err(Errno::NOENT) => return Ok(()),
            // What its owner may not write to can't be moved.
            Err(Errno::ACCESS) => {
                rustix::fs::chmodat(from, name, Mode::RWXU, AtFlags::empty())?;
                throw()?;
            }
            thrown => thrown?,
        }
        self.bell.ring(Rung::Look);
        Ok(())
    }

    /// Removes everything, unless the server stops. A tree is made flat on the way, so that one that is deep needs no more open files
    /// than any other.
    pub(crate) fn empty(&self) -> Result<(), Errno> {
        let mut first = None;
        loop {
            let names = entries(&self.directory)?;
            let mut any = false;
            for name in names {
                if self.bell.is_stopped() {
                    return Ok(());
                }
                match self.remove(&name) {
                    Ok(()) => any = true,
                    Err(errno) => first = first.or(Some(errno)),
                }
            }
            // What can't be removed keeps nothing else here.
            if !any {
                return first.map_or(Ok(()), Err);
            }
        }
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            removed => return removed,
        }
        // What its owner may not write to can't be emptied, nor moved.
        rustix::fs::chmodat(&self.directory, name, Mode::RWXU, AtFlags::empty())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let tree = rustix::fs::openat(&self.directory, name, flags, Mode::empty())?;
        for entry in rustix::fs::Dir::read_from(&tree)? {
            let entry = entry?;
            let inner = entry.file_name();
            if matches!(inner.to_bytes(), b"." | b"..") {
                continue;
            }
            match rustix::fs::unlinkat(&tree, inner, AtFlags::empty()) {
                Err(Errno::ISDIR) => {
                    rustix::fs::chmodat(&tree, inner, Mode::RWXU, AtFlags::empty())?;
                    rustix::fs::renameat(&tree, inner, &self.directory, self.free())?;
                }
                removed => removed?,
            }
        }
        rustix::fs::unlinkat(&self.directory, name, AtFlags::REMOVEDIR)
    }
}
