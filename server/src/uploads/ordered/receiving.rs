//! One upload whose bytes come in order: its partial, how far it is, and the request that has it.

use std::task::Waker;
use std::time::Instant;

use haul_protocol::{Code, Digest, OrderedHasher};

use super::overtaken;
use crate::locks::{Mutex, Rank};
use crate::refusal::Refusal;
use crate::store::{Flush, OrderedUpload, Partial, StoreError};

/// An open upload.
#[derive(Debug)]
pub(crate) struct Receiving {
    upload: OrderedUpload,
    /// When it was opened by this process.
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None`: it has become a file, or was removed.
    partial: Option<Partial>,
    hasher: OrderedHasher,
    size: Option<u64>,
    /// The journal tells of the bytes up to here.
    journalled: u64,
    /// A record could not be written, so the journal tells of fewer bytes than have come.
    is_behind: bool,
    /// The use of the newest request.
    turn: u64,
    waker: Waker,
    /// Since bytes come that are to be checked.
    before: Option<Box<Checkpoint>>,
}

/// The state of an upload before bytes that are to be checked, and the whole parts among them.
#[derive(Debug)]
struct Checkpoint {
    hasher: OrderedHasher,
    whole: Vec<(usize, haul_protocol::Cv)>,
}

impl Receiving {
    /// Of a partial, behind the bytes that a hasher has taken. `waker` is that of the request that has it first.
    pub(crate) fn new(
        upload: OrderedUpload,
        partial: Partial,
        hasher: OrderedHasher,
        waker: &Waker,
    ) -> Self {
        let state = State {
            partial: Some(partial),
            journalled: hasher.len(),
            hasher,
            size: upload.size,
            is_behind: false,
            turn: 0,
            waker: waker.clone(),
            before: None,
        };
        let state = Mutex::new(Rank::Ordered, state);
        Self { upload, begun: Instant::now(), state }
    }

    /// When it was opened by this process.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// The facts with which it was opened.
    pub(super) fn upload(&self) -> &OrderedUpload {
        &self.upload
    }

    /// A newer request has it. The older one is woken, and finds that it has it no more. `None`: there is nothing to have any
    /// more, because the older one makes a file of it or removes it.
    pub(super) fn take_over(&self, waker: &Waker) -> Option<u64> {
        let mut state = self.state.lock();
        state.partial.as_ref()?;
        state.roll_back();
        state.turn += 1;
        let turn = state.turn;
        let older = std::mem::replace(&mut state.waker, waker.clone());
        drop(state);
        older.wake();
        Some(turn)
    }

    /// Bytes that have come, and the size of the whole file, if that is known. Refuses a request that was overtaken: the newer
    /// one goes on meanwhile.
    pub(super) fn progress(&self, turn: u64) -> Result<(u64, Option<u64>), Refusal> {
        let state = self.state.lock();
        if state.turn != turn {
            return Err(overtaken());
        }
        Ok((state.hasher.len(), state.size))
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        let state = self.state.lock();
        let before = state.before.as_ref();
        state.hasher.held_bytes() + before.map_or(0, |before| before.held_bytes())
    }

    /// The client tells the size of the file.
    pub(crate) fn set_size(&self, turn: u64, size: u64) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        let partial = state.partial(turn)?;
        if state.size == Some(size) {
            return Ok(());
        }
        partial.note_size(&self.upload.name, size)?;
        state.size = Some(size);
        Ok(())
    }

    /// The bytes that come now count once they are checked.
    pub(crate) fn begin_check(&self, turn: u64) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        state.partial(turn)?;
        let hasher = state.hasher.clone();
        state.before = Some(Box::new(Checkpoint { hasher, whole: Vec::new() }));
        Ok(())
    }

    /// Takes the next bytes. Returns what should be flushed by now.
    pub(crate) fn write(&self, turn: u64, mut bytes: &[u8]) -> Result<Option<Flush>, Refusal> {
        let mut guard = self.state.lock();
        let partial = guard.partial(turn)?.clone();
        let state = &mut *guard;
        let name = &self.upload.name;
        partial.write_at(name, state.hasher.len(), bytes)?;
        let mut flush = None;
        while !bytes.is_empty() {
            let Some((part, cv)) = state.hasher.update(&mut bytes) else { continue };
            match &mut state.before {
                Some(before) => before.whole.push((part, cv)),
                None => flush = state.hold(&partial, name, part, cv)?.or(flush),
            }
        }
        Ok(flush)
    }

    /// The request is complete, and its bytes were checked if they had to be: all of them count, also after a crash of the
    /// process. Returns the flush after which they survive a power cut, if they have to.
    pub(crate) fn settle(&self, turn: u64) -> Result<Option<Flush>, Refusal> {
        let mut guard = self.state.lock();
        let partial = guard.partial(turn)?.clone();
        let state = &mut *guard;
        let name = &self.upload.name;
        if let Some(before) = state.before.take() {
            for (part, cv) in before.whole {
                state.hold(&partial, name, part, cv)?;
            }
        }
        state.note_tail(name)?;
        Ok(self.upload.facts.lasting.then(|| partial.lasting(name)))
    }

    /// The bytes are not the right ones.
    pub(crate) fn roll_back(&self, turn: u64) {
        let mut state = self.state.lock();
        if state.turn == turn {
            state.roll_back();
        }
    }

    /// The request is over, complete or not: all bytes count that need no check.
    pub(super) fn stop(&self, turn: u64) {
        let mut state = self.state.lock();
        if state.turn != turn {
            return;
        }
        state.roll_back();
        if let Err(error) = state.note_tail(&self.upload.name) {
            tracing::warn!(name = self.upload.name.as_bytes(), %error, "bytes of an upload have to be sent again");
        }
    }

    /// The partial, if the request has it.
    pub(super) fn take(&self, turn: u64) -> Option<Partial> {
        let mut state = self.state.lock();
        if state.turn == turn { state.partial.take() } else { None }
    }

    /// The partial of a file of which all bytes have come, its size and its digest.
    pub(super) fn take_whole(&self, turn: u64) -> Result<(Partial, u64, Digest), Refusal> {
        let mut state = self.state.lock();
        state.partial(turn)?;
        let size = state.hasher.len();
        let incomplete = || Refusal::new(Code::Incomplete, "bytes of the file are missing");
        if state.size != Some(size) {
            return Err(incomplete());
        }
        let digest = state.hasher.finish().ok_or_else(incomplete)?;
        let partial = state.partial.take().ok_or_else(overtaken)?;
        Ok((partial, size, digest))
    }

    /// Nobody uses it any more.
    pub(super) fn close(&self) {
        let partial = self.state.lock().partial.take();
        if let Some(partial) = partial {
            partial.close();
        }
    }
}

impl State {
    /// The partial, if this request still has it and the journal is not behind.
    fn partial(&self, turn: u64) -> Result<&Partial, Refusal> {
        if self.turn != turn {
            return Err(overtaken());
        }
        if self.is_behind {
            return Err(Refusal::new(Code::Io, "the journal of this upload could not be written"));
        }
        self.partial.as_ref().ok_or_else(overtaken)
    }

    /// A part is whole.
    fn hold(
        &mut self,
        partial: &Partial,
        name: &haul_protocol::Name,
        part: usize,
        cv: haul_protocol::Cv,
    ) -> Result<Option<Flush>, StoreError> {
        let size = self.hasher.part_size();
        let start = part as u64 * size;
        let range = start..start + size;
        partial.start_writeback(&range);
        match partial.hold(name, part, cv, range) {
            Ok(flush) => {
                self.journalled = start + size;
                Ok(flush)
            }
            Err(error) => {
                self.is_behind = true;
                Err(error)
            }
        }
    }

    /// The journal tells of all bytes from now on.
    fn note_tail(&mut self, name: &haul_protocol::Name) -> Result<(), StoreError> {
        let len = self.hasher.len();
        let (Some(partial), false) = (&self.partial, self.is_behind) else { return Ok(()) };
        if len == self.journalled {
            return Ok(());
        }
        if let Some(cv) = self.hasher.tail() {
            let part = self.hasher.parts();
            let result = partial.note_tail(name, part, len % self.hasher.part_size(), cv);
            self.is_behind = result.is_err();
            result?;
        }
        self.journalled = len;
        Ok(())
    }

    /// Bytes that are not checked don't count.
    fn roll_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.hasher = before.hasher;
        }
    }
}

impl Checkpoint {
    fn held_bytes(&self) -> usize {
        self.hasher.held_bytes() + self.whole.capacity() * size_of::<(usize, haul_protocol::Cv)>()
    }
}
