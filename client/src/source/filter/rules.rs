//! The rules of one file: reading them, and deciding about a name.
//!
//! A client that can't read the rules must not act as if there were none: they may leave out secrets.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::glob::Flaw;
use super::pattern::Pattern;
use crate::error::rules::RulesError;
use crate::source::stdin;
use crate::source::{Stamp, identity, stamp};

/// The longest file of rules that is read: rules are written by people.
const LONGEST: u64 = 1024 * 1024;

/// How long a file of rules must have been left alone: many ticks of the clock that change times are taken from.
/// The tests of this crate write rules by the thousand, and nobody else writes those.
const SETTLES: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 100 });

/// The same if it is empty or does not end as a line does: perhaps only its beginning is written.
const SETTLES_IN_PIECES: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 1000 });

/// How long it is waited each time for a directory that is away.
const AWAY: Duration = Duration::from_millis(5);

/// How often a directory may be replaced while its rules are looked for.
const REPLACED: usize = 10;

/// How long haul waits for that.
const PATIENCE: Duration = Duration::from_secs(3);

/// Some editors put this at the start of a file in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Patterns, in their order.
#[derive(Debug, Default)]
pub(super) struct List {
    patterns: Vec<Pattern>,
    /// Patterns that fit nothing: their lines, from 1, and why.
    flaws: Vec<(usize, Flaw)>,
}

impl List {
    /// Adds a pattern.
    pub(super) fn push(&mut self, pattern: Pattern) {
        self.patterns.push(pattern);
    }

    /// Adds the lines of a text.
    ///
    /// # Errors
    /// If it is no text.
    fn add(&mut self, text: &[u8]) -> io::Result<()> {
        if text.contains(&0) {
            return Err(io::Error::other("it has NUL bytes; save it as UTF-8"));
        }
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let Some((pattern, flaw)) = Pattern::of_line(line) else { continue };
            self.patterns.push(pattern);
            self.flaws.extend(flaw.map(|flaw| (index + 1, flaw)));
        }
        Ok(())
    }

    /// Adds the lines of a file that the user has named, whatever it is: a FIFO has lines as well.
    ///
    /// # Errors
    /// If it can't be read, or a pattern in it fits nothing.
    pub(super) fn add_named(&mut self, path: &Path) -> Result<(), RulesError> {
        let open = || stdin::check_descriptor(path).and_then(|()| File::open(path));
        let file = if path.as_os_str() == "-" { stdin::file() } else { open() };
        let added = file.and_then(|file| self.add(&text(&file)?));
        let added = added.and_then(|()| match self.flaws.first() {
            Some((line, flaw)) => Err(io::Error::other(format!("line {line}: {flaw}"))),
            None => Ok(()),
        });
        added.map_err(|source| RulesError::Named { path: path.to_owned(), source })
    }

    /// The lines of the file of rules in a directory, and what that file is; `None` if there is none.
    ///
    /// # Errors
    /// If there is one and it can't be read.
    pub(super) fn of_directory(path: &Path) -> Result<Option<(Self, Stamp)>, RulesError> {
        let read = || {
            let Some((text, stamp)) = settled(path)? else { return Ok(None) };
            let mut list = Self::default();
            list.add(&text)?;
            Ok(Some((list, stamp)))
        };
        read().map_err(|source| match path.symlink_metadata() {
            Err(error) if error.kind() != ErrorKind::NotFound => RulesError::Closed(error),
            _ => RulesError::Unreadable { path: path.to_owned(), source },
        })
    }

    /// Patterns that fit nothing: their lines, from 1, and why.
    pub(super) fn flaws(&self) -> &[(usize, Flaw)] {
        &self.flaws
    }

    /// Whether a name is left out; `None` if no pattern fits it. The last one that fits decides.
    pub(super) fn leaves_out(&self, name: &[u8], is_dir: bool) -> Option<bool> {
        let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
        let mut patterns = self.patterns.iter().rev();
        patterns.find(|pattern| pattern.fits(name, last, is_dir)).map(|pattern| !pattern.includes())
    }
}

/// Everything in a file, if that is not too much.
fn text(file: &File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it has over {LONGEST} bytes")));
    }
    Ok(text)
}

/// The bytes of the file of rules at a path, once nobody writes it any more: half of a new text may not leave out
/// what both the old and the new rules do. `None` if nothing is there.
fn settled(path: &Path) -> io::Result<Option<(Vec<u8>, Stamp)>> {
    let (begun, mut last) = (Instant::now(), None);
    while begun.elapsed() < PATIENCE {
        let Some(mut file) = open(path)? else { return Ok(None) };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        // A write changes the time when it begins. If it is over before or after these waits, one of the times tells.
        wait_for_writers(&file);
        let before = file.metadata()?;
        file.rewind()?;
        let read = text(&file)?;
        wait_for_writers(&file);
        let now = stamp(&file.metadata()?);
        // Some programs empty the file first, and write it in pieces.
        let is_whole = read.ends_with(b"\n");
        let left = if is_whole { SETTLES } else { SETTLES_IN_PIECES };
        let left = left.saturating_sub(since_change(&before));
        if now == stamp(&before) && left.is_zero() {
            return Ok(Some((read, now)));
        }
        let found = Some((read, now));
        // Its times may be of another clock.
        if found == last && begun.elapsed() > SETTLES_IN_PIECES {
            return Ok(found);
        }
        last = found;
        std::thread::sleep(left.clamp(SETTLES / 4, SETTLES_IN_PIECES));
    }
    Err(io::Error::other("it is being written again and again; run haul when nothing changes it"))
}

/// How long ago a file was last changed, as far as its times tell.
fn since_change(metadata: &Metadata) -> Duration {
    let now = SystemTime::now();
    let since = |time: SystemTime| now.duration_since(time).unwrap_or_default();
    let written = metadata.modified().map_or(Duration::ZERO, since);
    changed(metadata).map_or(written, |changed| written.min(since(changed)))
}

/// The change time, which nobody can set.
#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt;

    let (s, ns) = (metadata.ctime().try_into().ok()?, metadata.ctime_nsec().try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(s, ns))
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<SystemTime> {
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

/// Opens the file of rules of a directory, without waiting for the other end of a FIFO; `None` if nothing of its name
/// is there. A symlink is followed, and has to lead to a file: its user wants the rules to
/// count.
fn open(path: &Path) -> io::Result<Option<File>> {
    // A directory that is being replaced is away for a moment, and its rules with it.
    for turn in 0..REPLACED {
        let before = match directory(path) {
            Err(error) if is_absent(&error) && turn + 1 == REPLACED => return Ok(None),
            Err(error) if is_absent(&error) => {
                std::thread::sleep(AWAY);
                continue;
            }
            before => before?,
        };
        match open_as(path, false) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if is_absent(&error) => {
                if directory(path).is_ok_and(|now| now == before) {
                    return Ok(None);
                }
            }
            Err(error) => {
                return match path.symlink_metadata() {
                    Ok(metadata) if metadata.is_symlink() => open_as(path, true).map(Some),
                    _ => Err(error),
                };
            }
        }
    }
    Err(io::Error::other("its directory is replaced again and again"))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Identifies the directory that a file of rules would be in.
fn directory(path: &Path) -> io::Result<[i64; 2]> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(identity(&directory.unwrap_or(Path::new(".")).metadata()?))
}

#[cfg(unix)]
fn open_as(path: &Path, follow: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;

    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = if follow { flags } else { flags | OFlags::NOFOLLOW };
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open_as(path: &Path, follow: bool) -> io::Result<File> {
    if !follow && path.symlink_metadata()?.is_symlink() {
        return Err(io::Error::other("it is a symlink"));
    }
    OpenOptions::new().read(true).open(path)
}
