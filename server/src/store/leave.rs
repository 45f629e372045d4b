//! The end of a server that came for one client: it leaves nothing of its own in the root that nobody needs.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::Store;
use super::open::DIRECTORY;
use super::private::PRIVATE;
use super::recover::{HOOKS, LOCK, NAMES, OPENED, PARTIALS, SOCKET, STAGED, STATUS, TRASH, TREES};
use super::temp::entries;
use super::temp::staging::{DIRECTORIES, sweep};

/// Directories whose entries a later run needs.
const KEPT: [&str; 4] = [PARTIALS, TREES, TRASH, OPENED];

/// The end of the names of journals.
const JOURNAL: &str = ".journal";

impl Store {
    /// Removes `.haul` if it holds no partial, version, spool of a hook or other rest that a later run needs. Nothing else may be done with the
    /// store after that; the lock is held to its end, so no other server has begun.
    pub(crate) fn leave(&self) {
        match self.try_leave() {
            Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => tracing::debug!(%errno, "could not remove `.haul`"),
        }
    }

    fn try_leave(&self) -> Result<(), Errno> {
        if self.present.look().is_err() {
            return Ok(());
        }
        let private = self.root.resolve(PRIVATE.as_bytes())?;
        if rustix::fs::statat(&private, HOOKS, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Ok(());
        }
        for name in KEPT {
            let found = entries(&open(&private, name)?)?;
            // The journal of a committed file is for a client that did not get the answer, and this one has gone. If it has left an
            // upload half done, it has been interrupted, and will come back for both.
            let is_needed = |entry: &String| name != PARTIALS || !entry.ends_with(JOURNAL);
            if found.iter().any(is_needed) {
                return Ok(());
            }
        }
        let staged = |number| format!("{STAGED}/{number}");
        for name in (0..DIRECTORIES).map(staged).chain([NAMES, PARTIALS].map(String::from)) {
            sweep(&open(&private, &name)?)?;
        }
        let inner = (0..DIRECTORIES).map(staged);
        let all = [STAGED, NAMES].into_iter().chain(KEPT).map(String::from);
        for name in inner.chain(all) {
            rustix::fs::unlinkat(&private, &*name, AtFlags::REMOVEDIR)?;
        }
        // Others look for the lock last, and take no file for it that has lost its name.
        for name in [SOCKET, STATUS, LOCK] {
            match rustix::fs::unlinkat(&private, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        rustix::fs::unlinkat(&*self.root, PRIVATE, AtFlags::REMOVEDIR)
    }
}

fn open(private: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(private, name, DIRECTORY, Mode::empty())
}
