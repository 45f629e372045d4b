//! The next version of a directory, a *draft*: a tree of its own under `.haul/trees`, which takes the place of the present
//! one by one exchange of names (see [`swap`](super::swap)).
//!
//! A directory has a home there, named after its digest, with
//!
//! | name in the home | meaning | after a crash |
//! |---|---|---|
//! | `next-BOOT-TOKEN` | the next version, being put together; with accounts, `TOKEN` has [its owner](Owner) behind it everywhere | stays, and the next run goes on with it; after a restart of the machine it is thrown away, since nothing in it was flushed |
//! | `ready-MARK-BOOT-TOKEN` | the next version, complete; or, if its [mark](crate::store::mark) is another, the version that it has replaced | `next-BOOT-TOKEN`, and `done-TOKEN` goes; or `previous`, and `done-TOKEN` is made |
//! | `back-MARK` | the version before, about to come back; or the one that it has replaced | `previous` |
//! | `previous` | the version before the present one | stays |
//! | `version-MARK-TIME-FILES`, `version-MARK-TIME-FILES-TOKEN` | the facts about the version that has this mark; with a `TOKEN`, that a rollback has brought it back (see [`notes`]) | stays |
//! | `done-TOKEN` | the last draft that was published: a client that asks again is answered the same | stays |
//!
//! So every moment of a swap can be told from the names alone, and no file names the step that was under way.

mod closing;
mod room;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use haul_protocol::{Code, Name, Refusal, Token};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::closed::Closed;
use super::heritage::Heritage;
use super::home::{DONE, NEXT, Owner, READY, home_of, is_directory};
use super::notes::{self, Facts, Note};
use crate::locks::{Rank, ReadGuard, RwLock, WriteGuard};
use crate::store::error::StoreError;
use crate::store::open::BENEATH;
use crate::store::private::PRIVATE;
use crate::store::quota::Draft;
use crate::store::recover::TREES;
use crate::store::root::{Parents, Root};
use crate::store::temp::entries;
use crate::store::{Reserved, Store, sys};
pub(in crate::store) use closing::Closing;
pub(crate) use room::{Earlier, Room, given_up};

/// Entries that a version makes: the home of the directory's versions and the tree; at the swap two notes, and the name.
const ENTRIES: usize = 5;

/// Those of them that are made when it is opened.
const MADE_FIRST: u64 = 2;

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
    done: AtomicBool,
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
    /// Begins the next version of a directory that is closed, or goes on with that of an earlier run. From then on nobody
    /// changes the present one.
    pub(crate) fn open(
        closed: Closed,
        parents: &Parents,
        earlier: Earlier,
        (new, owner): (Token, &Owner),
    ) -> Result<Self, StoreError> {
        let (store, name) = (&closed.store, &closed.name);
        store.abilities.check(name)?;
        let present = present(parents, name)?;
        let (room, id, home) = match store.admit_entries(name, ENTRIES) {
            // It was begun when there was room, or is published. Its swap asks for room again.
            Err(StoreError::NoRoom { .. }) if matches!(earlier, Earlier::Tree(_)) => {
                let (id, home) = store.home_there(name).map_err(|error| match error {
                    StoreError::NoVersion { name } => StoreError::VersionGone { name },
                    error => error,
                })?;
                (store.reserve(name, 0)?, id, home)
            }
            room => {
                let room = room?;
                let (id, home) = store.home(name)?;
                (room, id, home)
            }
        };
        let opened =
            Self::open_in(store, parents, name, (present, &id, home, room), earlier, (new, owner));
        match &opened {
            Ok(_) => closed.hand_over(),
            Err(_) => store.forget_home(&id),
        }
        opened
    }

    fn open_in(
        store: &Arc<Store>,
        parents: &Parents,
        name: &Name,
        (present, id, home, room): (Option<Arc<Root>>, &str, OwnedFd, Reserved),
        earlier: Earlier,
        (new, owner): (Token, &Owner),
    ) -> Result<Self, StoreError> {
        store.settle(&home, name)?;
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let found = entries(&home).map_err(failed("look for versions of"))?;
        let boot = store.boot_tag();
        let mut started = None;
        for next in found.iter().filter_map(|entry| entry.strip_prefix(NEXT)) {
            // A draft that was never flushed may look whole after a loss of power, and not be.
            match next.split_once('-') {
                // Nobody else's business.
                Some((of, token)) if of == boot && !owner.has(token) => {}
                Some((of, token))
                    if of == boot
                        && started.is_none()
                        && is_directory(&home, &format!("{NEXT}{next}")) =>
                {
                    started = Some(token);
                }
                _ => store
                    .trash
                    .throw(&home, &format!("{NEXT}{next}"))
                    .map_err(failed("begin a version of"))?,
            }
        }
        let heritage =
            Heritage::now(parents, name, present.as_deref()).map_err(failed("look at"))?;
        let is_heir = match started {
            Some(token) => open_draft(&home, &format!("{NEXT}{boot}-{token}"))
                .and_then(|draft| heritage.is_of(draft.as_fd()))
                .map_err(failed("go on with the next version of"))?,
            None => true,
        };
        // Everything in it has inherited something else.
        if let (Earlier::Any, Some(token), false) = (earlier, started, is_heir) {
            let thrown = store.trash.throw(&home, &format!("{NEXT}{boot}-{token}"));
            thrown.map_err(failed("begin a version of"))?;
            started = None;
        }
        let is_heir = is_heir || started.is_none();
        let (token, resumed, done) = match (earlier, started) {
            (Earlier::Tree(token), Some(found)) if found == owner.tagged(token) => {
                (token, true, false)
            }
            (Earlier::Tree(token), _)
                if found.contains(&format!("{DONE}{}", owner.tagged(token))) =>
            {
                (token, true, true)
            }
            // Somebody else has begun anew, or published, in the meantime.
            (Earlier::Tree(_), _) | (Earlier::GivenUp(_), Some(_)) => {
                return Err(StoreError::VersionGone { name: name.to_string() });
            }
            (Earlier::Any, Some(old)) => {
                let to = format!("{NEXT}{boot}-{}", owner.tagged(new));
                let old = format!("{NEXT}{boot}-{old}");
                sys::rename(&home, old.as_bytes(), &home, to.as_bytes())
                    .map_err(failed("go on with the next version of"))?;
                (new, true, false)
            }
            (Earlier::Any | Earlier::GivenUp(_), None) => {
                let token = if let Earlier::GivenUp(token) = earlier { token } else { new };
                let to = format!("{NEXT}{boot}-{}", owner.tagged(token));
                sys::make_directory(&home, to.as_bytes(), Mode::RWXU)
                    .map_err(failed("begin a version of"))?;
                let draft = open_draft(&home, &to).map_err(failed("open the next version of"))?;
                heritage.give(&draft, name);
                (token, false, false)
            }
        };
        let tag = owner.tagged(token);
        let root = match &present {
            Some(present) if done => Arc::clone(present),
            _ => {
                // Nothing is put into a version that is done. If somebody has removed it, any directory will do.
                let tree = if done { String::from(".") } else { format!("{NEXT}{boot}-{tag}") };
                let tree = open_draft(&home, &tree);
                Arc::new(Root::of(tree.map_err(failed("open the next version of"))?, store.path()))
            }
        };
        let counted = if done {
            Draft::of(name)
        } else {
            let path = format!("{PRIVATE}/{TREES}/{id}/{NEXT}{boot}-{tag}");
            store.quotas.draft((id, &tag), name, Some(&*path).filter(|_| resumed))
        };
        let (store, name) = (Arc::clone(store), name.clone());
        let state = RwLock::new(Rank::Version, if done { State::Done } else { State::Next });
        let (id, done, given_up) = (id.to_owned(), AtomicBool::new(done), AtomicBool::new(false));
        room.used_entries(MADE_FIRST, ENTRIES as u64);
        let (begun, active) = (Instant::now(), AtomicU64::new(0));
        let (completing, closings) = (AtomicBool::new(false), AtomicUsize::new(0));
        Ok(Self {
            name,
            token,
            tag,
            resumed,
            state,
            done,
            given_up,
            completing,
            closings,
            begun,
            active,
            store,
            id,
            home,
            root,
            counted,
            present,
            heritage: is_heir.then_some(heritage),
            room,
        })
    }

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
                    tracing::warn!(name = %self.name, %errno, "could not note when a version is published");
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

impl Store {
    /// The home of a directory's versions, made if there is none. The caller has room for it.
    fn home(&self, name: &Name) -> Result<(String, OwnedFd), StoreError> {
        let id = home_of(name);
        match sys::make_directory(&self.trees, id.as_bytes(), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.home_there(name),
            Err(errno) => Err(StoreError::new("open the versions of", name, errno)),
        }
    }

    /// The home of a directory's versions, if there is one.
    pub(in crate::store) fn home_there(
        &self,
        name: &Name,
    ) -> Result<(String, OwnedFd), StoreError> {
        let id = home_of(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.trees, &id, flags, Mode::empty(), BENEATH) {
            Ok(home) => Ok((id, home)),
            Err(Errno::NOENT) => Err(StoreError::NoVersion { name: name.to_string() }),
            Err(errno) => Err(StoreError::new("open the versions of", name, errno)),
        }
    }
}

fn open_draft(home: &OwnedFd, draft: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(home, draft, flags, Mode::empty())
}

/// The directory that stands under a name now, if there is one.
pub(in crate::store) fn present(
    parents: &Parents,
    name: &Name,
) -> Result<Option<Arc<Root>>, StoreError> {
    let (above, last) = name.split();
    let parent = match parents.existing(above) {
        Ok(parent) => parent,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let failed = |errno| StoreError::new("open", name, errno);
    let look = || parents.rights().stat_at(&parent, last);
    match parents.rights().in_directory(&parent, look) {
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => return Err(StoreError::Escape { link: name.to_string() }),
            _ => return Err(StoreError::new("publish", name, Errno::NOTDIR)),
        },
    }
    let found = parents.rights().open_in(&parent, last);
    Ok(Some(Arc::new(Root::of(found.map_err(failed)?, parents.path()))))
}

#[cfg(test)]
mod tests;
