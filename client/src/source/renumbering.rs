//! File systems that give a directory another inode number once the kernel has forgotten the directory, because it needs the
//! memory or much time has passed: the number does not tell such a directory from another one.

use std::fs::File;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, fstatfs, open, openat, statat};

/// FUSE (with `libfuse` as most file systems use it), FAT, exFAT, CIFS, SMB, 9P and the folders of `VirtualBox`, as
/// linux/magic.h and the kernel's sources have them.
#[cfg(target_os = "linux")]
const RENUMBERING: [u32; 8] =
    [0x6573_5546, 0x4d44, 0x2011_bab0, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x0102_1997, 0x786f_4256];

/// An overlay. Its directories have other numbers later only if its layers are on several file systems.
#[cfg(target_os = "linux")]
const OVERLAY: u32 = 0x794c_7630;

/// Entries of a directory of an overlay that are looked at.
#[cfg(target_os = "linux")]
const MOST: usize = 1024;

/// Whether a directory is on such a file system.
#[cfg(target_os = "linux")]
pub(super) fn renumbers(directory: &File) -> bool {
    // The numbers have 32 bits, whose type and sign are others on each processor.
    let low = |kind: i128| u32::try_from(kind & 0xffff_ffff).ok();
    let found = fstatfs(directory).ok().and_then(|found| low(found.f_type.into()));
    match found {
        Some(OVERLAY) => keeps_numbers(directory).is_ok_and(|keeps| !keeps),
        found => found.is_some_and(|kind| RENUMBERING.contains(&kind)),
    }
}

/// Whether any file in a directory of an overlay, or in a directory above it, is on the device of the directory. Then all layers
/// are on one file system, or the overlay makes its numbers of theirs (`xino`), and numbers stay
/// (Documentation/filesystems/overlayfs.rst of the kernel, "Inode properties"). Without any file nothing tells.
#[cfg(target_os = "linux")]
fn keeps_numbers(directory: &File) -> rustix::io::Result<bool> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = fstat(directory)?;
    let (device, mut inode) = (found.st_dev, found.st_ino);
    let mut directory = openat(directory, ".", flags, Mode::empty())?;
    loop {
        if has_file_of(&directory, device)? {
            return Ok(true);
        }
        directory = openat(&directory, "..", flags, Mode::empty())?;
        let above = fstat(&directory)?;
        if above.st_dev != device || above.st_ino == inode {
            return Ok(false);
        }
        inode = above.st_ino;
    }
}

/// Whether any file in a directory is on a device. Other file systems may be mounted on some of the files.
#[cfg(target_os = "linux")]
fn has_file_of(directory: impl AsFd, device: u64) -> rustix::io::Result<bool> {
    // It may be open without the right to read it.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let entries = Dir::new(openat(&directory, ".", flags, Mode::empty())?)?;
    for entry in entries.take(MOST) {
        let entry = entry?;
        if entry.file_type() == FileType::Directory {
            continue;
        }
        let found = statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
        let is_file = |mode| FileType::from_raw_mode(mode) != FileType::Directory;
        if found.is_ok_and(|found| found.st_dev == device && is_file(found.st_mode)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps a directory on such a file system open: then it keeps its number.
#[cfg(target_os = "linux")]
pub(super) fn pin(path: &std::path::Path) -> Option<File> {
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

    #[test]
    fn only_a_file_in_or_above_a_directory_shows_that_numbers_stay() {
        let place = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(place.path().join("d")).unwrap();
        let of = |name: &str| {
            // As a connection opens it.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            File::from(open(place.path().join(name), flags, Mode::empty()).unwrap())
        };
        let device = fstat(of("d")).unwrap().st_dev;
        assert_eq!(has_file_of(of("."), device), Ok(false));
        std::fs::write(place.path().join("f"), "x").unwrap();
        assert_eq!(has_file_of(of("."), device), Ok(true));
        assert_eq!(has_file_of(of("."), device + 1), Ok(false));
        assert_eq!(has_file_of(of("d"), device), Ok(false));
        assert_eq!(keeps_numbers(&of("d")), Ok(true));
    }
}
