//! Rests that earlier servers have left of versions: swaps that were cut off are finished or undone, old trees thrown away.
//!
//! An entry that can't be dealt with is told in the log with its path, and keeps no other one waiting.

use std::time::{Duration, UNIX_EPOCH};

use haul_protocol::Name;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::home::{BACK, DONE, NEXT, PREVIOUS, READY, home_of, is_directory};
use super::notes::look;
use crate::store::error::StoreError;
use crate::store::mark::Mark;
use crate::store::temp::entries;
use crate::store::temp::trash::Trash;
use crate::store::{Store, sys};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Store {
    /// Finishes what a swap has left, completed or not; see the table in [`version`](super::version).
    pub(in crate::store) fn settle(&self, home: &OwnedFd, name: &Name) -> Result<(), StoreError> {
        settle(home, &home_of(name), &self.trash)
            .map_err(|errno| StoreError::new("settle versions of", name, errno))
    }

    /// Settles every home, at the start.
    pub(in crate::store) fn settle_all(&self) -> Result<(), Errno> {
        for id in entries(&self.trees)? {
            match rustix::fs::openat(&self.trees, &id, DIRECTORY, Mode::empty()) {
                // It has told of what it could not settle.
                Ok(home) => drop(settle(&home, &id, &self.trash)),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    tracing::warn!(path = %in_trees(&id), "left alone, as it is no directory");
                }
                Err(errno) => tracing::error!(path = %in_trees(&id), %errno, "could not open"),
            }
        }
        Ok(())
    }

    /// Whether a client puts together the next version that has this home.
    fn is_open(&self, id: &str) -> bool {
        self.guard.is_closed(|name| home_of(name) == id)
    }

    /// Throws away next versions that nobody has come back for, until the server stops.
    pub(crate) fn forget_versions(&self, keep: Duration) -> Result<(), Errno> {
        for id in entries(&self.trees)? {
            if self.trash.bell.is_stopped() {
                break;
            }
            match self.forget_old(&id, keep) {
                // The start has told of it.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => {
                    tracing::warn!(path = %in_trees(&id), %errno, "could not look for expired versions");
                }
            }
        }
        Ok(())
    }

    fn forget_old(&self, id: &str, keep: Duration) -> Result<(), Errno> {
        let home = rustix::fs::openat(&self.trees, id, DIRECTORY, Mode::empty())?;
        let changed = rustix::fs::fstat(&home)?.st_mtime;
        let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(changed).unwrap_or(0));
        // A clock that was set back makes it young, not old.
        if changed.elapsed().unwrap_or_default() < keep || self.is_open(id) {
            return Ok(());
        }
        let mut first = Ok(());
        for next in entries(&home)?.iter().filter(|entry| entry.starts_with(NEXT)) {
            first = first.and(self.trash.throw(&home, next));
            let tag = next.split_once('-').map_or("", |(_, tag)| tag);
            self.quotas.forget_draft((id, tag));
        }
        // Unless something else is in it.
        self.forget_home(id);
        first
    }
}

/// Settles a home; returns the first error.
pub(super) fn settle(home: &OwnedFd, id: &str, trash: &Trash) -> Result<(), Errno> {
    let mut first = Ok(());
    for entry in entries(home)? {
        let settled = settle_entry(home, &entry, trash);
        if let Err(errno) = settled {
            tracing::error!(path = %in_trees(&format!("{id}/{entry}")), %errno, "could not settle a version");
        }
        first = first.and(settled);
    }
    first
}

fn settle_entry(home: &OwnedFd, entry: &str, trash: &Trash) -> Result<(), Errno> {
    let becomes_previous = || {
        trash.throw(home, PREVIOUS)?;
        sys::rename(home, entry.as_bytes(), home, PREVIOUS.as_bytes())
    };
    let ready = entry.strip_prefix(READY).and_then(|rest| rest.split_once('-'));
    if !entry.starts_with(BACK) && ready.is_none() {
        return Ok(());
    }
    // No version of a directory, whatever its name says.
    if !is_directory(home, entry) {
        return trash.throw(home, entry);
    }
    let Some((mark, tag)) = ready else { return becomes_previous() };
    let found = look(home.as_fd(), entry)?;
    let token = tag.rsplit('-').next().unwrap_or(tag);
    if Mark::parse(mark).is_some_and(|mark| mark.is_of(&found)) {
        // It was not published, whatever a note says that came before its move.
        if forget_note(home, &format!("{DONE}{token}"), trash)? {
            sys::sync_directory(home)?;
        }
        let next = format!("{NEXT}{tag}");
        return sys::rename(home, entry.as_bytes(), home, next.as_bytes());
    }
    done(home, token, trash)?;
    becomes_previous()
}

/// Notes that a tree was published, and forgets the one before.
pub(super) fn done(home: &OwnedFd, token: &str, trash: &Trash) -> Result<(), Errno> {
    note(home, token)?;
    let new = format!("{DONE}{token}");
    let others =
        entries(home)?.into_iter().filter(|entry| entry.starts_with(DONE) && *entry != new);
    others.into_iter().try_for_each(|old| forget_note(home, &old, trash).map(drop))
}

/// Notes that a tree was published.
pub(super) fn note(home: &OwnedFd, token: &str) -> Result<(), Errno> {
    let new = format!("{DONE}{token}");
    sys::create(home, new.as_bytes(), OFlags::WRONLY, Mode::RUSR | Mode::WUSR).map(drop)
}

/// Removes a note, if it is there; tells whether it was.
fn forget_note(home: &OwnedFd, note: &str, trash: &Trash) -> Result<bool, Errno> {
    match sys::unlink(home, note.as_bytes()) {
        Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR) => trash.throw(home, note).map(|()| true),
        removed => removed.map(|()| true),
    }
}

/// Where an entry is, for people.
fn in_trees(entry: &str) -> String {
    format!(".haul/trees/{}", entry.escape_debug())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn open(root: &TempDir) -> Store {
        Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap()
    }

    /// A move that a crash has cut off: the note of it came before.
    #[test]
    fn draft_that_was_not_published_has_no_note_that_it_was() {
        for by_birth in [false, true] {
            let root = TempDir::new().unwrap();
            drop(open(&root));
            let home = root.path().join(".haul/trees/1");
            fs::create_dir_all(home.join("draft")).unwrap();
            let found = fs::metadata(home.join("draft")).unwrap();
            let born = found.created().unwrap().duration_since(UNIX_EPOCH).unwrap();
            let mark = match by_birth {
                false => Mark::Inode(std::os::unix::fs::MetadataExt::ino(&found)),
                true => Mark::Birth(born.as_nanos().try_into().unwrap()),
            };
            fs::rename(home.join("draft"), home.join(format!("ready-{mark}-aaaa-f00"))).unwrap();
            for note in ["done-f00", "done-f01"] {
                fs::write(home.join(note), "").unwrap();
            }
            drop(open(&root));
            let is_draft = home.join("next-aaaa-f00").is_dir() && !home.join("done-f00").exists();
            assert!(is_draft, "{mark}");
            assert!(home.join("done-f01").exists(), "that one was published");
        }
    }

    #[test]
    fn odd_entry_among_versions_keeps_nothing_else_from_being_settled() {
        let root = TempDir::new().unwrap();
        drop(open(&root));
        let at = |path: &str| root.path().join(".haul/trees").join(path);
        fs::write(at("0"), "").unwrap();
        symlink("/etc", at("link")).unwrap();
        // A home with what no crash leaves, before and after one that was cut off.
        for home in ["1", "2", "3", "4"] {
            for version in ["back-1/old", "back-2/old", "previous/older"] {
                fs::create_dir_all(at(home).join(version)).unwrap();
            }
            fs::create_dir_all(at(home).join("done-zz/x")).unwrap();
            fs::write(at(home).join("ready-1-aaaa-f00"), "").unwrap();
            fs::create_dir_all(at(home).join("next-aaaa-f01/x")).unwrap();
        }
        fs::remove_dir_all(at("3")).unwrap();
        fs::create_dir_all(at("3/ready-1-aaaa-f02/old")).unwrap();
        let store = open(&root);
        assert!(at("3/previous/old").exists() && at("3/done-f02").exists());
        for home in ["1", "2", "4"] {
            let has = |entry: &str| at(home).join(entry).exists();
            assert!(has("previous/old") && !has("back-1") && !has("back-2"), "{home}");
            assert!(!has("ready-1-aaaa-f00"), "{home}");
        }
        store.forget_versions(Duration::ZERO).unwrap();
        assert!(["1", "2", "4"].iter().all(|home| !at(home).join("next-aaaa-f01").exists()));
        assert!(at("0").exists() && at("link").is_symlink(), "they are nobody's");
    }
}
