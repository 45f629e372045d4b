//! The words of `haul login`, `haul logout` and `haul whoami`.

use std::time::Duration;

use clap::Args;

use crate::cli::options::{BasicOutput, nonzero_duration};
use crate::cli::usage::server;
use crate::net::destination::Destination;

/// `haul login`.
#[derive(Debug, Args)]
pub(crate) struct LoginCommand {
    /// The link that `hauld user add` prints, `haul://ACCOUNT@HOST[:PORT]#haul1-…`, which has the pin of the server's key; or
    /// `[ACCOUNT@]HOST[:PORT]`.
    #[arg(value_name = "LINK", value_parser = server)]
    pub destination: Destination,

    /// Options of the connection and of the output.
    #[command(flatten)]
    pub options: AccountOptions,
}

/// `haul logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutCommand {
    /// `[ACCOUNT@]HOST[:PORT]`; without ACCOUNT all accounts at that server.
    #[arg(value_name = "HOST", value_parser = server)]
    pub destination: Destination,

    /// Options of the output.
    #[command(flatten)]
    pub output: BasicOutput,
}

/// `haul whoami`.
#[derive(Debug, Args)]
pub(crate) struct WhoamiCommand {
    /// `[ACCOUNT@]HOST[:PORT]`.
    #[arg(value_name = "HOST", value_parser = server)]
    pub destination: Destination,

    /// Options of the connection and of the output.
    #[command(flatten)]
    pub options: AccountOptions,
}

/// Options of the connection and of the output.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AccountOptions {
    /// How long the server may be silent while it owes an answer, such as 90s or 2m.
    #[arg(long, value_name = "TIME", value_parser = nonzero_duration, default_value = "60s")]
    pub timeout: Duration,

    /// Options of the output.
    #[command(flatten)]
    pub output: BasicOutput,
}
