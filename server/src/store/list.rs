//! Looking: what is in a directory, and whether an entry is what a client holds.

use std::collections::BinaryHeap;

use haul_protocol::{Entry, EntryKind, LinkTarget, Mtime, Name, Verdict};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::Store;
use super::error::StoreError;
use super::root::Parents;

/// Entries of one answer to `list`: bounds its memory whatever the directory holds. Every page reads
/// the whole directory, so a large one should have few.
const PAGE: usize = 10_000;

impl Store {
    /// The first entries of a directory (`None`: the root) after the name `after`, sorted by bytes,
    /// and whether there are more.
    pub(crate) fn list(
        &self,
        parents: &Parents<'_>,
        directory: Option<&Name>,
        after: Option<&Name>,
    ) -> Result<(Vec<Entry>, bool), StoreError> {
        let path = directory.map_or(&b""[..], Name::as_bytes);
        let shown = || String::from_utf8_lossy(path).into_owned();
        let failed = |errno| StoreError::at("read directory", shown(), errno);
        let handle = parents.existing(path)?;
        let mut after = after.map(|name| name.split().1.to_vec());
        loop {
            let (names, more) = page(&handle, directory, after.as_deref()).map_err(failed)?;
            let mut entries = Vec::with_capacity(names.len());
            after = names.last().map(|name| name.split().1.to_vec());
            for name in names {
                if let Some(Found { kind, mode, mtime }) = look(&handle, &name)? {
                    entries.push(Entry { name, kind, mode, mtime });
                }
            }
            // All of a page may have gone since; a client could not ask on from nothing.
            if !entries.is_empty() || !more {
                return Ok((entries, more));
            }
        }
    }

    /// How what is here differs from `wanted`, the bytes of files not considered. A name that can't be reached, because a parent of it is
    /// something else, is missing.
    pub(crate) fn compare(
        &self,
        parents: &Parents<'_>,
        wanted: &Entry,
    ) -> Result<Verdict, StoreError> {
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

/// The smallest names after `after` that can be said (a path may be too long to be), sorted, and
/// whether there are more.
fn page(
    handle: &OwnedFd,
    directory: Option<&Name>,
    after: Option<&[u8]>,
) -> Result<(Vec<Name>, bool), Errno> {
    // One more than a page, the largest on top.
    let mut smallest: BinaryHeap<Name> = BinaryHeap::new();
    for entry in rustix::fs::Dir::read_from(handle)? {
        let entry = entry?;
        let last = entry.file_name().to_bytes();
        if matches!(last, b"." | b"..") || after.is_some_and(|after| last <= after) {
            continue;
        }
        let name = match directory {
            Some(directory) => directory.join(last),
            None => Name::parse(last),
        };
        smallest.extend(name);
        if smallest.len() > PAGE + 1 {
            smallest.pop();
        }
    }
    let mut names = smallest.into_sorted_vec();
    let more = names.len() > PAGE;
    names.truncate(PAGE);
    Ok((names, more))
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
