//! `haul`, the client: uploads single files and whole directories over a few parallel connections.
//!
//! A command line becomes [`cli`] → [`plan`] (what goes where); [`transfer`] runs the plan: [`transfer::walk`]
//! finds entries, [`work`] hands them to [`connection`]s, which read, hash and send them, and which
//! [`transfer::reconnect`]s replace when they are lost; [`report::progress`] counts and [`cli::summary`] tells. ARCHITECTURE.md walks the path of one file.

pub mod cli;
pub mod connection;
pub mod error;
pub mod exit;
pub mod net;
pub mod plan;
pub mod report;
pub mod source;
pub mod transfer;
pub mod work;
