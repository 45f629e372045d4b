//! A partial that is complete, on its way to its final name.

use std::ops::Range;

use haul_protocol::{Attributes, Digest, Name};
use rustix::fs::{AtFlags, StatxFlags};

use super::journal::{Committing, Record};
use super::partial::Partial;
use crate::store::attributes::times;
use crate::store::commit::dirty::Touched;
use crate::store::error::StoreError;
use crate::store::identity::Identity;
use crate::store::inherit::may_differ;
use crate::store::quota::Amount;
use crate::store::replaces::Replaces;
use crate::store::root::Parents;
use crate::store::{Store, sys};

/// A large file that only has to become visible.
#[derive(Debug)]
pub(crate) struct Finished {
    partial: Partial,
    name: Name,
    /// The mode that was sent.
    mode: Option<u32>,
    committing: Committing,
    /// Whether an entry that stands under its name makes way.
    pub(in crate::store) replaces: Replaces,
    /// Where its journal says that it becomes visible.
    journalled: Option<Range<u64>>,
}

impl Drop for Finished {
    /// It has not become visible. The journal must not grow by such a record each time that is tried.
    fn drop(&mut self) {
        if let Some(record) = self.journalled.take() {
            self.partial.take_back(&record);
        }
    }
}

impl Partial {
    /// All parts are held, and their digest is right: it gets its final mode and mtime.
    pub(crate) fn finish(
        self,
        name: Name,
        attributes: &Attributes,
        digest: Digest,
    ) -> Result<Finished, StoreError> {
        let failed = |errno| StoreError::new("set mode and mtime of", &name, errno);
        sys::set_mode(&self.0.data, self.0.store.file_mode(attributes)).map_err(failed)?;
        if let Some(mtime) = attributes.mtime {
            sys::set_times(&self.0.data, &times(mtime)).map_err(failed)?;
        }
        let wanted = Identity::WANTED | StatxFlags::MTIME;
        let found = rustix::fs::statx(&self.0.data, c"", AtFlags::EMPTY_PATH, wanted);
        let found = found.map_err(failed)?;
        let mtime = (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec.into());
        let committing = Committing { digest, file: Identity::for_later(&found), mtime };
        let mode = attributes.mode;
        let replaces = Replaces::Anything;
        Ok(Finished { partial: self, name, mode, committing, replaces, journalled: None })
    }
}

impl Finished {
    /// The record of the file in its journal.
    #[cfg(test)]
    pub(super) fn committing(&self) -> Committing {
        self.committing
    }

    /// Its final one.
    pub(in crate::store) fn name(&self) -> &Name {
        &self.name
    }

    /// As of every file, before it becomes visible; and the journal must know which file that is.
    pub(in crate::store) fn sync(&mut self) -> Result<(), StoreError> {
        self.partial.flush(&self.name).run()?;
        self.journal()?;
        sys::sync(&self.partial.0.journal)
            .map_err(|errno| StoreError::new("flush the journal of", &self.name, errno))
    }

    fn journal(&mut self) -> Result<(), StoreError> {
        if self.journalled.is_none() {
            match self.partial.append(&self.name, &Record::Committing(self.committing)) {
                Ok(record) => self.journalled = Some(record),
                // If the answer is lost, the client sends the file again.
                Err(StoreError::NoRoom { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The directory may hand down something else than the one for which the partial was made, perhaps by an earlier
    /// server; and a mode that nobody stated stays that of the file that stands there.
    fn adapt(&self, store: &Store, parents: &Parents) -> Result<(), StoreError> {
        let failed = |op| move |errno| StoreError::new(op, &self.name, errno);
        let data = &self.partial.0.data;
        let giver = parents.giver(&self.name);
        let set = failed("set group and ACL of");
        let mut changed = may_differ(data, giver.as_ref()).map_err(set)?;
        if changed {
            store.give_only(data, giver.as_ref(), &self.name, self.mode).map_err(set)?;
        }
        if self.mode.is_none() {
            changed |= store.keep_mode(data, parents, &self.name).map_err(failed("set mode of"))?;
        }
        // It was flushed before.
        if changed && store.durable { sys::sync(data).map_err(failed("flush")) } else { Ok(()) }
    }

    pub(in crate::store) fn publish(
        mut self,
        store: &Store,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        self.journal()?;
        store.keep_digest(&self.partial.0.data, self.committing.digest);
        self.adapt(store, parents)?;
        // The close of any handle on the file tells of a write that has failed.
        let failed = |source| StoreError::Io { op: "close", name: self.name.to_string(), source };
        let handle = self.partial.0.data.try_clone().map_err(failed)?;
        sys::close(handle).map_err(failed)?;
        let id = self.partial.0.id.as_bytes();
        let mut rename = || {
            let to = &self.name;
            store.rename(parents, &store.partials, id, to, self.replaces, touched)
        };
        let renamed = match store.quotas.is_any() {
            true => self.counted(store, parents, rename),
            false => rename(),
        };
        if matches!(renamed, Err(StoreError::Exists { .. })) {
            // It can never have its name, so nobody comes back for it.
            self.journalled = None;
            self.partial.close();
            self.partial.clone().discard();
        }
        renamed?;
        self.journalled = None;
        Ok(())
    }

    /// The share of the partial becomes that of the file, or stays.
    fn counted(
        &self,
        store: &Store,
        parents: &Parents,
        rename: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (id, data) = (&self.partial.0.id, &self.partial.0.data);
        let stat = rustix::fs::fstat(data)
            .map_err(|errno| StoreError::new("look at", &self.name, errno))?;
        let amount = Amount::file(stat.st_size.unsigned_abs());
        store.counted_promise(parents, &self.name, amount, id, rename)
    }
}
