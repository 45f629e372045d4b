//! What durability costs on a real disk: many small files with haul, flushed and not, beside an rsync
//! daemon with `--fsync`, all in one run.
//!
//! An ext4 without a journal gives a removed file's inode number to nobody for minutes and looks for
//! others instead (`recently_deleted` in the kernel's fs/ext4/ialloc.c): a second run there is slower,
//! whoever writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use haul_tests::binaries;
use haul_tests::hauld::Hauld;
use rustix::fs::sync;
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::bench::{Rsyncd, small};
use crate::crowd::median;

/// Options of the chore.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs of each; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Number of small files.
    #[arg(long, default_value_t = 5000)]
    files: usize,

    /// A directory on the disk in question [default: the directory for temporary files].
    #[arg(long, value_name = "DIR")]
    tmp: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = binaries::build(true)?;
    let directory = match &options.tmp {
        Some(tmp) => TempDir::new_in(tmp)?,
        None => TempDir::new()?,
    };
    let source = small(directory.path(), options.files)?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for run in 0..options.runs {
        // Each run has a directory of its own, and all go in the end: a disk that is told of freed
        // blocks is slow for a while.
        let place = directory.path().join(format!("run{run}"));
        for (durability, times) in ["none", "group"].iter().zip(&mut times) {
            let (root, log) = (place.join(durability), directory.path().join("log"));
            fs::create_dir_all(&root)?;
            quiet(&source)?;
            let command = Command::new(&binaries.hauld);
            let server = Hauld::start_at(&root, &log, command, &["--durability", durability])?;
            let mut haul = Command::new(&binaries.haul);
            haul.args(["put", "--quiet"]).arg(&source).arg(server.address());
            times.push(seconds(&mut haul)?);
        }
        let target = place.join("rsync");
        fs::create_dir_all(&target)?;
        quiet(&source)?;
        let rsyncd = Rsyncd::start(directory.path(), &target)?;
        let mut rsync = Command::new("rsync");
        rsync.args(["-a", "--whole-file", "--fsync"]).arg(&source).arg(&rsyncd.url);
        times[2].push(seconds(&mut rsync)?);
    }
    let all = format!("{times:.3?}");
    let [none, group, rsync] = times.each_mut().map(|times| median(times));
    println!("{} files of about 3 KB in {}", options.files, directory.path().display());
    println!(
        "  haul none {none:.3} s, haul group {group:.3} s, rsync --fsync {rsync:.3} s (medians)"
    );
    println!("  group / rsync {:.3}, group / none {:.2}", group / rsync, group / none);
    println!("  all samples: {all}");
    Ok(())
}

/// Nothing is left to write, and the source is in memory: it may have been dropped from there, and then
/// the disk would be timed that it is read from.
fn quiet(source: &Path) -> anyhow::Result<()> {
    sync();
    for entry in WalkDir::new(source) {
        let entry = entry?;
        if entry.file_type().is_file() {
            fs::read(entry.path())?;
        }
    }
    Ok(())
}

fn seconds(command: &mut Command) -> anyhow::Result<f64> {
    let start = Instant::now();
    let status = command.status()?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(seconds)
}
