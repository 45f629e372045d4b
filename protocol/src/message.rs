//! What requests and answers say, as values that have been checked.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::code::Refusal;
use crate::digest::{Cv, Digest, Token};
use crate::limits::{self, MAX_BODY_LEN, MAX_HEADER_LEN};
use crate::name::{LinkTarget, Name};

/// A point in time: `s` seconds since 1970 (may be negative), and `ns` nanoseconds after that, 0 to
/// 999,999,999, counted forward also before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtime {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub s: i64,
    /// Nanoseconds after that second.
    pub ns: u32,
}

/// What is known of a file or directory besides its bytes.
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
    /// Which of the client's connections this is.
    pub slot: u64,
    /// Who the client is across its runs: a later run resumes what an earlier one of the same
    /// identity left. `None`: nobody but this run.
    pub identity: Option<String>,
    /// The connection is about the next version of a directory, and all names in it are below that.
    pub publish: Option<Publish>,
    /// Features without which the client can't go on.
    pub must: Vec<String>,
}

/// Which directory gets a next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Its name.
    pub name: Name,
    /// What an earlier answer to `hello` has called the tree, if there was one in this run.
    pub tree: Option<Token>,
}

/// The tree that becomes the next version of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// What it is called.
    pub token: Token,
    /// It was begun by an earlier run, and may hold what nobody wants any more.
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

/// The answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHello {
    /// The protocol version that is spoken.
    pub version: u64,
    /// Program and version, for people.
    pub agent: String,
    /// What the client must keep to.
    pub limits: ServerLimits,
    /// What an acknowledgement promises: `none` or `group`.
    pub durability: String,
    /// Answers [`Hello::publish`].
    pub tree: Option<Tree>,
    /// Features beyond this version's, by name.
    pub features: Vec<String>,
}

/// A request in the haul dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// 1, 2, 3… on its connection.
    pub id: u64,
    /// Bytes of the body that follows.
    pub length: u64,
    /// What is asked for; or why the header, well-formed as it is, can't be a request.
    pub op: Result<Op, Refusal>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A whole small file; the body is its bytes.
    Put {
        /// Its name.
        name: Name,
        /// Its size in bytes, the same as the body's length.
        size: u64,
        /// BLAKE3 of the body.
        digest: Digest,
        /// Mode and mtime.
        attributes: Attributes,
    },
    /// Several small files, whose lines and bytes are the body (see [`decode_bundle`](crate::decode_bundle)).
    /// It stands for as many requests: the first file has its id, and each of the others the next one.
    Bundle {
        /// How many.
        count: u64,
        /// BLAKE3 of the body.
        digest: Digest,
    },
    /// Announces a large file; answered with [`Reply::Opened`] and a bitmap of parts held.
    Open(Box<Wanted>),
    /// One part of a large file; the body is its bytes.
    Part {
        /// From the answer to `open`.
        upload: Token,
        /// Where the part starts in the file.
        offset: u64,
        /// The chaining value of the body.
        cv: Cv,
    },
    /// All parts have been answered: publish the file.
    Commit {
        /// From the answer to `open`.
        upload: Token,
        /// BLAKE3 of the whole file.
        digest: Digest,
    },
    /// Discards an upload.
    Abort {
        /// From the answer to `open`.
        upload: Token,
    },
    /// Makes a directory, or sets the mode of the one that is there.
    Mkdir {
        /// Its name.
        name: Name,
        /// Its mode for the time being.
        mode: Option<u32>,
        /// Whether a file or link that stands there makes way for it.
        replace: bool,
    },
    /// Makes a symbolic link, replacing a file or link.
    Symlink {
        /// Its name.
        name: Name,
        /// Where it points.
        target: LinkTarget,
        /// Its own mtime.
        mtime: Option<Mtime>,
    },
    /// Sets mode and mtime of a directory or file that is there.
    Setattr {
        /// Its name.
        name: Name,
        /// It is a file; otherwise a directory.
        is_file: bool,
        /// What to set.
        attributes: Attributes,
    },
    /// Removes a file, a link, or a directory with nothing in it; nothing there is fine.
    Remove {
        /// Its name.
        name: Name,
    },
    /// Which of the entries in the body are missing or different? Answered with a letter for each, see
    /// [`Verdict`](crate::Verdict).
    Check,
    /// As [`Check`](Self::Check), in the next version of a directory; what is the same in the present one is
    /// taken over.
    Adopt,
    /// The next version is complete: it takes the place of the present one, whole.
    Publish {
        /// Mode and mtime of the directory itself.
        attributes: Attributes,
    },
    /// The version before the present one takes its place again.
    Rollback {
        /// The directory.
        name: Name,
    },
    /// What is in a directory? Answered with entries, sorted by the bytes of their names.
    List {
        /// The directory; absent: the root.
        name: Option<Name>,
        /// Entries after this name only; absent: from the first.
        after: Option<Name>,
    },
    /// Are you there?
    Ping,
}

/// What `open` says of a large file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: Name,
    /// Its size in bytes.
    pub size: u64,
    /// Mode and mtime.
    pub attributes: Attributes,
    /// Changes whenever the source does; opaque to the server.
    pub fingerprint: String,
    /// What stands under the name is known not to be the file, whatever an earlier upload of it has left.
    pub replace: bool,
}

impl Op {
    /// Whether the request is a *change*, acknowledged together with others by `ack`; every other
    /// one is answered by its id.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Self::Put { .. }
                | Self::Bundle { .. }
                | Self::Part { .. }
                | Self::Mkdir { .. }
                | Self::Symlink { .. }
                | Self::Setattr { .. }
                | Self::Remove { .. }
        )
    }

    /// How many ids the request takes: one for each file.
    #[must_use]
    pub fn ids(&self) -> u64 {
        match self {
            Self::Bundle { count, .. } => *count,
            _ => 1,
        }
    }
}

/// A request in the classic dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
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
pub enum Answer {
    /// Answers [`Hello`].
    Hello(ServerHello),
    /// Every change up to and including this id that was not refused is done.
    Ack(u64),
    /// A request was not carried out; id 0 is the connection itself.
    Refused {
        /// The request's id.
        id: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Answers a request that is not a change.
    Answered {
        /// The request's id.
        id: u64,
        /// Bytes of the body that follows.
        length: u64,
        /// What is answered.
        reply: Reply,
    },
}

/// What an answer by id says, besides its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Done. The body, if any, is what was asked for.
    Done,
    /// Answers `open`; the body is a bitmap of the parts that are held already.
    Opened {
        /// Names the upload from now on.
        upload: Token,
        /// Bytes of every part but the last.
        part_size: u64,
    },
    /// Answers `list`; the body is entries.
    Listed {
        /// Whether there are entries after the last one in the body.
        more: bool,
    },
}
