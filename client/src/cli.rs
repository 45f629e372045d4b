//! The command line of `haul`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::destination::Destination;
use crate::filter::Rules;

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
    Sync(Sync),
    /// A prompt that takes `put FILE...`; also reads commands from a pipe.
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
    /// destination, `DIR/`, `.` and `..` put its contents there.
    #[arg(required = true, value_name = "SRC")]
    pub sources: Vec<PathBuf>,

    /// Where to: `HOST[:PORT][/PATH]`, `[V6][:PORT][/PATH]`, `haul://HOST[:PORT][/PATH]` or
    /// `unix:SOCKET[:/PATH]`. The port is 8080 by default. PATH is a directory below the server's root,
    /// made if it is missing.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// Store a single file under another name.
    #[arg(long = "as", value_name = "NAME")]
    pub rename: Option<String>,

    /// What is left out.
    #[command(flatten)]
    pub rules: Rules,

    /// Only tell what would be sent and why; nothing is changed.
    #[arg(long, short = 'n', conflicts_with = "classic")]
    pub dry_run: bool,

    /// Speak the dialect of the classic tutorial's server: files only, one after the other, and the
    /// server acknowledges nothing.
    #[arg(long, conflicts_with_all = ["connections", "retries", "timeout", "exclude", "include", "exclude_from"])]
    pub classic: bool,

    /// How to go about it.
    #[command(flatten)]
    pub how: How,

    /// How much to tell.
    #[command(flatten)]
    pub tell: Tell,
}

/// `haul sync`.
///
/// Files with the same size, mtime and mode are taken to be the same. Nothing is removed at the
/// destination without --delete, but what is of another kind there (a file where a directory comes) is
/// replaced.
#[derive(Debug, Args)]
pub struct Sync {
    /// What to send: a file, a link, or a directory. `DIR` becomes a directory at the destination, `DIR/`
    /// and `.` mean that the destination itself becomes like it.
    #[arg(value_name = "SRC")]
    pub source: PathBuf,

    /// Where to, as for `haul put`.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// Remove what the source lacks, after all else is committed; not if anything could not be read or
    /// sent. What is left out by a rule is not removed.
    #[arg(long)]
    pub delete: bool,

    /// With --delete: remove N entries at most.
    #[arg(long, value_name = "N", requires = "delete")]
    pub max_delete: Option<u64>,

    /// With --delete: remove even if something could not be read or sent.
    #[arg(long, requires = "delete")]
    pub force_delete: bool,

    /// Only tell what would be sent or removed and why; nothing is changed.
    #[arg(long, short = 'n')]
    pub dry_run: bool,

    /// What is left out.
    #[command(flatten)]
    pub rules: Rules,

    /// How to go about it.
    #[command(flatten)]
    pub how: How,

    /// How much to tell.
    #[command(flatten)]
    pub tell: Tell,
}

/// `haul shell`.
#[derive(Debug, Args)]
pub struct Shell {
    /// Where to, as for `haul put`.
    #[arg(value_name = "DEST")]
    pub destination: Destination,

    /// Speak the dialect of the classic tutorial's server: files only, one after the other, and the
    /// server acknowledges nothing.
    #[arg(long, conflicts_with_all = ["connections", "retries", "timeout"])]
    pub classic: bool,

    /// How to go about it.
    #[command(flatten)]
    pub how: How,
}

/// How to go about an upload.
#[derive(Debug, Clone, Args)]
pub struct How {
    /// Parallel connections [default: one a core, 2 to 8].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: Option<u16>,

    /// How often to connect again, in a row, when the connection is lost; the count starts again when
    /// the server has acknowledged something.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub retries: u32,

    /// How long the server may be silent while it owes answers, such as 90s or 2m, before its
    /// connection counts as lost. A server whose disk is slow says so every few seconds.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub timeout: Duration,
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
}

impl How {
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
