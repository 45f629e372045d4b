//! Requests that take more than one turn. While there is one, nothing more is decoded from its peer, which bounds what
//! waits here.

use std::sync::Arc;
use std::task::Waker;

use haul_protocol::{Hello, Name, Request, RequestId, ServerHello, limits};

use super::asking::Asking;
use super::bundle::Bundle;
use super::compare::Check;
use super::fetch::Fetch;
use super::get::Get;
use super::http::asked::{Asked, Waiting};
use super::http::dav::tree::Tree;
use super::http::directory::Directory;
use super::http::file::Sending;
use super::http::resumable::seeking::Seeking;
use super::renaming::Renaming;
use crate::accounts::ClientId;
use crate::hooks::question::Question;
use crate::services::fence::Fence;
use crate::services::places::Place;
use crate::services::seats::Seat;
use crate::store::{Closed, Listing, Rollback, Usage};
use crate::uploads::Opening;
use crate::versions::leases::Beginning;

/// A request under way.
#[derive(Debug)]
pub(super) enum Job {
    /// Files are read for a comparison.
    Check(Box<Check>),
    /// A directory is listed.
    List(Box<List>),
    /// One part of a file is read.
    Get(Box<Get>),
    /// Small files are read.
    Fetch(Box<Fetch>),
    /// The files of a bundle that are not stored yet, and its body.
    Bundle(Box<Bundle>, Vec<u8>),
    /// The directories above a deep name are made before the request is carried out; its body is not read before.
    Parents(Box<Deep>, Name),
    /// A question waits for earlier changes of its connection; its body is not read before.
    Question(Box<Request>),
    /// Bytes are read that an upload may hold.
    Open(RequestId, Box<Opening>),
    /// The peer is greeted once changes of others are over. Nothing is read of it before, and its connection is woken then.
    Greet(Box<Greeting>),
    /// The version before of a directory comes back once changes of others there are over, which wakes the connection.
    Rollback(RequestId, Box<Rollback>, Closed),
    /// Other connections have all seats, and a request of HTTP waits for one.
    Seat(Box<Waiting>),
    /// The files of an upload of HTTP are found.
    Ordered(Box<Seeking>),
    /// A file is read for a client of HTTP.
    Send(Box<Sending>),
    /// A directory is listed for a client of HTTP.
    Directory(Box<Directory>),
    /// Symlinks are looked at before a directory gets another name.
    Rename(Box<Renaming>),
    /// Entries are changed for a client of WebDAV, one after the other.
    Tree(Box<Tree>),
    /// The hook is asked whether files may come; their bytes are not read before.
    Asked(Box<Asking>, Arc<Question>),
}

/// The stages before a `hello` is answered.
#[derive(Debug)]
pub(super) enum Greeting {
    /// Other connections have all seats. `since`: the moment at which the client logged in.
    Seat { hello: Hello, client: ClientId, seat: Arc<Seat>, since: u64 },
    /// Changes are under way in the directory whose next version the connection is about, and maybe behind these fences.
    Closing(Beginning, Vec<Arc<Fence>>),
    /// Changes of older connections in the same place are under way, behind these fences; or the files of the account are
    /// being counted.
    Fenced(ServerHello, Vec<Arc<Fence>>, Option<Counted>),
}

/// The files of an account, which are being counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) usage: Arc<Usage>,
    /// Woken when they are.
    pub(super) waker: Waker,
}

impl Greeting {
    /// Whether these changes are over.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Seat { seat, .. } => seat.is_taken(),
            // Those behind the fences are waited for afterwards.
            Self::Closing(beginning, _) => beginning.is_over(),
            Self::Fenced(_, older, counted) => {
                let is_known = |counted: &Counted| counted.usage.is_known(&counted.waker);
                counted.as_ref().is_none_or(is_known) && older.iter().all(|fence| fence.is_over())
            }
        }
    }
}

/// A request that waits for the directories above a deep name.
#[derive(Debug)]
pub(super) enum Deep {
    /// A request of the haul dialect.
    Request(Request),
    /// A classic put of so many bytes.
    Classic(u64),
    /// A request of HTTP.
    Http(Box<Asked>),
}

/// The answer to a `list`, as far as it is.
#[derive(Debug)]
pub(super) struct List {
    pub(super) id: RequestId,
    pub(super) listing: Listing,
    pub(super) body: Vec<u8>,
    pub(super) entries: usize,
    /// For the open directory, once it is open for more than a turn.
    pub(super) place: Option<Place>,
}

impl List {
    pub(super) fn new(id: RequestId, listing: Listing) -> Box<Self> {
        Box::new(Self { id, listing, body: Vec::new(), entries: 0, place: None })
    }
}

impl Job {
    /// Whether it waits until changes are over, of others or the `pending` ones of its connection. Their end wakes the
    /// connection.
    pub(super) fn waits(&self, pending: usize) -> bool {
        match self {
            Self::Question(_) => pending > 0,
            Self::Greet(greeting) => !greeting.is_over(),
            Self::Rollback(.., closed) => !closed.is_over(),
            Self::Seat(waiting) => !waiting.seat.is_taken(),
            Self::Tree(tree) => tree.waits(pending),
            Self::Ordered(seeking) => seeking.waits(),
            Self::Asked(_, question) => !question.is_over(),
            _ => false,
        }
    }

    /// Whether it goes on only when the peer has taken all earlier answers.
    pub(super) fn waits_for_reader(&self) -> bool {
        matches!(self, Self::Get(_) | Self::Send(_) | Self::Directory(_))
    }

    /// Whether it has a file or directory open.
    pub(super) fn has_place(&self) -> bool {
        match self {
            Self::Check(check) => check.has_place(),
            Self::List(list) => list.place.is_some(),
            Self::Get(get) => get.has_place(),
            // No file of it is open between two turns.
            Self::Fetch(_) => false,
            // An upload has its files from an account of its own.
            Self::Bundle(..) | Self::Parents(..) | Self::Question(_) | Self::Open(..) => false,
            Self::Greet(_) | Self::Rollback(..) | Self::Seat(_) | Self::Asked(..) => false,
            Self::Ordered(seeking) => seeking.has_place(),
            Self::Send(_) => true,
            Self::Directory(directory) => directory.has_place(),
            Self::Tree(tree) => tree.has_place(),
            Self::Rename(renaming) => renaming.has_place(),
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Check(check) => check.held_bytes(),
            Self::List(list) => list.body.capacity() + list.listing.held_bytes(),
            Self::Get(get) => get.held_bytes(),
            Self::Fetch(fetch) => fetch.held_bytes(),
            Self::Bundle(_, body) => body.capacity(),
            // Two names or a name and a target at most.
            Self::Parents(..) | Self::Question(_) | Self::Greet(_) | Self::Rollback(..) => {
                limits::MAX_HEADER_LEN / 4
            }
            Self::Open(_, opening) => opening.held_bytes(),
            Self::Seat(waiting) => waiting.held_bytes(),
            Self::Ordered(seeking) => seeking.held_bytes(),
            Self::Send(sending) => sending.held_bytes(),
            Self::Directory(directory) => directory.held_bytes(),
            Self::Tree(tree) => tree.held_bytes(),
            Self::Rename(renaming) => renaming.held_bytes(),
            Self::Asked(asking, _) => asking.held_bytes(),
        }
    }
}
