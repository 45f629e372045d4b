//! Looking: what is in a directory, and whether an entry is what a client holds.

use haul_protocol::{Entry, EntryKind, LinkTarget, Mtime, Name, Verdict};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::Store;
use super::ahead::Sorted;
use super::error::StoreError;
use super::root::Parents;

/// Whether a list is long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enough {
    /// No entry more, for now.
    Yes,
    /// On with it.
    No,
}

impl Store {
    /// Gives the entries of a directory (`None`: the root) after the name `after`, sorted by bytes, to `each`,
    /// until that says that it is enough; returns whether there are more. `client` is the run that asks.
    pub(crate) fn list(
        &self,
        parents: &Parents,
        client: &str,
        directory: Option<&Name>,
        after: Option<&Name>,
        mut each: impl FnMut(&Entry) -> Enough,
    ) -> Result<bool, StoreError> {
        let path = directory.map_or(&b""[..], Name::as_bytes);
        let shown = || String::from_utf8_lossy(path).into_owned();
        let failed = |errno| StoreError::at("read directory", shown(), errno);
        let handle = parents.existing(path)?;
        let mut after: Box<[u8]> = after.map_or(&b""[..], |name| name.split().1).into();
        let mut any = false;
        loop {
            let mut sorted = match self.ahead.take(client, path, &after) {
                Some(sorted) => sorted,
                None => Sorted::read(&handle, &after).map_err(failed)?,
            };
            while let Some(last) = sorted.next() {
                let name = match directory {
                    Some(directory) => directory.join(&last),
                    None => Name::parse(&last),
                };
                after = last;
                // A path may be too long to be said; and the server's own directory has no name.
                let Ok(name) = name else { continue };
                let Some(Found { kind, mode, mtime }) = look(&handle, &name)? else { continue };
                any = true;
                if each(&Entry { name, kind, mode, mtime }) == Enough::Yes {
                    break;
                }
            }
            let more = sorted.has_more();
            // All of them may have gone since; a client could not ask on from nothing.
            if any || !more {
                self.ahead.keep(client, path, &after, sorted);
                return Ok(more);
            }
        }
    }

    /// How what is here differs from `wanted`, the bytes of files not considered. A name that can't be reached, because a parent of it is
    /// something else, is missing.
    pub(crate) fn compare(&self, parents: &Parents, wanted: &Entry) -> Result<Verdict, StoreError> {
        let parent = match parents.existing(wanted.name.split().0) {
            Ok(parent) => parent,
            Err(
                StoreError::NotFound { .. }
                | StoreError::Conflict { .. }
                | StoreError::Escape { .. }
                | StoreError::CrossDevice { .. },
            ) => return Ok(Verdict::Missing),
            Err(error) => return Err(error),
        };
        let Some(found) = look(&parent, &wanted.name)? else {
            return Ok(Verdict::Missing);
        };
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
            | (EntryKind::Directory, EntryKind::Directory) => self.compare_rest(&found, wanted),
            (EntryKind::Directory, _) => Verdict::Directory,
            _ => Verdict::Kind,
        })
    }

    fn compare_rest(&self, found: &Found, wanted: &Entry) -> Verdict {
        if let Some(wanted) = wanted.mtime
            && found.mtime != Some(wanted)
            && (found.mtime.is_none() || found.mtime != self.mtimes.kept(wanted))
        {
            return Verdict::Mtime;
        }
        match (found.mode, wanted.mode) {
            (_, None) => Verdict::Same,
            (Some(found), Some(wanted)) if found == wanted & 0o777 => Verdict::Same,
            _ => Verdict::Mode,
        }
    }
}

/// What stands under a name.
#[derive(Debug)]
struct Found {
    kind: EntryKind,
    mode: Option<u32>,
    mtime: Option<Mtime>,
}

/// What stands under the last component of `name`, or `None`.
fn look(parent: &OwnedFd, name: &Name) -> Result<Option<Found>, StoreError> {
    let last = name.split().1;
    let failed = |errno| StoreError::new("look at", name, errno);
    let stat = match rustix::fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            EntryKind::File { size: stat.st_size.unsigned_abs(), digest: None }
        }
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => match rustix::fs::readlinkat(parent, last, Vec::new()) {
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

/// When something was last changed.
pub(super) fn mtime(stat: &Stat) -> Option<Mtime> {
    Some(Mtime { s: stat.st_mtime, ns: u32::try_from(stat.st_mtime_nsec).ok()? })
}
