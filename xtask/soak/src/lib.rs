//! Thousands of connections, each of which holds the most of one kind of memory that a peer can make the server
//! keep, kind after kind: how much memory the server takes, whether it comes back, and whether an honest client is
//! served meanwhile.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

mod gauge;
mod ground;
mod http;
mod kind;
mod peers;
mod report;
mod stream;
mod tls;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use haul_tests::binaries::{self, Binaries};
use haul_tests::hauld::Hauld;
use haul_tests::register::Register;
use haul_tests::{alive, open_files};
use tempfile::TempDir;

use gauge::Gauge;
use kind::Kind;
use peers::{Peers, Places};
use report::{After, Row};

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// Connections at once.
    #[arg(long, value_name = "N", default_value_t = 4000)]
    connections: usize,

    /// Only kinds whose names contain this; may be repeated.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,

    /// Directory for the server's temporary root.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    tmp: PathBuf,

    /// File for the table.
    #[arg(long, value_name = "DIR", default_value = "target/soak")]
    out: PathBuf,

    /// A debug build of the server, which checks more of itself and takes longer.
    #[arg(long)]
    debug: bool,
}

/// MiB that the server may take at any moment.
const MOST: u64 = 512;

/// MiB that it may keep when all have left.
const REST: u64 = 64;

/// MiB at which a kind is given up, so that the machine is not the one that gives up.
const ENOUGH: u64 = 2048;

/// Time that the connections of a kind may take to fill the server: less than a header may.
const FILL: Duration = Duration::from_secs(8);

/// Time that they stay then, at the least.
const HOLD: Duration = Duration::from_millis(500);

/// Time that the server may take to let go when all have left.
const LET_GO: Duration = Duration::from_secs(15);

/// The server's grace time.
const GRACE: Duration = Duration::from_secs(1);

/// Runs all kinds that are wanted, and writes the table.
///
/// # Errors
/// If a bound is broken, or the server does not serve or end.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let start = Instant::now();
    // The server's own files, its queue of changes, and connections in three quarters of the rest.
    open_files::allow(options.connections as u64 / 3 * 4 + 12_000)?;
    let binaries = binaries::build(!options.debug)?;
    let wanted = |kind: &Kind| {
        options.only.is_empty() || options.only.iter().any(|text| kind.name.contains(text.as_str()))
    };
    let mut soak = Soak::new(options, &binaries)?;
    let mut rows: Vec<Row> = Vec::new();
    print!("{}", report::HEAD);
    for kind in kind::all().into_iter().filter(wanted) {
        let row = soak.phase(&kind).with_context(|| kind.name)?;
        println!("{row}");
        let is_over = row.after == After::Here;
        rows.push(row);
        if !is_over {
            // The next kind is measured by itself.
            soak = Soak::new(options, &binaries)?;
        }
    }
    ensure!(!rows.is_empty(), "no kind is called so");
    let stopped = alive::stop(&mut soak.server, GRACE);
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("soak.md"), report::text(options.connections, &rows))?;
    println!("\n{:.0} s; written to {}", start.elapsed().as_secs_f64(), options.out.display());
    let broken: Vec<String> = rows.iter().flat_map(Row::broken).collect();
    broken.iter().for_each(|line| println!("BROKEN: {line}"));
    stopped?;
    ensure!(broken.is_empty(), "{} bounds are broken", broken.len());
    println!("all bounds hold: {MOST} MiB at the most, {REST} MiB when all have left");
    Ok(())
}

/// A server that is attacked.
struct Soak<'a> {
    options: &'a Options,
    server: Hauld,
    socket: PathBuf,
    /// Sockets that it has when nobody is connected.
    sockets: usize,
    puts: u32,
}

impl<'a> Soak<'a> {
    fn new(options: &'a Options, binaries: &Binaries) -> anyhow::Result<Self> {
        let directory = TempDir::new_in(&options.tmp)?;
        let socket = directory.path().join("socket");
        ground::prepare(&directory.path().join("root"))?;
        // With a key there is TLS on loopback, beside plain connections.
        Register::new(binaries, &directory.path().join("config"), directory.path()).pin()?;
        let (unix, most) =
            (format!("unix:{}", socket.display()), (options.connections + 100).to_string());
        let grace = format!("{}s", GRACE.as_secs());
        let args = ["--listen", "127.0.0.1:0", "--listen", &unix, "--max-connections", &most];
        let args = [&args[..], &["--workers", "4", "--grace", &grace]].concat();
        let server = Hauld::start_in(directory, Command::new(&binaries.hauld), &args)?;
        let sockets = server.sockets()?;
        Ok(Self { options, server, socket, sockets, puts: 0 })
    }

    /// All connect, fill the server, stay while an honest client comes, and leave.
    fn phase(&mut self, kind: &Kind) -> anyhow::Result<Row> {
        let mut gauge = Gauge::begin(&self.server)?;
        let count = self.options.connections.min(kind.most);
        let places = Places {
            unix: &self.socket,
            tcp: self.server.address(),
            config: haul_tests::tls::shared(),
        };
        let mut peers = Peers::connect(&places, count, kind)?;
        let until = Instant::now() + FILL;
        peers.run(|tally| {
            let resident = gauge.sample(&self.server)?;
            Ok(tally.unfinished > 0 && Instant::now() < until && resident < ENOUGH << 10)
        })?;
        self.puts += 1;
        let (server, name) = (&self.server, format!("honest-{}", self.puts));
        let honest = std::thread::scope(|scope| {
            let honest = scope.spawn(|| {
                let start = Instant::now();
                alive::ping_and_put(server, &name).map(|()| start.elapsed())
            });
            let until = Instant::now() + HOLD;
            peers.run(|_| {
                gauge.sample(server)?;
                Ok(!honest.is_finished() || Instant::now() < until)
            })?;
            honest.join().ok().context("the honest client panicked")
        })?;
        let (sampled, high) = gauge.peaks(&self.server)?;
        let tally = peers.leave();
        let start = Instant::now();
        let (resident, after) = loop {
            let resident = self.server.status("VmRSS")?;
            let is_left = self.server.sockets()? <= self.sockets;
            if is_left && resident <= REST << 10 {
                break (resident, After::Here);
            }
            if start.elapsed() > LET_GO {
                break (resident, if is_left { After::Memory } else { After::Connections });
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let honest = honest.map_err(|error| format!("{error:#}"));
        Ok(Row {
            kind: kind.name,
            tally,
            peak_kib: sampled,
            high_kib: high,
            after_kib: resident,
            after,
            let_go: start.elapsed(),
            honest,
        })
    }
}
