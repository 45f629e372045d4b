//! How long the bytes of a file and the record about them, written one after the other, are both there or both not.

use std::os::fd::AsFd;

use haul_protocol::Digest;

/// A start of the machine, and a mount of a file system since. As long as it lasts, all that was written is in the memory of
/// the kernel at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boot(pub(super) [u8; 8]);

impl Boot {
    /// The present one, of the file system that a file is on. Where the system tells none, it is another one each time.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn now(file: impl AsFd) -> Self {
        use rustix::fs::{AtFlags, StatxFlags, statx};

        /// A number for the mount that no later one gets (`STATX_MNT_ID_UNIQUE`, statx(2), since Linux 6.8).
        const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
        let Ok(id) = std::fs::read("/proc/sys/kernel/random/boot_id") else {
            return Self::random();
        };
        let mount = statx(file, c"", AtFlags::EMPTY_PATH, MNT_ID_UNIQUE | StatxFlags::MNT_ID);
        let mount = mount.map_or(0, |found| found.stx_mnt_id);
        Self::of(&[&id[..], &mount.to_le_bytes()].concat())
    }

    /// The present one; the system tells none.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn now(_: impl AsFd) -> Self {
        Self::random()
    }

    fn of(bytes: &[u8]) -> Self {
        Self(first(&Digest::of(bytes)))
    }

    fn random() -> Self {
        let mut bytes = [0; 8];
        // Without random numbers nothing counts without being read.
        let _ = getrandom::fill(&mut bytes);
        Self(bytes)
    }
}

/// The beginning of a digest, where it only tells damage.
pub(super) fn first(digest: &Digest) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.0[..8]);
    bytes
}
