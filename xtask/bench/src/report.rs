//! Reports of the races: a table, all samples as JSON, and a chart.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Serialize;

use super::by_floor::ByFloor;
use super::caches;
use super::chart;
use super::peer::Peer;
use super::race::{Outcome, Turn};
use super::timed::Figures;
use super::workload::Workload;
use crate::median;

/// All measurements.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// The commit of the sources that were built; with a mark if they had been changed.
    commit: String,
    rounds: usize,
    outcomes: Vec<Outcome>,
}

/// The machine that measures.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    /// Of each level and kind, the bytes that the first processor has, alone or with others.
    caches: String,
    cores: usize,
    memory_kib: u64,
    kernel: String,
    /// The kernel's default congestion control (tcp(7)).
    tcp: String,
}

/// One peer's figures of one workload.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) scaled: bool,
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// haul's time by this peer's, the median of all rounds.
    ratio: Option<f64>,
    /// The time of haul over TLS by this peer's.
    tls_ratio: Option<f64>,
    client_cpu: f64,
    server_cpu: Option<f64>,
    client_mib: f64,
    server_mib: Option<f64>,
}

impl Machine {
    pub(crate) fn here() -> anyhow::Result<Self> {
        let line = |path: &str, key: &str| -> anyhow::Result<String> {
            let text = fs::read_to_string(path)?;
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.split(':').nth(1));
            Ok(value.unwrap_or("?").trim().to_owned())
        };
        let setting = |name: &str| -> anyhow::Result<String> {
            let path = Path::new("/proc/sys").join(name);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            Ok(text.trim().to_owned())
        };
        let memory = line("/proc/meminfo", "MemTotal")?;
        Ok(Self {
            processor: line("/proc/cpuinfo", "model name")?,
            caches: caches::told(),
            cores: std::thread::available_parallelism()?.get(),
            memory_kib: memory.split(' ').next().unwrap_or_default().parse()?,
            kernel: setting("kernel/osrelease")?,
            tcp: setting("net/ipv4/tcp_congestion_control")?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, caches, cores, memory_kib, kernel, tcp } = self;
        let memory = memory_kib >> 20;
        write!(f, "{processor}, {caches}, {cores} cores, {memory} GiB, Linux {kernel}, TCP {tcp}")
    }
}

impl Report {
    pub(crate) fn new(rounds: usize) -> anyhow::Result<Self> {
        let machine = Machine::here()?;
        let git = Command::new("git").args(["describe", "--always", "--dirty"]).output()?;
        let commit = String::from_utf8(git.stdout)?.trim().to_owned();
        Ok(Self { machine, commit, rounds, outcomes: Vec::new() })
    }

    /// Adds a workload, and prints its part of the table.
    pub(crate) fn add(&mut self, outcome: Outcome) {
        print!("{}", table(&outcome));
        self.outcomes.push(outcome);
    }

    /// Writes table, samples and chart.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let mut text = format!(
            "{}; commit {}; medians of {} rounds (least to most)\n",
            self.machine, self.commit, self.rounds,
        );
        self.outcomes.iter().for_each(|outcome| text += &table(outcome));
        fs::write(directory.join("bench.md"), text)?;
        fs::write(directory.join("bench.json"), serde_json::to_vec_pretty(self)?)?;
        fs::write(directory.join("bench.svg"), chart::draw(&self.outcomes))?;
        println!("written to {}", directory.display());
        Ok(())
    }
}

/// The figures of all peers that have a time, in the order of the matrix.
pub(crate) fn rows(outcome: &Outcome) -> Vec<Row> {
    let of = |peer: Peer| -> Vec<&Turn> {
        outcome.turns.iter().filter(|turn| turn.peer == peer).collect()
    };
    let middle = |turns: &[&Turn], figure: &dyn Fn(&Turn) -> Option<f64>| {
        let mut figures: Vec<f64> = turns.iter().filter_map(|turn| figure(turn)).collect();
        (!figures.is_empty()).then(|| median(&mut figures))
    };
    let (haul, tls) = (of(Peer::Haul), of(Peer::Tls));
    let mut rows = Vec::new();
    for &peer in super::peer::peers_of(outcome.workload) {
        let turns = of(peer);
        let Some(median) = middle(&turns, &|turn| Some(turn.seconds)) else { continue };
        let scaled = outcome.scaled.contains(&peer);
        let seconds = || turns.iter().map(|turn| turn.seconds);
        let ratio = |of: &[&Turn]| {
            middle(of, &|mine| {
                let other = turns.iter().find(|turn| scaled || turn.round == mine.round)?;
                Some(mine.seconds / other.seconds)
            })
        };
        rows.push(Row {
            peer,
            scaled,
            median,
            least: seconds().fold(f64::INFINITY, f64::min),
            most: seconds().fold(0.0, f64::max),
            ratio: ratio(&haul).filter(|_| peer != Peer::Haul),
            tls_ratio: ratio(&tls).filter(|_| peer != Peer::Tls),
            client_cpu: middle(&turns, &|turn| Some(turn.client.cpu())).unwrap_or_default(),
            server_cpu: middle(&turns, &|turn| turn.server.as_ref().map(Figures::cpu)),
            client_mib: middle(&turns, &|turn| Some(turn.client.peak_kib as f64 / 1024.0))
                .unwrap_or_default(),
            server_mib: middle(&turns, &|turn| {
                turn.server.as_ref().map(|figures| figures.peak_kib as f64 / 1024.0)
            }),
        });
    }
    rows
}

/// The table of one workload, as Markdown.
fn table(outcome: &Outcome) -> String {
    let name = outcome.workload.name();
    let size = humansize::format_size(outcome.bytes, humansize::BINARY);
    // Writing to a string never fails.
    let mut text =
        format!("\n### {name}: {} files, {size}, to {}\n\n", outcome.files, outcome.target);
    let rows = rows(outcome);
    let has_tls = rows.iter().any(|row| row.tls_ratio.is_some());
    let tls = |cell: &str| if has_tls { format!(" {cell} |") } else { String::new() };
    let _ = writeln!(
        text,
        "| | seconds | haul's time by this |{} CPU s, client + server | peak MiB, client + server |",
        tls("haul over TLS by this"),
    );
    let _ = writeln!(text, "|---|---|---|{}---|---|", if has_tls { "---|" } else { "" });
    for row in &rows {
        let seconds = match row.scaled {
            true => format!("{:.1}, scaled from a part", row.median),
            false => format!("{:.2} ({:.2} to {:.2})", row.median, row.least, row.most),
        };
        let digits =
            |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let (ratio, tls) = (digits(row.ratio), tls(&digits(row.tls_ratio)));
        let both = |client: f64, server: Option<f64>, digits: usize| match server {
            Some(server) => format!("{client:.digits$} + {server:.digits$}"),
            None => format!("{client:.digits$}"),
        };
        let cpu = both(row.client_cpu, row.server_cpu, 2);
        let memory = both(row.client_mib, row.server_mib, 0);
        let _ =
            writeln!(text, "| {} | {seconds} | {ratio} |{tls} {cpu} | {memory} |", row.peer.name());
    }
    for (index, (peer, why)) in outcome.without.iter().enumerate() {
        if outcome.without[..index].iter().any(|(earlier, _)| earlier == peer) {
            continue;
        }
        let why = why.lines().next().unwrap_or_default();
        let _ = writeln!(text, "| {} | no time: {why} | | |{} |", peer.name(), tls(""));
    }
    if let Some(by_floor) = ByFloor::of(outcome) {
        let _ = writeln!(text, "\n{by_floor}.");
    }
    gates(outcome, &rows, &mut text);
    text
}

/// The most that haul may take, in clear or over TLS, by the time of another peer in the same run.
struct Gate {
    workload: Workload,
    of: Peer,
    by: Peer,
    most: f64,
    aim: f64,
}

const GATES: [Gate; 9] = {
    const fn gate(workload: Workload, (of, by): (Peer, Peer), (most, aim): (f64, f64)) -> Gate {
        Gate { workload, of, by, most, aim }
    }
    use Peer::{Haul, Rsync, RsyncSsh, Scp, Tls};
    use Workload::{Big, GetBig, GetTiny, SshBig, SshTiny, Tiny};
    [
        gate(Tiny, (Tls, Haul), (1.15, 1.05)),
        gate(Tiny, (Tls, Rsync), (0.5, 0.4)),
        gate(Big, (Tls, Haul), (1.5, 1.3)),
        gate(Big, (Tls, Rsync), (1.2, 0.9)),
        gate(GetTiny, (Haul, Rsync), (0.5, 0.35)),
        gate(GetBig, (Haul, Rsync), (0.8, 0.6)),
        gate(SshTiny, (Haul, RsyncSsh), (0.7, 0.5)),
        gate(SshTiny, (Haul, Scp), (0.1, 0.1)),
        gate(SshBig, (Haul, RsyncSsh), (1.0, 0.4)),
    ]
};

/// Whether each gate holds, below the table.
fn gates(outcome: &Outcome, rows: &[Row], text: &mut String) {
    let suite = outcome.suite.as_deref().unwrap_or("a suite that the log does not tell");
    for Gate { workload, of, by, most, aim } in GATES {
        let row = rows.iter().find(|row| outcome.workload == workload && row.peer == by);
        let ratio = |row: &Row| if of == Peer::Tls { row.tls_ratio } else { row.ratio };
        let Some(ratio) = row.and_then(ratio) else { continue };
        let verdict = if ratio <= most { "holds" } else { "is missed" };
        let of = match of {
            Peer::Tls => format!("TLS ({suite})"),
            peer => peer.name().to_owned(),
        };
        let _ = writeln!(
            text,
            "\n{of} by {}: {ratio:.2}; the gate of {most:.2} {verdict}, the aim is {aim:.2}.",
            by.name(),
        );
    }
}
