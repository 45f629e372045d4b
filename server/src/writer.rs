//! One large file, and those who write its parts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use haul_protocol::{Attributes, Code, Name, PartHasher, Refusal, Token};

use crate::store::{Flush, Partial, Published, Reserved};
use crate::upload::{Claim, Upload, superseded};
use crate::uploads::{taken_over, unknown};

/// One large file: its state, and the partial that its parts are written to.
#[derive(Debug)]
pub(crate) struct OpenUpload {
    pub(crate) key: String,
    pub(crate) name: Name,
    owner: Mutex<Owner>,
    state: Mutex<Upload>,
    /// Writers share it; a commit has it alone and takes the partial out: after that a late writer
    /// finds nothing to write to.
    partial: RwLock<Option<Partial>>,
    /// The kernel lets one write to a file at a time and has the others spin, which costs a processor:
    /// they had better sleep here.
    turn: Mutex<()>,
    /// The file stood there already, whole, when it was opened.
    pub(crate) published: Option<Published>,
    reserved: Reserved,
}

/// Who has opened it last.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) token: Token,
    pub(crate) client: String,
    pub(crate) attributes: Attributes,
}

impl OpenUpload {
    pub(crate) fn new(
        key: &str,
        name: Name,
        owner: Owner,
        state: Upload,
        content: Result<Partial, Published>,
        reserved: Reserved,
    ) -> Self {
        let (partial, published) = match content {
            Ok(partial) => (Some(partial), None),
            Err(published) => (None, Some(published)),
        };
        Self {
            key: key.to_owned(),
            name,
            owner: Mutex::new(owner),
            state: Mutex::new(state),
            partial: RwLock::new(partial),
            turn: Mutex::new(()),
            published,
            reserved,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, Upload> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody writes.
    pub(crate) fn writers_alone(&self) -> RwLockWriteGuard<'_, Option<Partial>> {
        self.partial.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its disk has failed.
    pub(crate) fn is_spoiled(&self) -> bool {
        let partial = self.partial.read().unwrap_or_else(PoisonError::into_inner);
        partial.as_ref().is_some_and(Partial::is_spoiled)
    }

    /// Takes the partial away from all writers.
    pub(crate) fn take(&self) -> Option<Partial> {
        self.writers_alone().take()
    }
}

/// Writes one part as its bytes come. Dropping it unfinished makes the part missing again.
#[derive(Debug)]
pub(crate) struct PartWriter {
    upload: Arc<OpenUpload>,
    token: Token,
    claim: Claim,
    hasher: PartHasher,
    offset: u64,
    finished: bool,
}

impl PartWriter {
    pub(crate) fn new(
        upload: Arc<OpenUpload>,
        token: Token,
        claim: Claim,
        hasher: PartHasher,
        offset: u64,
    ) -> Self {
        Self { upload, token, claim, hasher, offset, finished: false }
    }

    /// Where in the file the next byte goes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes of the part.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if !self.hasher.update(bytes) {
            return Err(Refusal::new(Code::BadPart, "more bytes than the part has"));
        }
        let partial = self.upload.partial.read().unwrap_or_else(PoisonError::into_inner);
        let partial = partial.as_ref().ok_or_else(unknown)?;
        if !self.upload.state().is_valid(&self.claim) {
            return Err(self.replaced());
        }
        let turn = self.upload.turn.lock().unwrap_or_else(PoisonError::into_inner);
        partial.write_at(&self.upload.name, self.offset, bytes)?;
        drop(turn);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// All bytes have come. Returns what should be flushed by now.
    pub(crate) fn finish(mut self) -> Result<Option<Flush>, Refusal> {
        let actual = self
            .hasher
            .finish()
            .ok_or_else(|| Refusal::new(Code::BadPart, "fewer bytes than the part has"))?;
        self.finished = true;
        let upload = &self.upload;
        let partial = upload.partial.read().unwrap_or_else(PoisonError::into_inner);
        let partial = partial.as_ref().ok_or_else(unknown)?;
        let mut state = upload.state();
        if !state.is_valid(&self.claim) {
            drop(state);
            return Err(self.replaced());
        }
        let range = state.geometry().range(self.claim.index).ok_or_else(superseded)?;
        let len = range.end - range.start;
        let written = range.clone();
        let flush = state.finish(&self.claim, actual, || {
            Ok(partial.hold(&upload.name, self.claim.index, actual, range)?)
        })?;
        drop(state);
        partial.start_writeback(&written);
        upload.reserved.used(len);
        Ok(flush)
    }

    /// Why the claim is gone.
    fn replaced(&self) -> Refusal {
        if self.upload.owner().token == self.token { superseded() } else { taken_over() }
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.upload.state().release(&self.claim);
        }
    }
}
