//! The words of `haul mkdir`, `haul rm` and `haul mv`.

use clap::Args;

use super::mv::{Place, entry_to_move, new_place};
use super::options::{BasicOutput, Reaching};
use super::over_ssh::SshOptions;
use super::rm::How;
use super::usage::at_server;
use crate::net::destination::Destination;

/// `haul mkdir`.
#[derive(Debug, Args)]
pub(crate) struct MkdirCommand {
    /// Directories at a server, as for `haul put`.
    #[arg(value_name = "DEST", required = true, value_parser = at_server)]
    pub destinations: Vec<Destination>,

    /// Accepted because mkdir(1) has it: missing parents are made in any case.
    #[arg(long, short)]
    pub parents: bool,

    /// Options of the connection.
    #[command(flatten)]
    pub reaching: Reaching,

    /// How ssh leads to a server.
    #[command(flatten)]
    pub ssh: SshOptions,

    /// Options of the output.
    #[command(flatten)]
    pub output: BasicOutput,
}

/// `haul rm`.
#[derive(Debug, Args)]
pub(crate) struct RmCommand {
    /// Entries at a server, as for `haul put`; not the server's root itself.
    #[arg(value_name = "DEST", required = true, value_parser = at_server)]
    pub destinations: Vec<Destination>,

    /// The options that say which entries go.
    #[command(flatten)]
    pub how: How,

    /// Options of the connection.
    #[command(flatten)]
    pub reaching: Reaching,

    /// How ssh leads to a server.
    #[command(flatten)]
    pub ssh: SshOptions,

    /// Options of the output.
    #[command(flatten)]
    pub output: BasicOutput,
}

/// `haul mv`.
#[derive(Debug, Args)]
pub(crate) struct MvCommand {
    /// The entry: a file, a link or a directory at a server, as for `haul put`.
    #[arg(value_name = "SRC", value_parser = entry_to_move)]
    pub source: Destination,

    /// The new name at the same server, or the directory into which SRC goes.
    #[arg(value_name = "DEST", value_parser = new_place)]
    pub place: Place,

    /// Replace a file or link that has the new name; or an empty directory, if SRC is a directory.
    #[arg(long, short)]
    pub force: bool,

    /// Options of the connection.
    #[command(flatten)]
    pub reaching: Reaching,

    /// How ssh leads to a server.
    #[command(flatten)]
    pub ssh: SshOptions,

    /// Options of the output.
    #[command(flatten)]
    pub output: BasicOutput,
}
