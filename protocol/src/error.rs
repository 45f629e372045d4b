//! Errors of bytes, names and the order of requests.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use thiserror::Error;

use crate::code::{Code, Refusal};
use crate::id::RequestId;
use crate::limits::{
    MAX_BODY_LEN, MAX_BUNDLE_LEN, MAX_BUNDLED, MAX_COMPONENT_LEN, MAX_FETCHED_SIZE,
    MAX_HEADER_DEPTH, MAX_HEADER_LEN, MAX_LINK_LEN, MAX_NAME_LEN, VERSION,
};

/// The protocol of a peer whose first four bytes are this prefix, as far as they tell.
struct Speaks(i32);

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.0.to_le_bytes() {
            b"SSH-" => "SSH",
            b"<!DO" | b"<!do" | b"<htm" | b"<HTM" | b"<?xm" => "HTTP",
            b"220 " | b"220-" => "FTP or SMTP",
            // An alert, or a handshake, of version 3.
            [0x15 | 0x16, 3, ..] => "TLS",
            _ => return write!(f, "header length {} is not from 1 to {MAX_HEADER_LEN}", self.0),
        };
        write!(f, "the peer speaks {name}, not haul")
    }
}

/// The bytes are not a frame of this protocol. The connection can't go on: where the next frame
/// starts is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The prefix is not a length from 1 to [`MAX_HEADER_LEN`].
    #[error("{}", Speaks(*.0))]
    Prefix(i32),
    /// The first bytes are HTTP.
    #[error("the peer speaks HTTP, not haul")]
    Http,
    /// The header is not UTF-8.
    #[error("header is not UTF-8 from byte {0}")]
    NotUtf8(usize),
    /// The header is JSON of another kind, or none.
    #[error("header is not a JSON object")]
    NotObject,
    /// The header nests deeper than [`MAX_HEADER_DEPTH`].
    #[error("header nests deeper than {MAX_HEADER_DEPTH} levels")]
    TooDeep,
    /// The header is not JSON, or a known field is doubled, of the wrong type or out of range.
    #[error("header: {0}")]
    Json(String),
    /// A field that this header must have is missing.
    #[error("header of `{command}` lacks `{field}`")]
    Missing {
        /// The command or the kind of answer.
        command: String,
        /// The field's name.
        field: &'static str,
    },
    /// A first header is a `hello` of this other version, and breaks the rules of the present one.
    #[error("version {0} is not served here, version {VERSION} is")]
    Version(u64),
    /// The header is an object, but no answer that this version knows, or several at once.
    #[error("header has none or several of `hello`, `ack`, `refused` and `answer`")]
    UnknownAnswer,
    /// `length` is more than [`MAX_BODY_LEN`].
    #[error("body length {0} is over {MAX_BODY_LEN}")]
    BodyTooLong(u64),
    /// The stream ended inside a frame.
    #[error("stream ended in a {place}, {missing} bytes short")]
    Truncated {
        /// The part of the frame that was being read.
        place: Place,
        /// Bytes that were still to come.
        missing: u64,
    },
    /// The decoder was given more input after it had failed.
    #[error("input after an earlier error")]
    Failed,
}

/// The body of a bundle is not so many files, each behind its line. The frame around it is sound.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The line before a file is not an entry.
    #[error("entry: {0}")]
    Entry(#[from] DecodeError),
    /// The body ends inside a line, or a line is longer than [`MAX_HEADER_LEN`].
    #[error("a line has no end, or is over {MAX_HEADER_LEN} bytes")]
    Line,
    /// An entry is of another kind than `file`.
    #[error("an entry is no file")]
    Kind,
    /// The body ends inside a file.
    #[error("the bytes of a file are cut")]
    Cut,
    /// There are fewer files than the header says.
    #[error("it holds only {0} files, fewer than its header says")]
    Count(usize),
    /// A file is longer than [`MAX_FETCHED_SIZE`]; only in the answer to `fetch`.
    #[error("a file of {0} bytes; the limit is {MAX_FETCHED_SIZE}")]
    Size(u64),
    /// The body is longer than [`MAX_BUNDLE_LEN`]; only in the answer to `fetch`.
    #[error("a body of {0} bytes; the limit is {MAX_BUNDLE_LEN}")]
    Long(u64),
    /// So many bytes follow the last of the files that the header says.
    #[error("{0} bytes follow its last file")]
    Rest(usize),
}

/// The body of a `fetch` is not names. The frame around it is sound.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WantedError {
    /// A name breaks the rules.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no name, or the last one has no NUL behind it.
    #[error("the body is not names with a NUL behind each")]
    End,
    /// There are more names than [`MAX_BUNDLED`].
    #[error("more than {MAX_BUNDLED} names")]
    Many,
    /// The body is longer than [`MAX_BUNDLE_LEN`].
    #[error("a body of {0} bytes; the limit is {MAX_BUNDLE_LEN}")]
    Long(u64),
}

/// The three parts of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The 4-byte length.
    Prefix,
    /// The JSON object.
    Header,
    /// The raw bytes.
    Body,
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Prefix => "prefix",
            Self::Header => "header",
            Self::Body => "body",
        })
    }
}

/// A message can't be put into a frame. Always the caller's own doing, never the peer's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The header would be longer than [`MAX_HEADER_LEN`].
    #[error("header of {0} bytes is over {MAX_HEADER_LEN}")]
    HeaderTooLong(usize),
    /// A number, or the length of a body or of a text, that the peer's decoder would not take.
    #[error("`{field}` is out of range: {value}")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// The value that was asked for.
        value: u64,
    },
}

/// The reason to refuse a name or the target of a link (PROTOCOL.md, "Names").
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// No bytes at all.
    #[error("name is empty")]
    Empty,
    /// Longer than [`MAX_NAME_LEN`].
    #[error("name of {0} bytes is over {MAX_NAME_LEN}")]
    TooLong(usize),
    /// A component is longer than [`MAX_COMPONENT_LEN`].
    #[error("component of {0} bytes is over {MAX_COMPONENT_LEN}")]
    ComponentTooLong(usize),
    /// Starts with a slash.
    #[error("name is absolute")]
    Absolute,
    /// Ends with a slash.
    #[error("name ends with a slash")]
    TrailingSlash,
    /// Two slashes in a row.
    #[error("name has an empty component")]
    EmptyComponent,
    /// A component is `.` or `..`.
    #[error("name has a component `.` or `..`")]
    Dots,
    /// A NUL byte.
    #[error("name has a NUL byte")]
    Nul,
    /// The first component is `.haul`, in any case.
    #[error("`.haul` is reserved")]
    Reserved,
    /// Both forms of one name are in the header.
    #[error("both `{0}` and `{0}_b64` are given")]
    Both(&'static str),
    /// Not canonical base64.
    #[error("`{0}_b64` is not canonical base64")]
    Base64(&'static str),
    /// Base64 of a name that is UTF-8 and must be sent as such.
    #[error("`{0}_b64` holds a name that is UTF-8")]
    NeedlessBase64(&'static str),
    /// A link's target is empty, has a NUL byte, or is longer than [`MAX_LINK_LEN`].
    #[error("link target is empty, has a NUL byte or is over {MAX_LINK_LEN} bytes")]
    LinkTarget,
}

/// A request or an answer comes at a time when it may not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OrderError {
    /// Ids are 1, 2, 3… on each connection.
    #[error("request id {got} where {expected} is next")]
    Id {
        /// The id that was sent.
        got: RequestId,
        /// The id that was due.
        expected: RequestId,
    },
    /// More is unanswered than the window allows.
    #[error(
        "window exceeded: {requests} requests and {bytes} bytes unanswered, \
         {max_requests} and {max_bytes} allowed, and the newest id under 16 times as many after the oldest without an answer"
    )]
    Window {
        /// Unanswered requests, the new one included.
        requests: u64,
        /// Bytes of their bodies.
        bytes: u64,
        /// The requests that `hello` allowed.
        max_requests: u64,
        /// The bytes that `hello` allowed.
        max_bytes: u64,
    },
    /// The answer names a request that is not waiting for it.
    #[error("answer to request {0}, which waits for none")]
    NotWaiting(RequestId),
}

/// Text is not lower-case hexadecimal of the right length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not {0} lower-case hexadecimal digits")]
pub struct ParseHexError(pub usize);

/// A server breaks the protocol, or gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The first bytes are of another protocol.
    #[error("this is no haul server: {0}")]
    NotHaul(DecodeError),
    /// Malformed bytes.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// An answer nobody waits for.
    #[error("{0}")]
    Order(#[from] OrderError),
    /// An answer of another kind than was asked for.
    #[error("unexpected kind of answer")]
    Kind,
    /// The server answers `hello` with another version than it was asked for.
    #[error(
        "it answers with version {answered} of the protocol, and version {asked} was asked for"
    )]
    Version {
        /// The version of the answer.
        answered: u64,
        /// The version of the client's `hello`.
        asked: u64,
    },
    /// A limit that is too small to work with.
    #[error("its limit `{limit}` is {announced}, and at least {least} is needed")]
    Limit {
        /// The field of `hello`.
        limit: &'static str,
        /// The server's value.
        announced: u64,
        /// The least value that is of use.
        least: u64,
    },
    /// Acks that confirm nothing, faster than any server has to repeat itself.
    #[error("it repeats its last acknowledgement without end")]
    Repeats,
    /// `hello` was not answered in that time.
    #[error("no answer to `hello` for {0:?}")]
    NoHello(Duration),
    /// The server owes an answer, and was silent for that time.
    #[error("no word from the server for {0:?}")]
    Silent(Duration),
    /// The server owes an answer, and has given signs of life but no answer for that time.
    #[error("the server has answered nothing for {0:?}, though it is there")]
    Stuck(Duration),
}

/// A client breaks the protocol. The connection can't go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Malformed bytes.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A request with another id than the next one, or over the window.
    #[error("{0}")]
    Order(#[from] OrderError),
}

impl ServerError {
    /// The refusal that tells the client why its connection ends.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Decode(DecodeError::Version(_)) => Code::Version,
            Self::Decode(_) => Code::Malformed,
            Self::Order(OrderError::Window { .. }) => Code::Window,
            Self::Order(OrderError::Id { .. } | OrderError::NotWaiting(_)) => Code::BadId,
        };
        Refusal::new(code, self)
    }
}
