//! The options of the command line that hold for `--stdio`, and those that would mean nothing.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use crate::cli::Arguments;
use crate::config::{Config, Tls};

/// Workers of a server for one client, unless the command line says otherwise.
const WORKERS: u16 = 2;

/// Connections at once: those that join.
const CONNECTIONS: usize = 256;

/// Options that are about addresses and accounts. The environment of a user may hold them for another hauld, and is not asked.
const OF_ADDRESSES: [&str; 10] = [
    "listen",
    "tls",
    "config_dir",
    "cert",
    "key",
    "trusted_proxy",
    "insecure",
    "user",
    "metrics",
    "discoverable",
];

/// The way in which one client is served over standard input and output.
#[derive(Debug)]
pub struct Options {
    /// As of any server; its root is that of the client.
    pub(super) config: Config,
    /// The root of the command line.
    pub(super) root: Option<PathBuf>,
    pub(super) is_confined: bool,
    /// The client only reads, though the command line lets it do more.
    pub(super) only_reads: bool,
    /// The client may come in at a port of this machine.
    pub(super) is_direct: bool,
}

impl Options {
    /// Of a command line. `umask`: of the process, before it was changed.
    ///
    /// # Errors
    /// If it has options that mean nothing here.
    pub fn new(
        matches: &ArgMatches,
        arguments: &Arguments,
        umask: u32,
    ) -> Result<Self, clap::Error> {
        let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if let Some(id) = OF_ADDRESSES.into_iter().find(|id| is_typed(id)) {
            let option = id.replace('_', "-");
            let message = format!(
                "--{option} is about addresses or accounts, and --stdio has neither: who starts hauld is served"
            );
            return Err(Arguments::command().error(ErrorKind::ArgumentConflict, message));
        }
        if is_typed("config") {
            let message = "--stdio takes its options on the command line, and no --config: the client decides what is served";
            return Err(Arguments::command().error(ErrorKind::ArgumentConflict, message));
        }
        let mut config = arguments.config(umask);
        config.listen = Vec::new();
        config.tls = Tls::Never;
        config.config_dir = None;
        config.certificate = None;
        config.trusted_proxies = Vec::new();
        config.insecure = false;
        config.metrics = None;
        config.audit = config.audit.filter(|_| is_typed("audit"));
        config.access_log = config.access_log.filter(|_| is_typed("access_log"));
        let access = config.access_log.as_ref().map(|log| &log.path);
        if config.audit.iter().chain(access).any(|path| path.is_relative()) {
            let message = "--audit and --access-log need absolute paths here: the server has the root as its working directory";
            return Err(Arguments::command().error(ErrorKind::ValueValidation, message));
        }
        config.workers = config.workers.or(Some(WORKERS));
        config.max_connections = config.max_connections.or(Some(CONNECTIONS));
        // Each directory that a client names is served by a process of its own.
        config.guards_others = true;
        let root = is_typed("root").then(|| arguments.root.clone());
        let (is_confined, is_direct) = (!arguments.no_sandbox, arguments.stdio_direct);
        Ok(Self { config, root, is_confined, only_reads: false, is_direct })
    }
}
