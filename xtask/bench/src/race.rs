//! One workload: all peers, round after round, in random order.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use haul_tests::binaries::Binaries;
use haul_tests::hauld::Hauld;
use haul_tests::random::Random;
use haul_tests::{eventually, tree};
use rustix::fs::sync;
use serde::Serialize;
use tempfile::TempDir;

use super::line;
use super::memory::Memory;
use super::peer::{Peer, Place, peers_of};
use super::timed::{Figures, Timed};
use super::workload::{Amounts, Direction, Workload, copy, count, sample, warm};

/// A peer that would need longer for all does this part of the work, once.
const PATIENCE: f64 = 60.0;
const PART: u64 = 20;

/// Bytes of memory that a turn uses besides its files.
const BESIDES: u64 = 512 << 20;

/// One way of the line of `far`.
const DELAY: Duration = Duration::from_millis(50);

/// A turn of one peer.
#[derive(Debug, Serialize)]
pub(crate) struct Turn {
    pub(crate) peer: Peer,
    pub(crate) round: usize,
    /// Seconds from the client's start until all files have arrived; for all of the work, if this turn
    /// was for a part of it.
    pub(crate) seconds: f64,
    pub(crate) client: Figures,
    pub(crate) server: Option<Figures>,
    /// The cipher suite, if the server's log has it.
    #[serde(skip)]
    pub(crate) suite: Option<String>,
}

/// The results of a workload.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) workload: Workload,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// The file system of the target.
    pub(crate) target: String,
    pub(crate) turns: Vec<Turn>,
    /// Peers that had one turn with a part of the work.
    pub(crate) scaled: Vec<Peer>,
    /// Peers that have no time, and why.
    pub(crate) without: Vec<(Peer, String)>,
    /// The cipher suite of haul over TLS.
    pub(crate) suite: Option<String>,
}

/// A workload that is ready.
#[derive(Debug)]
pub(crate) struct Race<'a> {
    workload: Workload,
    binaries: &'a Binaries,
    floor: &'a Path,
    source: PathBuf,
    /// A part of it.
    sample: PathBuf,
    /// Directory for targets.
    targets: &'a Path,
}

impl<'a> Race<'a> {
    /// Makes the source.
    pub(crate) fn new(
        workload: Workload,
        (binaries, floor): (&'a Binaries, &'a Path),
        memory: &'a TempDir,
        disk: &'a TempDir,
        amounts: Amounts,
    ) -> anyhow::Result<Self> {
        println!("{}: making the source", workload.name());
        // A server that has the source has nothing else.
        let directory = memory.path().join("sources");
        fs::create_dir(&directory)?;
        let source = match workload.direction() {
            Direction::Send => workload.make(&directory, amounts)?,
            Direction::Read => {
                let here = TempDir::new_in(memory)?;
                let made = workload.make(here.path(), amounts)?;
                put(binaries, &made, &directory, &here.path().join("log"))?
            }
        };
        let part = memory.path().join("part");
        fs::create_dir(&part)?;
        let sample = sample(&source, &part, PART)?;
        let targets = if workload == Workload::Durable { disk.path() } else { memory.path() };
        Ok(Self { workload, binaries, floor, source, sample, targets })
    }

    /// All rounds with those of its peers that are wanted and installed.
    pub(crate) fn run(
        &self,
        rounds: usize,
        seed: u64,
        wanted: impl Fn(&Peer) -> bool,
    ) -> anyhow::Result<Outcome> {
        let (files, bytes) = count(&self.source)?;
        let in_memory = self.workload != Workload::Durable;
        let _memory = in_memory.then(|| Memory::hold(bytes + BESIDES)).transpose()?;
        let mut outcome = Outcome {
            workload: self.workload,
            files,
            bytes,
            target: file_system(self.targets)?,
            turns: Vec::new(),
            scaled: Vec::new(),
            without: Vec::new(),
            suite: None,
        };
        let mut peers = Vec::new();
        for &peer in peers_of(self.workload).iter().filter(|peer| wanted(peer)) {
            let missing = peer.missing();
            if !missing.is_empty() {
                outcome.without.push((peer, format!("not installed: {}", missing.join(", "))));
                continue;
            }
            // The first turn is not counted, unless it is the only one.
            let first = self.turn(peer, &self.sample, 0);
            let suite = first.as_ref().ok().and_then(|turn| turn.suite.clone());
            outcome.suite = outcome.suite.or(suite);
            match first {
                Err(error) => {
                    println!("  {}: no time: {error:#}", peer.name());
                    outcome.without.push((peer, format!("{error:#}")));
                }
                Ok(turn) if turn.seconds * PART as f64 > PATIENCE => {
                    outcome.scaled.push(peer);
                    outcome.turns.push(Turn { seconds: turn.seconds * PART as f64, ..turn });
                }
                Ok(_) => peers.push(peer),
            }
        }
        let mut random = Random::new(seed, self.workload as u64);
        for round in 1..=rounds {
            for left in (1..peers.len()).rev() {
                peers.swap(left, random.index(left + 1));
            }
            for &peer in &peers {
                match self.turn(peer, &self.source, round) {
                    Ok(turn) => {
                        println!("  round {round}, {}: {:.3} s", peer.name(), turn.seconds);
                        outcome.turns.push(turn);
                    }
                    Err(error) => {
                        println!("  round {round}, {}: no time: {error:#}", peer.name());
                        outcome.without.push((peer, format!("round {round}: {error:#}")));
                    }
                }
            }
        }
        Ok(outcome)
    }

    fn turn(&self, peer: Peer, source: &Path, round: usize) -> anyhow::Result<Turn> {
        let turn = TempDir::new_in(self.targets)?;
        let durable = self.workload == Workload::Durable;
        // Free in this moment, which is enough on one machine.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let is_there = self.workload.is_there();
        let place = Place {
            binaries: self.binaries,
            floor: self.floor,
            directory: turn.path(),
            port,
            direction: self.workload.direction(),
            over_ssh: self.workload.is_over_ssh(),
            durable,
            is_there,
            is_trial: round == 0,
        };
        fs::create_dir(place.target())?;
        let name = source.file_name().unwrap_or_default();
        if is_there {
            copy(source, &place.target().join(name))?;
        }
        let server = match peer.server(source, &place)? {
            Some(command) => {
                let mut server = Timed::start(&command, &turn.path().join("server"))?;
                eventually("the server listens", || listens(port) || server.has_ended());
                ensure!(!server.has_ended(), "did not start: {}", server.said());
                Some(server)
            }
            None => None,
        };
        let port =
            if self.workload == Workload::Far { line::start(port, DELAY)? } else { place.port };
        warm(source)?;
        if durable {
            sync();
        }
        let client = peer.client(source, port, &place)?;
        let client = Timed::start(&client, &turn.path().join("client"))?.wait()?;
        let server = match server {
            Some(server) if peer.server_ends() => Some(server.wait()?),
            Some(server) => Some(server.stop()?),
            None => None,
        };
        let ended = match server {
            Some(server) if peer.server_ends() => client.ended.max(server.ended),
            _ => client.ended,
        };
        let arrived = peer.arrives(&place).join(name);
        if peer.keeps_attributes() {
            tree::compare(source, &arrived)?;
        } else {
            tree::compare_bytes(source, &arrived)?;
        }
        let log = turn.path().join("server/log");
        if durable {
            // A disk that is told of freed blocks and inodes is slow for a while; all go in the end.
            let _ = turn.keep();
        }
        let seconds = ended.saturating_sub(client.started).as_secs_f64();
        let log = fs::read_to_string(log).unwrap_or_default();
        let suite = log.split_once("suite=").map(|(_, suite)| suite.split_whitespace().next());
        let suite = suite.flatten().map(str::to_owned);
        Ok(Turn { peer, round, seconds, client, server, suite })
    }
}

/// Whether somebody listens on this port of 127.0.0.1 or of all addresses. Nobody connects to see it:
/// some servers serve once.
fn listens(port: u16) -> bool {
    let (port, mut found) = (format!(":{port:04X}"), false);
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(table).unwrap_or_default();
        found |= table.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some("0A")
        });
    }
    found
}

/// The type of the file system that a directory is on, from /proc/self/mounts.
fn file_system(directory: &Path) -> anyhow::Result<String> {
    let directory = directory.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let found = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (on, kind) = (fields.next()?, fields.next()?);
            directory.starts_with(on).then_some((on.len(), kind))
        })
        .max_by_key(|(len, _)| *len);
    Ok(found.map_or("?", |(_, kind)| kind).to_owned())
}

/// Puts what will be read back into the root of a server, as its owner would have: hauld keeps the digests of large files.
/// Returns its place there.
fn put(binaries: &Binaries, made: &Path, root: &Path, log: &Path) -> anyhow::Result<PathBuf> {
    let server = Hauld::start_at(root, log, Command::new(&binaries.hauld), &[])?;
    let mut haul = Command::new(&binaries.haul);
    let status = haul.args(["put", "--quiet"]).arg(made).arg(server.address()).status()?;
    ensure!(status.success(), "haul ended with {status}");
    Ok(root.join(made.file_name().context("a source has a name")?))
}
