//! The wire format of haul, an upload tool for single files and whole directories.
//!
//! A *frame* is a 4-byte little-endian length, a JSON header of that length, and a raw body of the length that the
//! header states. This crate is both halves of a connection: it turns bytes into frames and frames into bytes, keeps
//! the book of unanswered requests, and knows the moment of its next action. `PROTOCOL.md` in the repository is the
//! specification, readable without this crate.
//!
//! The crate never opens a socket or a file, reads no clock and starts no thread: it is `no_std` and needs only
//! `alloc`. It never sends a request again, and decides nothing in a store's place.
//!
//! The two types to know are [`ClientConnection`] and [`ServerConnection`]. Their caller brings bytes in pieces of any
//! length, and the time:
//!
//! ```
//! use haul_protocol::{
//!     ClientConfig, ClientConnection, ClientEvent, Durability, Hello, Op, Reply, ServerConnection, ServerEvent,
//!     ServerHello, ServerLimits, Time, limits::VERSION,
//! };
//!
//! let (now, limits) = (Time::from_millis(0), ServerLimits::default());
//! let hello = Hello {
//!     version: VERSION,
//!     agent: "example/1".into(),
//!     client: "random for each run".into(),
//!     slot: 0,
//!     identity: None,
//!     publish: None,
//!     must: vec![],
//!     token: None,
//! };
//! let mut client = ClientConnection::new(&hello, ClientConfig::default(), now)?;
//! let mut server = ServerConnection::new(&limits, now);
//!
//! # let mut answered = false;
//! for _ in 0..2 {
//!     // What the client sends arrives at the server, which answers.
//!     let bytes = client.output().to_vec();
//!     client.sent(bytes.len(), now);
//!     let mut input = &bytes[..];
//!     while let Some(event) = server.receive(&mut input, now)? {
//!         match event {
//!             ServerEvent::Hello(_) => server.greet(ServerHello {
//!                 version: VERSION,
//!                 agent: "example/1".into(),
//!                 limits,
//!                 durability: Durability::None,
//!                 tree: None,
//!                 features: vec![],
//!                 account: None,
//!                 next_pin: None,
//!             })?,
//!             ServerEvent::Request(request) => server.answer(request.id, Reply::Done, b"")?,
//!             _ => {}
//!         }
//!     }
//!     // And back.
//!     let bytes = server.output().to_vec();
//!     server.sent(bytes.len(), now);
//!     let mut input = &bytes[..];
//!     while let Some(event) = client.receive(&mut input, now)? {
//!         match event {
//!             ClientEvent::Greeted(_) => client.request("are you there?", &Op::Ping, 0, now)?,
//!             ClientEvent::Answered(what, Reply::Done, _) => {
//!                 assert_eq!(what, "are you there?");
//! #               answered = true;
//!             }
//!             event => panic!("{event:?}"),
//!         }
//!     }
//! }
//! # assert!(answered);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Below them are [`Decoder`] (with [`Requests`] on a server, [`Answers`] on a client), [`encode`], and the books of
//! unanswered requests, [`Requester`] and [`Responder`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod access_token;
mod account;
mod base32;
mod bitmap;
mod bundle;
mod code;
mod connection;
mod decode;
mod digest;
pub mod encode;
mod entry;
mod error;
mod fetched;
mod field;
mod header;
mod id;
pub mod limits;
mod message;
mod name;
mod object;
mod op;
mod ordered;
mod pending;
mod pin;
mod rights;
mod shown;
mod side;
mod verdict;
mod wiped;

pub use access_token::{AccessToken, AccessTokenError};
pub use account::{AccountFacts, Used};
pub use bitmap::Bitmap;
pub use bundle::{Bundled, decode_bundle, encode_bundled};
pub use code::{Code, Refusal};
pub use connection::{
    ClientConfig, ClientConnection, ClientEvent, Owed, ServerConnection, ServerEvent, Time,
    Unanswered,
};
pub use decode::{Decoder, Event};
pub use digest::{Cv, Digest, FileHasher, Geometry, GeometryError, PartHasher, Token, merge};
pub use entry::{Entry, EntryKind, decode_entry, encode_entry, trim_line};
pub use error::{
    BundleError, ClientError, DecodeError, EncodeError, NameError, OrderError, ParseHexError,
    Place, ServerError, WantedError,
};
pub use fetched::{
    Fetched, decode_fetched, decode_wanted, encode_fetched, encode_unfetched, encode_wanted,
};
pub use id::RequestId;
pub use message::{
    Answer, Attributes, Classic, Durability, FirstOrLater, Hello, Mtime, PartFacts, Publish, Reply,
    Request, ServerHello, ServerLimits, Tree,
};
pub use name::{LinkTarget, Name};
pub use op::{Op, Wanted};
pub use ordered::OrderedHasher;
pub use pending::{Requester, Responder};
pub use pin::{Pin, PinError};
pub use rights::{Right, Rights};
pub use shown::{Shown, ShownBytes, is_plain};
pub use side::{Answers, Headers, Requests};
pub use verdict::Verdict;
pub use wiped::append_wiped;

/// Runs the example in the readme as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
