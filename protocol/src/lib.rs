//! The wire format of haul, an upload tool for single files and whole directories.
//!
//! A *frame* is a 4-byte little-endian length, a JSON header of that length, and a raw body of the
//! length that the header states. This crate turns bytes into frames and frames into bytes, and
//! keeps the two books that a pipelined connection needs (which requests are unanswered, on either
//! side). `PROTOCOL.md` in the repository is the specification, readable without this crate.
//!
//! It never opens a socket or a file, reads no clock and starts no thread: it is `no_std` and needs
//! only `alloc`. A caller brings bytes in whatever pieces they arrive and takes events:
//!
//! ```
//! use haul_protocol::{Answers, Decoder, Event, Answer, encode};
//!
//! let mut wire = Vec::new();
//! encode::answer(&Answer::Ack(3), &mut wire)?;
//!
//! let mut decoder = Decoder::new(Answers);
//! let mut input = &wire[..];
//! let Some(Event::Header(answer)) = decoder.decode(&mut input)? else { panic!() };
//! assert_eq!(answer, Answer::Ack(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The two types to know are [`Decoder`] (with [`Requests`] on a server, [`Answers`] on a client)
//! and, for pipelining, [`Requester`] (client) or [`Responder`] (server).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bitmap;
mod bundle;
mod code;
mod decode;
mod digest;
pub mod encode;
mod entry;
mod error;
mod field;
mod header;
pub mod limits;
mod message;
mod name;
mod pending;
mod side;
mod verdict;

pub use bitmap::Bitmap;
pub use bundle::{Bundled, decode_bundle, encode_bundled};
pub use code::{Code, Refusal};
pub use decode::{Decoder, Event};
pub use digest::{Cv, Digest, FileHasher, Geometry, GeometryError, PartHasher, Token, merge};
pub use entry::{Entry, EntryKind, decode_entry, encode_entry};
pub use error::{
    BundleError, DecodeError, EncodeError, NameError, OrderError, ParseHexError, Place,
};
pub use message::{
    Answer, Attributes, Classic, FirstOrLater, Hello, Mtime, Op, Publish, Reply, Request,
    ServerHello, ServerLimits, Tree, Wanted,
};
pub use name::{LinkTarget, Name};
pub use pending::{Requester, Responder};
pub use side::{Answers, Headers, Requests};
pub use verdict::Verdict;

/// Runs the example in the readme as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
