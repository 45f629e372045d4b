//! Tells a directory from others in names of ours, also after a restart of the server.
//!
//! A directory's mark is its inode number. Some file systems number a directory anew once the kernel has forgotten it: there
//! the time of birth is the mark, if the file system keeps it, and otherwise there is none, and nothing is published.

use std::fmt;

use rustix::fs::{Statx, StatxFlags};
use rustix::io::Errno;

use super::sys;

/// Before a time of birth, in nanoseconds since 1970.
const BIRTH: char = 'b';

/// The mark of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Inode(u64),
    Birth(u64),
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inode(inode) => write!(f, "{inode}"),
            Self::Birth(ns) => write!(f, "{BIRTH}{ns}"),
        }
    }
}

impl Mark {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(BIRTH) {
            Some(ns) => ns.parse().ok().map(Self::Birth),
            None => text.parse().ok().map(Self::Inode),
        }
    }

    /// Whether it is that of a directory.
    pub(super) fn is_of(self, found: &Statx) -> bool {
        match self {
            Self::Inode(inode) => found.stx_ino == inode,
            Self::Birth(ns) => birth(found) == Some(ns),
        }
    }
}

pub(super) fn birth(found: &Statx) -> Option<u64> {
    if !sys::keeps_birth(StatxFlags::from_bits_retain(found.stx_mask)) {
        return None;
    }
    let seconds = u64::try_from(found.stx_btime.tv_sec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::from(found.stx_btime.tv_nsec))
}

/// The mark that a directory has on the root's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marking {
    ByInode,
    ByBirth,
    Nothing,
}

impl Marking {
    /// The mark of a directory.
    pub(super) fn of(self, found: &Statx) -> Result<Mark, Errno> {
        let mark = match self {
            Self::ByInode => Some(Mark::Inode(found.stx_ino)),
            Self::ByBirth => birth(found).map(Mark::Birth),
            Self::Nothing => None,
        };
        mark.ok_or(Errno::OPNOTSUPP)
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::AtFlags;

    use super::*;
    use crate::store::identity::Identity;

    #[test]
    fn mark_is_read_as_it_was_written_and_fits_its_directory_only() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let look = |at: &tempfile::TempDir| {
            let open = std::fs::File::open(at.path()).unwrap();
            rustix::fs::statx(open, c"", AtFlags::EMPTY_PATH, Identity::WANTED).unwrap()
        };
        let (one, mut other) = (look(&one), look(&other));
        // A file system's clock may not tick between the two.
        other.stx_btime.tv_nsec ^= 1;
        for marking in [Marking::ByInode, Marking::ByBirth] {
            let mark = marking.of(&one).unwrap();
            assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
            assert!(mark.is_of(&one) && !mark.is_of(&other), "{mark}");
        }
        assert_eq!(Marking::Nothing.of(&one), Err(Errno::OPNOTSUPP));
        for odd in ["", "b", "-1", "x", "b-1", "1b"] {
            assert_eq!(Mark::parse(odd), None, "{odd}");
        }
    }
}
