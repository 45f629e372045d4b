//! A server's half of a connection: takes bytes and moments, gives bytes, events and the peer's debt.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::outbox::Outbox;
use super::time::Time;
use crate::code::Refusal;
use crate::decode::{Decoder, Event};
use crate::encode;
use crate::error::{DecodeError, EncodeError, ServerError};
use crate::id::RequestId;
use crate::message::{
    Answer, Classic, FirstOrLater, Hello, Reply, Request, ServerHello, ServerLimits,
};
use crate::op::Op;
use crate::pending::Responder;
use crate::side::Requests;

/// Bytes of answers that wait for the peer at which no more requests are taken.
const FULL: usize = 64 * 1024;

/// Bytes that are read and thrown away after a refusal that ends the connection: an end before the peer has sent all that
/// it was about to send would take the refusal from it.
pub(super) const DRAIN_BYTES: usize = 64 * 1024 * 1024;

/// Interval at which the last ack is repeated while a client waits for another one (PROTOCOL.md, section 5.3).
const REPEAT: Duration = Duration::from_secs(5);

/// An event of the connection, from the client's bytes.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent<'a> {
    /// A client of the haul dialect introduces itself: [`greet`](ServerConnection::greet) it, or
    /// [`end`](ServerConnection::end) the connection.
    Hello(Hello),
    /// A request begins, whose id and window have been checked. It must be answered once, after its
    /// [`End`](Self::End) or before.
    Request(Request),
    /// A command of the classic dialect begins, which is never answered.
    Classic(Classic),
    /// The next bytes of its body; never empty.
    Body(&'a [u8]),
    /// The body is complete.
    End,
}

/// The peer's debt, and the moment since when the peer owes it: a server that waits for the peer decides how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owed {
    /// No debt: the server has to act.
    Nothing,
    /// Reading its answers; the peer last took bytes of them at this moment.
    Reading(Time),
    /// The first byte of its first frame; the peer connected at this moment.
    First(Time),
    /// The rest of a header; its first byte came at this moment.
    Header(Time),
    /// The rest of a body; bytes of it last came at this moment.
    Body(Time),
    /// The next request, if the peer has one; its last byte went or came at this moment.
    Request(Time),
    /// The next command of the classic dialect, if the peer's user types one; its last byte came at this moment.
    Command(Time),
    /// Closing a connection; the server ended the connection at this moment.
    Close(Time),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are read.
    Open,
    /// The peer sends no more; answers still go out.
    InputEnded,
    /// Refused for good: flush, shut the sending side, read and drop all further bytes, close.
    Draining { left: usize, shut: bool, since: Time },
}

/// A server's half of one connection, without I/O and without a clock.
///
/// The caller moves bytes: it gives received bytes to [`receive`](Self::receive) until that returns no more events, and
/// [`input_ended`](Self::input_ended) at the end of the input; it sends [`output`](Self::output), reports the number of
/// sent bytes with [`sent`](Self::sent), and shuts its sending side when [`shuts`](Self::shuts) says so, until
/// [`is_over`](Self::is_over). For each request it calls [`done`](Self::done), [`answer`](Self::answer) or
/// [`refuse`](Self::refuse) once, whenever the store is ready, and [`acknowledge`](Self::acknowledge) when it has
/// nothing else to do for the connection.
///
/// The connection keeps the book of requests, checks ids and window, and holds acks back until all changes before them are
/// done or refused (PROTOCOL.md, section 5.3). Nothing is ever written to a classic peer.
///
/// Invariants: an ack is never ahead of a change that is neither done nor refused; a last refusal is behind everything
/// else; memory is bounded by the window, one header, and 64 KiB of answers with the last of them.
#[derive(Debug)]
pub struct ServerConnection {
    decoder: Decoder<Requests>,
    book: Responder,
    outbox: Outbox,
    phase: Phase,
    /// When the peer last took or gave a byte.
    progress: Time,
    /// Moment of the last frame to the peer.
    said: Time,
    /// When the first byte of an unfinished header came.
    header_since: Option<Time>,
    /// The reason for the end of the connection, until the changes before that have been told.
    last_word: Option<Refusal>,
    /// Whether the peer reads answers.
    is_haul: bool,
}

impl ServerConnection {
    /// A connection that was accepted now, under the limits that the server announces.
    #[must_use]
    pub fn new(limits: &ServerLimits, now: Time) -> Self {
        Self {
            decoder: Decoder::new(Requests::default()),
            book: Responder::new(limits),
            outbox: Outbox::default(),
            phase: Phase::Open,
            progress: now,
            said: now,
            header_since: None,
            last_word: None,
            is_haul: false,
        }
    }

    // Input.

    /// Takes bytes from the front of `input` up to the next event. `None` means that all of `input` is taken. After the
    /// connection has been ended, bytes are thrown away.
    ///
    /// # Errors
    /// If the client breaks the protocol. The connection must be ended then, which [`end`](Self::end) does with
    /// [`ServerError::refusal`].
    pub fn receive<'a>(
        &mut self,
        input: &mut &'a [u8],
        now: Time,
    ) -> Result<Option<ServerEvent<'a>>, ServerError> {
        if !input.is_empty() {
            self.progress = now;
        }
        match &mut self.phase {
            Phase::Open => {}
            Phase::InputEnded => return Ok(None),
            Phase::Draining { left, .. } => {
                *left = left.saturating_sub(input.len());
                *input = &[];
                return Ok(None);
            }
        }
        let decoded = self.decoder.decode(input);
        self.is_haul = self.decoder.side().is_haul();
        let Some(event) = decoded? else {
            self.header_since = match self.decoder.held() {
                0 => None,
                _ => self.header_since.or(Some(now)),
            };
            return Ok(None);
        };
        Ok(Some(match event {
            Event::Body(bytes) => ServerEvent::Body(bytes),
            Event::End => ServerEvent::End,
            Event::Header(header) => {
                self.header_since = None;
                match header {
                    FirstOrLater::Hello(hello) => ServerEvent::Hello(hello),
                    FirstOrLater::Classic(classic) => ServerEvent::Classic(classic),
                    FirstOrLater::Request(request) => {
                        self.enter(&request)?;
                        ServerEvent::Request(request)
                    }
                }
            }
        }))
    }

    fn enter(&mut self, request: &Request) -> Result<(), ServerError> {
        let Request { id, length, op } = request;
        match op {
            Ok(Op::Bundle { count, .. }) => self.book.received_bundle(*id, *count, *length)?,
            Ok(op) => self.book.received(*id, op.is_change(), *length)?,
            Err(_) => self.book.received(*id, false, *length)?,
        }
        Ok(())
    }

    /// Ends the input: the peer sends no more bytes.
    ///
    /// # Errors
    /// If a frame is cut off, which only a log needs to know.
    pub fn input_ended(&mut self) -> Result<(), DecodeError> {
        let cut = match self.phase {
            Phase::Open => self.decoder.finish(),
            Phase::InputEnded | Phase::Draining { .. } => Ok(()),
        };
        self.phase = Phase::InputEnded;
        cut
    }

    /// Whether the last frame is complete and no byte of the next has come.
    #[must_use]
    pub fn between_frames(&self) -> bool {
        self.decoder.between_frames()
    }

    /// Bytes of the current body that are still to come.
    #[must_use]
    pub fn body_left(&self) -> Option<u64> {
        self.decoder.body_left()
    }

    /// Whether requests are read: the peer has not ended its side, and the server has not ended the connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the peer sends nothing more.
    #[must_use]
    pub fn has_input_ended(&self) -> bool {
        self.phase == Phase::InputEnded
    }

    // Answers.

    /// Answers `hello`.
    ///
    /// # Errors
    /// If a value is out of the protocol's range, as for all answers.
    pub fn greet(&mut self, hello: ServerHello) -> Result<(), EncodeError> {
        self.say(&Answer::Hello(Box::new(hello)), &[])
    }

    /// A change is done; the next [`acknowledge`](Self::acknowledge) may tell it.
    pub fn done(&mut self, id: RequestId) {
        self.book.done(id);
    }

    /// A request is not carried out.
    ///
    /// # Errors
    /// As for [`greet`](Self::greet).
    pub fn refuse(&mut self, id: RequestId, refusal: Refusal) -> Result<(), EncodeError> {
        self.say(&Answer::Refused { id, refusal }, &[])?;
        self.book.told(id);
        Ok(())
    }

    /// A request that is no change is answered.
    ///
    /// # Errors
    /// As for [`greet`](Self::greet).
    pub fn answer(&mut self, id: RequestId, reply: Reply, body: &[u8]) -> Result<(), EncodeError> {
        self.say(&Answer::Answered { id, length: body.len() as u64, reply }, body)?;
        self.book.told(id);
        Ok(())
    }

    /// As [`answer`](Self::answer), but a large body is not copied.
    ///
    /// # Errors
    /// As for [`greet`](Self::greet).
    pub fn answer_with(
        &mut self,
        id: RequestId,
        reply: Reply,
        body: Vec<u8>,
    ) -> Result<(), EncodeError> {
        let answer = Answer::Answered { id, length: body.len() as u64, reply };
        encode::answer(&answer, self.outbox.end())?;
        self.outbox.append(body);
        self.book.told(id);
        Ok(())
    }

    /// As [`answer`](Self::answer), but the caller sends the body itself, which has `length` bytes: when there is no more
    /// [`output`](Self::output), as many bytes as [`apart`](Self::apart) says. Only if nothing waits to be sent
    /// ([`is_said`](Self::is_said)).
    ///
    /// # Errors
    /// As for [`greet`](Self::greet).
    pub fn answer_apart(
        &mut self,
        id: RequestId,
        reply: Reply,
        length: u64,
    ) -> Result<(), EncodeError> {
        encode::answer(&Answer::Answered { id, length, reply }, self.outbox.end())?;
        self.outbox.append_apart(length);
        self.book.told(id);
        Ok(())
    }

    /// Tells of all changes that are done since the last ack.
    pub fn acknowledge(&mut self) {
        if let Some(id) = self.book.ack() {
            // An id that came in a request can be said.
            let _ = self.say(&Answer::Ack(id), &[]);
        }
    }

    /// When a client that waits for changes must be told that the server is still there.
    #[must_use]
    pub fn repeats_at(&self) -> Time {
        self.said.after(REPEAT)
    }

    /// Tells that the server is still there: repeats the last ack, if the peer speaks the haul dialect.
    pub fn repeat(&mut self, now: Time) {
        if self.is_haul {
            let _ = self.say(&Answer::Ack(self.book.last_ack()), &[]);
            self.said = now;
        }
    }

    /// Sends bytes that are no answer to a peer that speaks another protocol, and ends the connection.
    pub fn end_with(&mut self, bytes: &[u8]) {
        self.outbox.end().extend_from_slice(bytes);
        self.drain();
    }

    /// Ends the connection: nothing more is read from now on. A client of the haul dialect is told why, as soon as
    /// [`conclude`](Self::conclude) says that all changes that were under way have been told. Returns whether the peer is
    /// told at all; otherwise nothing is left to do but to close.
    pub fn end(&mut self, refusal: Refusal) -> bool {
        // A connection that only drains holds no header.
        self.decoder = Decoder::new(Requests::default());
        self.header_since = None;
        if self.is_haul {
            self.last_word = Some(refusal);
            self.drain();
        } else {
            self.phase = Phase::InputEnded;
        }
        self.is_haul
    }

    fn drain(&mut self) {
        self.phase = Phase::Draining { left: DRAIN_BYTES, shut: false, since: self.progress };
    }

    /// All changes that were under way have been told: acknowledges them, and tells why the connection ends, if it does.
    pub fn conclude(&mut self) {
        self.acknowledge();
        if let Some(refusal) = self.last_word.take() {
            let _ = self.say(&Answer::Refused { id: RequestId::CONNECTION, refusal }, &[]);
        }
    }

    /// Gives up on a peer that reads nothing: throws its answers away, and all that it was to be told.
    pub fn abandon(&mut self) {
        self.outbox = Outbox::default();
        self.last_word = None;
        self.phase = Phase::InputEnded;
    }

    fn say(&mut self, answer: &Answer, body: &[u8]) -> Result<(), EncodeError> {
        encode::answer(answer, self.outbox.end())?;
        self.outbox.end().extend_from_slice(body);
        Ok(())
    }

    // Output.

    /// Bytes that are to be sent next.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.outbox.as_slice()
    }

    /// Bytes of a body that the caller sends itself, and has not sent yet. They are next if there is no
    /// [`output`](Self::output).
    #[must_use]
    pub fn apart(&self) -> u64 {
        self.outbox.apart()
    }

    /// Whether all answers so far are sent.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.outbox.is_empty()
    }

    /// So many bytes of the output are sent.
    pub fn sent(&mut self, len: usize, now: Time) {
        self.outbox.take(len);
        self.has_sent(now);
    }

    /// So many bytes are sent of the body that the caller has.
    pub fn sent_apart(&mut self, len: u64, now: Time) {
        self.outbox.take_apart(len);
        self.has_sent(now);
    }

    fn has_sent(&mut self, now: Time) {
        // An idle connection holds no buffer.
        self.outbox.shrink();
        self.progress = now;
        self.said = now;
    }

    /// Whether so many answers wait for the peer that no more requests should be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outbox.len() >= FULL
    }

    /// Whether the sending side is to be shut now, which is asked for once: all is said.
    pub fn shuts(&mut self, now: Time) -> bool {
        match &mut self.phase {
            Phase::Draining { shut, since, .. }
                if !*shut && self.outbox.is_empty() && self.last_word.is_none() =>
            {
                (*shut, *since) = (true, now);
                true
            }
            _ => false,
        }
    }

    /// Whether nothing is left to do but to close. `owes`: whether the server still works on requests of this peer.
    #[must_use]
    pub fn is_over(&self, owes: bool) -> bool {
        let told = self.outbox.is_empty() && self.last_word.is_none();
        match self.phase {
            Phase::Open => false,
            Phase::InputEnded => told && !owes,
            Phase::Draining { left, .. } => left == 0,
        }
    }

    // Debts.

    /// The peer's debt. `works`: whether the server works on received requests, so that it reads nothing; `owes`:
    /// whether the server owes answers.
    #[must_use]
    pub fn owed(&self, works: bool, owes: bool) -> Owed {
        if !self.outbox.is_empty() {
            return Owed::Reading(self.progress);
        }
        match (self.phase, self.header_since) {
            // The peer owes no more.
            (Phase::InputEnded, _) => Owed::Nothing,
            (Phase::Draining { .. }, _) if self.last_word.is_some() => Owed::Nothing,
            (Phase::Draining { since, .. }, _) => Owed::Close(since),
            (Phase::Open, _) if works => Owed::Nothing,
            (Phase::Open, Some(since)) => Owed::Header(since),
            (Phase::Open, None) if !self.decoder.side().is_known() => Owed::First(self.progress),
            (Phase::Open, None) if !self.decoder.between_frames() => Owed::Body(self.progress),
            (Phase::Open, None) if owes => Owed::Nothing,
            (Phase::Open, None) if self.is_haul => Owed::Request(self.progress),
            (Phase::Open, None) => Owed::Command(self.progress),
        }
    }

    /// Bytes of memory that the peer has made the connection hold.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.decoder.held() + self.outbox.held() + self.book.held_bytes()
    }
}
