//! haul over a long line that loses packets, beside itself over the same line without losses: two network namespaces,
//! each with a TUN device, and a relay between the devices that delays, drops and shapes.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

#[cfg(target_os = "linux")]
mod line;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod trial;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// The largest file.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    size: u64,

    /// Time there and back, without waiting.
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = humantime::parse_duration)]
    round_trip: Duration,

    /// Packets of a hundred that are lost, each way.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    loss: f64,

    /// Megabits a second of the bottleneck, each way.
    #[arg(long, value_name = "MBIT", default_value_t = 200)]
    rate: u64,

    /// The most time that a packet waits before the bottleneck.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = humantime::parse_duration)]
    queue: Duration,

    /// The seed of the losses.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Measure an rsync daemon and curl as well, if they are there.
    #[arg(long)]
    rivals: bool,

    /// Directory for the files and the server's root.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    tmp: PathBuf,

    /// Directory for the table.
    #[arg(long, value_name = "DIR", default_value = "target/lossy")]
    out: PathBuf,
}

fn size(text: &str) -> Result<u64, String> {
    parse_size::parse_size(text).map_err(|error| error.to_string())
}

/// Measures everything, and writes the table.
///
/// # Errors
/// If the user is not root, a program fails, or a gate does not hold.
#[cfg(target_os = "linux")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    run::run(options)
}

/// There are no network namespaces here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn run(_: &Options) -> anyhow::Result<()> {
    anyhow::bail!("the chore needs Linux")
}
