//! Frames out of bytes, in whatever pieces they arrive.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};

use crate::code::{Code, Refusal};
use crate::error::{DecodeError, NameError, Place};
use crate::header::{AnswerHeader, RequestHeader, Text, link, name, parse};
use crate::limits::{MAX_BODY_LEN, MAX_HEADER_LEN, PREFIX_LEN};
use crate::message::{
    Answer, Attributes, Classic, FirstOrLater, Hello, Op, Reply, Request, ServerHello, Wanted,
};
use crate::name::Name;

/// How one side reads headers: [`Requests`] or [`Answers`].
pub trait Headers {
    /// What a header becomes.
    type Header;

    /// Reads the JSON of one header and says how long the body behind it is.
    ///
    /// # Errors
    /// If the header is malformed.
    fn read(&mut self, header: &[u8]) -> Result<(Self::Header, u64), DecodeError>;
}

/// What comes out of a [`Decoder`]: for each frame one `Header`, any number of `Body`, one `End`.
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
    held: Vec<u8>,
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
        Self { side, state: State::Prefix, held: Vec::new() }
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
            self.held = Vec::new();
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
                    let (read, body_len) = self.side.read(&header)?;
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
    held.extend_from_slice(bytes);
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

/// A server's side: reads the headers of requests. The first frame decides the dialect.
#[derive(Debug, Default)]
pub struct Requests {
    dialect: Option<Dialect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Haul,
    Classic,
}

impl Requests {
    /// Whether the first frame was a `hello`, sound or not: such a peer reads answers.
    #[must_use]
    pub fn is_haul(&self) -> bool {
        self.dialect == Some(Dialect::Haul)
    }
}

impl Headers for Requests {
    type Header = FirstOrLater;

    fn read(&mut self, header: &[u8]) -> Result<(FirstOrLater, u64), DecodeError> {
        let header: RequestHeader<'_> = parse(header)?;
        let command = need("header", "cmd", header.cmd.as_ref())?.0.to_string();
        match self.dialect {
            None if command == "hello" => {
                self.dialect = Some(Dialect::Haul);
                let len = body_len(header.length)?;
                Ok((FirstOrLater::Hello(hello(header)?), len))
            }
            Some(Dialect::Haul) => {
                let length = body_len(header.length)?;
                let id = need(&command, "id", header.id)?;
                let op = op(&command, header, length)?;
                Ok((FirstOrLater::Request(Request { id, length, op }), length))
            }
            None | Some(Dialect::Classic) => {
                self.dialect = Some(Dialect::Classic);
                let (classic, len) = classic(command, header)?;
                Ok((FirstOrLater::Classic(classic), len))
            }
        }
    }
}

fn hello(header: RequestHeader<'_>) -> Result<Hello, DecodeError> {
    Ok(Hello {
        version: need("hello", "version", header.version)?,
        agent: need("hello", "agent", header.agent)?.0.into_owned(),
        client: need("hello", "client", header.client)?.0.into_owned(),
        slot: need("hello", "slot", header.slot)?,
        must: texts(header.must),
    })
}

fn classic(command: String, header: RequestHeader<'_>) -> Result<(Classic, u64), DecodeError> {
    if command != "put" {
        return Ok((Classic::Unknown(command), 0));
    }
    let filename = need("put", "filename", header.filename)?;
    let size = need("put", "filesize", header.filesize)?;
    Ok((Classic::Put { name: Name::parse(filename.0.as_bytes()), size }, size))
}

/// Reads a request whose frame is sound. The outer error ends the connection, the inner one refuses
/// the request, whose body can be skipped.
fn op(
    command: &str,
    mut header: RequestHeader<'_>,
    length: u64,
) -> Result<Result<Op, Refusal>, DecodeError> {
    let attributes = Attributes { mode: header.mode, mtime: header.mtime };
    let named = name("filename", &(header.filename.take(), header.filename_b64.take()));
    let named = match named {
        Ok(name) => name,
        Err(error) => return Ok(Err(bad_name(&error))),
    };
    let wrong = |message: &str| Ok(Err(Refusal::new(Code::BadRequest, message)));
    let has_body = matches!(command, "put" | "part" | "check");
    let op = match command {
        "put" => {
            let size = need(command, "filesize", header.filesize)?;
            let digest = need(command, "blake3", header.blake3)?;
            let name = need(command, "filename", named)?;
            if size != length {
                return wrong("`length` of a put is not its `filesize`");
            }
            Op::Put { name, size, digest, attributes }
        }
        "open" => Op::Open(Box::new(Wanted {
            name: need(command, "filename", named)?,
            size: need(command, "filesize", header.filesize)?,
            attributes,
            fingerprint: need(command, "fingerprint", header.fingerprint)?.0.into_owned(),
        })),
        "part" => Op::Part {
            upload: need(command, "upload", header.upload)?,
            offset: need(command, "offset", header.offset)?,
            cv: need(command, "cv", header.cv)?,
        },
        "commit" => Op::Commit {
            upload: need(command, "upload", header.upload)?,
            digest: need(command, "blake3", header.blake3)?,
        },
        "abort" => Op::Abort { upload: need(command, "upload", header.upload)? },
        "mkdir" => Op::Mkdir { name: need(command, "filename", named)?, mode: header.mode },
        "symlink" => match link(&(header.target.take(), header.target_b64.take())) {
            Err(error) => return Ok(Err(bad_name(&error))),
            Ok(target) => Op::Symlink {
                name: need(command, "filename", named)?,
                target: need(command, "target", target)?,
                mtime: header.mtime,
            },
        },
        "setattr" => Op::Setattr { name: need(command, "filename", named)?, attributes },
        "check" => Op::Check,
        "list" => match name("after", &(header.after.take(), header.after_b64.take())) {
            Err(error) => return Ok(Err(bad_name(&error))),
            Ok(after) => Op::List { name: named, after },
        },
        "ping" => Op::Ping,
        unknown => {
            let message = alloc::format!("command `{}` is not known", unknown.escape_debug());
            return Ok(Err(Refusal::new(Code::UnknownCommand, message)));
        }
    };
    if length > 0 && !has_body {
        return wrong("this request has no body");
    }
    Ok(Ok(op))
}

fn bad_name(error: &NameError) -> Refusal {
    Refusal::new(Code::BadName, error)
}

/// A client's side: reads the headers of answers.
#[derive(Debug, Default)]
pub struct Answers;

impl Headers for Answers {
    type Header = Answer;

    fn read(&mut self, header: &[u8]) -> Result<(Answer, u64), DecodeError> {
        let header: AnswerHeader<'_> = parse(header)?;
        let length = body_len(header.length)?;
        let answer = match (header.hello, header.ack, header.refused, header.answer) {
            (Some(version), None, None, None) => Answer::Hello(ServerHello {
                version,
                agent: need("hello", "agent", header.agent)?.0.into_owned(),
                limits: need("hello", "limits", header.limits)?,
                durability: need("hello", "durability", header.durability)?.0.into_owned(),
                features: texts(header.features),
            }),
            (None, Some(id), None, None) => Answer::Ack(id),
            (None, None, Some(id), None) => Answer::Refused {
                id,
                refusal: Refusal {
                    code: Code::parse(&need("refused", "code", header.code)?.0),
                    message: need("refused", "message", header.message)?.0.into_owned(),
                    retry: need("refused", "retry", header.retry)?,
                },
            },
            (None, None, None, Some(id)) => {
                let reply = match (header.upload, header.part_size, header.more) {
                    (Some(upload), part_size, _) => {
                        let part_size = need("open", "part_size", part_size)?;
                        Reply::Opened { upload, part_size }
                    }
                    (None, _, Some(more)) => Reply::Listed { more },
                    (None, _, None) => Reply::Done,
                };
                Answer::Answered { id, length, reply }
            }
            _ => return Err(DecodeError::UnknownAnswer),
        };
        Ok((answer, length))
    }
}

fn need<T>(command: &str, field: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeError::Missing {
        command: command.escape_debug().take(32).collect(),
        field,
    })
}

fn texts(texts: Option<Vec<Text<'_>>>) -> Vec<String> {
    texts.unwrap_or_default().into_iter().map(|text| text.0.into_owned()).collect()
}

fn body_len(length: Option<u64>) -> Result<u64, DecodeError> {
    match length.unwrap_or(0) {
        len if len > MAX_BODY_LEN => Err(DecodeError::BodyTooLong(len)),
        len => Ok(len),
    }
}
