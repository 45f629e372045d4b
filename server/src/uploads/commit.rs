//! From a complete upload to a committed file, once.

use std::sync::Arc;
use std::time::Instant;

use haul_protocol::{Code, Digest, Token};

use super::ordered::Busy;
use super::{Uploads, unknown};
use crate::accounts::Scope;
use crate::refusal::Refusal;
use crate::store::{Change, Store};

/// The work that a commit needs.
#[derive(Debug)]
pub(crate) enum Commit {
    /// Nothing: it was done before.
    Done,
    /// This change, and to be told when it is over.
    Change(Change, Box<Publishing>),
}

/// An upload on its way to its final name.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(super) token: Token,
    pub(super) scope: Scope,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) key: String,
    /// When it was opened here.
    pub(super) begun: Instant,
    /// Of an upload whose bytes came in order: it is busy until this is dropped.
    pub(super) ordered: Option<Busy>,
}

impl Publishing {
    /// The digest and the size of the file.
    pub(crate) fn file(&self) -> (Digest, u64) {
        (self.digest, self.size)
    }

    /// When the upload was opened, by this process.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// Whether its bytes came in order.
    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered.is_some()
    }
}

impl Uploads {
    /// Checks that an upload is complete, and takes it out of the hands of its writers.
    pub(crate) fn commit(
        &self,
        scope: &Scope,
        token: &Token,
        digest: Digest,
    ) -> Result<Commit, Refusal> {
        let table = self.table();
        if let Some(published) = table.published.digest(scope, token) {
            return if published == digest { Ok(Commit::Done) } else { Err(wrong_digest()) };
        }
        if table.publishing.get(token).is_some_and(|of| of == scope) {
            return Err(Refusal::new(Code::Busy, "this upload is being committed"));
        }
        drop(table);
        let upload = self.find(scope, token)?;
        // Alone: a late writer finds nothing to write to.
        let mut writers = upload.writers_alone();
        upload.state().commit(digest)?;
        let mut table = self.table();
        if !table.open.get(token).is_some_and(|open| Arc::ptr_eq(&open.upload, &upload)) {
            drop(table);
            // Taken over, or committed, since it was looked up.
            return Err(self.find(scope, token).err().unwrap_or_else(unknown));
        }
        table.remove(token);
        table.busy.insert(upload.key.clone());
        table.publishing.insert(*token, scope.clone());
        drop(table);
        let partial = writers.take();
        drop(writers);
        let (scope, key) = (scope.clone(), upload.key.clone());
        let size = upload.state().geometry().size();
        let (begun, token) = (upload.begun, *token);
        let publishing = Publishing { token, scope, digest, size, key, begun, ordered: None };
        let change = match (partial, &upload.published) {
            (Some(partial), _) => {
                let attributes = upload.owner().attributes;
                let finished = partial.finish(upload.name.clone(), &attributes, digest);
                finished.map(|finished| Change::Upload(Box::new(finished)))
            }
            // It stood there, whole, when it was opened.
            (None, Some(published)) => {
                let stated = upload.owner().attributes;
                Ok(Change::Confirm(Box::new(published.clone().with(stated))))
            }
            (None, None) => {
                self.not_published(&publishing);
                return Err(unknown());
            }
        };
        match change {
            Ok(change) => Ok(Commit::Change(change, Box::new(publishing))),
            Err(error) => {
                self.not_published(&publishing);
                Err(error.into())
            }
        }
    }

    fn not_published(&self, publishing: &Publishing) {
        let mut table = self.table();
        table.busy.remove(&publishing.key);
        table.publishing.remove(&publishing.token);
    }

    /// The change of a commit has been carried out, or has failed.
    pub(crate) fn published(&self, store: &Store, publishing: Publishing, done: bool) {
        self.not_published(&publishing);
        if !done {
            if publishing.ordered.is_some() {
                store.settle_promise(&publishing.key);
            }
            return;
        }
        let Publishing { token, scope, digest, key, ordered: _busy, .. } = publishing;
        let mut table = self.table();
        let forgotten = table.published.remember((token, scope), digest, key);
        let forgotten = forgotten.filter(|key| table.begin_alone(key));
        drop(table);
        let Some(key) = forgotten else { return };
        if let Err(errno) = store.forget_published(&key) {
            tracing::warn!(partial = key, %errno, "could not remove a journal");
        }
        self.table().busy.remove(&key);
    }
}

fn wrong_digest() -> Refusal {
    Refusal::new(Code::DigestMismatch, "this upload was committed with another digest")
}
