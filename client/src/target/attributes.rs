//! Mode and mtime of entries that are open.

use std::io;
use std::os::fd::AsFd;

use haul_protocol::Mtime;
use rustix::fs::{Mode, Timespec, Timestamps, UTIME_OMIT, fchmod, fstat, futimens};

/// A mode from bits, without setuid, setgid and sticky.
pub(super) fn plain(bits: u32) -> Mode {
    Mode::from_bits_truncate(rustix::fs::RawMode::try_from(bits & 0o777).unwrap_or(0))
}

/// A time of last change; the time of last access stays.
pub(super) fn times(mtime: Mtime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.s, tv_nsec: mtime.ns.into() },
    }
}

/// Sets the permission bits, if they are others. A directory keeps its setuid, setgid and sticky bits, for they are not
/// carried and are of use only where the directory is; of a file they are never wanted.
pub(super) fn set_mode(file: impl AsFd, bits: u32, is_directory: bool) -> io::Result<()> {
    let before = Mode::from_raw_mode(fstat(&file)?.st_mode);
    let special = Mode::SUID | Mode::SGID | Mode::SVTX;
    let kept = if is_directory { before & special } else { Mode::empty() };
    let wanted = plain(bits) | kept;
    if before == wanted { Ok(()) } else { Ok(fchmod(file, wanted)?) }
}

/// Sets the time of last change.
pub(super) fn set_mtime(file: impl AsFd, mtime: Mtime) -> io::Result<()> {
    Ok(futimens(file, &times(mtime))?)
}

/// Gives the owner bits of the mode of an entry that is open only as a place (`O_PATH`), which fchmod(2) refuses.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn grant(place: &std::os::fd::OwnedFd, bits: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(fstat(place)?.st_mode) | plain(bits);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(place));
    Ok(rustix::fs::chmod(path, mode & Mode::from_bits_truncate(0o7777))?)
}
