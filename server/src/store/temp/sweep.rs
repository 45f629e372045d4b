//! Partials that no client came back for, and journals of files that are committed.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use haul_protocol::{Geometry, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::store::Store;
use crate::store::uploads::journal;
use crate::store::uploads::partial::journal_name;
use crate::store::uploads::resume::read_journal;

/// Time for which the journal of a committed file stays, for a client that did not get the answer.
const PUBLISHED: Duration = Duration::from_secs(600);

/// One upload that is under way or was interrupted.
#[derive(Debug)]
struct Found {
    id: String,
    /// Bytes on the disk; `None` if only the journal is there.
    bytes: Option<u64>,
    /// Since the last part, or whatever was written last.
    age: Duration,
}

impl Found {
    fn is_expired(&self, keep: Duration) -> bool {
        self.age >= if self.bytes.is_some() { keep } else { PUBLISHED }
    }
}

/// A partial, for people.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: String,
    /// Its target, as far as its journal can be read.
    pub(crate) name: String,
    /// The same, if it is not in a draft.
    pub(in crate::store) seen: Option<Name>,
    /// The home of the draft that it is in.
    pub(in crate::store) home: Option<String>,
    /// Bytes of the whole file, and of the parts that are held.
    pub(crate) size: u64,
    pub(crate) held: u64,
    /// Bytes on the disk.
    pub(crate) bytes: u64,
    /// Since the last part.
    pub(crate) age: Duration,
}

impl Store {
    /// Ids of partials that are older than `keep`, and of the rests of committed or broken ones.
    pub(crate) fn expired(&self, keep: Duration) -> Vec<String> {
        match find(&self.partials) {
            Ok(found) => found
                .into_iter()
                .filter(|found| found.is_expired(keep))
                .map(|found| found.id)
                .collect(),
            Err(errno) => {
                tracing::warn!(%errno, "could not look for expired partials");
                Vec::new()
            }
        }
    }
}

impl Store {
    /// All partials, the oldest first. Journals of committed files are none.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        let found = find(&self.partials).unwrap_or_else(|errno| {
            tracing::warn!(%errno, "could not look for partials");
            Vec::new()
        });
        let mut listed: Vec<Listed> = found
            .into_iter()
            .filter_map(|Found { id, bytes, age }| {
                let bytes = bytes?;
                let (name, seen, home, size, held) = self.described(&id);
                Some(Listed { id, name, seen, home, size, held, bytes, age })
            })
            .collect();
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.age));
        listed
    }

    /// Name, size and bytes held, by the journal.
    fn described(&self, id: &str) -> (String, Option<Name>, Option<String>, u64, u64) {
        let unknown = || (String::from("?"), None, None, 0, 0);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let journal = journal_name(id);
        let opened = rustix::fs::openat(&self.partials, journal.as_str(), flags, Mode::empty());
        let Some(journal) =
            opened.and_then(read_journal).ok().and_then(|bytes| journal::read(&bytes, &self.boot))
        else {
            return unknown();
        };
        let size = journal.size();
        let begin = journal.begin;
        let parts: HashSet<usize> = journal.held.iter().map(|held| held.part).collect();
        let (size, held) = if begin.ordered.is_some() {
            let tails = journal.tails.iter().filter(|tail| tail.part == parts.len());
            let tail = tails.map(|tail| tail.len).max().unwrap_or(0);
            let held = (parts.len() as u64).saturating_mul(begin.part_size).saturating_add(tail);
            (size.unwrap_or(held), held)
        } else {
            let Ok(geometry) = Geometry::new(begin.size, begin.part_size) else { return unknown() };
            let ranges = parts.into_iter().filter_map(|part| geometry.range(part));
            (begin.size, ranges.map(|range| range.end - range.start).sum())
        };
        let found = Name::parse(&begin.name).ok();
        let name = found.as_ref().map_or_else(|| String::from("?"), Name::to_string);
        let home = begin.home().map(str::to_owned);
        (name, found.filter(|_| home.is_none()), home, size, held)
    }
}

impl Store {
    /// Whether this one is older than `keep` now.
    pub(crate) fn is_expired(&self, id: &str, keep: Duration) -> bool {
        let found = found(&self.partials, id);
        found.is_ok_and(|found| found.is_some_and(|found| found.is_expired(keep)))
    }
}

/// All partials in their directory.
fn find(partials: &OwnedFd) -> Result<Vec<Found>, Errno> {
    let mut all: Vec<Found> = Vec::new();
    for entry in rustix::fs::Dir::read_from(partials)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if matches!(name, "." | "..") {
            continue;
        }
        let id = name.strip_suffix(".journal").unwrap_or(name);
        // The journal stands for both, if it is there.
        let found = match id == name && matches!(look(partials, &journal_name(id)), Ok(Some(_))) {
            true => Ok(None),
            false => found(partials, id),
        };
        match found {
            Ok(found) => all.extend(found),
            Err(errno) => {
                let partial = id.escape_debug();
                tracing::warn!(%partial, %errno, "could not look at a partial");
            }
        }
    }
    Ok(all)
}

/// The partial or the journal of this id, or both.
fn found(partials: &OwnedFd, id: &str) -> Result<Option<Found>, Errno> {
    let bytes = look(partials, id)?;
    let last = look(partials, &journal_name(id))?.or(bytes);
    let bytes = bytes.map(|(bytes, _)| bytes);
    Ok(last.map(|(_, age)| Found { id: id.to_owned(), bytes, age }))
}

/// Bytes that a file takes, and its age.
fn look(partials: &OwnedFd, name: &str) -> Result<Option<(u64, Duration)>, Errno> {
    match rustix::fs::statat(partials, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let modified = u64::try_from(stat.st_mtime).unwrap_or(0);
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(modified);
            // A clock that was set back makes it young, not old.
            let age = modified.elapsed().unwrap_or_default();
            Ok(Some((stat.st_blocks.unsigned_abs() * 512, age)))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
