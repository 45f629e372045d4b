//! File systems that give a directory another inode number once the kernel has forgotten the directory, because it needs the
//! memory or much time has passed: the number does not tell such a directory from another one.

use std::fs::File;

/// FUSE (with `libfuse` as most file systems use it), FAT, exFAT, CIFS, SMB, 9P and the folders of `VirtualBox`, as
/// linux/magic.h and the kernel's sources have them.
#[cfg(target_os = "linux")]
const RENUMBERING: [u32; 8] =
    [0x6573_5546, 0x4d44, 0x2011_bab0, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x0102_1997, 0x786f_4256];

/// Whether a directory is on such a file system.
#[cfg(target_os = "linux")]
pub(super) fn renumbers(directory: &File) -> bool {
    // The numbers have 32 bits, whose type and sign are others on each processor.
    let low = |kind: i128| u32::try_from(kind & 0xffff_ffff).ok();
    rustix::fs::fstatfs(directory)
        .is_ok_and(|found| low(found.f_type.into()).is_some_and(|kind| RENUMBERING.contains(&kind)))
}

/// Keeps a directory on such a file system open: then it keeps its number.
#[cfg(target_os = "linux")]
pub(super) fn pin(path: &std::path::Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags, open};

    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok().map(File::from).filter(renumbers)
}

/// Elsewhere entries are found by their paths.
#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_: &std::path::Path) -> Option<File> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn directory_of_a_file_system_with_numbers_that_stay_is_not_kept_open() {
        // The kernel makes these numbers up once, and keeps them.
        assert!(pin(std::path::Path::new("/proc/self")).is_none());
        assert!(pin(std::path::Path::new("/nowhere")).is_none());
    }
}
