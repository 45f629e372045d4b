//! The cost of thousands of idle and slow connections: time of an upload beside them, threads,
//! memory; and whether every one of them still works afterwards.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use haul_tests::hauld::Hauld;
use haul_tests::open_files;
use haul_tests::peer::{Peer, classic};
use haul_tests::register::Register;
use haul_tests::{binaries, eventually, tls};
use tempfile::TempDir;

use crate::idle::{self, Idle};
use crate::median;

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// The tree to upload.
    #[arg(long, value_name = "DIR", default_value = "/usr/share")]
    tree: PathBuf,

    /// Connections that send nothing; every other one is classic.
    #[arg(long, default_value_t = 2000)]
    idle: usize,

    /// The idle connections are over TLS, and none is classic; their memory is told beside that of as many in clear.
    #[arg(long)]
    tls: bool,

    /// Idle and slow connections are of HTTP: those have fetched a list, and these put a file.
    #[arg(long, conflicts_with = "tls")]
    http: bool,

    /// Connections that send one byte a second.
    #[arg(long, default_value_t = 200)]
    slow: usize,

    /// Uploads measured with and without them, alternating servers.
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Directory for the servers' temporary roots.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    tmp: PathBuf,
}

/// Bytes of a slow connection's file: more than it sends before it is let go.
const SLOW_LEN: usize = 3600;

/// KiB that an idle connection over TLS may cost.
const TLS_KIB: f64 = 6.0;

/// Uploads beside idle and slow connections, and prints a table.
///
/// # Errors
/// If a connection does not work afterwards, or the crowd costs more than it may.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = binaries::build(true)?;
    let connections = (options.idle + options.slow) as u64;
    // The server's limit: three quarters of it are for connections.
    open_files::allow(connections / 3 * 4 + 2000)?;
    let wanted = (connections + 100).to_string();
    let start = || {
        let directory = TempDir::new_in(&options.tmp)?;
        let args = ["--durability", "none", "--max-connections", &wanted];
        let config = directory.path().join("config");
        if options.tls {
            // With a key there is TLS on loopback, and with an account everybody would need one.
            Register::new(&binaries, &config, directory.path()).pin()?;
        }
        Hauld::start_in(directory, Command::new(&binaries.hauld), &args)
    };
    if options.tls {
        let clear = idle::memory(&start()?, options.idle, Idle::clear)?;
        let config = tls::shared();
        let tls = idle::memory(&start()?, options.idle, |at, n| Idle::tls(at, n, &config))?;
        idle::told(options.idle, clear, tls);
        let most = tls.idle.max(tls.after_traffic);
        ensure!(most <= TLS_KIB, "an idle connection over TLS costs more than {TLS_KIB} KiB");
    }
    let (alone, crowded) = (start()?, start()?);
    let upload = |server: &Hauld, run: usize| upload(&binaries.haul, &options.tree, server, run);
    // The first uploads fill caches and buffers; they are not counted.
    upload(&alone, 0)?;
    upload(&crowded, 0)?;
    let (threads, before) = (crowded.status("Threads")?, crowded.status("VmRSS")?);

    let config = options.tls.then(tls::shared);
    let mut idle = (0..options.idle)
        .map(|index| match (&config, index % 2) {
            _ if options.http => Idle::http(crowded.address()),
            (Some(config), _) => Idle::tls(crowded.address(), index, config),
            (None, 0) => Idle::clear(crowded.address(), index),
            (None, _) => Idle::classic(crowded.address(), index),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let body = vec![b's'; SLOW_LEN];
    let mut slow = (0..options.slow)
        .map(|index| {
            let mut peer = Peer::connect(crowded.address())?;
            let bytes = classic(&format!("slow-{index}"), &body);
            let head = &bytes[..bytes.len() - SLOW_LEN];
            let http = format!(
                "PUT /slow-{index} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SLOW_LEN}\r\n\r\n"
            );
            peer.stream.write_all(if options.http { http.as_bytes() } else { head })?;
            Ok(peer)
        })
        .collect::<Result<Vec<_>, std::io::Error>>()?;

    let done = AtomicBool::new(false);
    let mut times = (Vec::new(), Vec::new());
    let sent = std::thread::scope(|scope| -> anyhow::Result<usize> {
        let drip = scope.spawn(|| -> anyhow::Result<usize> {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                for peer in &mut slow {
                    peer.stream.write_all(b"s")?;
                }
                sent += 1;
                std::thread::park_timeout(Duration::from_secs(1));
            }
            Ok(sent)
        });
        let measured = (0..options.runs).try_for_each(|run| -> anyhow::Result<()> {
            times.0.push(upload(&alone, run + 1)?);
            times.1.push(upload(&crowded, run + 1)?);
            Ok(())
        });
        let grown = crowded.status("VmRSS")?.saturating_sub(before);
        println!(
            "threads: {threads} before, {} with {connections} connections more",
            crowded.status("Threads")?
        );
        println!(
            "resident memory: {before} KiB before, {grown} KiB more, {:.2} KiB a connection",
            to_f64(grown) / to_f64(connections)
        );
        done.store(true, Ordering::Relaxed);
        drip.thread().unpark();
        measured?;
        let grown_little = grown < 16 * connections;
        ensure!(grown_little, "more than 16 KiB a connection");
        ensure!(crowded.status("Threads")? == threads, "the number of threads has changed");
        drip.join().ok().context("the slow sender panicked")?
    })?;

    complete(&crowded, &mut idle, &mut slow, sent)?;
    let (alone, crowded) = (median(&mut times.0), median(&mut times.1));
    println!(
        "upload of {}: {alone:.3} s alone, {crowded:.3} s in the crowd (medians of {})",
        options.tree.display(),
        options.runs
    );
    println!("ratio {:.2}", crowded / alone);
    ensure!(crowded <= 1.1 * alone, "the crowd costs more than a tenth");
    Ok(())
}

/// Every connection still works: each puts a file.
fn complete(
    server: &Hauld,
    idle: &mut [Idle],
    slow: &mut [Peer],
    sent: usize,
) -> anyhow::Result<()> {
    idle.iter_mut()
        .enumerate()
        .try_for_each(|(index, peer)| peer.puts(&format!("idle-{index}")))?;
    for peer in slow.iter_mut() {
        peer.stream.write_all(&vec![b's'; SLOW_LEN - sent])?;
    }
    let there = |prefix: &str, count: usize, len: u64| {
        (0..count).all(|index| {
            std::fs::metadata(server.root().join(format!("{prefix}-{index}")))
                .is_ok_and(|metadata| metadata.len() == len)
        })
    };
    eventually("every idle connection puts a file", || there("idle", idle.len(), 0));
    eventually("every slow connection ends its file", || {
        there("slow", slow.len(), SLOW_LEN as u64)
    });
    println!("all {} connections have completed a put", idle.len() + slow.len());
    Ok(())
}

fn upload(haul: &Path, tree: &Path, server: &Hauld, run: usize) -> anyhow::Result<f64> {
    let start = Instant::now();
    let status = Command::new(haul)
        .args(["put", "--quiet"])
        .arg(tree)
        .arg(format!("{}/run-{run}", server.address()))
        .status()?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(status.success(), "haul ended with {status}");
    std::fs::remove_dir_all(server.root().join(format!("run-{run}")))?;
    Ok(seconds)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn to_f64(number: u64) -> f64 {
    number as f64
}
