//! Modes and times, of what is staged and of directories.

use haul_protocol::{Attributes, Mtime, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::Store;
use super::disk;
use super::error::StoreError;
use super::group::Touched;
use super::root::{BENEATH, Parents};

/// The permission bits that are kept; setuid, setgid and sticky never are.
pub(super) fn kept(mode: Option<u32>) -> Option<Mode> {
    mode.map(|mode| Mode::from_raw_mode(mode & 0o777))
}

/// Sets the mtime, leaves the atime.
pub(super) fn times(mtime: Mtime) -> Timestamps {
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    Timestamps {
        last_access: omit,
        last_modification: Timespec { tv_sec: mtime.s, tv_nsec: mtime.ns.into() },
    }
}

impl Store {
    /// Sets mode and mtime of a directory that is there.
    pub(super) fn set_attributes(
        &self,
        parents: &Parents<'_>,
        name: &Name,
        attributes: &Attributes,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let (parent, last) = name.split();
        let parent = parents.existing(parent)?;
        let failed = |errno| match errno {
            // With O_NOFOLLOW and O_DIRECTORY a link is ENOTDIR too: either way no directory.
            Errno::LOOP => StoreError::new("open", name, Errno::NOTDIR),
            errno => StoreError::new("open", name, errno),
        };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // With `openat2`, because a mount point would be another file system's directory.
        let open = |how| rustix::fs::openat2(&parent, last, flags | how, Mode::empty(), BENEATH);
        match open(OFlags::RDONLY) {
            Ok(directory) => {
                let result = by_handle(&directory, attributes);
                touched.directory(name.as_bytes(), &directory.into());
                result
            }
            Err(Errno::ACCESS) => {
                // What may not be opened for reading can't be synced alone.
                touched.everything();
                by_magic_link(&open(OFlags::PATH).map_err(failed)?, attributes)
            }
            Err(errno) => return Err(failed(errno)),
        }
        .map_err(|errno| StoreError::new("set mode and mtime of", name, errno))
    }
}

fn by_handle(directory: &OwnedFd, attributes: &Attributes) -> Result<(), Errno> {
    if let Some(mode) = kept(attributes.mode) {
        disk::set_mode(directory, mode | special_bits(directory)?)?;
    }
    match attributes.mtime {
        Some(mtime) => disk::set_times(directory, &times(mtime)),
        None => Ok(()),
    }
}

/// Setuid, setgid and sticky of a directory that is there: no client sets them, and what the
/// server's people set stays.
fn special_bits(directory: &OwnedFd) -> Result<Mode, Errno> {
    Ok(Mode::from_raw_mode(rustix::fs::fstat(directory)?.st_mode & 0o7000))
}

/// For a directory of our own that we may not read (mode 0300, say): chmod(2) takes no `O_PATH`
/// handle, but follows its link in /proc, which leads to nothing else.
fn by_magic_link(directory: &OwnedFd, attributes: &Attributes) -> Result<(), Errno> {
    use rustix::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    if let Some(mode) = kept(attributes.mode) {
        rustix::fs::chmod(&link, mode | special_bits(directory)?)?;
    }
    match attributes.mtime {
        Some(mtime) => rustix::fs::utimensat(CWD, &link, &times(mtime), AtFlags::empty()),
        None => Ok(()),
    }
}
