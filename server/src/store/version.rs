//! The next version of a directory: a tree of its own under `.haul/trees`, which takes the place of the present
//! one by one exchange of names.
//!
//! A directory has a home there, named after its digest, with
//!
//! | name in the home | what it is | after a crash |
//! |---|---|---|
//! | `next-TOKEN` | the next version, being put together | stays; the next run goes on with it |
//! | `ready-INODE-TOKEN` | the next version, complete; or, if its inode is another, the version that it has replaced | `next-TOKEN`; or `previous`, and `done-TOKEN` is made |
//! | `back-INODE` | the version before, about to come back; or the one that it has replaced | `previous` |
//! | `previous` | the version before the present one | stays |
//! | `done-TOKEN` | the last tree that was published: whoever asks again is told so | stays |
//!
//! So every moment of a swap can be told from the names alone, and no file says what was meant to be done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use haul_protocol::{Attributes, Digest, Name, Token};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{kept, times};
use super::error::StoreError;
use super::group::Touched;
use super::root::{BENEATH, Parents, Root};
use super::{Store, disk};

const NEXT: &str = "next-";
const READY: &str = "ready-";
const BACK: &str = "back-";
const DONE: &str = "done-";
const PREVIOUS: &str = "previous";

/// A tree that is to be the next version of a directory. While it is open nobody else changes the present one.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: Name,
    pub(crate) token: Token,
    /// It was begun by an earlier run.
    pub(crate) resumed: bool,
    state: Mutex<State>,
    store: Arc<Store>,
    id: String,
    home: OwnedFd,
    root: Arc<Root>,
    present: Option<Arc<Root>>,
}

/// How far it is.
#[derive(Debug)]
enum State {
    /// Being put together.
    Next,
    /// Complete, under this name.
    Ready(String),
    /// Published, and only that is to be told again.
    Done,
}

/// A version takes the present one's place.
#[derive(Debug)]
pub(crate) struct Swap {
    version: Arc<Version>,
    attributes: Attributes,
}

impl Version {
    /// Begins the next version of a directory, or goes on with it; with `token`, with that and no other. From
    /// then on nobody changes the present one.
    pub(crate) fn open(
        store: &Arc<Store>,
        parents: &Parents,
        name: &Name,
        token: Option<Token>,
        new: Token,
    ) -> Result<Self, StoreError> {
        if !store.guard.close(name) {
            return Err(StoreError::Publishing { name: name.to_string() });
        }
        let opened = Self::open_closed(store, parents, name, token, new);
        if opened.is_err() {
            store.guard.open(name);
        }
        opened
    }

    fn open_closed(
        store: &Arc<Store>,
        parents: &Parents,
        name: &Name,
        token: Option<Token>,
        new: Token,
    ) -> Result<Self, StoreError> {
        let present = present(parents, name)?;
        let (id, home) = store.home(name)?;
        store.settle(&home, name)?;
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let found = entries(&home).map_err(failed("look for versions of"))?;
        let started = found.iter().find_map(|entry| entry.strip_prefix(NEXT));
        let (token, resumed, done) = match (token, started) {
            (Some(token), _) if found.contains(&format!("{DONE}{token}")) => (token, true, true),
            (Some(token), Some(found)) if found == token.to_string() => (token, true, false),
            // Somebody else has begun anew, or published, in the meantime.
            (Some(_), _) => return Err(StoreError::VersionGone { name: name.to_string() }),
            (None, Some(old)) => {
                let (old, to) = (format!("{NEXT}{old}"), format!("{NEXT}{new}"));
                disk::rename(&home, old.as_bytes(), &home, to.as_bytes())
                    .map_err(failed("go on with the next version of"))?;
                (new, true, false)
            }
            (None, None) => {
                let to = format!("{NEXT}{new}");
                disk::make_directory(&home, to.as_bytes(), Mode::RWXU)
                    .map_err(failed("begin a version of"))?;
                (new, false, false)
            }
        };
        let root = match &present {
            Some(present) if done => Arc::clone(present),
            _ => {
                let tree = format!("{NEXT}{token}");
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let tree = rustix::fs::openat(&home, tree, flags, Mode::empty());
                Arc::new(Root::of(tree.map_err(failed("open the next version of"))?, store.path()))
            }
        };
        let (store, name) = (Arc::clone(store), name.clone());
        let state = Mutex::new(if done { State::Done } else { State::Next });
        Ok(Self { name, token, resumed, state, store, id, home, root, present })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has been published.
    pub(crate) fn is_done(&self) -> bool {
        matches!(*self.state(), State::Done)
    }

    /// Gives it the name that says that it is complete; `None` if it was published before.
    fn make_ready(&self, state: &mut State) -> Result<Option<String>, StoreError> {
        match state {
            State::Done => Ok(None),
            State::Ready(ready) => Ok(Some(ready.clone())),
            State::Next => {
                let failed = |errno| StoreError::new("publish", &self.name, errno);
                let inode = rustix::fs::fstat(&*self.root).map_err(failed)?.st_ino;
                let next = format!("{NEXT}{}", self.token);
                let ready = format!("{READY}{inode}-{}", self.token);
                match disk::rename(&self.home, next.as_bytes(), &self.home, ready.as_bytes()) {
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

    /// Directories of the tree.
    pub(crate) fn parents(&self) -> Parents {
        Parents::new(&self.root, self.store.implied_mode())
    }

    /// Directories of the present version, if there is one.
    pub(crate) fn present(&self) -> Option<Parents> {
        Some(Parents::new(self.present.as_ref()?, self.store.implied_mode()))
    }

    /// What keeps the large files of this tree apart from others of the same name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        self.store.guard.open(&self.name);
    }
}

impl Swap {
    /// With the mode and mtime that the directory itself gets.
    pub(crate) fn new(version: Arc<Version>, attributes: Attributes) -> Self {
        Self { version, attributes }
    }

    /// Everything in the tree is flushed, and then its name says that it is complete.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        let Version { name, home, .. } = &*self.version;
        let failed = |errno| StoreError::new("flush the next version of", name, errno);
        disk::sync_file_system(home).map_err(failed)?;
        self.version.make_ready(&mut self.version.state())?;
        disk::sync_directory(home).map_err(failed)
    }

    /// The exchange. Asked for twice, it happens once.
    pub(super) fn apply(
        self,
        store: &Store,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let mut state = self.version.state();
        let Some(ready) = self.version.make_ready(&mut state)? else { return Ok(()) };
        let Version { name, home, id, token, .. } = &*self.version;
        let swapped = store.exchange(parents, home, &ready, name, &self.attributes, touched);
        store.touched_home(home, id, touched);
        // Settling tells it from the names, but not if nothing was there before.
        let noted = if swapped.is_ok() { done(home, &token.to_string()) } else { Ok(()) };
        if let Err(errno) = noted.and_then(|()| settle(home, &store.trash)) {
            // It has happened all the same, or not; the next one settles what is left.
            tracing::error!(%name, %errno, "could not settle the versions of a directory");
        }
        *state = if swapped.is_ok() { State::Done } else { State::Next };
        swapped
    }
}

impl Store {
    /// Puts the version before the present one in its place again.
    pub(super) fn roll_back(
        &self,
        parents: &Parents,
        name: &Name,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        if !self.guard.close(name) {
            return Err(StoreError::Publishing { name: name.to_string() });
        }
        let result = self.bring_back(parents, name, touched);
        self.guard.open(name);
        result
    }

    fn bring_back(
        &self,
        parents: &Parents,
        name: &Name,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        present(parents, name)?;
        let (id, home) = self.home(name)?;
        self.settle(&home, name)?;
        let failed = |errno| StoreError::new("bring back the version before of", name, errno);
        let stat = match rustix::fs::statat(&home, PREVIOUS, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(StoreError::NoVersion { name: name.to_string() }),
            Err(errno) => return Err(failed(errno)),
        };
        let back = format!("{BACK}{}", stat.st_ino);
        disk::rename(&home, PREVIOUS.as_bytes(), &home, back.as_bytes()).map_err(failed)?;
        if self.durable {
            disk::sync_directory(&home).map_err(failed)?;
        }
        let swapped = self.exchange(parents, &home, &back, name, &Attributes::default(), touched);
        self.touched_home(&home, &id, touched);
        if let Err(errno) = settle(&home, &self.trash) {
            tracing::error!(%name, %errno, "could not settle the versions of a directory");
        }
        swapped
    }

    /// Changes a directory of a home with what stands under a name; or moves it there, if nothing does.
    fn exchange(
        &self,
        parents: &Parents,
        home: &OwnedFd,
        from: &str,
        name: &Name,
        attributes: &Attributes,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let (above, last) = name.split();
        let parent = parents.of(name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let tree = rustix::fs::openat(home, from, flags, Mode::empty()).map_err(failed("open"))?;
        let mode = match kept(attributes.mode) {
            Some(mode) => mode,
            None => mode_of(&tree).map_err(failed("look at"))?,
        };
        // Whose owner may not write to it can't be moved, so the last bits come afterwards.
        disk::set_mode(&tree, mode | Mode::RWXU).map_err(failed("set mode of"))?;
        if let Some(mtime) = attributes.mtime {
            disk::set_times(&tree, &times(mtime)).map_err(failed("set mtime of"))?;
        }
        let swapped = match disk::exchange(home, from.as_bytes(), &parent, last) {
            Err(Errno::NOENT) => disk::rename_new(home, from.as_bytes(), &parent, last),
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => opened_up(&parent, last, errno, || {
                disk::exchange(home, from.as_bytes(), &parent, last)
            }),
            swapped => swapped,
        };
        swapped.map_err(failed("publish"))?;
        self.guard.swapped();
        parents.clear();
        if self.durable {
            // Before anything says that it has happened.
            for directory in [&*parent, home] {
                disk::sync_directory(directory).map_err(|errno| StoreError::Uncertain {
                    directory: String::from_utf8_lossy(above).into_owned(),
                    source: errno.into(),
                })?;
            }
        }
        touched.directory(above, &parent);
        let result = disk::set_mode(&tree, mode).map_err(failed("set mode of"));
        touched.attributes(name.as_bytes(), &tree.into());
        result
    }

    fn touched_home(&self, home: &OwnedFd, id: &str, touched: &mut Touched) {
        match home.try_clone() {
            Ok(home) => touched.directory(format!(".haul/trees/{id}").as_bytes(), &home.into()),
            Err(_) => touched.everything(),
        }
    }

    /// The home of a directory's versions, made if there is none.
    fn home(&self, name: &Name) -> Result<(String, OwnedFd), StoreError> {
        let failed = |errno| StoreError::new("open the versions of", name, errno);
        let id: String = Digest::of(name.as_bytes()).to_string().chars().take(32).collect();
        match disk::make_directory(&self.trees, id.as_bytes(), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let home = rustix::fs::openat2(&self.trees, &id, flags, Mode::empty(), BENEATH);
        Ok((id, home.map_err(failed)?))
    }

    /// Finishes what a swap has left, completed or not; see the table above.
    fn settle(&self, home: &OwnedFd, name: &Name) -> Result<(), StoreError> {
        settle(home, &self.trash)
            .map_err(|errno| StoreError::new("settle versions of", name, errno))
    }

    /// Settles every home, at the start.
    pub(super) fn settle_all(&self) -> Result<(), Errno> {
        for id in entries(&self.trees)? {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            settle(&rustix::fs::openat(&self.trees, &id, flags, Mode::empty())?, &self.trash)?;
        }
        Ok(())
    }

    /// Throws away next versions that nobody has come back for.
    pub(crate) fn forget_versions(&self, keep: Duration) -> Result<(), Errno> {
        for id in entries(&self.trees)? {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let home = rustix::fs::openat(&self.trees, &id, flags, Mode::empty())?;
            let changed = rustix::fs::fstat(&home)?.st_mtime;
            let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(changed).unwrap_or(0));
            // A clock that was set back makes it young, not old.
            if changed.elapsed().unwrap_or_default() < keep || self.guard.is_any_closed() {
                continue;
            }
            for next in entries(&home)?.iter().filter(|entry| entry.starts_with(NEXT)) {
                self.trash.throw(&home, next)?;
            }
        }
        Ok(())
    }
}

/// What stands under a name now: a directory, or nothing.
fn present(parents: &Parents, name: &Name) -> Result<Option<Arc<Root>>, StoreError> {
    let (above, last) = name.split();
    let parent = match parents.existing(above) {
        Ok(parent) => parent,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let failed = |errno| StoreError::new("open", name, errno);
    match rustix::fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => return Err(StoreError::Escape { link: name.to_string() }),
            _ => return Err(StoreError::new("publish", name, Errno::NOTDIR)),
        },
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(&parent, last, flags, Mode::empty(), BENEATH);
    Ok(Some(Arc::new(Root::of(found.map_err(failed)?, parents.path()))))
}

fn settle(home: &OwnedFd, trash: &super::trash::Trash) -> Result<(), Errno> {
    for entry in entries(home)? {
        if entry.starts_with(BACK) {
            disk::rename(home, entry.as_bytes(), home, PREVIOUS.as_bytes())?;
        }
        let Some((inode, token)) = entry.strip_prefix(READY).and_then(|rest| rest.split_once('-'))
        else {
            continue;
        };
        let stat = rustix::fs::statat(home, &entry, AtFlags::SYMLINK_NOFOLLOW)?;
        if stat.st_ino.to_string() == inode {
            let next = format!("{NEXT}{token}");
            disk::rename(home, entry.as_bytes(), home, next.as_bytes())?;
            continue;
        }
        done(home, token)?;
        trash.throw(home, PREVIOUS)?;
        disk::rename(home, entry.as_bytes(), home, PREVIOUS.as_bytes())?;
    }
    Ok(())
}

/// Notes that a tree was published, and forgets the one before.
fn done(home: &OwnedFd, token: &str) -> Result<(), Errno> {
    let new = format!("{DONE}{token}");
    for old in entries(home)?.iter().filter(|entry| entry.starts_with(DONE) && **entry != new) {
        disk::unlink(home, old.as_bytes())?;
    }
    let flags = OFlags::WRONLY;
    disk::create(home, new.as_bytes(), flags, Mode::RUSR | Mode::WUSR).map(drop)
}

fn mode_of(tree: &OwnedFd) -> Result<Mode, Errno> {
    Ok(Mode::from_raw_mode(rustix::fs::fstat(tree)?.st_mode & 0o777))
}

/// Does something for which a directory has to be writable for its owner; then it is as before.
fn opened_up(
    parent: &OwnedFd,
    last: &[u8],
    refused: Errno,
    then: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, last, flags, Mode::empty())?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&directory)?.st_mode & 0o7777);
    if mode.contains(Mode::RWXU) {
        return Err(refused);
    }
    disk::set_mode(&directory, mode | Mode::RWXU)?;
    let result = then();
    disk::set_mode(&directory, mode)?;
    result
}

/// All names in a directory of ours.
pub(super) fn entries(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
    }
    Ok(names)
}
