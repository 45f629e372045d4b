//! haul, the client: uploads files and whole directories to a haul server over several connections, as a library. The
//! program `haul` is a user of it.
//!
//! Four types are all that a program needs:
//!
//! - [`Transfer`] is one run. Its [`Builder`] takes a [`Destination`], one task
//!   ([`put`](Builder::put), [`sync`](Builder::sync), [`verify`](Builder::verify) or [`publish`](Builder::publish)) and
//!   the options of `haul`; [`Transfer::run`] carries it out.
//! - [`Trust`] says by which keys a server is trusted. By default by those of the user of `haul`, and by public authorities;
//!   a program may give [pins](Trust::pins), and [ask](Trust::ask) its user. Nobody is asked otherwise.
//! - [`Observer`] is told of each event, on the thread that runs the transfer: each entry that is done, fails or is
//!   skipped, and how far the run is. `()` is an observer too.
//! - [`Report`] is the result: [`Counts`], the promise of the server's acknowledgements, and whether the run was
//!   stopped.
//!
//! An entry that fails does not end a run: the observer is told its [`FileError`], and the report counts it. A run ends
//! early with a [`TransferError`] if the server can't be reached or is lost for good, or in order if another thread
//! [stops](Interrupt::stop) it. In both cases the same transfer, built again, sends the rest, and large files go on where
//! they stopped.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use haul_client::{Delete, FileError, Observer, Transfer};
//!
//! struct Failures;
//!
//! impl Observer for Failures {
//!     fn failed(&mut self, path: &Path, error: &FileError) {
//!         eprintln!("{}: {error}", path.display());
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transfer = Transfer::builder("box.example:8080/2026".parse()?)
//!     .sync("photos/", Some(Delete::default().max(100)))
//!     .exclude("*.tmp")
//!     .connections(4)
//!     .build()?;
//! let report = transfer.run(&mut Failures)?;
//! println!("{} files, {} failed", report.counts.files, report.counts.failed);
//! # Ok(())
//! # }
//! ```
//!
//! A run
//!
//! - never sends anything to a server whose key is not trusted, nor in clear to another machine, unless it
//!   [may](Trust::insecure);
//! - never prints: all that `haul` shows comes from its observer;
//! - never changes its process: no signal handler, umask, limit, working directory, environment or global thread pool;
//! - never leaves half a file under its final name at the server, and never harms the file that stood there before;
//! - never takes a source that can't be read whole for a smaller one: nothing is removed or published because of it;
//! - never needs an async runtime, nor a second process but ssh if ssh leads to its destination: it blocks, and any thread
//!   may call it.
//!
//! Errors that come from the system or from the server are the [`source`](std::error::Error::source) of those that are
//! told. Names and refusals are types of [`haul_protocol`].
//!
//! # Inside
//!
//! A command line becomes a builder in `cli`, and that becomes a `plan` (sources and their names at the server) and a
//! policy; `transfer` runs it: its walk finds entries, `work` hands them to each `connection`, which reads, hashes and
//! sends them; `report` counts and tells the observer. ARCHITECTURE.md walks the path of one file.

#![cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    allow(dead_code, reason = "what only Linux has is used only there")
)]

#[doc(hidden)]
pub mod cli;
mod connection;
mod credentials;
mod error;
mod get;
mod net;
mod plan;
mod report;
mod source;
mod target;
mod transfer;
mod trust;
mod work;

pub use error::account::{Lacking, OtherAccount, TokenPlace, Unauthorized};
pub use error::adrift::Adrift;
pub use error::credentials::CredentialsError;
pub use error::destination::DestinationError;
pub use error::install::InstallError;
pub use error::receipt::ReceiptError;
pub use error::rules::RulesError;
pub use error::ssh::{Denial, Noise, SshError};
pub use error::target::TargetError;
pub use error::trust::{KnownError, TrustError, Trusted};
pub use error::{ConnectionError, FileError, ProtocolError};
pub use get::Get;
pub use get::builder::Builder as GetBuilder;
pub use get::source::Source;
pub use net::destination::{Destination, Server};
pub use net::ssh::{Access, Install, Runs, Ssh};
pub use plan::PlanError;
pub use plan::policy::Delete;
pub use report::Counts;
pub use report::note::Note;
pub use report::observer::Observer;
pub use report::status::{Attempt, Status};
pub use source::file_list::Separator;
pub use source::filter::FilterError;
pub use source::links::Links;
pub use transfer::Transfer;
pub use transfer::builder::Builder;
pub use transfer::error::{BuildError, TransferError};
pub use transfer::outcome::Report;
pub use trust::{Answer, Stranger, Trust};
pub use work::interrupt::Interrupt;
