//! `hauld`, the server of haul, as a library: takes uploads from many connections on a fixed number of threads and
//! commits each file atomically and verified under one root directory.
//!
//! [`Config`] says what to serve and [`Server`] serves it. The library reads no command line, handles no signals, and
//! changes neither umask, limits and user of its process nor what it may reach; [`process`] does these for a program that
//! owns its process. It logs through [tracing](https://docs.rs/tracing). If one of its threads panics, it aborts the process, as its
//! clients would wait for ever. ARCHITECTURE.md in the repository walks the path of one file through these modules.
//!
//! ```
//! use haul_server::{Config, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::TempDir::new()?;
//! # let root = directory.path();
//! let listen = vec!["127.0.0.1:0".parse()?];
//! let server = Server::start(&Config { listen, ..Config::new(root) })?;
//! for address in server.addresses() {
//!     println!("haul put FILE {address}");
//! }
//! // Another thread may wait for whatever ends it.
//! let stop = server.stopper();
//! stop();
//! server.join();
//! # Ok(())
//! # }
//! ```

mod accounts;
mod announcement;
mod announcer;
mod audit;
#[doc(hidden)]
pub mod cli;
mod commit;
mod config;
mod connection;
mod error;
mod hooks;
mod http;
mod json_line;
mod keys;
mod locks;
mod log;
mod maintenance;
mod metrics;
mod monitor;
mod net;
pub mod process;
mod pulse;
mod refusal;
mod regular;
#[doc(hidden)]
pub mod responder;
mod runtime;
mod server;
mod services;
mod settings_file;
#[doc(hidden)]
pub mod stdio;
mod store;
mod streams;
mod symlinks;
mod uploads;
mod versions;

/// Doors for the fuzz targets of server/fuzz.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::http::fuzzing::{bodies, http, streams, tus};
}

#[doc(hidden)]
pub use announcer::{Announcer, Responding, may_announce};
pub use config::{AccessLogFile, CertificateFiles, Config, Durability, Tls};
pub use error::StartError;
pub use http::forwarded::{TrustedProxy, TrustedProxyError};
pub use http::origins::{HttpOrigin, HttpOriginError};
pub use keys::KeyError;
pub use log::LogFormat;
pub use net::given::Given;
pub use net::listen::{Listen, ListenError};
pub use server::{Listening, Ready, Server};
pub use services::timeouts::Timeouts;
pub use settings_file::SettingsError;
pub use symlinks::Symlinks;
