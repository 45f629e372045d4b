//! File systems that take two spellings for one name, as `File` and `file` (FAT, exFAT, CIFS, directories of ext4 with
//! `casefold`), or `é` in one code point and in two.
//!
//! There a change of one name would reach the entry of another name. So before a change the server looks whether each
//! component of its name is stored just as the client spells it. Changes come one after another meanwhile, so that two
//! spellings do not both find the name free. On all other file systems nothing of that happens.

use std::sync::atomic::{AtomicU64, Ordering};

use haul_protocol::Name;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, IFlags, Mode, Stat};
use rustix::io::Errno;

use super::Store;
use super::error::StoreError;
use super::open::DIRECTORY;
use super::root::{Parents, ends};
use crate::locks::{Mutex, MutexGuard, Rank};

/// `FS_CASEFOLD_FL` of linux/fs.h: a directory of ext4, f2fs or tmpfs folds case.
const CASEFOLD: IFlags = IFlags::from_bits_retain(0x4000_0000);

/// A directory in `.haul` that is made and removed at the start.
const PROBE: &str = "spelling-\u{e9}";

/// The same name, in the other form that Unicode has for it.
const OTHER_FORM: &str = "spelling-e\u{301}";

/// The directories that take two spellings for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folding {
    Nowhere,
    /// Those with a flag.
    Flagged,
    Everywhere,
}

/// How the root's file system compares names.
#[derive(Debug)]
pub(super) struct Spelling {
    folding: Folding,
    turn: Mutex<()>,
    /// Changes after which a name may be gone.
    changes: AtomicU64,
}

impl Spelling {
    /// Tries it out in `.haul`, which has an entry `lock`.
    pub(super) fn of(private: impl AsFd) -> Self {
        let folding = if exists(&private, "LOCK") { Folding::Everywhere } else { probe(&private) };
        if folding == Folding::Everywhere {
            tracing::info!(
                "the root's file system does not tell all spellings of a name apart: an entry is reached by its own \
                 spelling only"
            );
        }
        Self::with(folding)
    }

    /// Of a store that tries nothing out.
    pub(super) fn of_a_reader() -> Self {
        Self::with(Folding::Flagged)
    }

    fn with(folding: Folding) -> Self {
        let turn = Mutex::new(Rank::Spelling, ());
        Self { folding, turn, changes: AtomicU64::new(0) }
    }

    /// Whether any directory may take two spellings for one name.
    pub(super) fn may_fold(&self) -> bool {
        self.folding != Folding::Nowhere
    }

    /// Held from the look at a name until the change is done.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// A change is done after which names may be gone. `removed`: this one alone, in a turn with these parents.
    pub(super) fn has_changed(&self, parents: &Parents, removed: Option<&Name>) {
        let change = self.changes.fetch_add(1, Ordering::AcqRel) + 1;
        if let Some(name) = removed {
            let (directory, last) = name.split();
            parents.spelled().is_gone(directory, last, change);
        }
    }

    fn folds(&self, directory: &OwnedFd) -> bool {
        match self.folding {
            Folding::Nowhere => false,
            Folding::Flagged => {
                rustix::fs::ioctl_getflags(directory).is_ok_and(|flags| flags.contains(CASEFOLD))
            }
            Folding::Everywhere => true,
        }
    }
}

fn exists(directory: impl AsFd, name: &str) -> bool {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// If a directory can't be tried, as on a full disk, each one is asked for its flag.
fn probe(private: impl AsFd) -> Folding {
    match rustix::fs::mkdirat(&private, PROBE, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(_) => return Folding::Flagged,
    }
    let folding = if exists(&private, OTHER_FORM) {
        Folding::Everywhere
    } else {
        let flagged = rustix::fs::openat(&private, PROBE, DIRECTORY, Mode::empty())
            .and_then(|probe| rustix::fs::ioctl_setflags(&probe, CASEFOLD));
        match flagged {
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::NOSYS) => Folding::Nowhere,
            _ => Folding::Flagged,
        }
    };
    let _ = rustix::fs::unlinkat(&private, PROBE, AtFlags::REMOVEDIR);
    folding
}

impl Store {
    /// Fails if `name`, or a directory above it, is there under another spelling.
    pub(super) fn check_spelling(&self, parents: &Parents, name: &Name) -> Result<(), StoreError> {
        if !self.spelling.may_fold() {
            return Ok(());
        }
        let (name, mut start) = (name.as_bytes(), 0_usize);
        parents.spelled().refresh(self.spelling.changes.load(Ordering::Acquire));
        for end in ends(name) {
            let above = &name[..start.saturating_sub(1)];
            // The change tells why it can't be had.
            let Ok(directory) = parents.find(above) else { break };
            let last = &name[start..end];
            start = end + 1;
            if !self.spelling.folds(&directory) {
                continue;
            }
            let shown = || String::from_utf8_lossy(&name[..end]).into_owned();
            let look = || self.rights.stat_at(&directory, last);
            let found = match self.rights.in_directory(&directory, look) {
                Ok(found) => found,
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(StoreError::at("look at", shown(), errno)),
            };
            let has = || parents.spelled().has(above, last, |take| read(&directory, take));
            let has = self.rights.in_directory(&directory, has);
            if !has.map_err(|errno| StoreError::at("look at", shown(), errno))? {
                let stored = || stored(&directory, last, &found);
                let stored = self.rights.in_directory(&directory, stored);
                let stored = stored.map_err(|errno| StoreError::at("look at", shown(), errno))?;
                return Err(StoreError::OtherSpelling { name: shown(), stored });
            }
        }
        Ok(())
    }
}

impl Store {
    /// Fails if a name that is to be changed is there under another spelling, unless that is the entry which is renamed.
    /// Returns the name if another look has to follow: the file system may store it otherwise than it comes (letters with
    /// accents on HFS+), or have renamed nothing.
    pub(super) fn look_before(
        &self,
        parents: &Parents,
        name: &Name,
        renamed: Option<&Name>,
    ) -> Result<Option<Name>, StoreError> {
        match self.check_spelling(parents, name) {
            Err(StoreError::OtherSpelling { name: at, stored: Some(stored) })
                if renamed.is_some_and(|from| {
                    (from.split().0, from.split().1) == (name.split().0, stored.as_bytes())
                        && at == name.to_string()
                }) => {}
            checked => checked?,
        }
        let is_odd = renamed.is_some() || !name.as_bytes().is_ascii();
        Ok(is_odd.then(|| name.clone()))
    }
}

/// Calls `take` with the names in a directory, until that is `false`.
fn read(directory: &OwnedFd, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        if !take(entry?.file_name().to_bytes()) {
            break;
        }
    }
    Ok(())
}

/// The spelling with which a directory has an entry that it has not in this one, if it is found.
fn stored(directory: &OwnedFd, last: &[u8], found: &Stat) -> Result<Option<String>, Errno> {
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase();
    let (wanted, mut other) = (lower(last), None);
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if lower(name) == wanted || (other.is_none() && entry.ino() == found.st_ino) {
            other = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(other)
}
