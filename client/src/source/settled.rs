//! Files that say which entries are sent: rules and lists. The client reads them once nobody writes them any more.
//!
//! Many programs empty a file first, and write it in pieces. Half of the rules may leave out nothing of what both the old
//! and the new rules do; half of a list names half of the entries, and the run would look like success.

use std::fs::{File, Metadata};
use std::io::{self, Seek};
use std::time::{Duration, Instant, SystemTime};

use super::{Stamp, stamp};

/// Time for which such a file must have been left alone: many ticks of the clock that change times are taken from.
/// The tests of this crate write rules by the thousand, and nobody else writes those.
const SETTLES: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 100 });

/// The same if it is empty or does not end as a line does: perhaps only its beginning is written.
const SETTLES_IN_PIECES: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 1000 });

/// The longest wait for a file to be left alone.
const PATIENCE: Duration = Duration::from_secs(3);

/// A file that nobody writes.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    /// Open, at its start.
    pub(crate) file: File,
    /// The part of it that was read.
    pub(crate) read: T,
    /// The file as it was then.
    pub(crate) stamp: Stamp,
}

/// Reads a file once nobody writes it any more; `None` if there is none. `read` also returns whether the file ends as a
/// whole one does.
///
/// # Errors
/// If it can't be opened or read, or is written again and again.
pub(crate) fn settled<T: PartialEq>(
    mut open: impl FnMut() -> io::Result<Option<File>>,
    mut read: impl FnMut(&mut File) -> io::Result<(T, bool)>,
) -> io::Result<Option<Settled<T>>> {
    let (begun, mut last) = (Instant::now(), None);
    while begun.elapsed() < PATIENCE {
        let Some(mut file) = open()? else { return Ok(None) };
        // A write changes the time when it begins. If it is over before or after these waits, one of the times tells.
        wait_for_writers(&file);
        let before = file.metadata()?;
        file.rewind()?;
        let (text, is_whole) = read(&mut file)?;
        wait_for_writers(&file);
        file.rewind()?;
        let now = stamp(&file.metadata()?);
        let left = if is_whole { SETTLES } else { SETTLES_IN_PIECES };
        let left = left.saturating_sub(since_change(&before));
        let is_settled = now == stamp(&before) && left.is_zero();
        let found = (text, now);
        // Its times may be of another clock.
        if is_settled || (last.as_ref() == Some(&found) && begun.elapsed() > SETTLES_IN_PIECES) {
            return Ok(Some(Settled { file, read: found.0, stamp: found.1 }));
        }
        last = Some(found);
        std::thread::sleep(left.clamp(SETTLES / 4, SETTLES_IN_PIECES));
    }
    Err(io::Error::other("it is being written again and again; run haul when nothing changes it"))
}

/// Time since a file was last changed, as far as its times tell.
fn since_change(metadata: &Metadata) -> Duration {
    let now = SystemTime::now();
    let since = |time: SystemTime| now.duration_since(time).unwrap_or_default();
    let written = metadata.modified().map_or(Duration::ZERO, since);
    changed(metadata).map_or(written, |changed| written.min(since(changed)))
}

/// The change time, which nobody can set.
#[cfg(unix)]
pub(crate) fn changed(metadata: &Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt;

    let (s, ns) = (metadata.ctime().try_into().ok()?, metadata.ctime_nsec().try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(s, ns))
}

/// The change time, which nobody can set.
#[cfg(not(unix))]
pub(crate) fn changed(_: &Metadata) -> Option<SystemTime> {
    None
}

/// Waits until a write under way is over, where a file system lets no one else look for data in a file meanwhile: ext4, xfs,
/// btrfs and tmpfs hold the lock of the inode for both (Linux 6.18; the manual page promises nothing).
#[cfg(target_os = "linux")]
fn wait_for_writers(file: &File) {
    // Without data there is nothing to be read in part.
    let _ = rustix::fs::seek(file, rustix::fs::SeekFrom::Data(0));
}

#[cfg(not(target_os = "linux"))]
fn wait_for_writers(_: &File) {}
