//! How a draft begins: the client goes on with one that it finds, or begins anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Instant;

use haul_protocol::{Name, Token};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{ENTRIES, Earlier, MADE_FIRST, State, Version};
use crate::locks::{Rank, RwLock};
use crate::store::error::StoreError;
use crate::store::open::BENEATH;
use crate::store::quota::Draft;
use crate::store::root::{Parents, Root};
use crate::store::temp::entries;
use crate::store::versions::closed::Closed;
use crate::store::versions::heritage::Heritage;
use crate::store::versions::home::{DONE, NEXT, Owner, home_of, is_directory};
use crate::store::{Reserved, Store, sys};

/// The home of a directory's versions, with the room for those entries that are still to be made.
struct Home {
    id: String,
    directory: OwnedFd,
    room: Reserved,
}

/// The draft that a client gets.
struct Chosen {
    token: Token,
    /// The token in the names of the draft, with its owner.
    tag: String,
    from: From,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// It was made now.
    New,
    /// An earlier run began it.
    Earlier,
    /// It was published, and only that is to be told again.
    Published,
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
        let home = store.home_with_room(name, earlier)?;
        let id = home.id.clone();
        let opened = Self::open_in(store, parents, name, (present, home), earlier, (new, owner));
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
        (present, home): (Option<Arc<Root>>, Home),
        earlier: Earlier,
        (new, owner): (Token, &Owner),
    ) -> Result<Self, StoreError> {
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let Home { id, directory: home, room } = home;
        store.settle(&home, name)?;
        let found = entries(&home).map_err(failed("look for versions of"))?;
        let started = store.started_draft(&home, name, owner, &found)?;
        let heritage =
            Heritage::now(parents, name, present.as_deref()).map_err(failed("look at"))?;
        let (started, is_heir) =
            store.draft_that_may_go_on(&home, name, (started, earlier), &heritage)?;
        let chosen = choose(name, earlier, (started, &found), (new, owner))?;
        match (chosen.from, started) {
            (From::New, _) => store.make_draft(&home, name, &chosen.tag, &heritage)?,
            (From::Earlier, Some(old)) if old != chosen.tag => {
                store.rename_draft(&home, name, (old, &chosen.tag))?;
            }
            (From::Earlier | From::Published, _) => {}
        }
        let Chosen { token, tag, from } = chosen;
        let (resumed, done) = (from != From::New, from == From::Published);
        let root = match &present {
            Some(present) if done => Arc::clone(present),
            _ => {
                // Nothing is put into a version that is done. If somebody has removed it, any directory will do.
                let tree = if done { String::from(".") } else { store.draft_name(&tag) };
                let tree = open_draft(&home, &tree).map_err(failed("open the next version of"))?;
                Arc::new(Root::of(tree, store.path()))
            }
        };
        let counted =
            if done { Draft::of(name) } else { store.quotas.draft((&id, &tag), name, resumed) };
        room.used_entries(MADE_FIRST, ENTRIES as u64);
        Ok(Self {
            name: name.clone(),
            token,
            tag,
            resumed,
            state: RwLock::new(Rank::Version, if done { State::Done } else { State::Next }),
            done: Arc::new(AtomicBool::new(done)),
            given_up: AtomicBool::new(false),
            completing: AtomicBool::new(false),
            closings: AtomicUsize::new(0),
            begun: Instant::now(),
            active: AtomicU64::new(0),
            store: Arc::clone(store),
            id,
            home,
            root,
            counted,
            present,
            heritage: is_heir.then_some(heritage),
            room,
        })
    }
}

/// Chooses the draft that a client gets: of its owner the one that is `started`, if the client knows that one or none; one that
/// is done, if the client knows it; or a new one.
fn choose(
    name: &Name,
    earlier: Earlier,
    (started, found): (Option<&str>, &[String]),
    (new, owner): (Token, &Owner),
) -> Result<Chosen, StoreError> {
    let (token, from) = match (earlier, started) {
        (Earlier::Tree(token), Some(old)) if old == owner.tagged(token) => (token, From::Earlier),
        (Earlier::Tree(token), _) if found.contains(&format!("{DONE}{}", owner.tagged(token))) => {
            (token, From::Published)
        }
        // Somebody else has begun anew, or published, in the meantime.
        (Earlier::Tree(_), _) | (Earlier::GivenUp(_), Some(_)) => {
            return Err(StoreError::VersionGone { name: name.to_string() });
        }
        (Earlier::Any, Some(_)) => (new, From::Earlier),
        (Earlier::Any, None) => (new, From::New),
        (Earlier::GivenUp(token), None) => (token, From::New),
    };
    Ok(Chosen { token, tag: owner.tagged(token), from })
}

impl Store {
    /// The home of a directory's versions, and the room for the entries of one more.
    fn home_with_room(&self, name: &Name, earlier: Earlier) -> Result<Home, StoreError> {
        match self.admit_entries(name, ENTRIES) {
            // It was begun when there was room, or is published. Its swap asks for room again.
            Err(StoreError::NoRoom { .. }) if matches!(earlier, Earlier::Tree(_)) => {
                let (id, directory) = self.home_there(name).map_err(|error| match error {
                    StoreError::NoVersion { name } => StoreError::VersionGone { name },
                    error => error,
                })?;
                Ok(Home { id, directory, room: self.reserve(name, 0)? })
            }
            room => {
                let room = room?;
                let (id, directory) = self.home(name)?;
                Ok(Home { id, directory, room })
            }
        }
    }

    /// The name of a draft in its home.
    fn draft_name(&self, tag: &str) -> String {
        format!("{NEXT}{}-{tag}", self.boot_tag())
    }

    /// The tag of the draft that an earlier run of this owner has begun. All others of the owner, and those of another boot of
    /// the machine, are thrown away.
    fn started_draft<'a>(
        &self,
        home: &OwnedFd,
        name: &Name,
        owner: &Owner,
        found: &'a [String],
    ) -> Result<Option<&'a str>, StoreError> {
        let boot = self.boot_tag();
        let mut started = None;
        for next in found.iter().filter_map(|entry| entry.strip_prefix(NEXT)) {
            // A draft that was never flushed may look whole after a loss of power, and not be.
            match next.split_once('-') {
                // Nobody else's business.
                Some((of, tag)) if of == boot && !owner.has(tag) => {}
                Some((of, tag))
                    if of == boot
                        && started.is_none()
                        && is_directory(home, &format!("{NEXT}{next}")) =>
                {
                    started = Some(tag);
                }
                _ => self
                    .trash
                    .throw(home, &format!("{NEXT}{next}"))
                    .map_err(|errno| StoreError::new("begin a version of", name, errno))?,
            }
        }
        Ok(started)
    }

    /// Tells whether the draft that was begun has inherited the same as a new one would. One that has not is thrown away, if
    /// the client does not ask for it.
    fn draft_that_may_go_on<'a>(
        &self,
        home: &OwnedFd,
        name: &Name,
        (started, earlier): (Option<&'a str>, Earlier),
        heritage: &Heritage,
    ) -> Result<(Option<&'a str>, bool), StoreError> {
        let Some(tag) = started else { return Ok((None, true)) };
        let draft = self.draft_name(tag);
        let is_heir = open_draft(home, &draft)
            .and_then(|draft| heritage.is_of(draft.as_fd()))
            .map_err(|errno| StoreError::new("go on with the next version of", name, errno))?;
        // Everything in it has inherited something else.
        if !is_heir && earlier == Earlier::Any {
            let thrown = self.trash.throw(home, &draft);
            thrown.map_err(|errno| StoreError::new("begin a version of", name, errno))?;
            return Ok((None, true));
        }
        Ok((started, is_heir))
    }

    fn make_draft(
        &self,
        home: &OwnedFd,
        name: &Name,
        tag: &str,
        heritage: &Heritage,
    ) -> Result<(), StoreError> {
        let draft = self.draft_name(tag);
        sys::make_directory(home, draft.as_bytes(), Mode::RWXU)
            .map_err(|errno| StoreError::new("begin a version of", name, errno))?;
        let draft = open_draft(home, &draft)
            .map_err(|errno| StoreError::new("open the next version of", name, errno))?;
        heritage.give(&draft, name);
        Ok(())
    }

    fn rename_draft(
        &self,
        home: &OwnedFd,
        name: &Name,
        (old, new): (&str, &str),
    ) -> Result<(), StoreError> {
        let (old, new) = (self.draft_name(old), self.draft_name(new));
        sys::rename(home, old.as_bytes(), home, new.as_bytes())
            .map_err(|errno| StoreError::new("go on with the next version of", name, errno))
    }

    /// The home of a directory's versions, made if there is none. The caller has room for it.
    fn home(&self, name: &Name) -> Result<(String, OwnedFd), StoreError> {
        let id = home_of(name);
        self.note_home(&id, name);
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
