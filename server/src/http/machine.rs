//! Requests in a stream of bytes, in pieces of any length.

use haul_protocol::append_wiped;
use zeroize::Zeroizing;

use super::chunks::{Chunks, Piece};
use super::head::{Framing, Head};
use super::lines::{Ends, Lines};
use super::status::{Status, Wrong};

/// Bytes of the longest head.
pub(crate) const MAX_HEAD: usize = 32 * 1024;

/// The next thing in the stream: of each request one head, any number of pieces of its body, one end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Head(Box<Head>),
    /// Never empty.
    Body(&'a [u8]),
    End,
}

/// Turns bytes into [`Event`]s.
///
/// Invariant: holds at most one unfinished head of [`MAX_HEAD`] bytes; bodies are never copied. After an error it takes nothing
/// more: what follows could be understood in two ways.
#[derive(Debug)]
pub(crate) struct Machine {
    state: State,
    /// The lines of the head that comes.
    lines: Lines,
    /// An empty line has come before this head: one is no fault (RFC 9112, section 2.2).
    has_skipped: bool,
    /// The bytes of that head. An access token may be in it.
    held: Zeroizing<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between requests, or in a head.
    Head,
    /// So many bytes before the end of a body.
    Length(u64),
    Chunked(Chunks),
    Failed,
}

impl Default for Machine {
    /// At the first byte of a stream.
    fn default() -> Self {
        let (lines, held) = (Lines::default(), Zeroizing::default());
        Self { state: State::Head, lines, has_skipped: false, held }
    }
}

impl Machine {
    /// Takes bytes from the front of `input` up to the next event. `None`: all of `input` is taken.
    pub(crate) fn receive<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Wrong> {
        let event = self.step(input);
        if event.is_err() {
            self.state = State::Failed;
            self.held = Zeroizing::default();
        }
        event
    }

    fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Wrong> {
        match &mut self.state {
            State::Failed => Err(Wrong::bad("the stream has failed before")),
            State::Head => {
                let Some(head) = self.head(input)? else { return Ok(None) };
                self.state = match head.framing {
                    Framing::Length(len) => State::Length(len),
                    Framing::Chunked => State::Chunked(Chunks::BEGIN),
                };
                Ok(Some(Event::Head(Box::new(head))))
            }
            State::Length(0) => {
                self.state = State::Head;
                Ok(Some(Event::End))
            }
            State::Length(_) if input.is_empty() => Ok(None),
            State::Length(left) => {
                let len = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                let (bytes, rest) = input.split_at(len);
                *input = rest;
                *left -= len as u64;
                Ok(Some(Event::Body(bytes)))
            }
            State::Chunked(chunks) => match chunks.receive(input)? {
                None => Ok(None),
                Some(Piece::Bytes(bytes)) => Ok(Some(Event::Body(bytes))),
                Some(Piece::End) => {
                    self.state = State::Head;
                    Ok(Some(Event::End))
                }
            },
        }
    }

    fn head(&mut self, input: &mut &[u8]) -> Result<Option<Head>, Wrong> {
        let mut index = 0;
        while let Some(byte) = input.get(index) {
            index += 1;
            if self.held.len() + index > MAX_HEAD {
                return Err(Wrong::new(Status::HEAD_TOO_LARGE, "the head is over 32 KiB"));
            }
            let ends = self.lines.push(*byte)?;
            if ends != Ends::Empty {
                continue;
            }
            let (mine, rest) = input.split_at(index);
            *input = rest;
            if self.lines.complete() == 0 {
                if std::mem::replace(&mut self.has_skipped, true) {
                    return Err(Wrong::bad("empty lines where a request has to begin"));
                }
                self.held.clear();
                index = 0;
                continue;
            }
            (self.lines, self.has_skipped) = (Lines::default(), false);
            let mut held = std::mem::take(&mut self.held);
            let head = match held.is_empty() {
                true => Head::parse(mine),
                false => {
                    append_wiped(&mut held, mine);
                    Head::parse(&held)
                }
            };
            return head.map(Some);
        }
        append_wiped(&mut self.held, input);
        *input = &[];
        Ok(None)
    }

    /// Whether the last request is complete and no byte of the next has come.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Head && self.held.is_empty() && self.lines.is_new()
    }

    /// Whether the next byte belongs to a body.
    pub(crate) fn is_in_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunked(_))
    }

    /// Whether a head has begun and is not complete.
    pub(crate) fn is_in_head(&self) -> bool {
        self.state == State::Head && !self.is_between()
    }

    /// Bytes of the present body that are still to come. `None`: there is no body, or nobody has told its length.
    pub(crate) fn body_left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.capacity()
    }
}
