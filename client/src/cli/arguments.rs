//! The words of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use super::account::words::{LoginCommand, LogoutCommand, WhoamiCommand};
use super::config::ConfigCommand;
use super::discover::DiscoverCommand;
use super::entries::{MkdirCommand, MvCommand, RmCommand};
use super::get_words::{CatCommand, GetCommand};
use super::later::Later;
use super::options::{
    ConnectionOptions, OutputOptions, Security, Selection, SendOptions, nonzero_duration, receipt,
};
use super::over_ssh::SshOptions;
use super::trust::TrustCommand;
use super::usage::{End, destination, end};
use crate::net::destination::Destination;

/// Uploads files and whole directories to a haul server: in parallel, verified, each file whole or
/// not at all.
///
/// Exit codes: 0 everything is committed; 1 some files failed or a request was refused, each is named; 2 wrong
/// usage; 3 the server could not be reached, was lost for good, or wants no such connection or login; 4 the server is
/// not trusted, and gets nothing; 130 interrupted. After 1, 3 and 130 the same command sends the rest, and large
/// files go on where they stopped.
///
/// Most options can be set in the file `~/.config/haul/config.toml` and by variables, HAUL_RETRY_FOR for --retry-for; the
/// file also names destinations. `haul config show` tells what is set.
#[derive(Debug, Parser)]
#[command(name = "haul", version)]
pub(crate) struct Cli {
    /// File of settings, in the place of `~/.config/haul/config.toml`; "" is none [env: HAUL_CONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<OsString>,

    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Upload one file, several, or whole directories.
    #[command(allow_missing_positional = true)]
    Put(Later<PutCommand>),
    /// Make a destination like its sources: send only entries that it lacks or holds differently.
    ///
    /// Files with the same size, mtime and mode are taken to be the same. Nothing is removed at the destination
    /// without --delete, but an entry of another kind there (a file where a directory comes) is replaced.
    Sync(Later<SyncCommand>),
    /// Give a directory its next version, whole: every reader sees the old one or the new one, and nothing in
    /// between.
    ///
    /// The version is put together where nobody sees it: the server takes unchanged files from the present version,
    /// and the rest is sent. Then the two change places in one step. The version before stays at the server until
    /// the next publish, for readers that have it open and for --rollback. If anything could not be read or sent,
    /// nothing is published; the same command goes on where this one stopped.
    #[command(allow_missing_positional = true)]
    Publish(Later<PublishCommand>),
    /// Compare a source with the server's files by their contents; nothing is changed.
    ///
    /// Both sides read every file. Prints one line on standard output for each name that is `missing` at the
    /// server, that `differs` (kind, size, bytes, or where a link points), or that is `extra` there. Modes and
    /// mtimes are not compared. The exit code is 1 if there is any such name.
    Verify(Later<VerifyCommand>),
    /// Bring files and whole directories of a server to this machine: in parallel, verified, each file whole or not at
    /// all.
    ///
    /// A file that is there is replaced. An interrupted large file goes on where it stopped when the same command is
    /// run again.
    #[command(allow_missing_positional = true)]
    Get(Later<GetCommand>),
    /// Write files of a server to standard output.
    Cat(Later<CatCommand>),
    /// List a directory at a server.
    ///
    /// Prints one name a line, a directory with a `/` after it, sorted by the bytes of the names.
    Ls(Later<LsCommand>),
    /// Make directories at a server, with the parents that are missing. One that is there is no failure.
    Mkdir(Later<MkdirCommand>),
    /// Remove entries at a server. A symbolic link is removed itself, and a directory only with -r.
    ///
    /// If the connection is lost, haul connects again and goes on. An entry that is not there is a failure.
    Rm(Later<RmCommand>),
    /// Rename an entry at a server, in one step; a directory goes with all that is in it.
    ///
    /// SRC and DEST are at the same server, written in the same way. If DEST is a directory there, SRC goes into it,
    /// and DEST with a `/` after it has to be one. Parents of DEST that are missing are made. Nothing is replaced
    /// without -f.
    Mv(Later<MvCommand>),
    /// Log in at a server: try the token of an account there, and keep it for later commands.
    ///
    /// haul asks for the token on the terminal, without showing it. If standard input is no terminal, the token is its first
    /// line, as in `hauld user add alice | haul login alice@HOST`. `hauld user add` prints the token, and the LINK.
    Login(Later<LoginCommand>),
    /// Forget the token of an account here. At the server it holds until `hauld user rotate` or `hauld user remove`.
    Logout(Later<LogoutCommand>),
    /// Tell the account that a server knows this user as, its rights, quota and end.
    Whoami(Later<WhoamiCommand>),
    /// A prompt that takes `put`, `sync`, `verify`, `get`, `cat`, `ls`, `mkdir`, `rm` and `mv`; also reads them from a pipe.
    Shell(Later<ShellCommand>),
    /// Trust the key of a server, or list the keys that are trusted.
    ///
    /// Without PIN, haul connects, shows the key, and asks. A server whose certificate is vouched for by a public
    /// authority needs no key here; one that has a key here is trusted by nothing else.
    Trust(Later<TrustCommand>),
    /// List the servers of the local network that announce themselves (hauld --discoverable), and their keys.
    ///
    /// Everybody in the network may announce anything, so nothing of it is trusted: haul asks whether a key is right when it
    /// connects, as ever. If nobody answers, the exit code is 3.
    Discover(Later<DiscoverCommand>),
    /// Check the file of settings, or show what is set and where.
    Config(Later<ConfigCommand>),
    /// List or remove the rests of interrupted uploads at a server: `list` or `clean`, with `--root DIR`. On the
    /// server's machine and while no server serves that root; hauld does it.
    #[command(disable_help_flag = true)]
    Partials(Later<PartialsCommand>),
}

/// `haul partials`: the words behind it are for hauld.
#[derive(Debug, Args)]
pub(crate) struct PartialsCommand {
    /// As `hauld partials --help` explains.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "list|clean")]
    pub words: Vec<OsString>,
}

/// `haul put`.
#[derive(Debug, Args)]
pub(crate) struct PutCommand {
    /// Source to send: a file, a link, or a directory. `DIR` puts the directory itself at the destination, `DIR/`,
    /// `.` and `..` put its contents there. `-` is standard input, and needs --as. A FIFO, a terminal or a
    /// descriptor (`/dev/stdin`, `<(COMMAND)`) is read to its end before it is sent.
    #[arg(required_unless_present = "from_command", value_name = "SRC")]
    pub sources: Vec<PathBuf>,

    /// Destination: `HOST[:PORT][/PATH]`, `[V6][:PORT][/PATH]`, `haul://HOST[:PORT][/PATH]` or
    /// `unix:SOCKET[:/PATH]`. The port is 8080 by default. PATH is a directory below the server's root, made if it
    /// is missing; SRC goes into it also if it is a single file, and gets another name only with --as. Over ssh:
    /// `[USER@]HOST:PATH` or `ssh://[USER@]HOST[:PORT]/PATH`, where PATH is a directory as for scp; ssh starts hauld there.
    /// An alias of the settings stands for any of these, and ALIAS/PATH for a place below it.
    #[arg(value_name = "DEST", value_parser = destination)]
    pub destination: Destination,

    /// Options of the put.
    #[command(flatten)]
    pub options: PutOptions,
}

/// The options of `haul put`.
#[derive(Debug, Default, Args)]
pub(crate) struct PutOptions {
    /// Store the standard output of COMMAND, if and only if COMMAND ends with exit code 0. `sh -c` runs COMMAND,
    /// and of `a | b` knows only whether b failed; `bash -o pipefail -c 'a | b'` knows both. The output ends when
    /// no process has it open any more, processes in the background included. With -n, COMMAND runs as well.
    #[arg(long, value_name = "COMMAND", requires = "rename", conflicts_with = "remove_source")]
    pub from_command: Option<String>,

    /// The shell reads its commands from standard input.
    #[arg(skip)]
    pub in_shell: bool,

    /// Store a single file under another name.
    #[arg(long = "as", value_name = "NAME")]
    pub rename: Option<String>,

    /// Remove each file and link here as soon as the server has it durably (hauld --durability group), if it
    /// has not changed since it was read, and no other SRC has a file of the same name. Directories stay.
    #[arg(long, conflicts_with_all = ["dry_run", "classic"])]
    pub remove_source: bool,

    /// Speak the dialect of the classic tutorial's server: files only, one after the other, and the
    /// server acknowledges nothing.
    #[arg(long, conflicts_with_all = ["connections", "retry_for", "retries", "timeout", "congestion", "limit_rate", "bwlimit",
          "exclude", "include", "exclude_from", "files_from", "one_file_system", "dry_run", "ignore_existing", "receipt",
          "links"])]
    pub classic: bool,

    /// Choice of the sources' entries.
    #[command(flatten)]
    pub selection: Selection,

    /// Options about sending.
    #[command(flatten)]
    pub send: SendOptions,

    /// Options of the connections.
    #[command(flatten)]
    pub connection: ConnectionOptions,

    /// Options of the output.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `haul sync`.
#[derive(Debug, Args)]
pub(crate) struct SyncCommand {
    /// Source to send: a file, a link, or a directory; there may be several. `DIR` becomes a directory at the
    /// destination, `DIR/` and `.` mean that the destination itself becomes like the source, with its mode and mtime.
    /// With --delete and several SRC, entries are removed below each `DIR` only, and `DIR/` is an error.
    /// A SRC with a scheme, brackets, or a colon before its first slash is at a server (`haul://box/www`, `box:8080/www`,
    /// `[::1]/www`, and over ssh `box:www`): then DEST is a directory on this machine, which becomes like SRC. `box/www` and
    /// `./box:www` are paths on this machine.
    #[arg(value_name = "SRC", required = true)]
    pub sources: Vec<PathBuf>,

    /// Destination, as for `haul put`; or a directory on this machine if SRC is at a server.
    #[arg(value_name = "DEST", value_parser = end)]
    pub destination: End,

    /// Options of the sync.
    #[command(flatten)]
    pub options: SyncOptions,
}

/// The options of `haul sync`.
#[derive(Debug, Default, Args)]
pub(crate) struct SyncOptions {
    /// Compare files of the same size by the digests of their bytes, read here and kept or read there, and not by
    /// mtime.
    #[arg(long, short)]
    pub checksum: bool,

    /// Remove entries that the source lacks, after all else is committed; not if anything could not be read or
    /// sent. Entries that a rule leaves out are not removed.
    #[arg(long, conflicts_with = "files_from")]
    pub delete: bool,

    /// With --delete: remove N entries at most.
    #[arg(long, value_name = "N", requires = "delete")]
    pub max_delete: Option<u64>,

    /// With --delete: remove even if single entries below SRC could not be read or sent. If SRC itself can't be
    /// read, is gone, or is not the directory that it was, nothing is removed in any case.
    #[arg(long, requires = "delete")]
    pub force_delete: bool,

    /// With --delete: remove everything at the destination if SRC has nothing in it, or nothing that the rules
    /// leave. Without this option an empty SRC removes nothing and is a failure.
    #[arg(long, requires = "delete")]
    pub delete_all: bool,

    /// With SRC at a server: "group" (the default) waits for the disk here: a file that is counted survives a loss of power.
    /// "none" does not. With SRC on this machine the server decides (hauld --durability).
    #[arg(long, value_name = "LEVEL", value_parser = ["group", "none"])]
    pub durability: Option<String>,

    /// Choice of the source's entries.
    #[command(flatten)]
    pub selection: Selection,

    /// Options about sending.
    #[command(flatten)]
    pub send: SendOptions,

    /// Options of the connections.
    #[command(flatten)]
    pub connection: ConnectionOptions,

    /// Options of the output.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `haul publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishCommand {
    /// The directory whose contents become the next version, with or without a `/` after it.
    #[arg(value_name = "SRC", required_unless_present = "rollback")]
    pub source: Option<PathBuf>,

    /// The directory at the server, as for `haul put`; not the server's root itself.
    #[arg(value_name = "DEST", value_parser = destination)]
    pub destination: Destination,

    /// Let the version before the present one take its place again, and tell which version that is. A second
    /// rollback in a row is refused without --again.
    #[arg(long, conflicts_with_all = ["source", "checksum", "delete_all", "dry_run", "receipt", "exclude", "include",
          "exclude_from", "links"])]
    pub rollback: bool,

    /// With --rollback: also if the last change of the versions was a rollback, which this one undoes.
    #[arg(long, requires = "rollback")]
    pub again: bool,

    /// Options of the publish.
    #[command(flatten)]
    pub options: PublishOptions,
}

/// The options of `haul publish`.
#[derive(Debug, Default, Args)]
pub(crate) struct PublishOptions {
    /// Compare files with the present version by the digests of their bytes, read here and kept or read there, and not by
    /// mtime.
    #[arg(long, short)]
    pub checksum: bool,

    /// Publish an empty version if SRC has nothing in it, or nothing that the rules leave. Without this option an
    /// empty SRC is a failure, and DEST stays as it is.
    #[arg(long)]
    pub delete_all: bool,

    /// Only tell which entries would be sent or missing in the next version and why; nothing is changed.
    #[arg(long, short = 'n')]
    pub dry_run: bool,

    /// Write the digest of each file that is sent to FILE, for `b3sum --check` in the server's root. With
    /// --checksum also of each that is taken over.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(receipt), conflicts_with = "dry_run")]
    pub receipt: Option<PathBuf>,

    /// Choice of the source's entries.
    #[command(flatten)]
    pub selection: Selection,

    /// Options of the connections.
    #[command(flatten)]
    pub connection: ConnectionOptions,

    /// Options of the output.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `haul verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyCommand {
    /// Source to compare: a file, a link, or a directory, as it was given to `haul put` or `haul sync`; there may be several,
    /// but then no `DIR/`.
    #[arg(value_name = "SRC", required = true)]
    pub sources: Vec<PathBuf>,

    /// Destination to compare with, as for `haul put`.
    #[arg(value_name = "DEST", value_parser = destination)]
    pub destination: Destination,

    /// Options of the comparison.
    #[command(flatten)]
    pub options: VerifyOptions,
}

/// The options of `haul verify`.
#[derive(Debug, Default, Args)]
pub(crate) struct VerifyOptions {
    /// Have the server read every byte again, as when you doubt its disk. Otherwise it compares a large file by the digest
    /// that it has kept with it, if size, mtime and inode are those that it had then.
    #[arg(long)]
    pub reread: bool,

    /// Choice of the source's entries.
    #[command(flatten)]
    pub selection: Selection,

    /// Options of the connections.
    #[command(flatten)]
    pub connection: ConnectionOptions,

    /// Options of the output.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `haul ls`.
#[derive(Debug, Args)]
pub(crate) struct LsCommand {
    /// Destination to list: a directory at a server, or a single file, as for `haul put`.
    #[arg(value_name = "DEST", value_parser = destination)]
    pub destination: Destination,

    /// How ssh leads to the server.
    #[command(flatten)]
    pub ssh: SshOptions,

    /// Options of the listing.
    #[command(flatten)]
    pub options: LsOptions,
}

/// The options of `haul ls`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct LsOptions {
    /// Print mode, size in bytes, mtime and the targets of links as well.
    #[arg(long, short)]
    pub long: bool,

    /// List directories with all below them; a directory comes before its entries.
    #[arg(long, short = 'R')]
    pub recursive: bool,

    /// Print one JSON object a line: an entry as the protocol has it (PROTOCOL.md, section 6.11).
    #[arg(long, conflicts_with = "long")]
    pub json: bool,

    /// How long the server may be silent while it owes an answer, such as 90s or 2m.
    #[arg(long, value_name = "TIME", value_parser = nonzero_duration)]
    pub timeout: Option<Duration>,

    /// Encryption.
    #[command(flatten)]
    pub security: Security,
}

/// `haul shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellCommand {
    /// Destination, as for `haul put`.
    #[arg(value_name = "DEST", value_parser = destination)]
    pub destination: Destination,

    /// Speak the dialect of the classic tutorial's server: files only, one after the other, and the
    /// server acknowledges nothing.
    #[arg(long, conflicts_with_all = ["connections", "retry_for", "retries", "timeout", "congestion", "limit_rate", "bwlimit"])]
    pub classic: bool,

    /// Options of the connections, unless a line says otherwise.
    #[command(flatten)]
    pub connection: ConnectionOptions,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn messages_may_tell_to_run_every_command() {
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
        let mut shown: Vec<_> = shown.map(|one| one.get_name()).collect();
        let mut told = crate::cli::console::fold::COMMANDS;
        shown.sort_unstable();
        told.sort_unstable();
        assert_eq!(shown, told);
    }
}
