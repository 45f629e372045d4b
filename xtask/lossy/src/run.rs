//! The chore: both ends, the line between them, and run after run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use haul_tests::binaries;
use haul_tests::hauld::Hauld;
use haul_tests::random::Random;
use tempfile::TempDir;

use crate::Options;
use crate::line::{Line, Shape, WHOLE};
use crate::place::{self, Place};
use crate::report::{self, Row};
use crate::trial::{self, Ends, Peer, Way};

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 83, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 83, 0, 2);

/// How many times as long a file may take with losses, where the algorithm is `bbr`.
const MOST: f64 = 1.3;

/// Connections of a run by itself, where it is another one.
const CONNECTIONS: usize = 8;

/// A process of a rival at the far end, which ends with this one.
struct Rival(Child);

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures everything, writes the table, and holds it against the gates.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let start = Instant::now();
    let (near, near_device) = Place::new(NEAR, FAR)?;
    let (far, far_device) = Place::new(FAR, NEAR)?;
    let shape = Shape {
        rate: options.rate * 1_000_000,
        delay: options.round_trip / 2,
        queue: options.queue,
        seed: options.seed,
    };
    let line = Line::start([&near_device, &far_device], shape)?;
    let directory = TempDir::new_in(&options.tmp)?;
    let sources = directory.path().join("sources");
    fs::create_dir(&sources)?;
    let binaries = binaries::build(true)?;
    let (root, log) = (directory.path().join("root"), directory.path().join("log"));
    let (server_root, hauld) = (root.clone(), binaries.hauld.clone());
    let server = far.run(move || {
        let address = format!("{FAR}:0");
        // The disk has no say here.
        let args = ["--listen", &address, "--insecure", "--durability", "none"];
        Hauld::start_at(&server_root, &log, Command::new(hauld), &args)
    })?;
    let ends = Ends {
        haul: binaries.haul,
        hauld: server.address().to_owned(),
        rsyncd: format!("{FAR}:873"),
        web: format!("{FAR}:8000"),
        root: root.clone(),
    };
    let rivals = match options.rivals {
        true => start_rivals(&far, directory.path(), &root, &sources)?,
        false => Vec::new(),
    };
    let usual = near.run(place::usual)?;
    let mut peers = vec![
        haul("haul", &[], 1),
        haul("haul", &["--congestion", "cubic"], 4),
        haul("haul", &["--congestion", "cubic", "--connections", "8"], 4),
        haul("haul", &["--congestion", "cubic", "--connections", "1"], 16),
        haul("haul", &["--connections", "1"], 1),
    ];
    peers.extend(rivals.iter().map(|(peer, _)| peer.clone()));
    print!("{}", report::HEAD);
    let mut rows = Vec::new();
    for peer in &peers {
        let bytes = options.size / peer.divisor;
        let row = measure(peer, &near, &ends, &line, options, &source(&sources, bytes)?)
            .with_context(|| peer.name.clone())?;
        let row = Row { usual: usual.clone(), ..row };
        println!("{row}");
        rows.push(row);
    }
    drop(rivals);
    let broken = broken(&rows);
    let verdict = match broken.is_empty() {
        true => {
            format!("Both gates hold: at most {MOST} times as long, or {CONNECTIONS} connections.")
        }
        false => broken.join("\n"),
    };
    fs::create_dir_all(&options.out)?;
    let text = report::text(&describe(options), &rows, &verdict)?;
    fs::write(options.out.join("lossy.md"), text)?;
    println!("\n{:.0} s; written to {}", start.elapsed().as_secs_f64(), options.out.display());
    println!("{verdict}");
    ensure!(broken.is_empty(), "{} gates are broken", broken.len());
    Ok(())
}

fn haul(name: &str, options: &[&'static str], divisor: u64) -> Peer {
    let words: Vec<&str> = std::iter::once(name).chain(options.iter().copied()).collect();
    Peer { name: words.join(" "), way: Way::Haul(options.to_vec()), divisor }
}

fn describe(options: &Options) -> String {
    let Options { round_trip, loss, rate, queue, seed, .. } = options;
    format!(
        "{} there and back, {rate} Mbit/s and a queue of {} each way, {loss} % loss each way, seed {seed}",
        humantime::format_duration(*round_trip),
        humantime::format_duration(*queue),
    )
}

/// Once without losses, and once with them.
fn measure(
    peer: &Peer,
    near: &Place,
    ends: &Ends,
    line: &Arc<Line>,
    options: &Options,
    source: &Path,
) -> anyhow::Result<Row> {
    line.lose(0);
    let clean = trial::run(peer, near, ends, source).context("without losses")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a million"
    )]
    line.lose((options.loss.clamp(0.0, 100.0) / 100.0 * f64::from(WHOLE)) as u32);
    let lossy = trial::run(peer, near, ends, source).context("with losses")?;
    let (name, bytes, count) = (peer.name.clone(), fs::metadata(source)?.len(), line.count());
    Ok(Row { name, bytes, clean, lossy, count, usual: String::new() })
}

/// The gates that do not hold. Only runs whose connections haul has chosen itself count.
fn broken(rows: &[Row]) -> Vec<String> {
    let by_itself = rows.iter().filter(|row| !row.name.contains("--connections"));
    let wrong = by_itself.filter_map(|row| match row.lossy.algorithm.as_deref() {
        Some("bbr") if row.ratio() >= MOST => {
            Some(format!("BROKEN: {} takes {:.2} times as long", row.name, row.ratio()))
        }
        Some("bbr") | None => None,
        Some(_) if row.lossy.connections == Some(CONNECTIONS) => None,
        Some(_) => {
            Some(format!("BROKEN: {} had {:?} connections", row.name, row.lossy.connections))
        }
    });
    wrong.collect()
}

/// A file of so many bytes that nothing makes smaller; the same for the same size.
fn source(directory: &Path, bytes: u64) -> anyhow::Result<PathBuf> {
    let path = directory.join(format!("file-{bytes}"));
    if !path.exists() {
        let mut random = Random::new(bytes, 0);
        let mut file = std::io::BufWriter::new(fs::File::create(&path)?);
        for _ in 0..bytes / 8 {
            file.write_all(&random.number().to_le_bytes())?;
        }
        file.flush()?;
    }
    Ok(path)
}

/// An rsync daemon and a web server at the far end.
fn start_rivals(
    far: &Place,
    directory: &Path,
    root: &Path,
    sources: &Path,
) -> anyhow::Result<Vec<(Peer, Rival)>> {
    let config = directory.join("rsyncd.conf");
    let module = format!(
        "[root]\npath = {}\nread only = false\nuse chroot = false\nuid = 0\ngid = 0\n",
        root.display()
    );
    fs::write(&config, module)?;
    let mut rsync = Command::new("rsync");
    rsync.args(["--daemon", "--no-detach", "--log-file=/dev/null", "--config"]).arg(&config);
    let mut web = Command::new("python3");
    let address = FAR.to_string();
    web.args(["-u", "-m", "http.server", "8000", "--bind", &address, "--directory"]).arg(sources);
    web.stdout(Stdio::piped());
    let mut started = Vec::new();
    let daemons = [("rsync daemon", Way::Rsync, rsync), ("curl", Way::Curl, web)];
    for (name, way, mut command) in daemons {
        let child = far.run(move || {
            let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
            // The web server says when it listens; the daemon is quick, and files come first.
            if let Some(out) = child.stdout.take() {
                BufReader::new(out).read_line(&mut String::new())?;
            }
            Ok(child)
        });
        match child {
            Ok(child) => {
                let peer = Peer { name: name.to_owned(), way, divisor: 16 };
                started.push((peer, Rival(child)));
            }
            Err(error) => println!("no {name}: {error:#}"),
        }
    }
    Ok(started)
}
