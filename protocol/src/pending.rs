//! Books of the unanswered requests: the client's and the server's.
//!
//! The rules (PROTOCOL.md, "Answers"): ids are 1, 2, 3…; `ack N` says that every change up to N that
//! was not refused is done; a refusal precedes any ack at or over its id; requests that are not
//! changes are answered by id and hold no ack back.

use alloc::collections::VecDeque;

use crate::error::OrderError;
use crate::id::RequestId;
use crate::message::ServerLimits;

/// So many windows of requests may follow one that has no answer.
const SPAN: u64 = 16;

/// The client's book on one connection. `T` is the caller's note on each request.
#[derive(Debug)]
pub struct Requester<T> {
    max_requests: u64,
    max_bytes: u64,
    /// Requests `first..first + waiting.len()`, `None` where answered.
    waiting: VecDeque<Option<Waiting<T>>>,
    first: RequestId,
    requests: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    what: T,
    change: bool,
    length: u64,
}

impl<T> Requester<T> {
    /// An empty book under the limits that the server announced.
    #[must_use]
    pub fn new(limits: &ServerLimits) -> Self {
        Self {
            max_requests: limits.window_requests,
            max_bytes: limits.window_bytes,
            waiting: VecDeque::new(),
            first: RequestId::FIRST,
            requests: 0,
            bytes: 0,
        }
    }

    /// Whether one more request with a body of `length` bytes fits the window.
    #[must_use]
    pub fn has_room(&self, length: u64) -> bool {
        self.has_room_for(1, length)
    }

    /// Whether so many requests, whose bodies have `length` bytes together, fit the window.
    #[must_use]
    pub fn has_room_for(&self, requests: u64, length: u64) -> bool {
        self.requests.saturating_add(requests) <= self.max_requests
            && self.bytes.saturating_add(length) <= self.max_bytes
            && (self.waiting.len() as u64).saturating_add(requests) <= self.max_span()
    }

    /// Requests from the oldest one without an answer to the newest: a server may answer all but the oldest for as long
    /// as it likes, and the book has a place for each.
    fn max_span(&self) -> u64 {
        self.max_requests.saturating_mul(SPAN)
    }

    /// Requests without an answer.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.requests
    }

    /// The id that the next request has.
    #[must_use]
    pub fn next_id(&self) -> RequestId {
        self.first.plus(self.waiting.len() as u64)
    }

    /// Enters a request, which has [`next_id`](Self::next_id).
    pub fn sent(&mut self, what: T, change: bool, length: u64) {
        self.waiting.push_back(Some(Waiting { what, change, length }));
        self.requests += 1;
        self.bytes += length;
    }

    /// Enters a bundle with a body of `length` bytes: the notes on its files, in their order. The first has
    /// [`next_id`](Self::next_id); the window has the body until the last one is answered.
    pub fn sent_bundle(&mut self, files: impl IntoIterator<Item = T>, length: u64) {
        let before = self.waiting.len();
        files.into_iter().for_each(|what| self.sent(what, true, 0));
        if let Some(Some(last)) = self.waiting.range_mut(before..).last() {
            last.length = length;
            self.bytes += length;
        }
    }

    /// The number of requests that an `ack` of this id can confirm, at most.
    pub(crate) fn acked_at_most(&self, id: RequestId) -> usize {
        usize::try_from(self.up_to(id).min(self.requests)).unwrap_or(usize::MAX)
    }

    /// Requests from the oldest one without an answer to this one.
    fn up_to(&self, id: RequestId) -> u64 {
        (id.get() + 1).saturating_sub(self.first.get())
    }

    /// Takes an `ack`: gives every change that it confirms, in order, to `done`.
    ///
    /// # Errors
    /// If the id was never sent.
    pub fn acked(&mut self, id: RequestId, mut done: impl FnMut(T)) -> Result<(), OrderError> {
        if id >= self.next_id() {
            return Err(OrderError::NotWaiting(id));
        }
        let count = usize::try_from(self.up_to(id)).unwrap_or(usize::MAX);
        for slot in self.waiting.iter_mut().take(count) {
            if let Some(waiting) = slot.take_if(|waiting| waiting.change) {
                self.requests -= 1;
                self.bytes -= waiting.length;
                done(waiting.what);
            }
        }
        self.trim();
        Ok(())
    }

    /// The note on a request that waits for its answer.
    #[must_use]
    pub fn waiting(&self, id: RequestId) -> Option<&T> {
        let index = id.get().checked_sub(self.first.get())?;
        let waiting = self.waiting.get(usize::try_from(index).ok()?)?;
        waiting.as_ref().map(|waiting| &waiting.what)
    }

    /// Takes a refusal or an answer by id.
    ///
    /// # Errors
    /// If no request of that id waits for one.
    pub fn answered(&mut self, id: RequestId) -> Result<T, OrderError> {
        let waiting = id
            .get()
            .checked_sub(self.first.get())
            .and_then(|index| self.waiting.get_mut(usize::try_from(index).ok()?)?.take())
            .ok_or(OrderError::NotWaiting(id))?;
        self.requests -= 1;
        self.bytes -= waiting.length;
        self.trim();
        Ok(waiting.what)
    }

    /// All requests without an answer, oldest first, from a lost connection.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        (self.requests, self.bytes) = (0, 0);
        self.first = self.next_id();
        self.waiting.drain(..).flatten().map(|waiting| waiting.what)
    }

    fn trim(&mut self) {
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first = self.first.plus(1);
        }
    }
}

/// Requests for which an empty book keeps room.
const KEPT: usize = 64;

/// The server's book on one connection.
#[derive(Debug)]
pub struct Responder {
    max_requests: u64,
    max_bytes: u64,
    /// Requests `first..first + open.len()`.
    open: VecDeque<Open>,
    first: RequestId,
    requests: u64,
    bytes: u64,
    acked: RequestId,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    length: u64,
    change: bool,
    state: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Under way.
    Open,
    /// A change that is done and waits for its ack.
    Done,
    /// Refused or answered by id.
    Told,
}

impl Responder {
    /// An empty book under the limits that the server announced.
    #[must_use]
    pub fn new(limits: &ServerLimits) -> Self {
        Self {
            max_requests: limits.window_requests,
            max_bytes: limits.window_bytes,
            open: VecDeque::new(),
            first: RequestId::FIRST,
            requests: 0,
            bytes: 0,
            acked: RequestId::CONNECTION,
        }
    }

    /// Enters a request that came.
    ///
    /// # Errors
    /// If the request's id is not the next one, or the client has exceeded its window. Both end the connection.
    pub fn received(&mut self, id: RequestId, change: bool, length: u64) -> Result<(), OrderError> {
        self.enter(id, 1, change, length)
    }

    /// Enters a bundle of `count` files (at least one) that came: as many changes, the last of which has all of
    /// the body.
    ///
    /// # Errors
    /// As [`received`](Self::received).
    pub fn received_bundle(
        &mut self,
        id: RequestId,
        count: u64,
        length: u64,
    ) -> Result<(), OrderError> {
        self.enter(id, count, true, length)
    }

    fn enter(
        &mut self,
        id: RequestId,
        ids: u64,
        change: bool,
        length: u64,
    ) -> Result<(), OrderError> {
        let expected = self.first.plus(self.open.len() as u64);
        if id != expected {
            return Err(OrderError::Id { got: id, expected });
        }
        let (requests, bytes) = (self.requests.saturating_add(ids), self.bytes + length);
        // Answered ones stay in the book behind an older one that is not.
        let entries = (self.open.len() as u64).saturating_add(ids);
        let is_far = entries > self.max_requests.saturating_mul(SPAN);
        if requests > self.max_requests || bytes > self.max_bytes || is_far {
            return Err(OrderError::Window {
                requests,
                bytes,
                max_requests: self.max_requests,
                max_bytes: self.max_bytes,
            });
        }
        (self.requests, self.bytes) = (requests, bytes);
        for _ in 1..ids {
            self.open.push_back(Open { length: 0, change, state: Progress::Open });
        }
        self.open.push_back(Open { length, change, state: Progress::Open });
        Ok(())
    }

    /// A change is done; the next [`ack`](Self::ack) may tell it.
    pub fn done(&mut self, id: RequestId) {
        if let Some(open) = self.get(id)
            && open.state == Progress::Open
        {
            open.state = Progress::Done;
        }
    }

    /// A refusal or an answer by id has been written.
    pub fn told(&mut self, id: RequestId) {
        let Some(open) = self.get(id) else { return };
        if open.state == Progress::Told {
            return;
        }
        let length = open.length;
        open.state = Progress::Told;
        self.requests -= 1;
        self.bytes -= length;
    }

    /// Bytes of memory that the book takes: it grows with the requests that have no answer yet.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.open.capacity() * size_of::<Open>()
    }

    /// Whether a request is still under way.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.open.iter().any(|open| open.state == Progress::Open)
    }

    /// The id to acknowledge now, if the client does not know it yet. Its window is free from here on.
    pub fn ack(&mut self) -> Option<RequestId> {
        let (mut id, mut ack) = (self.first, None);
        for open in &mut self.open {
            match open.state {
                Progress::Open if open.change => break,
                Progress::Done => {
                    open.state = Progress::Told;
                    self.requests -= 1;
                    self.bytes -= open.length;
                    ack = Some(id);
                }
                Progress::Open | Progress::Told => {}
            }
            id = id.plus(1);
        }
        while self.open.front().is_some_and(|open| open.state == Progress::Told) {
            self.open.pop_front();
            self.first = self.first.plus(1);
        }
        if self.open.is_empty() && self.open.capacity() > KEPT {
            // An idle connection holds nothing.
            self.open = VecDeque::new();
        }
        if let Some(id) = ack {
            debug_assert!(id > self.acked, "acks only go forward");
            self.acked = id;
        }
        ack
    }

    /// The last id that was acknowledged, [`RequestId::CONNECTION`] before any: repeated while a slow disk holds the next one
    /// back.
    #[must_use]
    pub fn last_ack(&self) -> RequestId {
        self.acked
    }

    fn get(&mut self, id: RequestId) -> Option<&mut Open> {
        self.open.get_mut(usize::try_from(id.get().checked_sub(self.first.get())?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle connection holds nothing, even after many requests.
    #[test]
    fn empty_book_takes_no_memory() {
        let mut book = Responder::new(&ServerLimits::default());
        for id in 1..=4096 {
            assert_eq!(book.received(RequestId::new(id), true, 0), Ok(()));
        }
        assert!(book.held_bytes() >= 4096 * size_of::<Open>());
        (2..=4096).for_each(|id| book.done(RequestId::new(id)));
        assert_eq!(book.ack(), None);
        assert!(book.held_bytes() > 0);
        book.done(RequestId::new(1));
        assert_eq!(book.ack(), Some(RequestId::new(4096)));
        assert_eq!(book.held_bytes(), 0);
        assert_eq!(book.received(RequestId::new(4097), true, 0), Ok(()));
    }

    /// If an old request has no answer, a book grows only so far by the answers behind it.
    #[test]
    fn book_goes_sixteen_windows_ahead_of_the_oldest_request() {
        let limits = ServerLimits { window_requests: 4, ..ServerLimits::default() };
        let mut book = Responder::new(&limits);
        assert_eq!(book.received(RequestId::new(1), true, 0), Ok(()));
        for id in 2..=64 {
            assert_eq!(book.received(RequestId::new(id), false, 0), Ok(()), "{id}");
            book.told(RequestId::new(id));
        }
        assert!(matches!(
            book.received(RequestId::new(65), false, 0),
            Err(OrderError::Window { .. })
        ));
        book.done(RequestId::new(1));
        assert_eq!(book.ack(), Some(RequestId::new(1)));
        assert_eq!(book.received(RequestId::new(65), false, 0), Ok(()));
    }
}
