//! `haul`, the client: uploads single files and whole directories over a few parallel connections.
//!
//! A command line becomes [`cli`] → [`plan`] (what goes where); [`transfer`] runs the plan: [`walk`]
//! finds entries, [`work`] hands them to [`connection`]s, which read, hash and send them, and which
//! [`slot`]s replace when they are lost; [`progress`] counts and [`summary`] tells. ARCHITECTURE.md walks the path of one file.

pub mod backoff;
pub mod classic;
pub mod cli;
pub mod command;
pub mod committed;
pub mod connect;
pub mod connection;
pub mod destination;
pub mod doomed;
pub mod error;
pub mod exit;
pub mod filter;
pub mod given;
pub mod identity;
pub mod interrupt;
pub mod job;
pub mod large;
pub mod limit;
pub mod ls;
pub mod named;
mod nearby;
pub mod offline;
pub mod once;
pub mod options;
pub mod plan;
pub mod poller;
pub mod progress;
pub mod shell;
pub mod slot;
pub mod socket;
pub mod source;
pub mod summary;
pub mod sync;
pub mod transfer;
pub mod walk;
pub mod work;
