//! Drafts that interrupted publishes have left, for people.

use std::time::{Duration, UNIX_EPOCH};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::store::temp::entries;
use crate::store::{Store, sys};

/// A draft of which no client is putting anything together, if no server runs.
#[derive(Debug)]
pub(crate) struct LeftDraft {
    /// The name of its home.
    pub(crate) home: String,
    /// Its name in there.
    entry: String,
    /// The directory whose next version it is, as far as that is noted.
    pub(crate) name: String,
    /// Apparent bytes of its files but for those that the present version has too, and its entries.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// Since something was last made or removed in the directory itself, or a client went on with the draft.
    pub(crate) age: Duration,
}

impl Store {
    /// All drafts, the oldest first.
    pub(crate) fn left_drafts(&self) -> Vec<LeftDraft> {
        let homes = entries(&self.trees).unwrap_or_else(|errno| {
            tracing::warn!(%errno, "could not look for drafts");
            Vec::new()
        });
        let mut drafts: Vec<_> = homes.iter().flat_map(|home| self.left_in(home)).collect();
        drafts.sort_by_key(|draft| std::cmp::Reverse(draft.age));
        drafts
    }

    fn left_in(&self, home: &str) -> Vec<LeftDraft> {
        let name = self.name_of_home(home);
        let drafts = self.drafts_in(home).into_iter().filter_map(|(entry, _)| {
            let directory = self.in_home(home, &entry)?;
            let age = self.home_of_id(home).and_then(|home| Ok(age(&home)?.min(age(&directory)?)));
            let (bytes, entries) = self.amount_in(directory, name.as_ref());
            Some(LeftDraft {
                home: home.to_owned(),
                entry,
                name: name.as_ref().map_or_else(|| String::from("?"), ToString::to_string),
                bytes,
                entries,
                age: age.unwrap_or_default(),
            })
        });
        drafts.collect()
    }

    /// Removes a draft.
    pub(crate) fn forget_left_draft(&self, draft: &LeftDraft) -> Result<(), Errno> {
        let home = self.home_of_id(&draft.home)?;
        self.trash.throw(&home, &draft.entry)?;
        self.trash.empty(&mut || {})?;
        self.forget_home(&draft.home);
        sys::sync_directory(&self.trees)
    }

    fn home_of_id(&self, id: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.trees, id, flags, Mode::empty())
    }
}

/// The time since a directory has changed. A clock that was set back makes it young.
fn age(directory: &OwnedFd) -> Result<Duration, Errno> {
    let changed = rustix::fs::fstat(directory.as_fd())?.st_mtime;
    let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(changed).unwrap_or(0));
    Ok(changed.elapsed().unwrap_or_default())
}
