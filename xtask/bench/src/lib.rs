//! haul beside the programs that a user would pick instead: the same work, in the same run, round
//! after round in random order. Medians and ratios, because machines differ and are shared.
//!
//! Every result is compared with its source; one that isn't equal has no time.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

mod by_floor;
mod caches;
mod chart;
mod client;
pub mod crowd;
mod idle;
mod line;
mod memory;
mod peer;
mod race;
mod report;
pub mod scale;
mod ssh;
pub mod start;
pub mod timed;
mod workload;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use haul_tests::binaries;
use tempfile::TempDir;

use peer::Peer;
use race::Race;
use report::Report;
use workload::{Amounts, Workload};

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// Do a useful part of all work, in three minutes.
    #[arg(long)]
    quick: bool,

    /// Do only this work; may be repeated.
    #[arg(long, value_name = "WORK")]
    only: Vec<Workload>,

    /// Measure only this peer beside haul; may be repeated.
    #[arg(long, value_name = "PEER")]
    peer: Vec<Peer>,

    /// Rounds, in each of which every peer has one turn [default: 5, quick 3].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// Directory for sources and targets; a tmpfs keeps the disk out.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    dir: PathBuf,

    /// A directory on a real disk, for `durable`.
    #[arg(long, value_name = "DIR", default_value = "target")]
    disk: PathBuf,

    /// Directory for table, chart and samples.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,

    /// Decides the order of turns.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The workloads that `--quick` runs.
const QUICK: [Workload; 5] =
    [Workload::Tiny, Workload::Big, Workload::Durable, Workload::GetTiny, Workload::GetBig];

/// All workloads.
const ALL: [Workload; 12] = {
    use Workload::{
        Big, Durable, Far, GetBig, GetTiny, Same, SameShare, Share, SshBig, SshTiny, Tiny,
        Toolchain,
    };
    [Tiny, Toolchain, Share, Big, Durable, Far, Same, SameShare, GetTiny, GetBig, SshTiny, SshBig]
};

/// Runs the races of all work that is wanted, and writes table, chart and samples.
///
/// # Errors
/// If a workload can't be run, or a result can't be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = binaries::build(true)?;
    let floor = binaries::build_chore("xtask-floor")?;
    let (work, amounts, rounds): (&[_], _, _) = if options.quick {
        (&QUICK, Amounts { tiny: 20_000, big_mib: 512 }, 3)
    } else {
        (&ALL, Amounts { tiny: 100_000, big_mib: 4096 }, 5)
    };
    let rounds = options.rounds.unwrap_or(rounds);
    let mut report = Report::new(rounds)?;
    for &workload in work {
        if !options.only.is_empty() && !options.only.contains(&workload) {
            continue;
        }
        // One workload at a time is on the file system.
        let memory = TempDir::new_in(&options.dir)?;
        fs::create_dir_all(&options.disk)?;
        let disk = TempDir::new_in(&options.disk)?;
        let wanted = |peer: &Peer| {
            *peer == Peer::Haul
                || (options.peer.is_empty() || options.peer.contains(peer))
                    && !(options.quick && *peer > Peer::Cp)
        };
        let race = Race::new(workload, (&binaries, &floor), &memory, &disk, amounts)?;
        report.add(race.run(rounds, options.seed, wanted)?);
    }
    fs::create_dir_all(&options.out)?;
    report.write(&options.out)?;
    Ok(())
}

/// The middle one.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
