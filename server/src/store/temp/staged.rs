//! A file that is written where no client can name it, until it is committed or dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use haul_protocol::{Attributes, Digest, Mtime, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::staging::Place;
use crate::store::attributes::times;
use crate::store::commit::dirty::Touched;
use crate::store::error::StoreError;
use crate::store::inherit::HandsDown;
use crate::store::quota::{Amount, Share};
use crate::store::replaces::Replaces;
use crate::store::root::Parents;
use crate::store::{Reserved, Store, sys};

/// A file under way. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    file: Option<OwnedFd>,
    /// `None`: it has no name.
    place: Option<Place>,
    /// A handle of its own, so that dropping needs nobody's help.
    store: Arc<Store>,
    published: bool,
    /// The mode that was stated.
    pub(in crate::store) mode: Option<u32>,
    /// The mtime that was stated.
    mtime: Option<Mtime>,
    /// Whether an entry that stands under its final name makes way.
    pub(in crate::store) replaces: Replaces,
    /// Group and ACL of the directory that it was made for.
    given: Option<HandsDown>,
    /// For its name, until that is there.
    room: Option<Reserved>,
    /// The same, of quotas.
    pub(in crate::store) share: Option<Share>,
    /// It counts for quotas; what is taken over from the present version counts there.
    pub(in crate::store) counts: bool,
    /// Flushes of the file system that had failed when it was made.
    pub(in crate::store) failures_before: u64,
}

impl Store {
    /// Starts a file that will be committed as `target`, with its final mode from the beginning.
    pub(crate) fn stage(
        self: &Arc<Self>,
        parents: &Parents,
        target: &Name,
        attributes: &Attributes,
    ) -> Result<Staged, StoreError> {
        let giver = parents.giver(target);
        let made = match &giver {
            Some(giver) => self.stage_for(giver, target, attributes),
            None => self.stage_anywhere(self.file_mode(attributes)),
        };
        let (file, place) = made.map_err(|errno| StoreError::new("stage", target, errno))?;
        let failures_before = self.flush_failures.load(Ordering::Acquire);
        let store = Arc::clone(self);
        Ok(Staged {
            file: Some(file),
            place,
            store,
            published: false,
            mode: attributes.mode,
            mtime: attributes.mtime,
            replaces: Replaces::Anything,
            given: giver.map(|(_, given)| given),
            room: None,
            share: None,
            counts: true,
            failures_before,
        })
    }

    fn stage_anywhere(&self, mode: Mode) -> Result<(OwnedFd, Option<Place>), Errno> {
        let place = self.staging.place();
        if self.staging.unnamed {
            return Ok((sys::create_unnamed(self.staging.directory(place), mode)?, None));
        }
        let (directory, name) = self.staging.at(place);
        let flags = OFlags::RDWR | OFlags::EXCL;
        Ok((sys::create(directory, name.as_bytes(), flags, mode)?, Some(place)))
    }
}

impl Staged {
    fn file(&self, op: &'static str, target: &Name) -> Result<&OwnedFd, StoreError> {
        self.file.as_ref().ok_or_else(|| StoreError::new(op, target, Errno::BADF))
    }

    /// Whether it has something that its directory has handed down.
    pub(in crate::store) fn has_inherited(&self) -> bool {
        self.given.is_some()
    }

    /// It waits for the committer, and keeps of its room what its name needs.
    pub(crate) fn keep_room(&mut self, name: &Name, room: Reserved, share: Option<Share>) {
        room.keep_for(name);
        self.room = Some(room);
        self.share = share;
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_at(
        &self,
        target: &Name,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        sys::write_at(self.file("write", target)?, offset, bytes)
            .map_err(|errno| StoreError::new("write", target, errno))
    }

    /// All bytes are written: sets the mtime.
    pub(crate) fn complete(
        &self,
        target: &Name,
        attributes: &Attributes,
    ) -> Result<(), StoreError> {
        let file = self.file("set mtime of", target)?;
        if let Some(mtime) = attributes.mtime {
            sys::set_times(file, &times(mtime))
                .map_err(|errno| StoreError::new("set mtime of", target, errno))?;
        }
        Ok(())
    }

    /// The file is [complete](Self::complete): its digest is kept with it, if that is known.
    pub(crate) fn keep_digest(&self, digest: Option<Digest>) {
        if let (Some(file), Some(digest)) = (self.file.as_ref(), digest) {
            self.store.keep_digest(file, digest);
        }
    }

    /// Does something with the file itself.
    pub(in crate::store) fn with_handle<T>(
        &self,
        work: impl FnOnce(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        work(self.file.as_ref().ok_or(Errno::BADF)?)
    }

    /// Makes it share the blocks of another file, if the file system can.
    pub(in crate::store) fn share_blocks(&self, from: &OwnedFd) -> bool {
        self.file.as_ref().is_some_and(|file| sys::share_blocks(file, from).is_ok())
    }

    /// Starts to write the file to the disk.
    pub(in crate::store) fn start_writeback(&self) {
        if let Some(file) = &self.file {
            sys::start_writeback(file, 0, 0);
        }
    }

    /// Waits until the file would survive a loss of power.
    pub(in crate::store) fn sync(&self, target: &Name) -> Result<(), StoreError> {
        sys::sync(self.file("flush", target)?)
            .map_err(|errno| StoreError::new("flush", target, errno))
    }

    /// Gives the file what nobody stated and only its place can tell: just what its directory hands down by now, if that is
    /// something else than it was when the file was made (the directory may have been made, renamed or changed meanwhile).
    fn adapt(&self, name: &Name, parents: &Parents) -> Result<(), StoreError> {
        let file = self.file("publish", name)?;
        let giver = parents.giver(name);
        if self.given == giver.as_ref().map(|(_, given)| *given) {
            return Ok(());
        }
        self.store
            .give_only(file, giver.as_ref(), name, self.mode)
            .map_err(|errno| StoreError::new("set group and ACL of", name, errno))?;
        self.sync_again(name)
    }

    /// Without a stated mode it gets that of the file that stands there.
    fn keep_mode(&self, name: &Name, parents: &Parents) -> Result<(), StoreError> {
        if self.mode.is_some() {
            return Ok(());
        }
        let kept = self.store.keep_mode(self.file("publish", name)?, parents, name);
        match kept.map_err(|errno| StoreError::new("set mode of", name, errno))? {
            true => self.sync_again(name),
            false => Ok(()),
        }
    }

    /// It was flushed before it was changed.
    fn sync_again(&self, name: &Name) -> Result<(), StoreError> {
        if self.store.durable { self.sync(name) } else { Ok(()) }
    }

    /// Gives it its final name.
    pub(in crate::store) fn publish(
        mut self,
        name: &Name,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        self.adapt(name, parents)?;
        if self.replaces == Replaces::Nothing && self.stands(parents, name)? {
            // It may have come there by somebody who did not wait for the disk.
            touched.everything();
            return Ok(());
        }
        let (store, share) = (Arc::clone(&self.store), self.share.take());
        match self.amount() {
            Some(amount) => store.counted(parents, name, Some(amount), share, || {
                self.publish_as_it_is(name, parents, touched)
            }),
            None => store.counted_as_present(parents, name, || {
                self.publish_as_it_is(name, parents, touched)
            }),
        }
    }

    /// Its bytes for quotas, if there are some.
    pub(in crate::store) fn amount(&self) -> Option<Amount> {
        let file = self.file.as_ref().filter(|_| self.counts && self.store.quotas.is_any())?;
        let stat = rustix::fs::fstat(file).ok()?;
        Some(Amount::file(stat.st_size.unsigned_abs()))
    }

    fn publish_as_it_is(
        &mut self,
        name: &Name,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let (store, replaces) = (Arc::clone(&self.store), self.replaces);
        if let Some(place) = self.place {
            self.keep_mode(name, parents)?;
            self.close(name)?;
            let (directory, temporary) = store.staging.at(place);
            store.rename(parents, directory, temporary.as_bytes(), name, replaces, touched)?;
        } else {
            let keep_mode = || self.keep_mode(name, parents);
            let file = self.file("publish", name)?;
            store.link((parents, name), file, replaces, keep_mode, touched)?;
        }
        self.published = true;
        Ok(())
    }

    /// Whether this very file stands there already, as far as it was stated: its answer was lost, and it came again.
    fn stands(&self, parents: &Parents, name: &Name) -> Result<bool, StoreError> {
        let attributes = Attributes { mode: self.mode, mtime: self.mtime };
        self.store.is_file(parents, name, self.file("compare", name)?, attributes)
    }

    /// Gives it its final name in a directory where nothing may have it yet.
    pub(in crate::store) fn publish_new(
        &mut self,
        directory: &OwnedFd,
        name: &Name,
    ) -> Result<(), StoreError> {
        let last = name.split().1;
        if let Some(place) = self.place {
            self.close(name)?;
            let (staging, temporary) = self.store.staging.at(place);
            sys::rename_new(staging, temporary.as_bytes(), directory, last)
        } else {
            sys::link(self.file("publish", name)?, directory, last)
        }
        .map_err(|errno| StoreError::new("publish", name, errno))?;
        self.published = true;
        Ok(())
    }

    fn close(&mut self, target: &Name) -> Result<(), StoreError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        sys::close(file).map_err(|source| StoreError::Io {
            op: "close",
            name: target.to_string(),
            source,
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let Some(place) = self.place.filter(|_| !self.published) else { return };
        let (directory, name) = self.store.staging.at(place);
        if let Err(errno) = sys::unlink(directory, name.as_bytes()) {
            tracing::warn!(file = name, %errno, "could not remove a half-written file");
        }
    }
}
