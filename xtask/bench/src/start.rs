//! The cost of starting: system calls, threads, page faults and time of `haul --version` and of a put of one small file, and the
//! time of many clients at once; beside another haul, in pairs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use haul_tests::binaries::{self, Binaries};
use haul_tests::eventually;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tempfile::TempDir;

use crate::median;
use crate::report::Machine;
use crate::scale;
use crate::timed::Timed;
use crate::workload::small;

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// Another haul, such as one of an earlier commit, which has a turn beside each of this one.
    #[arg(long, value_name = "HAUL")]
    before: Option<PathBuf>,

    /// The haul to measure, in the place of one that is built.
    #[arg(long, value_name = "HAUL", requires = "hauld")]
    haul: Option<PathBuf>,

    /// The server for both, in the place of one that is built.
    #[arg(long, value_name = "HAULD", requires = "haul")]
    hauld: Option<PathBuf>,

    /// Runs of each command.
    #[arg(long, value_name = "N", default_value_t = 200)]
    runs: usize,

    /// Rounds of many clients at once.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,

    /// Clients at once.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    clients: usize,

    /// Files that all clients send together.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    shared: usize,

    /// Directory for sources and targets.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    dir: PathBuf,

    /// File for the tables.
    #[arg(long, value_name = "FILE", default_value = "xtask/bench/results/start.md")]
    out: PathBuf,
}

/// The cost of one run of a command.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Milliseconds from its start to its end.
    wall: f64,
    /// Milliseconds of a processor, outside the kernel and in it.
    cpu: f64,
    faults: f64,
}

/// Measures all, and writes the tables.
///
/// # Errors
/// If a command fails, strace is missing, or the tables can't be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = match (&options.haul, &options.hauld) {
        (Some(haul), Some(hauld)) => Binaries { haul: haul.clone(), hauld: hauld.clone() },
        _ => binaries::build(true)?,
    };
    let mut programs = vec![("now", binaries.haul.clone())];
    programs.extend(options.before.clone().map(|before| ("before", before)));
    let place = TempDir::new_in(&options.dir)?;
    let mut text = format!("{}\n\n", Machine::here()?);
    text += &commands(options, &binaries, &programs, place.path())?;
    if options.rounds > 0 {
        text += &crowd(options, &binaries, &programs, place.path())?;
    }
    print!("{text}");
    fs::write(&options.out, text).with_context(|| options.out.display().to_string())?;
    Ok(())
}

/// The table of single commands.
fn commands(
    options: &Options,
    binaries: &Binaries,
    programs: &[(&str, PathBuf)],
    place: &Path,
) -> anyhow::Result<String> {
    let file = place.join("small.txt");
    fs::write(&file, [b'x'; 3000])?;
    let (server, addresses) = serve(binaries, place)?;
    let put = |address: &str| {
        let words = ["put", "--quiet"].into_iter().chain(file.to_str()).chain([address]);
        words.map(str::to_owned).collect()
    };
    let mut all: Vec<(&str, Vec<String>)> = vec![("`--version`", vec!["--version".to_owned()])];
    for (name, address) in
        ["`put` over a Unix socket", "`put` over loopback"].iter().zip(&addresses)
    {
        all.push((name, put(address)));
    }
    let mut text = format!(
        "`cargo xtask start`: a file of 3,000 bytes; medians of {} runs of each program in turn. Ratio: the median of a run's time by \
         that of the run of the other program beside it.\n\n\
         | command | haul | system calls | threads | page faults | CPU ms | ms | ratio |\n|---|---|---|---|---|---|---|---|\n",
        options.runs
    );
    for (name, words) in &all {
        let calls = programs.iter().map(|(_, haul)| calls(haul, words, place));
        let calls = calls.collect::<anyhow::Result<Vec<_>>>()?;
        let mut costs = vec![Vec::new(); programs.len()];
        for run in 0..options.runs {
            // Each program is the first one in every other pair.
            for turn in 0..programs.len() {
                let index = (run + turn) % programs.len();
                costs[index].push(cost(&programs[index].1, words)?);
            }
        }
        for (index, (program, _)) in programs.iter().enumerate() {
            let of = |part: fn(&Cost) -> f64| {
                median(&mut costs[index].iter().map(part).collect::<Vec<_>>())
            };
            let pairs = costs[index].iter().zip(&costs[costs.len() - 1]);
            let ratio =
                median(&mut pairs.map(|(one, other)| one.wall / other.wall).collect::<Vec<_>>());
            let ((calls, threads), faults) = (calls[index], of(|cost| cost.faults));
            let (cpu, wall) = (of(|cost| cost.cpu), of(|cost| cost.wall));
            writeln!(
                text,
                "| {name} | {program} | {calls} | {threads} | {faults:.0} | {cpu:.2} | {wall:.2} | {ratio:.2} |"
            )?;
        }
    }
    server.stop()?;
    Ok(text)
}

/// Starts a server; returns its addresses too: of a Unix socket, and of TCP.
fn serve(binaries: &Binaries, place: &Path) -> anyhow::Result<(Timed, [String; 2])> {
    let unix = format!("unix:{}", place.join("socket").display());
    let mut hauld = Command::new(&binaries.hauld);
    hauld.args(["--durability", "none", "--listen", &unix, "--listen", "127.0.0.1:0", "--root"]);
    let server = Timed::start(hauld.arg(place.join("root")), &place.join("server"))?;
    let tcp = || {
        let said = server.said();
        let line = said.lines().find_map(|line| line.strip_prefix("listening on 127"))?;
        Some(format!("127{line}"))
    };
    eventually("the server listens", || tcp().is_some());
    let tcp = tcp().context("no address")?;
    Ok((server, [unix, tcp]))
}

/// The system calls of a command, from its first one on, and its threads, as strace(1) counts both.
fn calls(haul: &Path, words: &[String], place: &Path) -> anyhow::Result<(u64, u64)> {
    let table = place.join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&table).arg(haul).args(words);
    let status = strace.stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(status.context("could not run strace")?.success(), "{strace:?} failed");
    let table = fs::read_to_string(table)?;
    let count = |name: &str| {
        let line = table.lines().find(|line| line.split_whitespace().last() == Some(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let threads = 1 + ["clone", "clone3"].into_iter().filter_map(count).sum::<u64>();
    Ok((count("total").context("strace has counted nothing")?, threads))
}

/// Runs a command once.
fn cost(haul: &Path, words: &[String]) -> anyhow::Result<Cost> {
    // This process waits for no other child meanwhile.
    let (before, start) = (getrusage(UsageWho::RUSAGE_CHILDREN)?, Instant::now());
    let status =
        Command::new(haul).args(words).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let (wall, after) = (start.elapsed(), getrusage(UsageWho::RUSAGE_CHILDREN)?);
    ensure!(status.success(), "{} {words:?} failed", haul.display());
    let cpu = |usage: &Usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e3
    };
    Ok(Cost {
        wall: wall.as_secs_f64() * 1e3,
        cpu: cpu(&after) - cpu(&before),
        faults: (after.minor_page_faults() - before.minor_page_faults()) as f64,
    })
}

/// The table of many clients at once.
fn crowd(
    options: &Options,
    binaries: &Binaries,
    programs: &[(&str, PathBuf)],
    place: &Path,
) -> anyhow::Result<String> {
    let source = |index| place.join(format!("sources/source{index}"));
    let sources: Vec<PathBuf> = (0..options.clients).map(source).collect();
    for source in &sources {
        small(source, options.shared / options.clients)?;
    }
    let mut seconds = vec![Vec::new(); programs.len()];
    let mut cpu = seconds.clone();
    for round in 0..options.rounds {
        for turn in 0..programs.len() {
            let index = (round + turn) % programs.len();
            let place = TempDir::new_in(&options.dir)?;
            let binaries = Binaries { haul: programs[index].1.clone(), ..binaries.clone() };
            let (clients, _) = scale::send(&binaries, place.path(), &sources)?;
            seconds[index].push(scale::seconds(&clients));
            cpu[index].push(clients.iter().map(|client| client.user + client.system).sum::<f64>());
        }
    }
    let mut text = format!(
        "\n{} clients at once, {} files in all, over a Unix socket; medians of {} rounds.\n\n\
         | haul | seconds | CPU s of the clients | ratio |\n|---|---|---|---|\n",
        options.clients, options.shared, options.rounds
    );
    for (index, (program, _)) in programs.iter().enumerate() {
        let pairs = seconds[index].iter().zip(&seconds[seconds.len() - 1]);
        let ratio = median(&mut pairs.map(|(one, other)| one / other).collect::<Vec<_>>());
        let (seconds, cpu) = (median(&mut seconds[index].clone()), median(&mut cpu[index]));
        writeln!(text, "| {program} | {seconds:.2} | {cpu:.2} | {ratio:.2} |")?;
    }
    Ok(text)
}
