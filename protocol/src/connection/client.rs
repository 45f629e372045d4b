//! A client's half of a connection: bytes and moments in; bytes, events and a deadline out.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::client_config::ClientConfig;
use super::outbox::Outbox;
use super::silence::Silence;
use super::time::Time;
use crate::code::Refusal;
use crate::decode::{Decoder, Event};
use crate::digest::Digest;
use crate::encode;
use crate::error::{ClientError, EncodeError};
use crate::id::RequestId;
use crate::limits::{
    MAX_BODY_LEN, MAX_BUNDLE_LEN, MAX_HEADER_LEN, MAX_PARTED_SIZE, MAX_PARTS, PREFIX_LEN,
};
use crate::message::{Answer, Hello, Reply, ServerHello, ServerLimits};
use crate::op::Op;
use crate::pending::Requester;
use crate::side::Answers;

/// The longest body of an answer, lists apart, that has a meaning: a bitmap of all parts of the largest file. A request
/// has fewer entries to compare than the bitmap has bytes.
const MAX_BITMAP: usize = (MAX_PARTS / 8) as usize;

/// An event of the connection, from the server's answers. `T` is the caller's note on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent<T> {
    /// The server has answered `hello`; its limits are bounded by the client's own. From here on requests may be sent.
    Greeted(Box<ServerHello>),
    /// An ack confirms these changes, in the order in which they were sent. None if it repeats an earlier ack.
    Acked(Vec<T>),
    /// A request is not carried out.
    Refused(T, Refusal),
    /// A request that is no change is answered, with this body.
    Answered(T, Reply, Vec<u8>),
    /// The server ends the connection: nothing that is unanswered will be answered.
    Ended(Refusal),
}

/// Requests without an answer, of a connection that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered<T> {
    /// The oldest one. A server reads requests in their order, so a request that breaks every connection is the oldest
    /// sooner or later. `None` if it is a `ping` of the connection's own.
    pub oldest: Option<T>,
    /// All others, oldest first.
    pub newer: Vec<T>,
}

/// An entry of the book: the request that an answer belongs to.
#[derive(Debug)]
enum Asked<T> {
    /// The connection itself asks whether the server is there.
    Ping,
    Request(T),
}

/// An answer whose body is not complete.
#[derive(Debug)]
struct Unfinished {
    id: RequestId,
    reply: Reply,
    body: Vec<u8>,
    /// Bytes of the body that can have a meaning.
    room: usize,
}

/// A client's half of one connection, without I/O and without a clock.
///
/// The caller moves bytes: it sends [`output`](Self::output) and reports the number of sent bytes with
/// [`sent`](Self::sent); it gives received bytes to [`receive`](Self::receive) until that returns no more events; and
/// at [`deadline`](Self::deadline) it calls [`expire`](Self::expire). `T` is the caller's note on each request, which
/// the connection keeps until the answer.
///
/// The connection keeps to the server's window, checks that each answer belongs to a request, sends a `ping` over an
/// idle connection, and tells when a server is silent for too long. It never sends a request twice: after a loss,
/// [`lost`](Self::lost) has all that were not answered, and the caller knows which of them may be sent again
/// (PROTOCOL.md, section 5.6).
///
/// Invariant: a request is answered, refused, or in [`lost`](Self::lost), and in one of these only.
#[derive(Debug)]
pub struct ClientConnection<T> {
    config: ClientConfig,
    /// The version that the client speaks.
    version: u64,
    decoder: Decoder<Answers>,
    book: Requester<Asked<T>>,
    outbox: Outbox,
    answer: Option<Unfinished>,
    silence: Silence,
    /// When a byte last went either way.
    moved: Time,
    /// When `hello` must be answered, until it is.
    greeting: Option<Time>,
    has_progress: bool,
}

/// Ends the header of the only frame with two line ends, which JSON allows: a server of a protocol that goes by lines, such
/// as HTTP, answers then, and can be told by its answer.
fn end_lines(frame: &mut Vec<u8>) {
    const ENDS: &[u8] = b"\r\n\r\n";
    let len = frame.len() + ENDS.len() - PREFIX_LEN;
    // A longer header would be refused; the texts of `hello` are short.
    if let (Ok(prefix), true) = (i32::try_from(len), len <= MAX_HEADER_LEN) {
        frame[..PREFIX_LEN].copy_from_slice(&prefix.to_le_bytes());
        frame.extend_from_slice(ENDS);
    }
}

impl<T> ClientConnection<T> {
    /// A connection that begins with `hello`.
    ///
    /// # Errors
    /// If a text of `hello` is too long.
    pub fn new(hello: &Hello, config: ClientConfig, now: Time) -> Result<Self, EncodeError> {
        let mut outbox = Outbox::default();
        encode::hello(hello, outbox.end())?;
        end_lines(outbox.end());
        Ok(Self {
            config,
            version: hello.version,
            decoder: Decoder::new(Answers),
            book: Requester::new(&ServerLimits::default()),
            outbox,
            answer: None,
            silence: Silence::new(config.timeout, now),
            moved: now,
            greeting: Some(now.after(config.hello)),
            has_progress: false,
        })
    }

    /// Whether one more request with a body of `length` bytes fits the window; never before `hello` is answered.
    #[must_use]
    pub fn has_room(&self, length: u64) -> bool {
        self.has_room_for(1, length)
    }

    /// Whether so many requests, whose bodies have `length` bytes together, fit the window.
    #[must_use]
    pub fn has_room_for(&self, requests: u64, length: u64) -> bool {
        self.greeting.is_none() && self.book.has_room_for(requests, length)
    }

    /// Requests without an answer.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.book.unanswered()
    }

    /// Whether the server has confirmed or answered any request.
    #[must_use]
    pub fn has_progress(&self) -> bool {
        self.has_progress
    }

    /// Appends the header of a request, and remembers `what` until it is answered. Its body of `length` bytes must
    /// follow: by [`body`](Self::body), or sent by the caller itself behind the output that is there now.
    ///
    /// # Errors
    /// If a value is out of the protocol's range; nothing is sent then.
    pub fn request(&mut self, what: T, op: &Op, length: u64, now: Time) -> Result<(), EncodeError> {
        self.enter(Asked::Request(what), op, length, now)
    }

    /// Appends the header of a bundle, and remembers each of its `files` (at least one) until that is answered. Its
    /// body must follow, as for [`request`](Self::request).
    ///
    /// # Errors
    /// If a value is out of the protocol's range; nothing is sent then.
    pub fn bundle<I>(
        &mut self,
        files: I,
        digest: Digest,
        length: u64,
        now: Time,
    ) -> Result<(), EncodeError>
    where
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    {
        let files = files.into_iter();
        let op = Op::Bundle { count: files.len() as u64, digest };
        encode::request(self.book.next_id(), length, &op, self.outbox.end())?;
        self.expect(now);
        self.book.sent_bundle(files.map(Asked::Request), length);
        Ok(())
    }

    /// Appends bytes of the last request's body.
    pub fn body(&mut self, bytes: &[u8]) {
        self.outbox.end().extend_from_slice(bytes);
    }

    /// The server has to read so many bytes before it can answer the last request: it is waited for longer.
    pub fn reads(&mut self, bytes: u64) {
        self.silence.reads(bytes);
    }

    /// Bytes that are to be sent next.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.outbox.as_slice()
    }

    /// So many bytes of the output are sent; 0 if only bytes of a body are, which the caller sends itself.
    pub fn sent(&mut self, len: usize, now: Time) {
        self.outbox.take(len);
        if self.greeting.is_some() && self.outbox.is_empty() {
            // The token of `hello` is not needed any more.
            self.outbox.wipe();
        }
        self.moved = now;
        self.silence.advanced(now);
    }

    /// The server's system gives a sign of life: a full transport has room again.
    pub fn heard(&mut self, now: Time) {
        self.silence.heard(now);
    }

    /// Takes bytes from the front of `input` up to the next event. `None` means that all of `input` is taken.
    ///
    /// # Errors
    /// If the server breaks the protocol. The connection is then of no more use, but for [`lost`](Self::lost).
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        now: Time,
    ) -> Result<Option<ClientEvent<T>>, ClientError> {
        self.receive_with(input, now, |_, _, _| false)
    }

    /// As [`receive`](Self::receive), but bodies of answers need not be kept until they are complete: `take` is shown each
    /// piece of a body as it comes, with the caller's note on the request and the answer's header. The connection keeps the
    /// pieces for which it returns `false`, and the [event](ClientEvent::Answered) has only these. The number of bytes is
    /// the server's choice, so `take` must bear more of them than it has asked for.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub fn receive_with(
        &mut self,
        input: &mut &[u8],
        now: Time,
        mut take: impl FnMut(&T, &Reply, &[u8]) -> bool,
    ) -> Result<Option<ClientEvent<T>>, ClientError> {
        if !input.is_empty() {
            self.moved = now;
            self.silence.heard(now);
        }
        loop {
            let event = self.decoder.decode(input).map_err(|error| match self.greeting {
                Some(_) => ClientError::NotHaul(error),
                None => ClientError::Decode(error),
            })?;
            let told = match event {
                None => return Ok(None),
                Some(Event::Header(answer)) if self.greeting.is_some() => self.greeted(answer)?,
                Some(Event::Header(answer)) => self.header(answer, now)?,
                Some(Event::Body(bytes)) => {
                    if let Some(Unfinished { id, reply, body, room }) = &mut self.answer {
                        let is_taken = match self.book.waiting(*id) {
                            Some(Asked::Request(what)) => take(what, reply, bytes),
                            _ => false,
                        };
                        if !is_taken {
                            body.extend_from_slice(&bytes[..bytes.len().min(*room - body.len())]);
                        }
                    }
                    None
                }
                Some(Event::End) => match self.answer.take() {
                    Some(answer) => self.answered(answer, now)?,
                    None => None,
                },
            };
            if told.is_some() {
                return Ok(told);
            }
        }
    }

    /// When [`expire`](Self::expire) is due.
    #[must_use]
    pub fn deadline(&self) -> Time {
        match self.greeting {
            Some(deadline) => deadline,
            None if self.book.unanswered() == 0 => self.moved.after(self.config.idle),
            None => self.silence.deadline(),
        }
    }

    /// Sends a `ping` over an idle connection. Before the deadline this does nothing.
    ///
    /// # Errors
    /// If the server was silent for too long, or has answered nothing for too long.
    pub fn expire(&mut self, now: Time) -> Result<(), ClientError> {
        if now < self.deadline() {
            return Ok(());
        }
        if self.greeting.is_some() {
            return Err(ClientError::NoHello(self.config.hello));
        }
        if self.book.unanswered() > 0 {
            return Err(self.silence.error(now));
        }
        self.enter(Asked::Ping, &Op::Ping, 0, now).map_err(|_| ClientError::Kind)
    }

    /// The connection is lost: takes all requests that have no answer.
    pub fn lost(&mut self) -> Unanswered<T> {
        let mut all = self.book.drain().map(|asked| match asked {
            Asked::Request(what) => Some(what),
            Asked::Ping => None,
        });
        let oldest = all.next().flatten();
        Unanswered { oldest, newer: all.flatten().collect() }
    }

    fn enter(
        &mut self,
        asked: Asked<T>,
        op: &Op,
        length: u64,
        now: Time,
    ) -> Result<(), EncodeError> {
        encode::request(self.book.next_id(), length, op, self.outbox.end())?;
        self.expect(now);
        self.book.sent(asked, op.is_change(), length);
        Ok(())
    }

    /// The server owes an answer from now on, if it did not before.
    fn expect(&mut self, now: Time) {
        if self.book.unanswered() == 0 {
            self.silence.expect(now);
        }
    }

    /// The first answer.
    fn greeted(&mut self, answer: Answer) -> Result<Option<ClientEvent<T>>, ClientError> {
        match answer {
            Answer::Hello(hello) if hello.version != self.version => {
                Err(ClientError::Version { answered: hello.version, asked: self.version })
            }
            Answer::Hello(hello) => {
                let limits = self.bounded(hello.limits)?;
                self.book = Requester::new(&limits);
                self.greeting = None;
                Ok(Some(ClientEvent::Greeted(Box::new(ServerHello { limits, ..*hello }))))
            }
            Answer::Refused { refusal, .. } => Ok(Some(ClientEvent::Ended(refusal))),
            _ => Err(ClientError::Kind),
        }
    }

    /// A later answer begins.
    fn header(&mut self, answer: Answer, now: Time) -> Result<Option<ClientEvent<T>>, ClientError> {
        match answer {
            Answer::Ack(id) => {
                let before = self.book.unanswered();
                let mut done = Vec::with_capacity(self.book.acked_at_most(id));
                self.book.acked(id, |asked| {
                    if let Asked::Request(what) = asked {
                        done.push(what);
                    }
                })?;
                if self.book.unanswered() < before {
                    self.silence.advanced(now);
                    self.has_progress = true;
                } else {
                    self.silence.repeated(now)?;
                }
                Ok(Some(ClientEvent::Acked(done)))
            }
            Answer::Refused { id: RequestId::CONNECTION, refusal } => {
                Ok(Some(ClientEvent::Ended(refusal)))
            }
            Answer::Refused { id, refusal } => {
                let asked = self.book.answered(id)?;
                self.silence.advanced(now);
                Ok(match asked {
                    Asked::Request(what) => Some(ClientEvent::Refused(what, refusal)),
                    Asked::Ping => None,
                })
            }
            Answer::Answered { id, reply, .. } => {
                let room = match reply {
                    Reply::Listed { .. } | Reply::Part(_) => {
                        usize::try_from(MAX_BODY_LEN).unwrap_or(usize::MAX)
                    }
                    // One byte more tells that it is too long.
                    Reply::Fetched { .. } => {
                        usize::try_from(MAX_BUNDLE_LEN + 1).unwrap_or(usize::MAX)
                    }
                    Reply::Done | Reply::Opened { .. } | Reply::Version { .. } => MAX_BITMAP,
                };
                self.answer = Some(Unfinished { id, reply, body: Vec::new(), room });
                Ok(None)
            }
            Answer::Hello(_) => Err(ClientError::Kind),
        }
    }

    /// The body of an answer is complete.
    fn answered(
        &mut self,
        answer: Unfinished,
        now: Time,
    ) -> Result<Option<ClientEvent<T>>, ClientError> {
        let Unfinished { id, reply, body, .. } = answer;
        let asked = self.book.answered(id)?;
        self.silence.advanced(now);
        self.has_progress = true;
        match (asked, reply) {
            (Asked::Request(what), reply) => Ok(Some(ClientEvent::Answered(what, reply, body))),
            (Asked::Ping, Reply::Done) => Ok(None),
            (Asked::Ping, _) => Err(ClientError::Kind),
        }
    }

    /// The server's limits, and the client's own where those are lower.
    pub(super) fn bounded(&self, announced: ServerLimits) -> Result<ServerLimits, ClientError> {
        let ServerLimits { max_header, max_body, window_requests, window_bytes, max_file } =
            announced;
        for (limit, announced, least) in [
            ("max_header", max_header, MAX_HEADER_LEN as u64),
            ("max_body", max_body, self.config.longest_body),
            ("window_requests", window_requests, 1),
            ("window_bytes", window_bytes, MAX_BODY_LEN),
        ] {
            if announced < least {
                return Err(ClientError::Limit { limit, announced, least });
            }
        }
        Ok(ServerLimits {
            max_header: max_header.min(MAX_HEADER_LEN as u64),
            max_body: max_body.min(MAX_BODY_LEN),
            window_requests: window_requests.min(self.config.window_requests),
            window_bytes: window_bytes.min(self.config.window_bytes),
            max_file: max_file.min(MAX_PARTED_SIZE),
        })
    }
}
