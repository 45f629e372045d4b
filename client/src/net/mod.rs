//! Sockets: connecting, polling, frames in and out, rate. Knows no file.

pub mod backoff;
pub(crate) mod body;
pub mod congestion;
pub mod connect;
pub mod destination;
pub mod line;
pub mod poller;
pub mod rate_limit;
pub mod transport;
pub(crate) mod wire;
