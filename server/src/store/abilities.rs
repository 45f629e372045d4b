//! Whether the root's file system can keep versions of directories: it exchanges two names, and something tells versions apart.

use haul_protocol::Name;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Statx};
use rustix::io::Errno;

use super::error::StoreError;
use super::identity::Identity;
use super::mark::{Marking, birth};
use super::temp::staging::Staging;

/// FUSE (with libfuse as most file systems use it), FAT, exFAT, CIFS, SMB, 9P and the folders of `VirtualBox`, as
/// linux/magic.h and the kernel's sources have them.
const RENUMBERING: [u32; 8] =
    [0x6573_5546, 0x4d44, 0x2011_bab0, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x0102_1997, 0x786f_4256];

const NO_FLAGS: &str = "can't exchange two names in one step, nor give a name only if it is free";

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
