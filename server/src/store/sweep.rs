//! Partials that nobody came back for, and journals of files that are published.

use std::time::{Duration, SystemTime};

use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::Store;
use super::partial::journal_name;

/// How long the journal of a published file stays, for a client that did not get the answer.
const PUBLISHED: Duration = Duration::from_secs(600);

/// One upload that is under way or was interrupted.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: String,
    /// Bytes on the disk; `None` if only the journal is there.
    pub(super) bytes: Option<u64>,
    /// Since the last part, or whatever was written last.
    pub(super) age: Duration,
}

impl Store {
    /// Ids of partials that are older than `keep`, and of what is left of published or broken ones.
    pub(crate) fn expired(&self, keep: Duration) -> Vec<String> {
        match find(&self.partials) {
            Ok(found) => found
                .into_iter()
                .filter(|found| found.age >= if found.bytes.is_some() { keep } else { PUBLISHED })
                .map(|found| found.id)
                .collect(),
            Err(errno) => {
                tracing::warn!(%errno, "could not look for expired partials");
                Vec::new()
            }
        }
    }
}

/// All partials in their directory.
pub(super) fn find(partials: &OwnedFd) -> Result<Vec<Found>, Errno> {
    let mut found: Vec<Found> = Vec::new();
    for entry in rustix::fs::Dir::read_from(partials)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if matches!(name, "." | "..") {
            continue;
        }
        let id = name.strip_suffix(".journal").unwrap_or(name);
        // The journal stands for both, if it is there.
        if id == name && look(partials, &journal_name(id))?.is_some() {
            continue;
        }
        let Some((_, age)) = look(partials, name)? else { continue };
        let bytes = look(partials, id)?.map(|(bytes, _)| bytes);
        found.push(Found { id: id.to_owned(), bytes, age });
    }
    Ok(found)
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
