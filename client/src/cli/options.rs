//! Options that several commands of `haul` share.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValue, TypedValueParser};
use clap::{Args, ValueEnum};

use super::habits::bwlimit;
use super::over_ssh::SshOptions;
use super::usage::Usage;
use crate::source::filter::Rules;
use crate::source::links::Links;
use crate::work::settings::{RETRY_FOR, TIMEOUT};

/// Choice of a source's entries.
#[derive(Debug, Default, Args)]
pub struct Selection {
    /// Rules that leave entries out.
    #[command(flatten)]
    pub rules: Rules,

    /// Treatment of symbolic links: "copy" makes the same links on the other side, "follow" sends their targets, "skip"
    /// leaves them out.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "copy")]
    pub links: Links,

    /// Leave out all below a directory that another file system than that of SRC is mounted on; the directory itself is
    /// sent. --delete keeps entries below such a directory. A bind mount of the same file system is no other one.
    #[arg(long, short = 'x', conflicts_with = "files_from")]
    pub one_file_system: bool,

    /// Only the names in FILE (`-`: standard input), one a line, below SRC, which is one directory. The entries
    /// of a directory are not meant unless they are named as well. A carriage return before a line's end and a
    /// UTF-8 byte order mark at the start belong to no name; if a name ends with a carriage return, use -0.
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,

    /// With --files-from: names end with a NUL byte, as `find -print0` writes them.
    #[arg(long = "null", short = '0', requires = "files_from")]
    pub null: bool,
}

/// Options about sending, and about its results.
#[derive(Debug, Default, Args)]
pub struct SendOptions {
    /// Only tell which entries would be transferred or removed and why; nothing is changed.
    #[arg(long, short = 'n')]
    pub dry_run: bool,

    /// Leave files and links alone that are there already, even if they are of another kind or content.
    #[arg(long)]
    pub ignore_existing: bool,

    /// Write to FILE the digest of each file that is committed, for `b3sum --check` in the server's root, or in DEST if SRC is
    /// at a server (sync). With --checksum also of each file that is the same.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(receipt), conflicts_with = "dry_run")]
    pub receipt: Option<PathBuf>,
}

/// How long haul waits for a server, and tries to connect to it again.
#[derive(Debug, Clone, Copy, Args)]
pub struct Tries {
    /// Time for which haul tries to connect again when the server is lost, such as 90s or 1h; it starts again with
    /// each progress. 0 ends the command with the loss. When haul transfers or compares entries, it asks a server that
    /// is busy again for the same time. If no server was reached when the command began, the command ends at once.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m")]
    pub retry_for: Duration,

    /// At most so many attempts to connect again, in a row, even if --retry-for leaves time for more. When haul transfers
    /// or compares entries, it also gives an entry up if more than N connections were lost while the server had it to
    /// answer next [default: any number of attempts, 10 connections].
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,

    /// Time that the server may be silent while it owes answers, such as 90s or 2m, before its connection
    /// counts as lost. A server whose disk is slow says so every few seconds. The first answer may
    /// take 10s unless another time is given.
    #[arg(long, value_name = "TIME", value_parser = nonzero_duration, default_value = "60s")]
    pub timeout: Duration,
}

impl Default for Tries {
    fn default() -> Self {
        Self { retry_for: RETRY_FOR, retries: None, timeout: TIMEOUT }
    }
}

/// How a command reaches its server.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Reaching {
    /// Waiting, and connecting again.
    #[command(flatten)]
    pub tries: Tries,

    /// Encryption.
    #[command(flatten)]
    pub security: Security,
}

/// The encryption of connections.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Security {
    /// Send everything in clear, also to another machine: everybody on the way can read and change it. A token is never
    /// sent.
    #[arg(long)]
    pub insecure: bool,
}

/// Options of the connections.
#[derive(Debug, Clone, Default, Args)]
pub struct ConnectionOptions {
    /// Parallel connections [default: one a core, 2 to 8; to send, up to 8 over a line that loses segments].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: Option<u16>,

    /// How the server is reached.
    #[command(flatten)]
    pub reaching: Reaching,

    /// How ssh leads to a server.
    #[command(flatten)]
    pub ssh: SshOptions,

    /// Congestion control of connections that send, such as bbr or cubic, by the system's name [default: bbr where
    /// connections leave this machine and the system allows it].
    #[arg(long, value_name = "NAME")]
    pub congestion: Option<String>,

    /// Bytes a second that are sent or received at most, such as 500KB or 10MiB.
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub limit_rate: Option<u64>,

    /// The same as rsync has it.
    #[arg(long, hide = true, value_name = "RATE", value_parser = bwlimit, conflicts_with = "limit_rate")]
    pub bwlimit: Option<u64>,
}

/// Options of the output of all commands that change or compare entries.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct BasicOutput {
    /// Tell only failures.
    #[arg(long, short)]
    pub quiet: bool,

    /// Print one JSON object a line on standard output: failures, the progress of a run, and the summary at the end.
    #[arg(long)]
    pub json: bool,
}

/// Options of the output of a run.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputOptions {
    /// Options that other commands have as well.
    #[command(flatten)]
    pub basic: BasicOutput,

    /// Name every file that is committed; and for connections that leave this machine, or with --congestion, the
    /// congestion control, round trip and retransmits of each at its end.
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,

    /// Print a table of all counts at the end.
    #[arg(long, conflicts_with = "json")]
    pub stats: bool,
}

impl ConnectionOptions {
    /// Bytes a second that are sent or received at most.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        self.limit_rate.or(self.bwlimit).filter(|&rate| rate > 0)
    }

    /// The same options as words of a command line, but for those about ssh.
    #[must_use]
    pub fn words_without_ssh(&self) -> Vec<String> {
        let Self { connections, reaching, congestion, .. } = self;
        let Tries { retry_for, retries, timeout } = &reaching.tries;
        let mut words = vec![format!("--retry-for={}", humantime::format_duration(*retry_for))];
        words.push(format!("--timeout={}", humantime::format_duration(*timeout)));
        words.extend(reaching.security.insecure.then(|| String::from("--insecure")));
        words.extend(retries.map(|retries| format!("--retries={retries}")));
        words.extend(connections.map(|connections| format!("--connections={connections}")));
        words.extend(congestion.iter().map(|name| format!("--congestion={name}")));
        words.extend(self.rate().map(|rate| format!("--limit-rate={rate}B")));
        words
    }
}

impl ValueEnum for Links {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Copy, Self::Follow, Self::Skip]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Copy => {
                PossibleValue::new("copy").help("They are links on the other side as well")
            }
            Self::Follow => PossibleValue::new("follow").help("Their targets come in their place"),
            Self::Skip => PossibleValue::new("skip").help("They are left out"),
        })
    }
}

/// The file of a receipt.
pub(super) fn receipt(text: OsString) -> Result<PathBuf, Usage> {
    match text == "-" {
        true => Err(Usage(String::from(
            "--receipt -: for standard output write --receipt /dev/stdout --quiet, for a file of that name ./-",
        ))),
        false => Ok(text.into()),
    }
}

fn rate(text: &str) -> Result<u64, String> {
    match parse_size::parse_size(text) {
        Ok(0..1000) => Err(String::from("less than 1 KB a second, for which no server waits")),
        Ok(rate) => Ok(rate),
        Err(_) => Err(String::from("not a number of bytes a second, such as 500KB or 10MiB")),
    }
}

/// A time with a unit, or plain seconds, which is not 0.
pub(super) fn nonzero_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() { Err(String::from("no time at all")) } else { Ok(duration) }
}

/// The same, or 0.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::super::get_words::GetOptions;
    use super::*;

    #[test]
    fn options_of_both_directions_speak_of_both() {
        let helps = [
            ConnectionOptions::augment_args(clap::Command::new("connection")),
            GetOptions::augment_args(clap::Command::new("get")),
        ];
        for mut command in helps {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Bytes a second that are sent or received at most"), "{help}");
            assert!(help.contains("When haul transfers or compares entries"), "{help}");
            for wrong in ["sent at most", "sends or compares", "are sent", "sends them"] {
                let help = help.replace("are sent or received", "");
                assert!(!help.contains(wrong), "{wrong}: {help}");
            }
        }
    }

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        let millis = |text| nonzero_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("60"), Ok(60_000));
        assert_eq!(millis("0.5"), Ok(500));
        assert_eq!(millis("300ms"), Ok(300));
        assert_eq!(millis("1m 30s"), Ok(90_000));
        for wrong in ["0", "0s", "-1", "inf", "NaN", "soon", ""] {
            assert!(nonzero_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn defaults_of_the_command_line_are_those_of_the_library() {
        let matches = Tries::augment_args(clap::Command::new("haul")).get_matches_from(["haul"]);
        let Tries { retry_for, retries, timeout } = Tries::from_arg_matches(&matches).unwrap();
        assert_eq!((retry_for, retries, timeout), (RETRY_FOR, None, TIMEOUT));
    }
}
