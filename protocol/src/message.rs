//! Requests and answers as values that have been checked.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::access_token::AccessToken;
use crate::account::AccountFacts;
use crate::code::Refusal;
use crate::digest::{Cv, Digest, Token};
use crate::id::RequestId;
use crate::limits::{self, MAX_BODY_LEN, MAX_HEADER_LEN};
use crate::name::Name;
use crate::op::Op;
use crate::pin::Pin;
use crate::rights::{Right, Rights};

/// A point in time: `s` seconds since 1970 (may be negative), and `ns` nanoseconds after that, 0 to
/// 999,999,999, counted forward also before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtime {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub s: i64,
    /// Nanoseconds after that second.
    pub ns: u32,
}

/// The attributes of a file or directory: all that is stated besides its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits; only `mode & 0o777` is kept. Absent: that of the file which is replaced, or else 0666 or 0777
    /// under the umask.
    pub mode: Option<u32>,
    /// Time of the last change of the bytes. Absent: now.
    pub mtime: Option<Mtime>,
}

/// The first frame of a connection in the haul dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The protocol version, [`limits::VERSION`].
    pub version: u64,
    /// Program and version, for people.
    pub agent: String,
    /// Random for each run of a client, the same on all its connections.
    pub client: String,
    /// The number of this connection among the client's connections.
    pub slot: u64,
    /// The client's name across its runs: a later run resumes uploads that an earlier one of the same identity left.
    /// `None`: no other run resumes them.
    pub identity: Option<String>,
    /// The connection is about the next version of a directory, and all names in it are below that.
    pub publish: Option<Publish>,
    /// Features without which the client can't go on.
    pub must: Vec<String>,
    /// The token of the client's account, if the server has accounts. [`AccessToken::nobodys`] if the text was none.
    pub token: Option<AccessToken>,
}

impl Hello {
    /// The rights that the client's account must have for this connection, besides those of its requests.
    #[must_use]
    pub fn needs(&self) -> Rights {
        self.publish.iter().map(|_| Right::Publish).collect()
    }
}

/// The directory that gets a next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Its name.
    pub name: Name,
    /// The tree's token from an earlier answer to `hello`, if there was one in this run.
    pub tree: Option<Token>,
}

/// The tree that becomes the next version of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Its token.
    pub token: Token,
    /// An earlier run has begun the tree, which may hold entries that nobody wants any more.
    pub resumed: bool,
}

/// The limits that a server announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLimits {
    /// Longest header in bytes.
    pub max_header: u64,
    /// Longest body in bytes.
    pub max_body: u64,
    /// Most unanswered requests on one connection.
    pub window_requests: u64,
    /// Most bytes of bodies of unanswered requests on one connection.
    pub window_bytes: u64,
    /// Largest file in bytes.
    pub max_file: u64,
}

impl ServerLimits {
    pub(crate) fn largest(&self) -> u64 {
        let Self { max_header, max_body, window_requests, window_bytes, max_file } = *self;
        max_header.max(max_body).max(window_requests).max(window_bytes).max(max_file)
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_header: MAX_HEADER_LEN as u64,
            max_body: MAX_BODY_LEN,
            window_requests: limits::WINDOW_REQUESTS,
            window_bytes: limits::WINDOW_BYTES,
            max_file: limits::MAX_PARTED_SIZE,
        }
    }
}

/// The promise of an acknowledgement (PROTOCOL.md, section 8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A crash of the server's process undoes nothing.
    None,
    /// Nor does a loss of power.
    Group,
    /// A level that this version does not know; it promises no less than `none`.
    Other(String),
}

impl Durability {
    /// Its word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Group => "group",
            Self::Other(word) => word,
        }
    }

    /// Reads a word from the wire; an unknown one is kept.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "none" => Self::None,
            "group" => Self::Group,
            other => Self::Other(String::from(other)),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHello {
    /// The protocol version that is spoken.
    pub version: u64,
    /// Program and version, for people.
    pub agent: String,
    /// Limits that the client must keep.
    pub limits: ServerLimits,
    /// The promise of an acknowledgement.
    pub durability: Durability,
    /// Answers [`Hello::publish`].
    pub tree: Option<Tree>,
    /// Features beyond this version's, by name.
    pub features: Vec<String>,
    /// The client's account, if the server has accounts.
    pub account: Option<AccountFacts>,
    /// The pin of the key that the server will have next, if it has made one.
    pub next_pin: Option<Pin>,
}

/// A request in the haul dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// 1, 2, 3… on its connection.
    pub id: RequestId,
    /// Bytes of the body that follows.
    pub length: u64,
    /// The operation; or, if the header is well-formed but can't be a request, the refusal that tells the reason.
    pub op: Result<Op, Refusal>,
}

/// A request in the classic dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Classic {
    /// One file; the body is its bytes.
    Put {
        /// Its name, or why it can't be one.
        name: Result<Name, crate::NameError>,
        /// Its size and the body's length in bytes.
        size: u64,
    },
    /// Any other command: has no body and is ignored.
    Unknown(String),
}

/// A header as a server reads it: the first one decides the dialect of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstOrLater {
    /// The first frame of the haul dialect.
    Hello(Hello),
    /// A later frame of the haul dialect.
    Request(Request),
    /// Any frame of the classic dialect.
    Classic(Classic),
}

/// An answer in the haul dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Answers [`Hello`].
    Hello(Box<ServerHello>),
    /// Every change up to and including this id that was not refused is done.
    Ack(RequestId),
    /// A request was not carried out; id 0 is the connection itself.
    Refused {
        /// The request's id.
        id: RequestId,
        /// The reason.
        refusal: Refusal,
    },
    /// Answers a request that is not a change.
    Answered {
        /// The request's id.
        id: RequestId,
        /// Bytes of the body that follows.
        length: u64,
        /// The answer itself.
        reply: Reply,
    },
}

/// The facts of a part that a server sends, and of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartFacts {
    /// Bytes of the whole file.
    pub size: u64,
    /// Mode and mtime of the file.
    pub attributes: Attributes,
    /// Differs whenever the file does: two parts of one file belong together only if they have the same.
    pub state: Token,
    /// The chaining value of the part; none if the file has no other part.
    pub cv: Option<Cv>,
    /// BLAKE3 of the whole file, if the server knows it; always if the file has no other part.
    pub digest: Option<Digest>,
}

/// The fields of an answer by id, besides its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Done. The body, if any, is the requested one.
    Done,
    /// Answers `open`; the body is a bitmap of the parts that are held already.
    Opened {
        /// Names the upload from now on.
        upload: Token,
        /// Bytes of every part but the last.
        part_size: u64,
    },
    /// Answers `rollback`: the version that stands under the name now.
    Version {
        /// When it was published.
        published: Mtime,
        /// The number of its files and symbolic links, as the client counted that published it.
        files: Option<u64>,
    },
    /// Answers `list`; the body is entries.
    Listed {
        /// Whether there are entries after the last one in the body.
        more: bool,
        /// Entries that the server has left out of this answer, because no name can say them.
        left_out: u64,
    },
    /// Answers `get`; the body is the bytes of the part.
    Part(PartFacts),
    /// Answers `fetch`; the body is files.
    Fetched {
        /// Whether names are left that the body has no file for.
        more: bool,
        /// BLAKE3 of the body.
        digest: Digest,
    },
}
