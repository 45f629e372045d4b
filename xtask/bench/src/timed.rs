//! A command in a process tree of its own, of which time, processor and memory are known in the end.
//!
//! getrusage(2) tells of all children that were waited for together, so each command has a parent that
//! has no other: this program once more, as the chore `timed`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use clap::Args;
use haul_tests::eventually;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// The file for the figures.
    figures: PathBuf,

    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Time and memory of a command and all its children.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Since the epoch.
    pub(crate) started: Duration,
    pub(crate) ended: Duration,
    /// Seconds of a processor outside the kernel.
    pub(crate) user: f64,
    /// Seconds of a processor in the kernel.
    pub(crate) system: f64,
    /// Resident memory of the largest process at its largest. Not less than this program's own few
    /// MiB, from which the command was forked.
    pub(crate) peak_kib: i64,
    success: bool,
}

impl Figures {
    /// Seconds of a processor, in the kernel and outside.
    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// The chore: runs the command, then writes its figures.
///
/// # Errors
/// If the command can't be run, or the figures can't be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let started = now()?;
    let status = Command::new(&options.command[0])
        .args(&options.command[1..])
        .status()
        .with_context(|| format!("could not run {}", options.command[0]))?;
    let ended = now()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    let figures = Figures {
        started,
        ended,
        user: seconds(usage.user_time()),
        system: seconds(usage.system_time()),
        peak_kib: usage.max_rss(),
        success: status.success(),
    };
    fs::write(&options.figures, serde_json::to_vec(&figures)?)?;
    Ok(())
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Timed {
    parent: Child,
    figures: PathBuf,
    shown: String,
}

impl Timed {
    /// Starts it. `place` is an empty directory of its own, for its figures.
    pub(crate) fn start(command: &Command, place: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(place)?;
        let figures = place.join("figures");
        let log = fs::File::options().create(true).append(true).open(place.join("log"))?;
        let mut parent = Command::new(std::env::current_exe()?);
        parent.arg("timed").arg(&figures).arg("--").arg(command.get_program());
        parent.args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            parent.current_dir(directory);
        }
        parent.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let parent = parent
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("could not start this program once more")?;
        Ok(Self { parent, figures, shown: format!("{command:?}") })
    }

    /// Whether it ended before anybody wanted it to.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.parent.try_wait(), Ok(None))
    }

    /// The command's output so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.figures.with_file_name("log")).unwrap_or_default()
    }

    /// Waits until it ends by itself, with success.
    pub(crate) fn wait(mut self) -> anyhow::Result<Figures> {
        self.parent.wait()?;
        let figures = fs::read(&self.figures)
            .with_context(|| format!("{} did not run: {}", self.shown, self.said()))?;
        let figures: Figures = serde_json::from_slice(&figures)?;
        ensure!(figures.success, "{} failed: {}", self.shown, self.said());
        Ok(figures)
    }

    /// Ends it, when its own children are gone.
    pub(crate) fn stop(mut self) -> anyhow::Result<Figures> {
        let server = children(self.parent.id());
        for &pid in &server {
            eventually("the server's work is done", || children(pid).is_empty());
        }
        self.end(Signal::TERM);
        self.parent.wait()?;
        Ok(serde_json::from_slice(&fs::read(&self.figures)?)?)
    }

    fn end(&self, signal: Signal) {
        for pid in children(self.parent.id()) {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // The process may have ended already.
            let _ = pid.map(|pid| kill_process(pid, signal));
        }
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.end(Signal::KILL);
        let _ = self.parent.wait();
    }
}

/// Processes that this one has started and not waited for. Found by the status of each process:
/// the kernel's list of children may leave one out while another ends (proc_tid_children(5)).
fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|&process: &u32| parent(process) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold any bytes: the state, then the parent.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
