//! HTTP/1.1 without I/O, clock or thread: bytes in, events out; answers in, bytes out.
//!
//! `machine` finds the requests in a stream and is strict: whatever two readers could understand in two ways ends the
//! connection. `half` is the server's half of a connection, the twin of `haul_protocol::ServerConnection`: it owns the
//! machine, the request that has no whole answer yet, and the bytes that wait for the peer. The other modules read one thing
//! each: a target, a `Host`, a range, a digest, or write one: a head, a page. Knows names, codes and rights of the protocol,
//! and nothing of the store or of connections.

pub(crate) mod address;
pub(crate) mod body;
pub(crate) mod chunks;
pub(crate) mod cookie;
pub(crate) mod credentials;
pub(crate) mod dav;
pub(crate) mod digests;
mod exchange;
pub(crate) mod forwarded;
#[cfg(test)]
mod forwarded_tests;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod half;
#[cfg(test)]
mod half_tests;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod left_out;
pub(crate) mod lines;
pub(crate) mod machine;
pub(crate) mod media;
pub(crate) mod method;
pub(crate) mod mtime;
pub(crate) mod origins;
mod outbox;
pub(crate) mod page;
mod percent;
pub(crate) mod range;
pub(crate) mod response;
pub(crate) mod resumable;
#[cfg(test)]
mod resumable_tests;
#[cfg(test)]
mod smuggling;
pub(crate) mod status;
mod structured;
pub(crate) mod target;
pub(crate) mod validators;
