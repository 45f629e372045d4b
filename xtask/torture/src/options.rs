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

    /// Run the rivals only.
    #[arg(long)]
    pub(crate) only_rivals: bool,

    /// Passes in each round in which two accounts with the same identity send the same names.
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(crate) accounts: u64,

    /// Run the two accounts only.
    #[arg(long, conflicts_with = "only_rivals")]
    pub(crate) only_accounts: bool,

    /// Passes in each round in which a tree comes back from the server.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) reading: u64,

    /// Size of a file that comes back before the first round, and is interrupted at half, once by each side.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) half: u64,

    /// Run the passes of reading back only.
    #[arg(long, conflicts_with_all = ["only_rivals", "only_accounts"])]
    pub(crate) only_reading: bool,

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

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=100_000.0).contains(&minutes) { Ok(minutes) } else { Err(String::from("too many")) }
}

impl Options {
    /// Whether there are rounds, and not one of the bouts alone.
    pub(crate) fn has_rounds(&self) -> bool {
        !self.only_rivals && !self.only_accounts && !self.only_reading
    }

    /// Tries of the rivals.
    pub(crate) fn tries(&self) -> u64 {
        if self.only_accounts || self.only_reading { 0 } else { self.rivals }
    }

    /// Passes of the two accounts.
    pub(crate) fn passes(&self) -> u64 {
        if self.only_rivals || self.only_reading { 0 } else { self.accounts }
    }

    /// Passes of reading back.
    pub(crate) fn returns(&self) -> u64 {
        if self.only_rivals || self.only_accounts { 0 } else { self.reading }
    }
}
