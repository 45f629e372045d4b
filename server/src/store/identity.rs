//! The identity of a file or directory, which a later one in its place does not have: the file system uses inode numbers again,
//! and at once.

use std::fmt;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Statx, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::sys;

/// An inode number and the time at which the inode was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    inode: u64,
    born: (i64, u32),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ns) = self.born;
        write!(f, "{}-{s}.{ns}", self.inode)
    }
}

impl Identity {
    /// The fields of statx(2) that it needs.
    pub(super) const WANTED: StatxFlags =
        StatxFlags::INO.union(StatxFlags::BTIME).union(StatxFlags::CTIME);

    /// `None` if the file system keeps no time of birth (ext4 with inodes of 128 bytes, older network file systems):
    /// then a new inode may look just like one that has gone.
    pub(super) fn of(found: &Statx) -> Option<Self> {
        let known = StatxFlags::from_bits_retain(found.stx_mask);
        let born = (found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
        sys::keeps_birth(known).then_some(Self { inode: found.stx_ino, born })
    }

    /// As [`of`](Self::of), for an inode that may be gone when the identity is compared. The clock of a file system ticks
    /// some hundred times a second. `None` if the inode was not changed after the tick in which it was made: a later inode
    /// of its number could be of that tick as well.
    pub(super) fn for_later(found: &Statx) -> Option<Self> {
        let changed = (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec);
        Self::of(found).filter(|identity| changed > identity.born)
    }

    /// Of an open file or directory.
    pub(super) fn of_open(file: impl AsFd) -> Result<Option<Self>, Errno> {
        Ok(Self::of(&rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, Self::WANTED)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two inodes of one number may be made within one tick.
    #[test]
    fn inode_not_changed_after_the_tick_of_its_birth_is_not_known_later() {
        let file = tempfile::tempfile().unwrap();
        let found = rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, Identity::WANTED);
        let mut found = found.unwrap();
        found.stx_ctime = found.stx_btime;
        assert!(Identity::of(&found).is_some());
        assert_eq!(Identity::for_later(&found), None);
        found.stx_ctime.tv_sec += 1;
        assert_eq!(Identity::for_later(&found), Identity::of(&found));
        // A time that the file system does not keep may be any number.
        found.stx_mask &= !StatxFlags::BTIME.bits();
        assert_eq!((Identity::of(&found), Identity::for_later(&found)), (None, None));
    }
}
