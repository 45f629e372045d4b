//! `hauld`, the server of haul: takes uploads from many connections on a fixed number of threads and
//! publishes each file atomically and verified under one root directory.
//!
//! [`Config`] says what to serve and [`Server`] serves it. ARCHITECTURE.md in the repository walks
//! the path of one file through these modules.

mod allocator;
mod buffer;
mod committer;
pub mod config;
mod connection;
mod deadline;
mod fence;
mod links;
mod listen;
mod memory;
mod ownership;
pub mod partials;
mod poller;
mod pool;
mod publications;
mod queue;
mod reply;
mod server;
mod slots;
mod store;
mod streams;
mod sweeper;
mod sync;
mod upload;
mod uploads;
mod worker;
mod writer;

pub use config::Config;
pub use server::{Server, StartError};
