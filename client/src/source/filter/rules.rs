//! The rules of one file: reading them, and deciding about a name.
//!
//! A client that can't read the rules must not act as if there were none: they may leave out secrets.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::absent::Waits;
use super::glob::Flaw;
use super::pattern::Pattern;
use crate::error::rules::RulesError;
use crate::source::settled::settled;
use crate::source::stdin;
use crate::source::{BYTE_ORDER_MARK, Stamp, identity};

/// The longest file of rules that is read: rules are written by people.
const LONGEST: u64 = 1024 * 1024;

/// Whether a directory that has just changed is waited for. The tests of this crate make such by the thousand.
const WAITS: bool = !cfg!(test);

/// The length of one wait for a directory that is away.
const AWAY: Duration = Duration::from_millis(5);

/// Number of times that others may replace a directory while haul looks for its rules.
const REPLACED: usize = 10;

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

    /// Adds the lines of a file that the user has named, whatever it is: a FIFO has lines as well. Only of a regular file
    /// that has a name there may be more to come than can be read.
    ///
    /// # Errors
    /// If it can't be read, or a pattern in it fits nothing.
    pub(super) fn add_named(&mut self, path: &Path) -> Result<(), RulesError> {
        let open = || stdin::check_descriptor(path).and_then(|()| File::open(path));
        let read = || {
            let is_stdin = path.as_os_str() == "-";
            let file = if is_stdin { stdin::file() } else { open() }?;
            if is_stdin || stdin::is_descriptor(path) || !file.metadata()?.is_file() {
                return text(&file);
            }
            let found = settled(|| open().map(Some), whole_text)?;
            found.map(|found| found.read).ok_or_else(|| ErrorKind::NotFound.into())
        };
        let added = read().and_then(|text| self.add(&text));
        let added = added.and_then(|()| match self.flaws.first() {
            Some((line, flaw)) => Err(io::Error::other(format!("line {line}: {flaw}"))),
            None => Ok(()),
        });
        added.map_err(|source| RulesError::Named { path: path.to_owned(), source })
    }

    /// The lines of the file of rules in a directory, and what that file is; `None` if there is none. `found` is the inode that
    /// the directory had when it was last looked at, if it was.
    ///
    /// # Errors
    /// If there is one and it can't be read.
    pub(super) fn of_directory(
        path: &Path,
        found: Option<[i64; 2]>,
        waits: &Waits,
    ) -> Result<Option<(Self, Stamp)>, RulesError> {
        let read = || {
            let Some((text, stamp)) = settled_text(path, found, waits)? else { return Ok(None) };
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

/// The bytes of the file of rules at a path, once nobody writes it any more; `None` if nothing is there.
fn settled_text(
    path: &Path,
    mut found: Option<[i64; 2]>,
    waits: &Waits,
) -> io::Result<Option<(Vec<u8>, Stamp)>> {
    let open = || match open(path, found.take(), waits)? {
        Some(file) if !file.metadata()?.is_file() => Err(io::Error::other("it is no regular file")),
        found => Ok(found),
    };
    Ok(settled(open, whole_text)?.map(|found| (found.read, found.stamp)))
}

/// Everything in a file, and whether it ends as a line does.
fn whole_text(file: &mut File) -> io::Result<(Vec<u8>, bool)> {
    let text = text(file)?;
    let is_whole = text.ends_with(b"\n");
    Ok((text, is_whole))
}

/// Opens the file of rules of a directory, without waiting for the other end of a FIFO; `None` if nothing of its name
/// is there. A symlink is followed, and has to lead to a file: its user wants the rules to
/// count.
fn open(path: &Path, mut found: Option<[i64; 2]>, waits: &Waits) -> io::Result<Option<File>> {
    let mut has_waited = false;
    // A directory that is being replaced is away for a moment, and its rules with it.
    for turn in 0..REPLACED {
        // A look is spared where the walk has just looked.
        let looked = found.take().map_or_else(|| directory(path).map(|now| identity(&now)), Ok);
        let before = match looked {
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
                let now = directory(path).ok();
                let Some(now) = now.filter(|now| identity(now) == before) else {
                    continue;
                };
                // If others change the directory all the time, the file would hardly be away twice.
                match waits.wait(&now, SystemTime::now()).filter(|_| WAITS && !has_waited) {
                    Some(wait) => std::thread::sleep(wait),
                    None => return Ok(None),
                }
                has_waited = true;
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

/// The directory that a file of rules would be in.
fn directory(path: &Path) -> io::Result<Metadata> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory.unwrap_or(Path::new(".")).metadata()
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
