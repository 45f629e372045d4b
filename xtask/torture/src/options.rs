//! Options of the chore.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// Seed of all decisions. The same seed decides the same, but processes take their own time.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Minutes to run; the round that is under way then is completed.
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    pub(crate) minutes: f64,

    /// Directory for source and roots [default: the system's temporary directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) tmp: Option<PathBuf>,

    /// The servers' durability.
    #[arg(long, value_enum, default_value = "group")]
    pub(crate) durability: Durability,

    /// Tries in each round in which two clients of one identity send the same large file at once.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(crate) rivals: u64,

    /// Passes in each round in which two accounts with the same identity send the same names.
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(crate) accounts: u64,

    /// Passes in each round in which a tree comes back from the server.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) reading: u64,

    /// Size of a file that comes back before the first round, and is interrupted at half, once by each side.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) half: u64,

    /// Passes in each round of resumable uploads over HTTP.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) tus: u64,

    /// Passes in each round in which the owner of a server with a hook changes everything under its clients.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) reloads: u64,

    /// Run these bouts only, and no rounds.
    #[arg(long, value_enum, value_name = "BOUT", value_delimiter = ',')]
    pub(crate) only: Vec<Bout>,

    /// Debug builds of client and server, which check more of themselves and take longer.
    #[arg(long)]
    pub(crate) debug: bool,

    /// Set for the process that has its own mounts.
    #[arg(long, hide = true)]
    pub(crate) inside: bool,
}

/// As the server knows it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Durability {
    None,
    Group,
}

/// A bout, which comes after each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bout {
    Rivals,
    Accounts,
    Reading,
    Tus,
    Reloads,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=100_000.0).contains(&minutes) { Ok(minutes) } else { Err(String::from("too many")) }
}

impl Options {
    /// Whether there are rounds, and not some of the bouts alone.
    pub(crate) fn has_rounds(&self) -> bool {
        self.only.is_empty()
    }

    /// Passes of a bout; tries of the rivals.
    pub(crate) fn of(&self, bout: Bout) -> u64 {
        if !self.only.is_empty() && !self.only.contains(&bout) {
            return 0;
        }
        match bout {
            Bout::Rivals => self.rivals,
            Bout::Accounts => self.accounts,
            Bout::Reading => self.reading,
            Bout::Tus => self.tus,
            Bout::Reloads => self.reloads,
        }
    }

    /// Whether any of it fills a disk.
    pub(crate) fn needs_disk(&self) -> bool {
        self.has_rounds() || self.of(Bout::Reading) > 0 || self.of(Bout::Tus) > 0
    }
}
