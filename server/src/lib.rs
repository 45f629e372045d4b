//! `hauld`, the server of haul: takes uploads from many connections on a fixed number of threads and
//! publishes each file atomically and verified under one root directory.
//!
//! [`Config`] says what to serve and [`Server`] serves it. ARCHITECTURE.md in the repository walks
//! the path of one file through these modules.

mod commit;
pub mod config;
mod connection;
mod error;
mod locks;
mod maintenance;
mod net;
mod refusal;
mod runtime;
mod server;
mod services;
mod store;
mod symlinks;
mod uploads;
mod versions;

pub use config::Config;
pub use error::StartError;
pub use server::Server;
