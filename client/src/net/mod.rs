//! Sockets: connecting, polling, frames in and out, rate and patience. Knows no file.

pub mod backoff;
pub(crate) mod body;
pub mod connect;
pub mod destination;
pub(crate) mod framed;
pub mod poller;
pub mod rate_limit;
pub(crate) mod silence;
pub mod transport;
