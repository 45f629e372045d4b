//! Notes about the versions of a directory, in its home: when each was published, how many files it has, and whether it
//! has come back by a rollback.
//!
//! A note is an empty file, `version-MARK-TIME-FILES` or `version-MARK-TIME-FILES-TOKEN`. It is about the directory that
//! has this [mark](crate::store::mark), whether that is the draft, the present version or the previous one. `TOKEN` names the rollback that
//! brought the version back. The server writes both before it exchanges versions, and flushes them with the name of the
//! step: so whatever a crash leaves, the note of the present version is right. If the present version has a `TOKEN`, the
//! last exchange was a rollback.

use std::fmt;
use std::time::{Duration, SystemTime};

use haul_protocol::{Mtime, Token};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use super::home::NOTE;
use crate::store::identity::Identity;
use crate::store::mark::Mark;
use crate::store::sys;
use crate::store::temp::entries;

/// Stands for a time or a number that is not known.
const UNKNOWN: &str = "x";

/// The first second of the year 10000.
const LAST_TIME: u64 = 253_402_300_800;

/// The facts that the server remembers of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// When it was published, in seconds since 1970.
    pub(crate) published: Option<u64>,
    /// The number of its files and symlinks, as its client counted.
    pub(crate) files: Option<u64>,
}

impl Facts {
    /// Of a version that is published now.
    pub(super) fn now(files: Option<u64>) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self { published: now.ok().map(|now| now.as_secs()), files }
    }

    /// When it was published, as the protocol says it.
    pub(crate) fn published(&self) -> Option<Mtime> {
        Some(Mtime { s: i64::try_from(self.published?).ok()?, ns: 0 })
    }
}

impl fmt::Display for Facts {
    /// As a clause that says which version is present.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.published.and_then(|s| {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(s))?;
            // Times after the year 9999 can't be written, and are no times of a publish.
            (s < LAST_TIME).then(|| humantime::format_rfc3339_seconds(time))
        });
        match time {
            Some(time) => write!(f, "the version that was published at {time}")?,
            None => f.write_str("the version before")?,
        }
        match self.files {
            Some(1) => f.write_str(" (1 file)")?,
            Some(files) => write!(f, " ({files} files)")?,
            None => {}
        }
        f.write_str(" is present")
    }
}

/// The note of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) facts: Facts,
    /// The rollback that brought the version back.
    pub(super) rollback: Option<Token>,
}

impl Note {
    fn name(&self, mark: Mark) -> String {
        let text = |number: Option<u64>| number.map_or(UNKNOWN.to_owned(), |it| it.to_string());
        let Self { facts: Facts { published, files }, rollback } = self;
        let rollback = rollback.map_or_else(String::new, |token| format!("-{token}"));
        format!("{NOTE}{mark}-{}-{}{rollback}", text(*published), text(*files))
    }

    /// The mark that a name is about, and the note; `None` if the name is that of no note.
    fn parse(name: &str) -> Option<(Mark, Self)> {
        let mut parts = name.strip_prefix(NOTE)?.split('-');
        let mark = Mark::parse(parts.next()?)?;
        let mut number = || match parts.next()? {
            UNKNOWN => Some(None),
            text => text.parse().ok().map(Some),
        };
        let facts = Facts { published: number()?, files: number()? };
        let rollback = match parts.next() {
            None => None,
            Some(token) => Some(Token::parse(token).ok()?),
        };
        Some((mark, Self { facts, rollback }))
    }
}

/// The note of the version that stands under a name (empty: of the directory itself). Nothing is known of one without a note.
pub(super) fn find(home: &OwnedFd, directory: impl AsFd, name: &str) -> Result<Note, Errno> {
    let version = look(directory.as_fd(), name)?;
    let mut notes = Vec::new();
    for name in entries(home)? {
        let Some((_, note)) = Note::parse(&name).filter(|(of, _)| of.is_of(&version)) else {
            continue;
        };
        if is_about(&look(home.as_fd(), &name)?, &version) {
            notes.push(note);
        }
    }
    // If there are two, a rollback has come later.
    let found = notes.iter().find(|note| note.rollback.is_some()).or(notes.first());
    Ok(found.copied().unwrap_or_default())
}

pub(super) fn look(
    directory: BorrowedFd<'_>,
    name: impl rustix::path::Arg,
) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    rustix::fs::statx(directory, name, flags, Identity::WANTED)
}

/// Whether a note is about the version that has its mark, and not about an earlier directory of that inode number: the
/// server has written or renamed it after the directory was made.
fn is_about(note: &Statx, version: &Statx) -> bool {
    let known = StatxFlags::from_bits_retain(version.stx_mask);
    let time = |of: StatxTimestamp| (of.tv_sec, of.tv_nsec);
    !sys::keeps_birth(known) || time(note.stx_ctime) >= time(version.stx_btime)
}

/// Writes the note of the version that has this mark, in the place of the one that it has. A note that is there is renamed,
/// which takes no room on the disk.
pub(super) fn write(home: &OwnedFd, mark: Mark, note: &Note) -> Result<(), Errno> {
    let new = note.name(mark);
    let mut old: Vec<_> = entries(home)?
        .into_iter()
        .filter(|name| *name != new && Note::parse(name).is_some_and(|(of, _)| of == mark))
        .collect();
    match old.pop() {
        Some(one) => sys::rename(home, one.as_bytes(), home, new.as_bytes())?,
        None => {
            sys::create(home, new.as_bytes(), OFlags::WRONLY, Mode::RUSR | Mode::WUSR)?;
        }
    }
    old.iter().try_for_each(|name| sys::unlink(home, name.as_bytes()))
}

/// Removes the notes of versions that are gone.
pub(super) fn keep(home: &OwnedFd, versions: &[Statx]) -> Result<(), Errno> {
    for name in entries(home)? {
        if name.starts_with(NOTE)
            && !Note::parse(&name).is_some_and(|(of, _)| versions.iter().any(|it| of.is_of(it)))
        {
            sys::unlink(home, name.as_bytes())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file system gives the number of a directory that is gone to the next one.
    #[test]
    fn note_of_an_earlier_directory_of_the_same_inode_number_is_not_found() {
        let home = tempfile::tempdir().unwrap();
        let open = std::fs::File::open(home.path()).unwrap();
        let open = OwnedFd::from(open);
        let stat =
            |name| rustix::fs::statx(&open, name, AtFlags::EMPTY_PATH, Identity::WANTED).unwrap();
        std::fs::create_dir(home.path().join("version")).unwrap();
        let mut version = stat("version");
        let note = Note { facts: Facts { published: Some(7), files: Some(1) }, rollback: None };
        write(&open, Mark::Inode(version.stx_ino), &note).unwrap();
        assert_eq!(find(&open, &open, "version"), Ok(note));
        let written = stat(&note.name(Mark::Inode(version.stx_ino)));
        assert!(is_about(&written, &version));
        version.stx_btime.tv_sec = written.stx_ctime.tv_sec + 1;
        assert!(!is_about(&written, &version));
        version.stx_mask &= !StatxFlags::BTIME.bits();
        assert!(is_about(&written, &version), "nobody knows when it was made");
    }

    #[test]
    fn notes_are_read_as_they_were_written() {
        for published in [None, Some(0), Some(u64::MAX)] {
            for (files, rollback) in [(None, None), (Some(7), Some(Token([0xab; 16])))] {
                let note = Note { facts: Facts { published, files }, rollback };
                assert_eq!(Note::parse(&note.name(Mark::Birth(42))), Some((Mark::Birth(42), note)));
                assert!(note.name(Mark::Birth(u64::MAX)).len() < 255);
            }
        }
        for odd in [
            "version-",
            "version-1",
            "version-1-2",
            "version-1-2-y",
            "version-1-2-3-zz",
            "previous",
        ] {
            assert_eq!(Note::parse(odd), None, "{odd}");
        }
    }
}
