//! The command line of `haul`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::destination::Destination;
use crate::filter::Rules;
use crate::sync::Links;

/// Attempts to connect again, in a row, if nobody says otherwise.
const RETRIES: u32 = 10;

/// How long a server may be silent if nobody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Uploads files and whole directories to a haul server: in parallel, verified, each file whole or
/// not at all.
///
/// Exit codes: 0 everything is committed; 1 some files failed, each is named; 2 wrong usage; 3 the
/// server could not be reached or was lost for good; 130 interrupted. After 1, 3 and 130 the same
/// command sends the rest, and large files go on where they stopped.
#[derive(Debug, Parser)]
#[command(name = "haul", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Upload one file, several, or whole directories.
    Put(Put),
    /// Make a destination like a source: send only what it lacks or holds differently.
    ///
    /// Files with the same size, mtime and mode are taken to be the same. Nothing is removed at the
    /// destination without --delete, but what is of another kind there (a file where a directory comes) is
    /// replaced.
    Sync(Sync),
    /// Give a directory its next version, whole: every reader sees the old one or the new one, and nothing in
    /// between.
    ///
    /// The tree is put together where nobody sees it: what is unchanged is taken from the present version by
    /// the server, the rest is sent. Then the two change places in one step. The version before stays at the
    /// server until the next publish, for readers that have it open and for --rollback. If anything could not
    /// be read or sent, nothing is published; run again, it goes on where it stopped.
    #[command(allow_missing_positional = true)]
    Publish(Publish),
    /// Compare a source with what the server has, byte for byte; nothing is changed.
    ///
    /// Both sides read every file. One line on standard output for each name that is `missing` at the
    /// server, that `differs` (kind, size, bytes, or where a link points), or that is `extra` there. Modes and
    /// mtimes are not compared. Exit code 1 if there is any.
    Verify(Verify),
    /// What is in a directory at a server.
    ///
    /// One name a line, a directory with a `/` after it, sorted by their bytes.
    Ls(Ls),
    /// A prompt that takes `put`, `sync`, `verify`, `ls` and `mkdir`; also reads them from a pipe.
    Shell(Shell),
    /// What interrupted uploads have left at a server: `list` or `clean`, with `--root DIR`. On the
    /// server's machine and while no server serves that root; hauld does it.
    #[command(disable_help_flag = true)]
    Partials(Partials),
}

/// `haul partials`: what follows is for hauld.
#[derive(Debug, Args)]
pub struct Partials {
    /// As `hauld partials --help` explains.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "list|clean")]
    pub words: Vec<OsString>,
}

/// `haul put`.
#[derive(Debug, Args)]
pub struct Put {
    /// What to send: a file, a link, or a directory. `DIR` puts the directory itself at the
    /// destination, `DIR/`, `.` and `..` put its contents there. `-` is standard input, and needs --as.
    #[arg(required = true, value_name = "SRC")]
    pub sources: Vec<PathBuf>,

    /// Where to: `HOST[:PORT][/PATH]`, `[V6][:PORT][/PATH]`, `haul://HOST[:PORT][/PATH]` or
    /// `unix:SOCKET[:/PATH]`. The port is 8080 by default. PATH is a directory below the server's root,
    /// made if it is missing.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// What is put, and how.
    #[command(flatten)]
    pub options: PutOptions,
}

/// The options of `haul put`.
#[derive(Debug, Default, Args)]
pub struct PutOptions {
    /// Store a single file under another name.
    #[arg(long = "as", value_name = "NAME")]
    pub rename: Option<String>,

    /// Remove each file and link here as soon as the server has it durably (hauld --durability group), if it
    /// has not changed since it was read. Directories stay.
    #[arg(long, conflicts_with_all = ["dry_run", "classic"])]
    pub remove_source: bool,

    /// Speak the dialect of the classic tutorial's server: files only, one after the other, and the
    /// server acknowledges nothing.
    #[arg(long, conflicts_with_all = ["connections", "retries", "timeout", "limit_rate", "exclude", "include",
          "exclude_from", "files_from", "dry_run", "ignore_existing", "receipt", "links"])]
    pub classic: bool,

    /// What of the sources is meant.
    #[command(flatten)]
    pub choice: Choice,

    /// What of that is sent.
    #[command(flatten)]
    pub send: Send,

    /// How to go about it.
    #[command(flatten)]
    pub how: How,

    /// How much to tell.
    #[command(flatten)]
    pub tell: Tell,
}

/// `haul sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// What to send: a file, a link, or a directory. `DIR` becomes a directory at the destination, `DIR/`
    /// and `.` mean that the destination itself becomes like it.
    #[arg(value_name = "SRC")]
    pub source: PathBuf,

    /// Where to, as for `haul put`.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// What is synced, and how.
    #[command(flatten)]
    pub options: SyncOptions,
}

/// The options of `haul sync`.
#[derive(Debug, Default, Args)]
pub struct SyncOptions {
    /// Compare files of the same size by the digests of their bytes, which both sides read, and not by
    /// mtime.
    #[arg(long, short)]
    pub checksum: bool,

    /// Remove what the source lacks, after all else is committed; not if anything could not be read or
    /// sent. What is left out by a rule is not removed.
    #[arg(long, conflicts_with = "files_from")]
    pub delete: bool,

    /// With --delete: remove N entries at most.
    #[arg(long, value_name = "N", requires = "delete")]
    pub max_delete: Option<u64>,

    /// With --delete: remove even if something could not be read or sent.
    #[arg(long, requires = "delete")]
    pub force_delete: bool,

    /// What of the source is meant.
    #[command(flatten)]
    pub choice: Choice,

    /// What of that is sent.
    #[command(flatten)]
    pub send: Send,

    /// How to go about it.
    #[command(flatten)]
    pub how: How,

    /// How much to tell.
    #[command(flatten)]
    pub tell: Tell,
}

/// `haul publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// The directory whose contents become the next version, with or without a `/` after it.
    #[arg(value_name = "SRC", required_unless_present = "rollback")]
    pub source: Option<PathBuf>,

    /// The directory at the server, as for `haul put`; not the server's root itself.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// Let the version before the present one take its place again; once more brings the other one back.
    #[arg(long, conflicts_with_all = ["source", "checksum", "dry_run", "receipt", "exclude", "include", "exclude_from",
          "links"])]
    pub rollback: bool,

    /// What is published, and how.
    #[command(flatten)]
    pub options: PublishOptions,
}

/// The options of `haul publish`.
#[derive(Debug, Default, Args)]
pub struct PublishOptions {
    /// Compare files with the present version by the digests of their bytes, which both sides read, and not by
    /// mtime.
    #[arg(long, short)]
    pub checksum: bool,

    /// Only tell what would be sent or missing in the next version and why; nothing is changed.
    #[arg(long, short = 'n')]
    pub dry_run: bool,

    /// Write the digest of each file that is sent to FILE, for `b3sum --check` in the server's root. With
    /// --checksum also of each that is taken over.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub receipt: Option<PathBuf>,

    /// What of the source is meant.
    #[command(flatten)]
    pub choice: Choice,

    /// How to go about it.
    #[command(flatten)]
    pub how: How,

    /// How much to tell.
    #[command(flatten)]
    pub tell: Tell,
}

/// `haul verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// What to compare: a file, a link, or a directory, as it was given to `haul put` or `haul sync`.
    #[arg(value_name = "SRC")]
    pub source: PathBuf,

    /// With what, as for `haul put`.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// What is compared, and how.
    #[command(flatten)]
    pub options: VerifyOptions,
}

/// The options of `haul verify`.
#[derive(Debug, Default, Args)]
pub struct VerifyOptions {
    /// What of the source is meant.
    #[command(flatten)]
    pub choice: Choice,

    /// How to go about it.
    #[command(flatten)]
    pub how: How,

    /// How much to tell.
    #[command(flatten)]
    pub tell: Tell,
}

/// `haul ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// What to list: a directory at a server, or a single file, as for `haul put`.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// What is told.
    #[command(flatten)]
    pub options: LsOptions,
}

/// The options of `haul ls`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct LsOptions {
    /// Mode, size in bytes, mtime and where links point.
    #[arg(long, short)]
    pub long: bool,

    /// What is in directories, too; a directory comes before what is in it.
    #[arg(long, short = 'R')]
    pub recursive: bool,

    /// One JSON object a line: an entry as the protocol has it (PROTOCOL.md, "Entries").
    #[arg(long, conflicts_with = "long")]
    pub json: bool,
}

/// `haul shell`.
#[derive(Debug, Args)]
pub struct Shell {
    /// Where to, as for `haul put`.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// Speak the dialect of the classic tutorial's server: files only, one after the other, and the
    /// server acknowledges nothing.
    #[arg(long, conflicts_with_all = ["connections", "retries", "timeout", "limit_rate"])]
    pub classic: bool,

    /// How to go about it, unless a line says otherwise.
    #[command(flatten)]
    pub how: How,
}

/// What of a source is meant.
#[derive(Debug, Default, Args)]
pub struct Choice {
    /// What is left out.
    #[command(flatten)]
    pub rules: Rules,

    /// What becomes of symbolic links: "copy" takes them as links, "follow" takes what they point to,
    /// "skip" leaves them out.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "copy")]
    pub links: Links,

    /// Only the names in FILE (`-`: standard input), one a line, below SRC, which is one directory. What is in
    /// a directory is not meant unless it is named as well.
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,

    /// With --files-from: names end with a NUL byte, as `find -print0` writes them.
    #[arg(long = "null", short = '0', requires = "files_from")]
    pub null: bool,
}

/// What is sent, and what comes of it.
#[derive(Debug, Default, Args)]
pub struct Send {
    /// Only tell what would be sent or removed and why; nothing is changed.
    #[arg(long, short = 'n')]
    pub dry_run: bool,

    /// Leave files and links alone that are there already, whatever they are.
    #[arg(long)]
    pub ignore_existing: bool,

    /// Write the digest of each file that is committed to FILE, for `b3sum --check` in the server's root.
    /// With --checksum also of each that is the same.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub receipt: Option<PathBuf>,
}

/// How to go about an upload.
#[derive(Debug, Clone, Args)]
pub struct How {
    /// Parallel connections [default: one a core, 2 to 8].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: Option<u16>,

    /// How often to connect again, in a row, when the connection is lost; the count starts again when
    /// the server has acknowledged something.
    #[arg(long, value_name = "N", default_value_t = RETRIES)]
    pub retries: u32,

    /// How long the server may be silent while it owes answers, such as 90s or 2m, before its
    /// connection counts as lost. A server whose disk is slow says so every few seconds.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub timeout: Duration,

    /// Bytes a second that are sent at most, such as 500KB or 10MiB.
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub limit_rate: Option<u64>,
}

impl Default for How {
    fn default() -> Self {
        Self { connections: None, retries: RETRIES, timeout: TIMEOUT, limit_rate: None }
    }
}

/// How much to tell.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Tell {
    /// Tell only what failed.
    #[arg(long, short)]
    pub quiet: bool,

    /// Name every file that is committed.
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,

    /// One JSON object a line on standard output: failures, progress, and the summary at the end.
    #[arg(long)]
    pub json: bool,

    /// A table of all counts at the end.
    #[arg(long, conflicts_with = "json")]
    pub stats: bool,
}

impl How {
    /// The same as words of a command line.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let Self { connections, retries, timeout, limit_rate } = self;
        let mut words = vec![format!("--retries={retries}")];
        words.push(format!("--timeout={}", humantime::format_duration(*timeout)));
        words.extend(connections.map(|connections| format!("--connections={connections}")));
        words.extend(limit_rate.map(|rate| format!("--limit-rate={rate}B")));
        words
    }

    /// The number of connections: each costs the server little and the client one thread that
    /// hashes, so one a core; at least two, so that one is sending while another waits.
    #[must_use]
    pub fn connections(&self) -> usize {
        match self.connections {
            Some(wanted) => usize::from(wanted),
            None => std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8),
        }
    }
}

fn rate(text: &str) -> Result<u64, String> {
    match parse_size::parse_size(text) {
        Ok(0) => Err(String::from("nothing at all")),
        Ok(rate) => Ok(rate),
        Err(error) => Err(error.to_string()),
    }
}

/// With a unit, or plain seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string())?,
    };
    if duration.is_zero() { Err(String::from("no time at all")) } else { Ok(duration) }
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
    fn durations_have_a_unit_or_are_seconds() {
        let millis = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("60"), Ok(60_000));
        assert_eq!(millis("0.5"), Ok(500));
        assert_eq!(millis("300ms"), Ok(300));
        assert_eq!(millis("1m 30s"), Ok(90_000));
        for wrong in ["0", "0s", "-1", "inf", "NaN", "soon", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
