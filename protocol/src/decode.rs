//! Decodes frames from bytes, in pieces of any length.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{DecodeError, Place};
use crate::limits::{MAX_HEADER_LEN, PREFIX_LEN};
use crate::side::Headers;
use crate::wiped::append_wiped;

/// An event of a [`Decoder`]: for each frame one `Header`, any number of `Body`, one `End`. A frame has
/// no other parts, so this enum is complete.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a, H> {
    /// A frame begins.
    Header(H),
    /// The next bytes of its body, borrowed from the caller's input; never empty.
    Body(&'a [u8]),
    /// The frame is complete.
    End,
}

/// Turns bytes into [`Event`]s.
///
/// Invariant: holds at most one unfinished prefix and header, which grows as its bytes arrive and
/// never past [`MAX_HEADER_LEN`] plus [`PREFIX_LEN`]; bodies are never copied.
#[derive(Debug)]
pub struct Decoder<S> {
    side: S,
    state: State,
    /// An access token may be in it.
    held: Zeroizing<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between frames, or in the prefix.
    Prefix,
    /// In the header of this many bytes.
    Header(usize),
    /// In the body, this many bytes before its end.
    Body(u64),
    Failed,
}

impl<S: Headers> Decoder<S> {
    /// Starts at the first byte of a connection.
    pub fn new(side: S) -> Self {
        Self { side, state: State::Prefix, held: Zeroizing::default() }
    }

    /// Takes bytes from the front of `input` up to the next event. `None` means that all of `input`
    /// is taken and more bytes are needed.
    ///
    /// # Errors
    /// If the bytes are malformed. The decoder is then of no more use and repeats
    /// [`DecodeError::Failed`].
    pub fn decode<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a, S::Header>>, DecodeError> {
        let result = self.step(input);
        if result.is_err() {
            self.state = State::Failed;
            self.held = Zeroizing::default();
        }
        result
    }

    /// Bytes of an unfinished prefix and header that are held in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The side that this decoder reads for.
    #[must_use]
    pub fn side(&self) -> &S {
        &self.side
    }

    /// Whether the last frame is complete and no byte of the next has come.
    #[must_use]
    pub fn between_frames(&self) -> bool {
        self.state == State::Prefix && self.held.is_empty()
    }

    /// Bytes of the current body that are still to come.
    #[must_use]
    pub fn body_left(&self) -> Option<u64> {
        match self.state {
            State::Body(left) => Some(left),
            _ => None,
        }
    }

    /// To be called when the stream has ended.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if it ended inside a frame.
    pub fn finish(&self) -> Result<(), DecodeError> {
        let (place, missing) = match self.state {
            State::Prefix if self.held.is_empty() => return Ok(()),
            State::Prefix => (Place::Prefix, (PREFIX_LEN - self.held.len()) as u64),
            State::Header(len) => (Place::Header, (len - self.held.len()) as u64),
            State::Body(left) => (Place::Body, left),
            State::Failed => return Err(DecodeError::Failed),
        };
        Err(DecodeError::Truncated { place, missing })
    }

    fn step<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a, S::Header>>, DecodeError> {
        loop {
            match self.state {
                State::Prefix => {
                    let Some(prefix) = take(&mut self.held, input, PREFIX_LEN) else {
                        return Ok(None);
                    };
                    self.state = State::Header(header_len(&prefix)?);
                }
                State::Header(len) => {
                    let Some(header) = take(&mut self.held, input, len) else {
                        return Ok(None);
                    };
                    let read = self.side.read(&header);
                    if let Cow::Owned(mut header) = header {
                        // An access token may be in it.
                        header.zeroize();
                    }
                    let (read, body_len) = read?;
                    self.state = State::Body(body_len);
                    return Ok(Some(Event::Header(read)));
                }
                State::Body(0) => {
                    self.state = State::Prefix;
                    return Ok(Some(Event::End));
                }
                State::Body(left) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let (body, rest) = input.split_at(len);
                    *input = rest;
                    self.state = State::Body(left - len as u64);
                    return Ok(Some(Event::Body(body)));
                }
                State::Failed => return Err(DecodeError::Failed),
            }
        }
    }
}

/// `len` bytes that are together: borrowed from the input if they all were in it, else collected
/// (and given away, so that an idle connection holds nothing).
fn take<'a>(held: &mut Vec<u8>, input: &mut &'a [u8], len: usize) -> Option<Cow<'a, [u8]>> {
    let (bytes, rest) = input.split_at(input.len().min(len - held.len()));
    *input = rest;
    if bytes.len() == len {
        return Some(Cow::Borrowed(bytes));
    }
    append_wiped(held, bytes);
    (held.len() == len).then(|| Cow::Owned(core::mem::take(held)))
}

fn header_len(prefix: &[u8]) -> Result<usize, DecodeError> {
    const HTTP: [&[u8]; 9] =
        [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"HTTP"];
    let value = LittleEndian::read_i32(prefix);
    match usize::try_from(value) {
        Ok(len @ 1..=MAX_HEADER_LEN) => Ok(len),
        _ if HTTP.contains(&prefix) => Err(DecodeError::Http),
        _ => Err(DecodeError::Prefix(value)),
    }
}
