//! Sockets: connecting, polling, frames in and out, rate. Knows no file.

pub(crate) mod account;
pub mod aes;
mod authority;
pub mod backoff;
mod bodies;
pub(crate) mod body;
pub mod congestion;
pub mod connect;
pub mod destination;
pub mod line;
pub mod mdns;
pub mod poller;
mod race;
pub mod rate_limit;
mod resolve;
pub(crate) mod root;
pub mod ssh;
pub mod transport;
pub(crate) mod wire;
