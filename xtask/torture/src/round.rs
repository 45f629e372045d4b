//! One round: a server, a relay, clients one after the other, and all disturbances between them, until
//! the round is let run in peace and has to end well.

mod act;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use haul_tests::alive;
use haul_tests::hauld::Hauld;
use haul_tests::register::Register;
use haul_tests::relay::{Event, Relay};
use haul_tests::{DEADLINE, binaries::Binaries, tree};
use serde_json::Value;

use super::check;
use super::client::{Acks, Client};
use super::disk::Disk;
use super::disturb::{GRACE, Plan, Verb, client_options};
use super::report::Counts;
use super::tree::Tree;
use super::watch::Watcher;
use super::weather::{Ground, Weather};

/// Time that a client may take when nothing disturbs it.
const CALM: Duration = Duration::from_secs(180);

/// The settings of a round, which do not change.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) source: &'a Tree,
    /// The directory of the source.
    pub(crate) directory: &'a Path,
    pub(crate) root: PathBuf,
    /// Directory for the output of the server and the clients.
    pub(crate) logs: &'a Path,
    /// The root is on it, if it can be filled.
    pub(crate) disk: Option<&'a Disk>,
    pub(crate) acks: Arc<Acks>,
    /// Clients come over TLS, as an account whose root is the server's.
    pub(crate) is_tls: bool,
}

/// The account of such a round.
const ACCOUNT: &str = "torture";

/// A round under way.
pub(crate) struct Round<'a> {
    setting: Setting<'a>,
    plan: Plan,
    relay: Relay,
    server: Hauld,
    client: Option<Client>,
    /// A signal has been sent to the client.
    killed: bool,
    /// The next client starts then.
    start_at: Instant,
    weather: Weather,
    pub(crate) counts: Counts,
}

impl<'a> Round<'a> {
    /// Starts the server and the relay.
    pub(crate) fn new(setting: Setting<'a>, plan: Plan) -> anyhow::Result<Self> {
        let register = Register::new(setting.binaries, &setting.config(), &setting.root);
        let account =
            setting.is_tls.then(|| register.add(ACCOUNT, &["--root", ".", "--rights", "mirror"]));
        let account = account.transpose()?;
        let server = start(&setting, &plan)?;
        let relay = Relay::start(server.address(), &[])?;
        if let Some(shown) = account {
            let link = register.link(ACCOUNT, relay.address())?;
            register.log_in(&link, &shown.token, &setting.own_files())?;
        }
        let weather = Weather::new(&relay, plan.pace);
        let start_at = Instant::now();
        let counts = Counts { tree: setting.source.bytes(), ..Counts::default() };
        let (client, killed) = (None, false);
        Ok(Self { setting, plan, relay, server, client, killed, start_at, weather, counts })
    }

    /// Before anybody looks: puts entries into the root that the source lacks and a sync has to remove;
    /// returns their names.
    pub(crate) fn litter(&mut self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        if self.plan.verb == Verb::Put {
            return Ok(names);
        }
        let root = &self.setting.root;
        let known: Vec<_> = self.setting.source.directories.keys().cloned().collect();
        for index in 0..20 {
            let directory = &known[self.plan.random.index(known.len())];
            let name = format!("{directory}/litter{index}");
            if !root.join(directory).is_dir() {
                continue;
            }
            if index % 2 == 0 {
                std::fs::write(root.join(&name), "litter")?;
            } else {
                std::fs::create_dir_all(root.join(&name).join("in/it"))?;
                std::fs::write(root.join(&name).join("in/file"), "litter")?;
            }
            names.push(name);
        }
        Ok(names)
    }

    /// Disturbs, then lets run, then looks whether all is well.
    pub(crate) fn run(&mut self, watcher: &Watcher) -> anyhow::Result<()> {
        let mut done = false;
        for step in self.plan.steps.clone() {
            let (bytes, until) = (self.relay.passed() + step.bytes, Instant::now() + step.within);
            while !done && self.relay.passed() < bytes && Instant::now() < until {
                done = self.tick(watcher)?;
            }
            if done {
                break;
            }
            self.act(step.action).with_context(|| format!("{:?}", step.action))?;
        }
        self.weather.heal(Ground { relay: &self.relay, disk: self.setting.disk })?;
        let until = Instant::now() + CALM;
        while !done {
            ensure!(Instant::now() < until, "no end after {CALM:?} in which nothing was disturbed");
            if self.client.is_none() {
                // Connections of earlier runs that are still open are a disturbance as well.
                self.relay.now(Event::Cut);
                self.start_client(Vec::new())?;
                done = self.wait_for_client(watcher, until)?;
                // A server that has not noticed yet that the one before is gone refuses to publish.
                let may_fail = self.plan.verb == Verb::Publish;
                ensure!(done || may_fail, "a client that nothing disturbed has failed");
            } else {
                done = self.tick(watcher)?;
            }
        }
        self.counts.relayed = self.relay.passed();
        self.check_acks("at the end")?;
        self.settle()
    }

    /// Waits a moment, and sees to clients and servers that have ended by themselves; returns whether a
    /// client has sent all.
    fn tick(&mut self, watcher: &Watcher) -> anyhow::Result<bool> {
        std::thread::sleep(Duration::from_millis(2));
        watcher.check()?;
        self.weather.tick(Ground { relay: &self.relay, disk: self.setting.disk })?;
        if self.client.is_none() && Instant::now() >= self.start_at {
            let options = client_options(&mut self.plan.random);
            self.start_client(options)?;
        }
        self.client_ended()
    }

    fn wait_for_client(&mut self, watcher: &Watcher, until: Instant) -> anyhow::Result<bool> {
        while self.client.is_some() {
            ensure!(Instant::now() < until, "the client does not end");
            std::thread::sleep(Duration::from_millis(2));
            watcher.check()?;
            if self.client_ended()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn start_client(&mut self, options: Vec<String>) -> anyhow::Result<()> {
        let verb = self.plan.verb;
        let words: &[&str] = match verb {
            Verb::Put => &["put"],
            Verb::Sync => &["sync", "--delete"],
            Verb::Publish => &["publish"],
        };
        let mut args: Vec<String> = words.iter().map(ToString::to_string).chain(options).collect();
        if verb != Verb::Put && self.plan.random.chance(25) {
            args.push(String::from("--checksum"));
        }
        let mut destination = self.relay.address().to_owned();
        if verb == Verb::Publish {
            destination = format!("{destination}/{}", Tree::NAME);
        }
        args.extend([String::from(Tree::NAME), destination]);
        let Setting { binaries, directory, logs, acks, .. } = &self.setting;
        // A file that is acknowledged in a tree that nobody sees is not there yet.
        let acks = if verb == Verb::Publish { &Arc::default() } else { acks };
        let places = (*directory, &*self.setting.own_files());
        self.client = Some(Client::start(&binaries.haul, places, &args, logs, acks)?);
        self.killed = false;
        self.counts.clients += 1;
        Ok(())
    }

    /// Takes note of a client that has ended; returns whether all files are committed.
    fn client_ended(&mut self) -> anyhow::Result<bool> {
        let Some(client) = &mut self.client else { return Ok(false) };
        let Some(status) = client.ended()? else { return Ok(false) };
        let Some(client) = self.client.take() else { return Ok(false) };
        let told = client.told()?;
        if let Some(line) = told.garbled {
            bail!("the client printed {line:?}");
        }
        self.counts.bytes_sent += told.bytes_sent;
        self.counts.bytes_resumed += told.bytes_resumed;
        self.counts.resumes += u64::from(told.bytes_resumed > 0);
        for failed in &told.failed {
            if failed.contains("(no_space)") {
                ensure!(self.setting.disk.is_some(), "the disk was never full: {failed}");
                self.counts.no_space += 1;
            } else if failed.contains("the connection was lost") {
                self.counts.given_up += 1;
            } else {
                // An earlier run's `open` may have been late, or the server may not know yet that its connection is lost.
                let is_known = failed.contains("a newer run sends this file")
                    || (failed.contains("not published: refused")
                        && ["(taken_over)", "(busy)"].iter().any(|code| failed.contains(code)));
                ensure!(is_known, "unexpected: {failed}");
                self.counts.taken_over += 1;
            }
        }
        let expected = match status.code() {
            Some(0) => told.failed.is_empty(),
            Some(1) => !told.failed.is_empty(),
            Some(3) => true,
            Some(130) | None => self.killed,
            Some(_) => false,
        };
        ensure!(expected, "the client ended with {status}; failed: {:?}", told.failed);
        if status.success() {
            let summary = told.summary.context("no summary")?;
            self.check_summary(&summary)?;
            self.counts.removed += summary["removed"].as_u64().unwrap_or(0);
            self.counts.unchanged += summary["unchanged"].as_u64().unwrap_or(0);
        }
        self.start_at = self.start_at.max(Instant::now());
        self.check_acks("when a client has ended")?;
        Ok(status.success())
    }

    /// A run that sent all entries has counted all of them, and each one once.
    fn check_summary(&self, summary: &Value) -> anyhow::Result<()> {
        let source = self.setting.source;
        if self.plan.verb == Verb::Publish {
            ensure!(summary["published"] == true, "not published: {summary}");
        }
        if self.plan.verb != Verb::Put {
            let fields = ["files", "links", "adjusted", "unchanged"];
            let found: u64 = fields.iter().filter_map(|field| summary[field].as_u64()).sum();
            let expected = (source.files.len() + source.links.len()) as u64;
            ensure!(found == expected, "{found} files and links, not {expected}, in {summary}");
            return Ok(());
        }
        // A large file that the server has already is told as unchanged.
        let [files, unchanged] = ["files", "unchanged"].map(|field| summary[field].as_u64());
        let files = files.unwrap_or(0) + unchanged.unwrap_or(0);
        ensure!(files == source.files.len() as u64, "{files} files in {summary}");
        let bytes = summary["bytes_total"].as_u64().unwrap_or(u64::MAX);
        let is_all = bytes == source.bytes();
        ensure!(is_all || (bytes < source.bytes() && unchanged > Some(0)), "bytes in {summary}");
        for (field, expected) in
            [("links", source.links.len() as u64), ("directories", source.directories.len() as u64)]
        {
            ensure!(summary[field] == expected, "{field} is not {expected} in {summary}");
        }
        Ok(())
    }

    fn check_acks(&mut self, when: &str) -> anyhow::Result<()> {
        let Setting { source, root, acks, .. } = &self.setting;
        let checked = check::acknowledged(source, root, acks)
            .with_context(|| format!("an acknowledged file, looked at {when}"))?;
        self.counts.acks_checked += checked.files;
        self.counts.acks_read += checked.bytes;
        Ok(())
    }

    /// Checks that of a published directory the version before is kept at the most, with notes about both, and no
    /// unfinished one.
    fn check_versions(&self) -> anyhow::Result<()> {
        for home in std::fs::read_dir(self.setting.root.join(".haul/trees"))? {
            for entry in std::fs::read_dir(home?.path())? {
                let name = entry?.file_name();
                let is_note = |kind: &str| name.to_string_lossy().starts_with(kind);
                let known = name == "previous" || is_note("done-") || is_note("version-");
                ensure!(known, "{} is left of a version", name.display());
            }
        }
        Ok(())
    }

    /// A client has reported that all files are committed.
    fn settle(&mut self) -> anyhow::Result<()> {
        // Bytes of earlier runs may still be on their way.
        self.relay.now(Event::Cut);
        let until = Instant::now() + DEADLINE;
        while !self.server.staged()?.is_empty() {
            ensure!(Instant::now() < until, "staged files are left: {:?}", self.server.staged()?);
            std::thread::sleep(Duration::from_millis(5));
        }
        let partials = self.server.partials()?;
        ensure!(partials.is_empty(), "partials are left: {partials:?}");
        alive::stop(&mut self.server, GRACE)?;
        if self.plan.verb == Verb::Publish {
            self.check_versions()?;
            self.counts.published += 1;
        }
        let source = self.setting.source.path(Tree::NAME);
        tree::compare(&source, &self.setting.root.join(Tree::NAME)).context("the trees differ")?;
        let log = self.server.log_text();
        ensure!(!log.contains("panicked"), "a thread of the server panicked");
        self.counts.gone_on = log.matches("an upload goes on").count() as u64;
        Ok(())
    }
}

impl Setting<'_> {
    /// The directory of haul's own files.
    fn own_files(&self) -> PathBuf {
        self.logs.join("haul")
    }

    /// The server's configuration directory, which no other server of the round has.
    fn config(&self) -> PathBuf {
        self.logs.join("round-config")
    }
}

fn start(setting: &Setting<'_>, plan: &Plan) -> anyhow::Result<Hauld> {
    let mut args: Vec<&str> = plan.server.iter().map(String::as_str).collect();
    if setting.is_tls {
        args.extend(["--tls", "always"]);
    }
    let mut command = Command::new(&setting.binaries.hauld);
    command.args(["--config-dir".as_ref(), setting.config().as_os_str()]);
    Hauld::start_at(&setting.root, &setting.logs.join("server.log"), command, &args)
}
