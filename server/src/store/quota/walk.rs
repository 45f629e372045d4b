//! A walk over all entries below a directory: from handle to handle, with a few of them open and some bytes for each level in
//! memory, however large and deep the tree is.
//!
//! An entry that can't be looked at, and a directory that can't be read, are missed, and the walk goes on.

use std::collections::VecDeque;
use std::mem::MaybeUninit;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, RawDir, SeekFrom, Stat};
use rustix::io::Errno;

use super::{Amount, have_same_bytes};
use crate::store::private::PRIVATE;
use crate::store::rights::Rights;

/// Bytes of entries that are read at once.
const READ: usize = 32 * 1024;

/// Levels above the present one whose directories stay open. The walk reaches others again by `..`.
const OPEN: usize = 16;

/// Levels of the deepest tree that is counted: each takes a few bytes.
const DEEPEST: usize = 1 << 20;

/// Entries between two looks whether the walk goes on.
const SOME: usize = 256;

/// A walk, and what it has met.
#[derive(Debug)]
pub(super) struct Walk<'a, Counts, GoesOn> {
    pub(super) rights: &'a Rights,
    /// Whether an entry that is no directory counts.
    pub(super) counts: Counts,
    pub(super) goes_on: GoesOn,
    /// Whether files of two versions may share their blocks.
    pub(super) shares_blocks: bool,
    pub(super) seen: usize,
    pub(super) met: Met,
}

/// Everything that a walk has met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) amount: Amount,
    /// Entries that could not be looked at, and directories that could not be read.
    pub(super) missed: u64,
    /// Why the first of them could not.
    pub(super) why: Option<Errno>,
}

/// A directory, and the one of the same name in another tree, whose files count there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: OwnedFd,
    pub(super) beside: Option<OwnedFd>,
}

/// A level above: its inode, and where its next entry stands.
type Level = (u64, u64);

/// The end of a part of a directory.
enum Part {
    /// Before this directory, after which the next entry stands there.
    Until(Vec<u8>, u64),
    Whole,
}

impl Met {
    /// Something could not be looked at, unless it has gone, or was never a directory of this file system.
    fn misses(&mut self, errno: Errno) {
        if !matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) {
            self.missed += 1;
            self.why = self.why.or(Some(errno));
        }
    }
}

impl<Counts, GoesOn> Walk<'_, Counts, GoesOn>
where
    Counts: Fn(&Stat) -> bool,
    GoesOn: Fn() -> bool,
{
    /// Walks over everything below a directory; `is_root`: it may have a directory of ours. Fails if the walk is told not to go
    /// on (`CANCELED`), or somebody has moved a directory on its way (`STALE`).
    pub(super) fn below(&mut self, mut place: Place, is_root: bool) -> Result<(), Errno> {
        let (mut levels, mut open) = (Vec::<Level>::new(), VecDeque::<Place>::new());
        let mut room = vec![MaybeUninit::uninit(); READ];
        loop {
            let is_top = is_root && levels.is_empty();
            match self.read_on(&place, &mut room, is_top) {
                Ok(Part::Until(name, next)) => match self.rights.open_in(&place.directory, &name) {
                    Ok(_) if levels.len() == DEEPEST => return Err(Errno::NAMETOOLONG),
                    Ok(directory) => {
                        let inode = rustix::fs::fstat(&place.directory)?.st_ino;
                        let inner = |beside| self.rights.open_in(beside, &name).ok();
                        let beside = place.beside.as_ref().and_then(inner);
                        levels.push((inode, next));
                        open.push_back(std::mem::replace(&mut place, Place { directory, beside }));
                        if open.len() > OPEN {
                            open.pop_front();
                        }
                        continue;
                    }
                    Err(errno) => {
                        self.met.misses(errno);
                        rustix::fs::seek(&place.directory, SeekFrom::Start(next))?;
                        continue;
                    }
                },
                Err(Errno::CANCELED) => return Err(Errno::CANCELED),
                Err(errno) => self.met.misses(errno),
                Ok(Part::Whole) => {}
            }
            let Some((inode, next)) = levels.pop() else { return Ok(()) };
            place = match open.pop_back() {
                Some(above) => above,
                None => self.above(&place, inode)?,
            };
            rustix::fs::seek(&place.directory, SeekFrom::Start(next))?;
        }
    }

    /// The directory above, which has to be the one that the walk came from.
    fn above(&self, place: &Place, inode: u64) -> Result<Place, Errno> {
        let directory = self.rights.open_above(&place.directory)?;
        if rustix::fs::fstat(&directory)?.st_ino != inode {
            return Err(Errno::STALE);
        }
        let beside = place.beside.as_ref().and_then(|beside| self.rights.open_above(beside).ok());
        Ok(Place { directory, beside })
    }

    /// Whether the entry of the same name in the other tree has the same bytes.
    fn is_shared(
        &self,
        stat: &Stat,
        place: &Place,
        look: impl Fn(&OwnedFd) -> Result<Stat, Errno>,
    ) -> bool {
        let is_same = |other: Stat| have_same_bytes(stat, &other, self.shares_blocks);
        let beside = place.beside.as_ref().filter(|_| stat.st_nlink > 1 || self.shares_blocks);
        beside.is_some_and(|beside| look(beside).is_ok_and(is_same))
    }

    /// Reads entries on from where the handle stands, up to the next directory.
    fn read_on(
        &mut self,
        place: &Place,
        room: &mut [MaybeUninit<u8>],
        is_root: bool,
    ) -> Result<Part, Errno> {
        let directory = &place.directory;
        let mut entries = RawDir::new(directory, room);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            let is_private = is_root && name.to_bytes() == PRIVATE.as_bytes();
            if matches!(name.to_bytes(), b"." | b"..") || is_private {
                continue;
            }
            self.seen += 1;
            if self.seen.is_multiple_of(SOME) && !(self.goes_on)() {
                return Err(Errno::CANCELED);
            }
            let look = |directory: &OwnedFd| {
                let look = || self.rights.stat_at(directory, name);
                self.rights.in_directory(directory, look)
            };
            let stat = match look(directory) {
                Ok(stat) => stat,
                Err(errno) => {
                    self.met.misses(errno);
                    continue;
                }
            };
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_directory || ((self.counts)(&stat) && !self.is_shared(&stat, place, look)) {
                self.met.amount = self.met.amount + Amount::found(&stat);
            }
            if is_directory {
                return Ok(Part::Until(name.to_bytes().to_vec(), entry.next_entry_cookie()));
            }
        }
        Ok(Part::Whole)
    }
}
