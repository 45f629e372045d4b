//! The next version of a directory, a *draft*: a tree of its own under `.haul/trees`, which takes the place of the present
//! one by one exchange of names (see [`swap`](super::swap)).
//!
//! A directory has a home there, named after its digest, with
//!
//! | name in the home | meaning | after a crash |
//! |---|---|---|
//! | `next-BOOT-TOKEN` | the next version, being put together; with accounts, `TOKEN` has [its owner](super::home::Owner) behind it everywhere | stays, and the next run goes on with it; after a restart of the machine it is thrown away, since nothing in it was flushed |
//! | `next-BOOT-stale`, the owner behind it | such a draft that was left before another owner has published: its token holds no more, and the next run of its owner gives it another | the same |
//! | `ready-MARK-BOOT-TOKEN` | the next version, complete; or, if its [mark](crate::store::mark) is another, the version that it has replaced | `next-BOOT-TOKEN`, and `done-TOKEN` goes; or `previous`, and `done-TOKEN` is made |
//! | `back-MARK` | the version before, about to come back; or the one that it has replaced | `previous` |
//! | `previous` | the version before the present one | stays |
//! | `version-MARK-TIME-FILES`, `version-MARK-TIME-FILES-TOKEN` | the facts about the version that has this mark; with a `TOKEN`, that a rollback has brought it back (see [`notes`]) | stays |
//! | `done-TOKEN` | the last draft that was published: a client that asks again is answered the same | stays |
//!
//! So every moment of a swap can be told from the names alone, and no file names the step that was under way.

mod closing;
mod opening;
mod room;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use haul_protocol::{Code, Name, Refusal, Token};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

use super::heritage::Heritage;
use super::home::{NEXT, READY};
use super::notes::{self, Facts, Note};
use crate::locks::{ReadGuard, RwLock, WriteGuard};
use crate::store::error::StoreError;
use crate::store::quota::Draft;
use crate::store::root::{Parents, Root};
use crate::store::{Reserved, Store, sys};
pub(in crate::store) use closing::Closing;
pub(in crate::store) use opening::present;
pub(crate) use room::{Earlier, Room, given_up};

/// Entries that a version makes: the home of the directory's versions, its name and the tree; at the swap two notes, and the
/// name of the directory.
const ENTRIES: usize = 6;

/// Those of them that are made when it is opened.
const MADE_FIRST: u64 = 3;

/// A draft. While it is open nobody else changes the present version.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: Name,
    pub(crate) token: Token,
    /// The token in the names of the draft, with its owner.
    pub(in crate::store) tag: String,
    /// It was begun by an earlier run.
    pub(crate) resumed: bool,
    state: RwLock<State>,
    /// As `state`, for a look that waits for nobody.
    done: Arc<AtomicBool>,
    /// The same: it is given up, or that is being tried.
    given_up: AtomicBool,
    /// Somebody completes it, which may take as long as a flush.
    completing: AtomicBool,
    /// Publishes that are asked for and not over.
    closings: AtomicUsize,
    begun: Instant,
    /// Milliseconds from `begun` until something was last done for the draft.
    active: AtomicU64,
    store: Arc<Store>,
    pub(in crate::store) id: String,
    pub(in crate::store) home: OwnedFd,
    root: Arc<Root>,
    /// The bytes and entries that were sent for it, for quotas.
    counted: Arc<Draft>,
    present: Option<Arc<Root>>,
    /// Handed down to everything in the draft; `None` if that is not known to be what the present version had.
    heritage: Option<Heritage>,
    /// For what the swap makes.
    room: Reserved,
}

/// The state of a version.
#[derive(Debug)]
pub(crate) enum State {
    /// Being put together.
    Next,
    /// Complete, under this name.
    Ready(String),
    /// Published, and only that is to be told again.
    Done,
    /// Nothing was in it, and it has made room.
    GivenUp,
}

impl Version {
    /// Asks for the room that the swap takes, if the version was opened without.
    pub(super) fn ask_for_room(&self) -> Result<(), StoreError> {
        match self.room.left() {
            0 => (MADE_FIRST..ENTRIES as u64).try_for_each(|_| self.room.grow(&self.name, 0)),
            _ => Ok(()),
        }
    }

    /// For the thread that completes it.
    pub(in crate::store) fn state(&self) -> WriteGuard<'_, State> {
        self.completing.store(true, Ordering::Release);
        self.state.write()
    }

    /// The same, unless a change in the tree is under way, or somebody completes it already: a worker waits for neither.
    pub(in crate::store) fn try_state(&self) -> Option<WriteGuard<'_, State>> {
        let before = self.completing.swap(true, Ordering::AcqRel);
        let state = self.state.try_write();
        if state.is_none() && !before {
            self.completing.store(false, Ordering::Release);
        }
        state
    }

    /// Becomes true when it is published, and says so also when the version is over.
    pub(crate) fn done(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.done)
    }

    /// Whether it has been published.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// A permit to change something in the draft, which takes effect while the permit is held. None once its publish is
    /// asked for: the draft is flushed then, and soon everybody sees it. Nobody waits for that here.
    pub(crate) fn enter(&self) -> Result<ReadGuard<'_, State>, Refusal> {
        let state = match self.state.try_read() {
            // Somebody only looks whether it makes room, which takes a moment.
            None if !self.completing.load(Ordering::Acquire) => Some(self.state.read()),
            state => state,
        };
        match state {
            Some(state) if matches!(*state, State::Next) && !self.is_closing() => Ok(state),
            Some(state) if matches!(*state, State::GivenUp) => Err(given_up()),
            _ => Err(Refusal::new(Code::BadRequest, "this version is complete")),
        }
    }

    /// It has been published, or was before; or it can be filled again.
    pub(in crate::store) fn set_state(&self, state: &mut State, new: State) {
        self.done.store(matches!(new, State::Done), Ordering::Release);
        self.completing.store(matches!(new, State::Done), Ordering::Release);
        if matches!(new, State::Done) {
            self.room.used(self.room.left());
        }
        *state = new;
    }

    /// Gives it the name that says that it is complete; `None` if it was published before. Its client has counted so many
    /// `files`.
    pub(in crate::store) fn make_ready(
        &self,
        state: &mut State,
        files: Option<u64>,
    ) -> Result<Option<String>, StoreError> {
        match state {
            State::Done => Ok(None),
            State::Ready(ready) => Ok(Some(ready.clone())),
            State::GivenUp => Err(StoreError::VersionGone { name: self.name.to_string() }),
            State::Next => {
                let failed = |errno| StoreError::new("publish", &self.name, errno);
                let found = notes::look(self.root.as_fd(), "").map_err(failed)?;
                let mark = self.store.abilities.marking.of(&found).map_err(failed)?;
                let tag = format!("{}-{}", self.store.boot_tag(), self.tag);
                let (next, ready) = (format!("{NEXT}{tag}"), format!("{READY}{mark}-{tag}"));
                let note = Note { facts: Facts::now(files), rollback: None };
                if let Err(errno) = notes::write(&self.home, mark, &note) {
                    // It is for people.
                    tracing::warn!(name = self.name.as_bytes(), %errno, "could not note when a version is published");
                }
                match sys::rename(&self.home, next.as_bytes(), &self.home, ready.as_bytes()) {
                    // Published after all, when that could not be made sure of.
                    Err(Errno::NOENT) => {
                        return Err(StoreError::VersionGone { name: self.name.to_string() });
                    }
                    renamed => renamed.map_err(failed)?,
                }
                *state = State::Ready(ready.clone());
                Ok(Some(ready))
            }
        }
    }

    /// It is of no use to anybody.
    pub(in crate::store) fn throw_away(&self) -> Result<(), StoreError> {
        let next = format!("{NEXT}{}-{}", self.store.boot_tag(), self.tag);
        let thrown = self.store.trash.throw(&self.home, &next);
        self.store.quotas.forget_draft((&self.id, &self.tag));
        thrown.map_err(|errno| StoreError::new("throw away the next version of", &self.name, errno))
    }

    /// Directories of the draft.
    pub(crate) fn parents(&self) -> Parents {
        Parents::new(&self.root, self.store.making(Some(&self.counted)))
    }

    /// Directories of the present version, if there is one.
    pub(crate) fn present(&self) -> Option<Parents> {
        let present = self.present.as_ref()?;
        Some(Parents::new(present, self.store.making(None)))
    }

    /// The permission bits of the present version, if there is one.
    pub(in crate::store) fn present_mode(&self) -> Result<Option<u32>, StoreError> {
        let Some(present) = &self.present else { return Ok(None) };
        let stat = self.store.rights.stat(|| rustix::fs::fstat(&**present));
        let stat = stat.map_err(|errno| StoreError::new("look at", &self.name, errno))?;
        Ok(Some(stat.st_mode & 0o777))
    }

    /// Refuses a publish that would undo a change of group, setgid or ACLs of the present version.
    pub(super) fn check_heritage(&self, parents: &Parents) -> Result<(), StoreError> {
        let name = &self.name;
        let present = present(parents, name)?;
        let now = Heritage::now(parents, name, present.as_deref())
            .map_err(|errno| StoreError::new("look at", name, errno))?;
        match &self.heritage {
            Some(heritage) if heritage.is(&now) => Ok(()),
            _ => Err(StoreError::OtherHeritage { name: name.to_string() }),
        }
    }

    /// Keeps the large files of this draft apart from others of the same name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests;
