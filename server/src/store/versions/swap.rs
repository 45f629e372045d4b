//! The swap: a next version takes the place of the present one, or the one before does again.

use std::sync::{Arc, OnceLock};

use haul_protocol::{Attributes, Name, Token};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::closed::Closed;
use super::home::{BACK, PREVIOUS};
use super::notes::{self, Facts, Note};
use super::settle::{done, note, settle};
use super::stale::Stale;
use super::version::{Closing, State, Version, present};
use crate::store::attributes::{set_mode_of_directory, times};
use crate::store::commit::dirty::Touched;
use crate::store::error::StoreError;
use crate::store::mode::kept;
use crate::store::replaces::Replaces;
use crate::store::root::Parents;
use crate::store::{Store, sys};

/// A version takes the present one's place.
#[derive(Debug)]
pub(crate) struct Swap {
    version: Arc<Version>,
    attributes: Attributes,
    files: Option<u64>,
    /// Whether a present version makes way.
    pub(in crate::store) replaces: Replaces,
    /// Nothing in the draft can be changed any more.
    _closing: Closing,
}

/// The version before the present one takes its place.
#[derive(Debug)]
pub(crate) struct Rollback {
    /// The name of the directory.
    pub(crate) name: Name,
    /// Whether that is meant even if the last exchange was a rollback.
    pub(crate) again: bool,
    /// The same for a request that is made once more: then it has happened.
    pub(crate) token: Token,
    /// Whether the client has asked before: then this only tells whether the rollback was the last exchange.
    pub(crate) repeated: bool,
    /// Whether the present version may make way.
    pub(crate) replaces: Replaces,
    /// The facts about the version that is present afterwards, once it is.
    pub(crate) facts: Arc<OnceLock<Facts>>,
}

impl Swap {
    /// With the mode and mtime that the directory itself gets. A mode that is absent stays that of the present
    /// version. The client has counted so many `files`. From now on no change of the draft begins, until this has
    /// happened or is dropped.
    pub(crate) fn new(version: Arc<Version>, attributes: Attributes, files: Option<u64>) -> Self {
        let _closing = version.close();
        let replaces = Replaces::Anything;
        Self { version, attributes, files, replaces, _closing }
    }

    /// The name of the directory.
    pub(in crate::store) fn name(&self) -> &Name {
        &self.version.name
    }

    /// Everything in the draft is flushed, and then its name says that it is complete.
    pub(in crate::store) fn sync(&mut self) -> Result<(), StoreError> {
        let Version { name, home, .. } = &*self.version;
        let failed = |errno| StoreError::new("flush the next version of", name, errno);
        // Changes that began before the publish was asked for are flushed as well, so they have to be over.
        drop(self.version.state());
        if let Err(errno) = sys::sync_file_system(home) {
            // The kernel tells once that bytes were lost: another flush would find nothing wrong.
            self.version.throw_away()?;
            return Err(failed(errno));
        }
        self.version.make_ready(&mut self.version.state(), self.files)?;
        sys::sync_directory(home).map_err(failed)
    }

    /// Exchanges draft and present version. If a client asks for the publish of a draft twice, the exchange happens once.
    pub(in crate::store) fn apply(
        self,
        store: &Store,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        // The committer waits until a change of the version is over; a worker does not.
        let mut state = match store.durable {
            true => self.version.state(),
            false => self
                .version
                .try_state()
                .ok_or_else(|| StoreError::Publishing { name: self.version.name.to_string() })?,
        };
        let Some(ready) = self.version.make_ready(&mut state, self.files)? else { return Ok(()) };
        let Version { name, home, id, tag, .. } = &*self.version;
        let mode = match kept(self.attributes.mode) {
            Some(mode) => Ok(Some(parents.counts(name, mode).as_raw_mode())),
            None => self.version.present_mode(),
        };
        let swapped = mode.and_then(|mode| {
            // Nobody else changes the directory meanwhile.
            if self.replaces == Replaces::Nothing && store.stands_there(parents, name) {
                return Err(StoreError::Exists { name: name.to_string() });
            }
            self.version.check_heritage(parents)?;
            self.version.ask_for_room()?;
            let attributes = Attributes { mode, ..self.attributes };
            store.exchange(parents, (home, &ready, name), &attributes, Some(tag), touched)
        });
        // It may have happened, too, though a flush has failed.
        if swapped.as_ref().err().is_none_or(StoreError::is_uncertain) {
            store.quotas.draft_published((id, tag), name);
        }
        store.touched_home(home, id, touched);
        if let Err(errno) = settle(home, id, &store.trash) {
            // It has happened all the same, or not; the next one settles what is left.
            tracing::error!(name = name.as_bytes(), %errno, "could not settle the versions of a directory");
        }
        store.tidy(parents, name, home);
        self.version.set_state(&mut state, if swapped.is_ok() { State::Done } else { State::Next });
        swapped
    }
}

impl Store {
    /// Puts the version before the present one in its place again.
    pub(in crate::store) fn roll_back(
        &self,
        parents: &Parents,
        wanted: &Rollback,
        closed: Option<Closed>,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        if closed.is_none() && !self.guard.close(&wanted.name) {
            return Err(StoreError::Publishing { name: wanted.name.to_string() });
        }
        let result = self
            .quotas
            .may_move(&wanted.name)
            .and_then(|()| self.bring_back(parents, wanted, touched));
        self.quotas.count_around(&wanted.name);
        if closed.is_none() {
            self.guard.open(&wanted.name);
        }
        result
    }

    fn bring_back(
        &self,
        parents: &Parents,
        Rollback { name, again, token, repeated, replaces, facts: told }: &Rollback,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let failed = |errno| StoreError::new("bring back the version before of", name, errno);
        self.abilities.check(name)?;
        let present = present(parents, name)?;
        let (id, home) = self.home_there(name)?;
        self.settle(&home, name)?;
        let note = match present {
            Some(present) => notes::find(&home, &*present, "").map_err(failed)?,
            None => Note::default(),
        };
        if note.rollback == Some(*token) {
            // Its answer was lost. A flush of it may have been, too.
            let above = name.split().0;
            touched.directory(above, &parents.existing(above)?);
            let _ = told.set(note.facts);
            return Ok(());
        }
        let not_last = || {
            let facts = Some(note.facts).filter(|facts| facts.published.is_some());
            StoreError::NotLast { name: name.to_string(), facts }
        };
        if *repeated {
            return Err(not_last());
        }
        if *replaces == Replaces::Nothing && self.stands_there(parents, name) {
            return Err(StoreError::Exists { name: name.to_string() });
        }
        let mark = match notes::look(home.as_fd(), PREVIOUS) {
            Ok(found) => self.abilities.marking.of(&found).map_err(failed)?,
            Err(Errno::NOENT) => {
                self.forget_home(&id);
                return Err(StoreError::NoVersion { name: name.to_string() });
            }
            Err(errno) => return Err(failed(errno)),
        };
        if note.rollback.is_some() && !again {
            return Err(StoreError::RolledBack { name: name.to_string(), facts: note.facts });
        }
        let Note { facts, rollback } = notes::find(&home, &home, PREVIOUS).map_err(failed)?;
        if rollback == Some(*token) {
            // A client that knows no `repeated` asks once more, and somebody has published since.
            return Err(not_last());
        }
        let note = Note { facts, rollback: Some(*token) };
        if let Err(errno) = notes::write(&home, mark, &note) {
            // A version without a note, on a disk that is full: it comes back all the same.
            tracing::warn!(name = name.as_bytes(), %errno, "could not note that a version comes back");
        }
        let back = format!("{BACK}{mark}");
        sys::rename(&home, PREVIOUS.as_bytes(), &home, back.as_bytes()).map_err(failed)?;
        if self.durable {
            sys::sync_directory(&home).map_err(failed)?;
        }
        let attributes = Attributes::default();
        let swapped = self.exchange(parents, (&home, &back, name), &attributes, None, touched);
        self.touched_home(&home, &id, touched);
        if let Err(errno) = settle(&home, &id, &self.trash) {
            tracing::error!(name = name.as_bytes(), %errno, "could not settle the versions of a directory");
        }
        self.tidy(parents, name, &home);
        if swapped.is_ok() {
            let _ = told.set(facts);
        }
        swapped
    }

    /// Removes the notes of versions that are neither present nor the previous one.
    fn tidy(&self, parents: &Parents, name: &Name, home: &OwnedFd) {
        let look = |directory: &OwnedFd, entry: &[u8]| {
            let look = || notes::look(directory.as_fd(), entry);
            match self.rights.in_directory(directory, look) {
                Ok(found) => Ok(Some(found)),
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(errno),
            }
        };
        let (above, last) = name.split();
        let tidied = parents.find(above).and_then(|parent| {
            let versions = [look(&parent, last)?, look(home, PREVIOUS.as_bytes())?];
            notes::keep(home, &versions.into_iter().flatten().collect::<Vec<_>>())
        });
        if let Err(errno) = tidied {
            tracing::warn!(name = name.as_bytes(), %errno, "could not remove notes of versions that are gone");
        }
    }

    /// Changes a directory of a home with what stands under a name; or moves it there, if nothing does, and
    /// notes before that the draft of this `token` was published.
    fn exchange(
        &self,
        parents: &Parents,
        (home, from, name): (&OwnedFd, &str, &Name),
        attributes: &Attributes,
        token: Option<&str>,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let (above, last) = name.split();
        let parent = parents.of(name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let tree = rustix::fs::openat(home, from, flags, Mode::empty()).map_err(failed("open"))?;
        let has = mode_of(&tree).map_err(failed("look at"))?;
        // Setgid and sticky are the server's people's.
        let mode = kept(attributes.mode)
            .map_or(has, |mode| mode | (has - (Mode::RWXU | Mode::RWXG | Mode::RWXO)));
        // A directory that its owner may not write to can't be moved, so the last bits come afterwards.
        set_mode_of_directory(&tree, mode | Mode::RWXU, name).map_err(failed("set mode of"))?;
        if let Some(mtime) = attributes.mtime {
            sys::set_times(&tree, &times(mtime)).map_err(failed("set mtime of"))?;
        }
        // Before the exchange: after a crash no client may go on with a draft that would undo the new version.
        let stale = token.map(|_| Stale::make(home)).transpose().map_err(failed("publish"))?;
        let rights = &self.rights;
        let exchange =
            || rights.in_directory(&parent, || sys::exchange(home, from.as_bytes(), &parent, last));
        let swapped = match exchange() {
            // A draft that is moved leaves nothing behind that tells of it, so the note comes before. If the move does not
            // happen, the note goes before the draft gets its old name back. The directories above the name may be new, and
            // the draft would be lost with them.
            Err(Errno::NOENT) => token
                .map_or(Ok(()), |token| note(home, token))
                .and_then(|()| if self.durable { sys::sync_file_system(home) } else { Ok(()) })
                .and_then(|()| {
                    let rename = || sys::rename_new(home, from.as_bytes(), &parent, last);
                    rights.in_directory(&parent, rename)
                })
                .inspect(|()| {
                    if let Some(token) = token
                        && let Err(errno) = done(home, token, &self.trash)
                    {
                        // The next publish forgets it.
                        tracing::warn!(name = name.as_bytes(), %errno, "could not forget an older version");
                    }
                }),
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                self.opened_up(&parent, last, errno, exchange)
            }
            swapped => swapped,
        };
        if let (Err(_), Some(stale)) = (&swapped, stale) {
            stale.take_back(home);
        }
        swapped.map_err(failed("publish"))?;
        self.guard.swapped();
        parents.clear();
        if self.durable {
            // Before anything says that it has happened.
            for directory in [&*parent, home] {
                sys::sync_directory(directory).map_err(|errno| StoreError::Uncertain {
                    directory: String::from_utf8_lossy(above).into_owned(),
                    source: errno.into(),
                })?;
            }
        }
        touched.directory(above, &parent);
        let unfinished = |errno: Errno| StoreError::Unfinished {
            name: name.to_string(),
            what: "mode",
            source: errno.into(),
        };
        let result = set_mode_of_directory(&tree, mode, name).map_err(unfinished);
        touched.attributes(name.as_bytes(), &tree.into());
        result
    }

    fn touched_home(&self, home: &OwnedFd, id: &str, touched: &mut Touched) {
        match home.try_clone() {
            Ok(home) => touched.directory(format!(".haul/trees/{id}").as_bytes(), &home.into()),
            Err(_) => touched.everything(),
        }
    }
}

fn mode_of(tree: &OwnedFd) -> Result<Mode, Errno> {
    Ok(Mode::from_raw_mode(rustix::fs::fstat(tree)?.st_mode & 0o7777))
}

impl Store {
    /// Does something for which a directory has to be writable for its owner; then it is as before.
    pub(in crate::store) fn opened_up(
        &self,
        parent: &OwnedFd,
        last: &[u8],
        refused: Errno,
        then: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let directory = self.rights.open_in(parent, last)?;
        let opened = self.rights.open_up(&directory)?;
        if opened.is_some() { then() } else { Err(refused) }
    }
}
