//! Looking at one entry: what it is, and whether it is the one that a client holds.

use haul_protocol::limits::MAX_NUMBER;
use haul_protocol::{Entry, EntryKind, LinkTarget, Mtime, Name, Verdict};
use rustix::fd::OwnedFd;
use rustix::fs::{Dir, FileType, Stat};
use rustix::io::Errno;

use super::Store;
use super::error::StoreError;
use super::mode::kept;
use super::rights::Rights;
use super::root::Parents;

/// Seconds before and after 1970 that the protocol can say (PROTOCOL.md 3.3).
const MAX_SECONDS: i64 = MAX_NUMBER.cast_signed();

impl Store {
    /// The difference of the entry here from `wanted`, without a look at the bytes of files. A name that can't be reached,
    /// because a parent of it is no directory, is missing.
    pub(crate) fn compare(&self, parents: &Parents, wanted: &Entry) -> Result<Verdict, StoreError> {
        // Nobody is told why.
        let parent = match parents.find(wanted.name.split().0) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG) => {
                return Ok(Verdict::Missing);
            }
            Err(errno) => return Err(StoreError::new("look at", &wanted.name, errno)),
        };
        let Some(found) = look(&self.rights, &parent, &wanted.name)? else {
            return Ok(Verdict::Missing);
        };
        match self.check_spelling(parents, &wanted.name) {
            Err(StoreError::OtherSpelling { .. }) => return Ok(Verdict::Missing),
            checked => checked?,
        }
        Ok(match (&found.kind, &wanted.kind) {
            (EntryKind::File { size, .. }, EntryKind::File { size: wanted, .. })
                if size != wanted =>
            {
                Verdict::Size
            }
            (EntryKind::Link { target }, EntryKind::Link { target: wanted })
                if target != wanted =>
            {
                Verdict::Target
            }
            (EntryKind::File { .. }, EntryKind::File { .. })
            | (EntryKind::Link { .. }, EntryKind::Link { .. })
            | (EntryKind::Directory, EntryKind::Directory) => {
                self.compare_rest(parents, &found, wanted)
            }
            (EntryKind::Directory, _) => Verdict::Directory,
            _ => Verdict::Kind,
        })
    }

    /// The kind of the entry of this name; `None`: there is none, or no directory above it.
    pub(crate) fn kind(
        &self,
        parents: &Parents,
        name: &Name,
    ) -> Result<Option<EntryKind>, StoreError> {
        Ok(self.kind_and_mtime(parents, name)?.map(|(kind, _)| kind))
    }

    /// The same with its mtime, if it has one that can be told.
    pub(crate) fn kind_and_mtime(
        &self,
        parents: &Parents,
        name: &Name,
    ) -> Result<Option<(EntryKind, Option<Mtime>)>, StoreError> {
        let parent = match parents.find(name.split().0) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG) => {
                return Ok(None);
            }
            Err(errno) => return Err(StoreError::new("look at", name, errno)),
        };
        let Some(found) = look(&self.rights, &parent, name)? else { return Ok(None) };
        match self.check_spelling(parents, name) {
            Err(StoreError::OtherSpelling { .. }) => Ok(None),
            checked => checked.map(|()| Some((found.kind, found.mtime))),
        }
    }

    fn compare_rest(&self, parents: &Parents, found: &Found, wanted: &Entry) -> Verdict {
        if let Some(wanted) = wanted.mtime
            && found.mtime != Some(wanted)
            && (found.mtime.is_none() || found.mtime != self.mtimes.kept(wanted))
        {
            return Verdict::Mtime;
        }
        let Some(mode) = kept(wanted.mode) else { return Verdict::Same };
        let counts = || parents.counts(&wanted.name, mode).as_raw_mode();
        if found.mode.is_some_and(|found| found == counts()) {
            Verdict::Same
        } else {
            Verdict::Mode
        }
    }
}

/// A name that is spelled otherwise is not there.
pub(super) fn missing(error: StoreError) -> StoreError {
    match error {
        StoreError::OtherSpelling { name, .. } => StoreError::NotFound { name },
        error => error,
    }
}

/// An entry that stands under a name.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: EntryKind,
    pub(super) mode: Option<u32>,
    pub(super) mtime: Option<Mtime>,
}

/// The entry under the last component of `name`, or `None`.
pub(super) fn look(
    rights: &Rights,
    parent: &OwnedFd,
    name: &Name,
) -> Result<Option<Found>, StoreError> {
    let last = name.split().1;
    let failed = |errno| StoreError::new("look at", name, errno);
    let stat = || rights.stat(|| rights.stat_at(parent, last));
    let target = || rustix::fs::readlinkat(parent, last, Vec::new());
    let stat = match rights.in_directory(parent, stat) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::XDEV) => {
            let listed = rights.in_directory(parent, || kind_in(parent, last)).map_err(failed)?;
            return Ok(listed.map(|kind| Found { kind, mode: None, mtime: None }));
        }
        Err(errno) => return Err(failed(errno)),
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            EntryKind::File { size: stat.st_size.unsigned_abs(), digest: None }
        }
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => match rights.in_directory(parent, target) {
            Ok(target) => match LinkTarget::parse(target.as_bytes()) {
                Ok(target) => EntryKind::Link { target },
                Err(_) => EntryKind::Other,
            },
            Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        },
        _ => EntryKind::Other,
    };
    let mode = (!matches!(kind, EntryKind::Link { .. })).then_some(stat.st_mode & 0o777);
    Ok(Some(Found { kind, mode, mtime: mtime(&stat) }))
}

/// The kind of an entry that another file system is mounted on, as its directory says it.
fn kind_in(directory: &OwnedFd, last: &[u8]) -> Result<Option<EntryKind>, Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name().to_bytes() == last {
            let is_directory = entry.file_type() == FileType::Directory;
            return Ok(Some(if is_directory { EntryKind::Directory } else { EntryKind::Other }));
        }
    }
    Ok(None)
}

/// The time at which an entry was last changed, or the one next to it that the protocol can say: some file systems keep
/// whatever they are told.
pub(super) fn mtime(stat: &Stat) -> Option<Mtime> {
    let s = stat.st_mtime.clamp(-MAX_SECONDS, MAX_SECONDS);
    Some(Mtime { s, ns: u32::try_from(stat.st_mtime_nsec).ok()? })
}
