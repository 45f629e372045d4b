//! `multipart/form-data` (RFC 7578), as browsers and curl send it, and nothing that two readers could take for two things.
//!
//! A body begins with its first delimiter and ends with its last one: there is no preamble, no epilogue, no space behind a
//! boundary, and no line without CR LF. A delimiter is looked for in the bytes of one read at once, and a part of one at their end
//! is kept: so of each read a file gets at most two pieces, whatever its bytes are.

use std::ops::Range;

use super::form_head::{Disposition, disposition};
use crate::http::lines::{Ends, Lines};
use crate::http::status::{Status, Wrong};

/// Letters of the longest boundary (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// Bytes of the longest head of a part.
const MAX_PART_HEAD: usize = 16 * 1024;

/// Fields of a part.
const MAX_FIELDS: usize = 8;

/// Parts of a form.
const MAX_PARTS: usize = 4096;

/// The next thing in a form: of each part its disposition, any number of pieces, one end; then the end of the form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Part(Disposition),
    /// Never empty.
    Bytes(&'a [u8]),
    PartEnd,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the first delimiter.
    Begin,
    /// In the head of a part.
    Head,
    /// In the bytes of a part.
    Bytes,
    /// Behind a boundary, which the bytes of a part have ended: it has to be told.
    Ended,
    /// Behind a boundary: CR LF or the two hyphens of the last one. `.0`: the byte before, if one has come.
    Behind(Option<u8>),
    /// Behind the last boundary: a CR LF may follow. `.0`: bytes of it that have come.
    Over(u8),
    Failed,
}

/// A form that comes.
///
/// Invariant: holds one head of a part at most. After an error it takes nothing more.
#[derive(Debug)]
pub(crate) struct Form {
    /// CR LF, two hyphens and the boundary.
    delimiter: Vec<u8>,
    /// Bytes of the delimiter that have come.
    matched: usize,
    state: State,
    lines: Lines,
    head: Vec<u8>,
    parts: usize,
    /// The form has ended and that has been told.
    is_told: bool,
}

impl Form {
    /// From the field `Content-Type` of a request; `None`: the body is no form.
    pub(crate) fn of(media: &str) -> Option<Result<Self, Wrong>> {
        let (name, parameters) = media.split_once(';').unwrap_or((media, ""));
        if !name.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let mut boundary = None;
        for parameter in parameters.split(';') {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            if name.trim().eq_ignore_ascii_case("boundary") && boundary.replace(value).is_some() {
                return Some(Err(Wrong::bad("two boundaries")));
            }
        }
        let boundary = boundary.unwrap_or_default().trim();
        let boundary =
            boundary.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(boundary);
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
        if !(1..=MAX_BOUNDARY).contains(&boundary.len()) || !boundary.bytes().all(is_letter) {
            return Some(Err(Wrong::bad("the boundary of a form")));
        }
        Some(Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first one has no CR LF before it.
            matched: 2,
            state: State::Begin,
            lines: Lines::default(),
            head: Vec::new(),
            parts: 0,
            is_told: false,
        }))
    }

    /// Takes bytes from the front of `input` up to the next event. `None`: all of `input` is taken.
    pub(crate) fn receive<'s, 'a: 's>(
        &'s mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'s>>, Wrong> {
        match self.step(input) {
            Ok(Some(Found::Of(event))) => Ok(Some(event)),
            Ok(Some(Found::Kept(range))) => Ok(Some(Event::Bytes(&self.delimiter[range]))),
            Ok(None) => Ok(None),
            Err(wrong) => {
                (self.state, self.head) = (State::Failed, Vec::new());
                Err(wrong)
            }
        }
    }

    fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Found<'a>>, Wrong> {
        loop {
            match self.state {
                State::Failed => return Err(Wrong::bad("the form has failed before")),
                State::Ended => {
                    self.state = State::Behind(None);
                    return Ok(Some(Found::Of(Event::PartEnd)));
                }
                State::Over(2) if !self.is_told => {
                    self.is_told = true;
                    return Ok(Some(Found::Of(Event::End)));
                }
                _ if input.is_empty() => return Ok(None),
                State::Begin => {
                    self.go_on_matching(input);
                    if self.matched == self.delimiter.len() {
                        (self.matched, self.state) = (0, State::Behind(None));
                    } else if !input.is_empty() {
                        return Err(Wrong::bad("a form that does not begin with its boundary"));
                    }
                }
                State::Behind(before) => {
                    let byte = first(input);
                    self.state = match (before, byte) {
                        (None, b'\r' | b'-') => State::Behind(Some(byte)),
                        (Some(b'\r'), b'\n') if self.parts == MAX_PARTS => {
                            return Err(Wrong::new(Status::TOO_LARGE, "a form of too many parts"));
                        }
                        (Some(b'\r'), b'\n') => State::Head,
                        (Some(b'-'), b'-') => State::Over(0),
                        _ => return Err(Wrong::bad("bytes behind the boundary of a form")),
                    };
                }
                State::Over(come) => {
                    let byte = first(input);
                    self.state = match (come, byte) {
                        (0, b'\r') => State::Over(1),
                        (1, b'\n') => State::Over(2),
                        _ => return Err(Wrong::bad("bytes behind the end of a form")),
                    };
                }
                State::Head => {
                    if let Some(part) = self.part(input)? {
                        (self.state, self.matched) = (State::Bytes, 0);
                        self.parts += 1;
                        return Ok(Some(Found::Of(Event::Part(part))));
                    }
                }
                State::Bytes => {
                    if let Some(found) = self.bytes(input) {
                        return Ok(Some(found));
                    }
                }
            }
        }
    }

    /// Takes the bytes that go on with the delimiter.
    fn go_on_matching(&mut self, input: &mut &[u8]) {
        let left = &self.delimiter[self.matched..];
        let same = left.iter().zip(*input).take_while(|(one, other)| one == other).count();
        self.matched += same;
        *input = &input[same..];
    }

    /// The head of a part, once it is complete.
    fn part(&mut self, input: &mut &[u8]) -> Result<Option<Disposition>, Wrong> {
        while !input.is_empty() {
            let byte = first(input);
            self.head.push(byte);
            if self.head.len() > MAX_PART_HEAD {
                return Err(Wrong::new(Status::HEAD_TOO_LARGE, "a part's head is over 16 KiB"));
            }
            let ends = self.lines.push(byte)?;
            if self.lines.complete() > MAX_FIELDS {
                return Err(Wrong::new(Status::HEAD_TOO_LARGE, "a part has too many fields"));
            }
            if ends == Ends::Empty {
                self.lines = Lines::default();
                let head = std::mem::take(&mut self.head);
                return disposition(&head).map(Some);
            }
        }
        Ok(None)
    }

    /// The next bytes of a part.
    fn bytes<'a>(&mut self, input: &mut &'a [u8]) -> Option<Found<'a>> {
        if self.matched > 0 {
            self.go_on_matching(input);
            let matched = self.matched;
            if matched == self.delimiter.len() {
                (self.matched, self.state) = (0, State::Ended);
                return None;
            }
            if input.is_empty() {
                return None;
            }
            // No other one begins within them: there is one CR in a delimiter, its first byte.
            self.matched = 0;
            return Some(Found::Kept(0..matched));
        }
        let at = self.delimiter_in(input);
        let (bytes, rest) = input.split_at(at);
        *input = rest;
        // The delimiter, or the first bytes of one: the next step takes them.
        self.go_on_matching(input);
        if self.matched == self.delimiter.len() {
            (self.matched, self.state) = (0, State::Ended);
        }
        (!bytes.is_empty()).then_some(Found::Of(Event::Bytes(bytes)))
    }

    /// The place of the first delimiter, or of the beginning of one at the end.
    fn delimiter_in(&self, input: &[u8]) -> usize {
        let mut from = 0;
        while let Some(at) = input[from..].iter().position(|byte| *byte == b'\r') {
            let at = from + at;
            let len = self.delimiter.len().min(input.len() - at);
            if input[at..at + len] == self.delimiter[..len] {
                return at;
            }
            from = at + 1;
        }
        input.len()
    }

    /// The number of these bytes that are taken at once: hardly more than one part, each of which is work.
    pub(crate) fn at_once(&self, input: &[u8]) -> usize {
        let most = match self.state {
            State::Bytes if self.matched == 0 => {
                self.delimiter_in(input) + self.delimiter.len() + 64
            }
            _ => 1024,
        };
        most.min(input.len())
    }

    /// Whether the form has come to its end: a body that ends before it is cut off.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Over(0 | 2))
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.head.capacity() + self.delimiter.capacity()
    }
}

/// An event, or bytes that looked like the beginning of a delimiter and were none.
enum Found<'a> {
    Of(Event<'a>),
    Kept(Range<usize>),
}

/// Takes the first byte of bytes that are not empty.
fn first(input: &mut &[u8]) -> u8 {
    let (byte, rest) = input.split_first().unwrap_or((&0, &[]));
    *input = rest;
    *byte
}
