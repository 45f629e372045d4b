//! Bad days, one after the other: a tree is sent again and again while servers and clients are killed,
//! the network breaks and the disk is full; and after each the tree must be there, whole, and no other
//! entry.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

mod accounts;
mod check;
mod client;
mod disk;
mod disturb;
mod options;
mod reading;
mod reloads;
mod report;
mod rivals;
mod round;
mod tally;
mod totals;
mod tree;
mod tus;
mod watch;
mod weather;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use haul_tests::binaries::{self, Binaries};
use haul_tests::random::Random;
use tempfile::TempDir;

use client::Acks;
use disk::Disk;
use disturb::Plan;
pub use options::Options;
use options::{Bout, Durability};
use report::Counts;
use round::Round;
use totals::Totals;
use tree::{Tree, Version};
use watch::{Expected, Watcher};

/// Runs rounds until the time is over.
///
/// # Errors
/// If a round breaks a promise; the error names the seed, the round and its logs.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if !options.inside && options.needs_disk() {
        let error = disk::enter("--inside");
        println!("the disk will never be full: {error:#}");
    }
    let binaries = binaries::build(!options.debug)?;
    let directory = match &options.tmp {
        Some(tmp) => TempDir::new_in(tmp.canonicalize().context("--tmp")?)?,
        None => TempDir::new()?,
    };
    println!("seed {}, in {}", options.seed, directory.path().display());
    let mut torture = Torture::new(options, binaries, directory.path().to_owned())?;
    let end = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let mut total = Totals::default();
    let start = Instant::now();
    loop {
        let begun = Instant::now();
        match torture.all() {
            Ok(counts) => {
                let (number, seconds) = (torture.number, begun.elapsed().as_secs_f64());
                println!("round {number} ({}), {seconds:.1} s", torture.about());
                counts.tell(options);
                total += counts;
            }
            Err(error) => {
                let logs = directory.keep().join(torture.logs());
                bail!(
                    "seed {}, round {} ({}): {error:#}\nlogs: {}",
                    options.seed,
                    torture.number,
                    torture.about(),
                    logs.display()
                );
            }
        }
        if Instant::now() >= end {
            break;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("seed {}: {} rounds in {seconds:.0} s", options.seed, torture.number);
    total.tell(options);
    Ok(())
}

/// The place of a bout.
#[derive(Debug)]
struct Setting<'a> {
    binaries: &'a Binaries,
    /// Directory for the root and the sources; it is there and empty.
    directory: &'a Path,
    logs: &'a Path,
    durability: &'a str,
}

/// The state that goes on from round to round.
struct Torture<'a> {
    options: &'a Options,
    binaries: Binaries,
    directory: PathBuf,
    source: Tree,
    disk: Option<Disk>,
    number: u64,
    /// The files of the root, from the round before.
    old: BTreeMap<String, Version>,
}

impl<'a> Torture<'a> {
    fn new(options: &'a Options, binaries: Binaries, directory: PathBuf) -> anyhow::Result<Self> {
        let source = Tree::new(&directory.join("source"), options.seed)?;
        let disk = match options.inside.then(|| Disk::mount(&directory.join("small"))) {
            Some(Err(error)) => {
                println!("the disk will never be full: {error:#}");
                None
            }
            Some(Ok(disk)) => Some(disk),
            None => None,
        };
        Ok(Self { options, binaries, directory, source, disk, number: 0, old: BTreeMap::new() })
    }

    /// Whether the root is that of the round before: every other time.
    fn again(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    /// Whether the root is on the small disk: every other pair of rounds.
    fn small(&self) -> bool {
        self.disk.is_some() && (self.number - 1) / 2 % 2 == 1
    }

    /// Whether clients come over TLS, as an account: every third round.
    fn is_tls(&self) -> bool {
        self.number % 3 == 2
    }

    fn about(&self) -> String {
        let root = if self.again() { "older version there" } else { "new root" };
        let disk = if self.small() { ", small disk" } else { "" };
        format!("{root}{disk}{}", if self.is_tls() { ", TLS" } else { "" })
    }

    fn logs(&self) -> String {
        format!("logs{}", self.number)
    }

    /// A round, and then each of the bouts.
    fn all(&mut self) -> anyhow::Result<Totals> {
        self.number += 1;
        std::fs::create_dir(self.directory.join(self.logs()))?;
        let rounds = if self.options.has_rounds() { self.round()? } else { Counts::default() };
        // Other decisions than those of the round.
        let random = || Random::new(!self.options.seed, self.number);
        let of = |bout| self.options.of(bout);
        let rivals =
            self.bout("rivals", |setting| rivals::bout(setting, random(), of(Bout::Rivals)))?;
        let accounts =
            self.bout("accounts", |setting| accounts::bout(setting, random(), of(Bout::Accounts)))?;
        if self.number == 1 && of(Bout::Reading) > 0 && self.options.half > 0 {
            self.bout("halves", |setting| reading::halves(setting, self.options.half))?;
        }
        let disk = self.disk.as_ref();
        let reading = self
            .bout("reading", |setting| reading::bout(setting, disk, random(), of(Bout::Reading)))?;
        let tus = self.bout("tus", |setting| tus::bout(setting, disk, random(), of(Bout::Tus)))?;
        let reloads =
            self.bout("reloads", |setting| reloads::bout(setting, random(), of(Bout::Reloads)))?;
        Ok(Totals { rounds, rivals, accounts, reading, tus, reloads })
    }

    /// A bout in a directory of its own, which goes with it if it ends well.
    fn bout<T>(
        &self,
        name: &str,
        bout: impl FnOnce(&Setting<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let directory = self.directory.join(name);
        std::fs::create_dir(&directory)?;
        let setting = Setting {
            binaries: &self.binaries,
            directory: &directory,
            logs: &self.directory.join(self.logs()),
            durability: self.durability(),
        };
        let counts = bout(&setting)?;
        std::fs::remove_dir_all(directory)?;
        Ok(counts)
    }

    fn durability(&self) -> &'static str {
        match self.options.durability {
            Durability::None => "none",
            Durability::Group => "group",
        }
    }

    fn round(&mut self) -> anyhow::Result<Counts> {
        if self.number > 1 {
            self.source.change()?;
        }
        let disk = self.disk.as_ref().filter(|_| self.small());
        let root = disk.map_or(self.directory.as_path(), Disk::path).join("root");
        if !self.again() {
            self.old.clear();
            for parent in [Some(self.directory.as_path()), self.disk.as_ref().map(Disk::path)] {
                // There may be none.
                let _ = parent.map(|parent| std::fs::remove_dir_all(parent.join("root")));
            }
        }
        let logs = self.directory.join(self.logs());
        let acks = Arc::new(Acks::default());
        let setting = round::Setting {
            binaries: &self.binaries,
            source: &self.source,
            directory: &self.directory.join("source"),
            root: root.clone(),
            logs: &logs,
            disk,
            acks: Arc::clone(&acks),
            is_tls: self.is_tls(),
        };
        let durability = self.durability();
        let mut random = Random::new(self.options.seed, self.number);
        let eyes = Random::new(random.number(), self.number);
        let plan = Plan::new(random, disk.is_some(), durability);
        let mut text = String::new();
        plan.steps.iter().try_for_each(|step| writeln!(text, "{step:?}"))?;
        std::fs::write(logs.join("plan"), text)?;

        let mut round = Round::new(setting, plan)?;
        let litter = round.litter()?;
        let directories = self.source.directories.keys().cloned().chain([String::new()]).collect();
        let others = self.source.links.iter().chain(self.source.directories.keys()).cloned();
        let expected = Expected {
            root: root.clone(),
            old: std::mem::take(&mut self.old),
            new: self.source.files.clone(),
            others: others.chain(litter).collect(),
            directories,
            acks,
        };
        let watcher = Watcher::start(expected, eyes);
        let result = round.run(&watcher);
        let watched = watcher.end();
        if result.is_err() || watched.is_err() {
            // The small disk is gone when this process is.
            std::fs::write(logs.join("listing"), listing(&root))?;
        }
        result?;
        round.counts.watched = watched?;
        self.old = self.source.files.clone();
        Ok(round.counts)
    }
}

/// The entries below a root, for a person who looks for the cause of a failure.
fn listing(root: &Path) -> String {
    let output =
        std::process::Command::new("ls").arg("-lAiR").arg("--full-time").arg(root).output();
    output
        .map_or_else(|error| error.to_string(), |o| String::from_utf8_lossy(&o.stdout).into_owned())
}
