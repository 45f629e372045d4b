//! Tells a directory from others in names of ours, also after a restart of the server; and whether the root's file system can
//! keep versions of directories at all.
//!
//! A directory's mark is its inode number. Some file systems number a directory anew once the kernel has forgotten it: there
//! the time of birth is the mark, if the file system keeps it, and otherwise there is none, and nothing is published.

use std::fmt;

use haul_protocol::Name;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Statx, StatxFlags};
use rustix::io::Errno;

use super::error::StoreError;
use super::identity::Identity;
use super::sys;
use super::temp::staging::Staging;

/// FUSE (with libfuse as most file systems use it), FAT, exFAT, CIFS, SMB, 9P and the folders of `VirtualBox`, as
/// linux/magic.h and the kernel's sources have them.
const RENUMBERING: [u32; 8] =
    [0x6573_5546, 0x4d44, 0x2011_bab0, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x0102_1997, 0x786f_4256];

const NO_FLAGS: &str = "can't exchange two names in one step, nor give a name only if it is free";

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

fn birth(found: &Statx) -> Option<u64> {
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

/// The abilities that versions need of the root's file system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Abilities {
    pub(super) marking: Marking,
    pub(super) exchanges: bool,
}

impl Abilities {
    /// Tries them with directory and file of ours.
    pub(super) fn of(
        directory: impl AsFd,
        file: impl AsFd,
        staging: &Staging,
    ) -> Result<Self, Errno> {
        let look = |it: &dyn AsFd| {
            rustix::fs::statx(it.as_fd(), c"", AtFlags::EMPTY_PATH, Identity::WANTED)
        };
        let (found, file) = (look(&directory)?, look(&file)?);
        let device = |found: &Statx| (found.stx_dev_major, found.stx_dev_minor);
        let kind = u32::try_from(rustix::fs::fstatfs(directory)?.f_type & 0xffff_ffff);
        // An overlay whose layers are on several file systems gives files the device of their layer, and numbers
        // directories anew (overlayfs.rst, "Inode properties").
        let renumbers =
            kind.is_ok_and(|kind| RENUMBERING.contains(&kind)) || device(&found) != device(&file);
        let marking = match (renumbers, birth(&found)) {
            (false, _) => Marking::ByInode,
            (true, Some(_)) => Marking::ByBirth,
            (true, None) => Marking::Nothing,
        };
        Ok(Self { marking, exchanges: staging.can_exchange() })
    }

    /// The error of a rename that must not replace an entry, or exchanges two.
    pub(super) fn no_flags(self, op: &'static str, name: &Name) -> StoreError {
        StoreError::Unable { op, name: name.to_string(), lacks: NO_FLAGS }
    }

    /// Fails if there can be no versions.
    pub(super) fn check(self, name: &Name) -> Result<(), StoreError> {
        let lacks = match self {
            Self { exchanges: false, .. } => NO_FLAGS,
            Self { marking: Marking::Nothing, .. } => {
                "neither keeps the inode number of a directory nor the time at which it was made, so after a crash \
                 nobody could tell its versions apart"
            }
            _ => return Ok(()),
        };
        Err(StoreError::Unable { op: "publish", name: name.to_string(), lacks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
