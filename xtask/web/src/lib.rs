//! Uploads over HTTP to hauld beside the same to nginx (its module `dav`): one large file by curl, and many small ones over kept
//! connections. hauld computes the BLAKE3 of each file meanwhile, and nginx computes none; hauld runs once with the flushes of its
//! default, and once without any, as nginx has none.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

mod nginx;
mod page;
mod processor;
mod puts;
mod report;
mod server;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use haul_tests::binaries;
use tempfile::TempDir;

use report::{Report, Turn};
use server::{Kind, Server};

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// MiB of the large file.
    #[arg(long, default_value_t = 1024)]
    mib: u64,

    /// Small files.
    #[arg(long, default_value_t = 10_000)]
    puts: usize,

    /// Bytes of a small file.
    #[arg(long, default_value_t = 4096)]
    bytes: usize,

    /// Connections that the small files share.
    #[arg(long, default_value_t = 6)]
    connections: usize,

    /// Rounds, in each of which each server has one turn; the first one is not counted.
    #[arg(long, default_value_t = 7)]
    rounds: usize,

    /// Directory for source and targets.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    tmp: PathBuf,

    /// Directory for the table.
    #[arg(long, value_name = "DIR", default_value = "target/web")]
    out: PathBuf,
}

/// Measures the servers in turn, and writes the table.
///
/// # Errors
/// If nginx, curl, node or Chromium is missing, or a file did not arrive as it was sent.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = binaries::build(true)?;
    let place = TempDir::new_in(&options.tmp)?;
    let large = place.path().join("large");
    puts::fill(&large, options.mib << 20)?;
    let mut report = Report::default();
    for round in 0..=options.rounds {
        // None is always the first of a round.
        let mut order = Kind::ALL;
        order.rotate_left(round % Kind::ALL.len());
        for kind in order {
            let one = |run: &dyn Fn(&Server) -> anyhow::Result<()>| -> anyhow::Result<Turn> {
                let directory = TempDir::new_in(place.path())?;
                let server = Server::start(kind, &binaries, directory.path())?;
                let (before, begun) = (server.processor()?, Instant::now());
                run(&server)?;
                let wall = begun.elapsed().as_secs_f64();
                Ok(Turn { wall, processor: server.processor()? - before })
            };
            let by_curl = one(&|server| puts::large(server, &large))?;
            let small = one(&|server| {
                puts::small(server, options.puts, options.bytes, options.connections)
            })?;
            if round > 0 {
                report.add(kind, by_curl, small);
            }
        }
    }
    ensure!(options.rounds > 0, "no round is counted");
    let mut text = report.text(options)?;
    text += &page::measure(&binaries, options.rounds, &options.tmp)?;
    print!("{text}");
    fs::create_dir_all(&options.out)?;
    fs::write(options.out.join("web.md"), text)?;
    Ok(())
}
