//! One large file, and those who write its parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haul_protocol::{Attributes, Code, Name, PartHasher, Token};

use super::part_table::{Claim, Upload, superseded};
use super::{taken_over, unknown};
use crate::accounts::Scope;
use crate::locks::{Mutex, MutexGuard, Rank, RwLock, WriteGuard};
use crate::refusal::Refusal;
use crate::store::{Flush, Partial, Published, Reserved};

/// One large file: its state, and the partial that its parts are written to.
#[derive(Debug)]
pub(crate) struct OpenUpload {
    pub(crate) key: String,
    pub(crate) name: Name,
    /// Bytes of the whole file.
    pub(crate) size: u64,
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
    /// Room for the parts under way, and for as much again as has come.
    reserved: Reserved,
    /// The room of the parts under way, out of `reserved`: no other part may count on that room.
    claimed: AtomicU64,
    /// Missing bytes for which no room is reserved.
    unreserved: AtomicU64,
    /// Becomes true when its disk fails.
    spoiled: Option<Arc<AtomicBool>>,
    pub(super) begun: Instant,
    /// Milliseconds from `begun` until a part was held last. Neither opening it again nor bytes that may be wrong count:
    /// they cost nothing.
    active: AtomicU64,
    /// Parts of it have come.
    has_come: AtomicBool,
}

/// The connection that has opened it last.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) token: Token,
    /// The scope of the token.
    pub(crate) scope: Scope,
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
        // There is room for all of it. But a file that is opened keeps none from others before its bytes come.
        let unreserved = reserved.left();
        reserved.used(unreserved);
        let spoiled = partial.as_ref().map(Partial::closed);
        Self {
            key: key.to_owned(),
            name,
            size: state.geometry().size(),
            owner: Mutex::new(Rank::UploadOwner, owner),
            state: Mutex::new(Rank::Parts, state),
            partial: RwLock::new(Rank::Partial, partial),
            turn: Mutex::new(Rank::WriteTurn, ()),
            published,
            reserved,
            claimed: AtomicU64::new(0),
            unreserved: AtomicU64::new(unreserved),
            spoiled,
            begun: Instant::now(),
            active: AtomicU64::new(0),
            has_come: AtomicBool::new(false),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, Upload> {
        self.state.lock()
    }

    pub(crate) fn owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock()
    }

    /// Waits until nobody writes.
    pub(crate) fn writers_alone(&self) -> WriteGuard<'_, Option<Partial>> {
        self.partial.write()
    }

    /// Whether its disk has failed.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.spoiled.as_ref().is_some_and(|spoiled| spoiled.load(Ordering::Acquire))
    }

    /// Whether a part of it has come since it was opened first.
    pub(crate) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Relaxed)
    }

    /// For how long no part of it has come.
    pub(crate) fn idle(&self) -> Duration {
        let active = Duration::from_millis(self.active.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(active)
    }

    /// Room for a part that begins, in addition to the room of all parts under way. The part gives its claim back
    /// ([`release_room`](Self::release_room)), also if there is no room.
    fn claim_room(&self, len: u64) -> Result<(), Refusal> {
        let claimed = self.claimed.fetch_add(len, Ordering::AcqRel) + len;
        if self.reserved.left() < claimed {
            self.reserved.grow(&self.name, len)?;
            let _ = self.take_unreserved(len);
        }
        Ok(())
    }

    /// A part is over. If its bytes are held, they were taken off the reserved room before.
    fn release_room(&self, len: u64) {
        self.claimed.fetch_sub(len, Ordering::AcqRel);
    }

    /// Room for the parts that come next, if there is some.
    fn reserve_ahead(&self, bytes: u64) {
        let more = self.take_unreserved(bytes);
        if more > 0 && self.reserved.grow(&self.name, more).is_err() {
            // The next part is refused, unless there is room by then.
            self.unreserved.fetch_add(more, Ordering::AcqRel);
        }
    }

    /// Gives back the room that is reserved for parts to come; the next part takes room again.
    pub(crate) fn give_room_back(&self) {
        if self.claimed.load(Ordering::Acquire) == 0 {
            let left = self.reserved.left();
            self.unreserved.fetch_add(left, Ordering::AcqRel);
            self.reserved.used(left);
        }
    }

    fn take_unreserved(&self, bytes: u64) -> u64 {
        let take = |left: u64| Some(left.saturating_sub(bytes));
        let before = self.unreserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        before.unwrap_or(0).min(bytes)
    }

    fn touch(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active.store(since, Ordering::Relaxed);
        self.has_come.store(true, Ordering::Relaxed);
    }

    /// From now on only this token may write: the claims of older writers end, and this waits for writers in the middle of
    /// a write.
    pub(crate) fn cancel_writers(&self, token: Token) {
        let mut state = self.state();
        // If it was opened again meanwhile, newer writers may have claims.
        if self.owner().token == token {
            state.take_over();
        }
        drop(state);
        drop(self.writers_alone());
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
    /// Bytes for which it has room.
    len: u64,
    finished: bool,
}

impl PartWriter {
    /// # Errors
    /// If there is no room for the part.
    pub(crate) fn new(
        upload: Arc<OpenUpload>,
        token: Token,
        claim: Claim,
        hasher: PartHasher,
        offset: u64,
        len: u64,
    ) -> Result<Self, Refusal> {
        let writer = Self { upload, token, claim, hasher, offset, len, finished: false };
        writer.upload.claim_room(len)?;
        Ok(writer)
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
        let partial = self.upload.partial.read();
        let partial = partial.as_ref().ok_or_else(|| self.late())?;
        if !self.upload.state().is_valid(&self.claim) {
            return Err(self.replaced());
        }
        let turn = self.upload.turn.lock();
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
        let partial = upload.partial.read();
        let partial = partial.as_ref().ok_or_else(|| self.late())?;
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
        upload.touch();
        upload.reserved.used(len);
        upload.reserve_ahead(2 * len);
        Ok(flush)
    }

    /// Why the partial is gone.
    fn late(&self) -> Refusal {
        if self.upload.owner().token == self.token { unknown() } else { taken_over() }
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
        self.upload.release_room(self.len);
    }
}
