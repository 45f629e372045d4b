//! Two accounts at one server, each below a root of its own, that have all else in common: the identity, the clients'
//! names and slots, the names of files, the fingerprints of uploads. Both send at once, over TLS with haul and in clear by
//! hand, while the server is killed and tokens rotate. Each root must have exactly the files that the clients of its
//! account were told of, and no client may notice the other account.

mod by_hand;
mod member;
mod plan;

use std::fmt;
use std::fs;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use haul_tests::alive::{self, GENEROUS};
use haul_tests::hauld::Hauld;
use haul_tests::random::Random;
use haul_tests::register::Register;
use haul_tests::relay::Relay;
use rustix::process::Signal;

use crate::Setting;
use crate::client::{Acks, Client};
use by_hand::{ByHand, Sent};
pub(crate) use member::Member;
use member::TREE;
use plan::Pass;
pub(crate) use plan::{Change, Verb, changes};

/// The accounts, and the numbers that tell their files by hand apart.
const NAMES: [(&str, u64); 2] = [("alice", 1 << 62), ("bob", 1 << 63)];

/// The server's grace time.
const GRACE: Duration = Duration::from_millis(500);

/// Time that a pass may take.
const CALM: Duration = Duration::from_secs(120);

/// How long a token that was rotated is taken, which is longer than a bout.
const KEEP: [&str; 2] = ["--keep-old", "1h"];

/// Counts of the two accounts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    passes: u64,
    runs: u64,
    kills: u64,
    rotations: u64,
    /// Files by hand that were acknowledged, those in parts, and connections.
    acks: u64,
    commits: u64,
    connections: u64,
    /// Files that were looked at in the end of a pass.
    files: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passes += other.passes;
        self.runs += other.runs;
        self.kills += other.kills;
        self.rotations += other.rotations;
        self.acks += other.acks;
        self.commits += other.commits;
        self.connections += other.connections;
        self.files += other.files;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passes, runs, kills, rotations, acks, commits, connections, files } = self;
        write!(
            f,
            "two accounts: {passes} passes, {runs} runs of haul over TLS, {kills} kills of the server, {rotations} tokens \
             rotated; by hand: {acks} files acknowledged, {commits} uploads in parts, {connections} connections; {files} files \
             in the roots looked at"
        )
    }
}

/// A bout of so many passes, on a server of its own.
pub(super) fn bout(
    setting: &Setting<'_>,
    mut random: Random,
    passes: u64,
) -> anyhow::Result<Counts> {
    if passes == 0 {
        return Ok(Counts::default());
    }
    let mut bout = Bout::start(setting)?;
    for number in 0..passes {
        let plan = Pass::new(&mut random);
        fs::write(setting.logs.join("accounts.plan"), format!("pass {}: {plan:#?}\n", number + 1))?;
        let result = bout.pass(&plan, number);
        if let Err(error) = result {
            let found = alive::diagnose(&mut bout.server, GRACE);
            bail!(
                "two accounts, pass {} ({:?}, {} kills): {error:#}\n  the server: {found}\n  until then: {}",
                number + 1,
                plan.verbs,
                plan.kills.len(),
                bout.counts,
            );
        }
    }
    bout.end()
}

struct Bout<'a> {
    setting: &'a Setting<'a>,
    register: Register,
    server: Hauld,
    relay: Relay,
    members: [Member; 2],
    sent: [Sent; 2],
    counts: Counts,
}

impl<'a> Bout<'a> {
    fn start(setting: &'a Setting<'a>) -> anyhow::Result<Self> {
        let root = setting.directory.join("root");
        let register = Register::new(setting.binaries, &config(setting), &root);
        let member = |(name, salt)| {
            let token = register.add(name, &["--rights", "mirror"])?.token;
            Member::new((name, salt), setting.directory, token)
        };
        let members = [member(NAMES[0])?, member(NAMES[1])?];
        let server = start(setting)?;
        let relay = Relay::start(server.address(), &[])?;
        let (sent, counts) = (Default::default(), Counts::default());
        let bout = Self { setting, register, server, relay, members, sent, counts };
        bout.members.iter().try_for_each(|member| bout.log_in(member))?;
        Ok(bout)
    }

    fn log_in(&self, member: &Member) -> anyhow::Result<()> {
        let link = self.register.link(member.name, self.relay.address())?;
        self.register.log_in(&link, &member.token, &member.files())
    }

    fn pass(&mut self, plan: &Pass, number: u64) -> anyhow::Result<()> {
        for (member, changes) in self.members.iter_mut().zip(&plan.changes) {
            member.change(changes)?;
        }
        let Self { setting, register, server, relay, members, sent, counts } = self;
        let (over, members) = (AtomicBool::new(false), &*members);
        let (address, counts) = (relay.address().to_owned(), counts);
        let token = std::thread::scope(|scope| {
            let hands = members.iter().zip(sent).map(|(member, sent)| {
                let mut hand = ByHand { member, address: &address, sent, pass: number };
                let over = &over;
                scope.spawn(move || hand.run(over))
            });
            let hands: Vec<_> = hands.collect();
            let mut pass =
                Disturbed { setting, register, server, relay, members, plan, counts, token: None };
            let result = pass.run();
            over.store(true, Ordering::Relaxed);
            let token = pass.token;
            for hand in hands {
                hand.join().ok().context("a client by hand panicked")?.context("by hand")?;
            }
            result.map(|()| token)
        })?;
        if let Some((index, token, before)) = token {
            self.is_read(before)?;
            self.members[index].token = token;
            self.log_in(&self.members[index])?;
        }
        self.counts.passes += 1;
        self.check()
    }

    /// Waits until the server has read its accounts, behind these bytes of its log.
    fn is_read(&self, before: usize) -> anyhow::Result<()> {
        let until = Instant::now() + GENEROUS;
        loop {
            let log = self.server.log_text();
            let since = log.get(before..).unwrap_or_default();
            if since.contains("other accounts hold") || since.contains("serving root") {
                return Ok(());
            }
            ensure!(Instant::now() < until, "the server has not read the accounts");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Each root has the files that its own clients were told of, and no others.
    fn check(&mut self) -> anyhow::Result<()> {
        let root = self.server.root();
        names(root, &[".haul", NAMES[0].0, NAMES[1].0])?;
        for (member, sent) in self.members.iter().zip(&self.sent) {
            let own = root.join(member.name);
            names(&own, &[TREE, by_hand::DIRECTORY])?;
            self.counts.files += member.check_tree(root)?;
            self.counts.files +=
                sent.check(&own).with_context(|| format!("by hand of {}", member.name))?;
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Counts> {
        alive::stop(&mut self.server, GRACE)?;
        let log = self.server.log_text();
        ensure!(!log.contains("panicked"), "a thread of the server panicked");
        let secret = |member: &Member| member.token.rsplit('_').next().map(str::to_owned);
        let told = self.members.iter().filter_map(secret).any(|secret| log.contains(&secret));
        ensure!(!told, "a token is in the server's log");
        for sent in &self.sent {
            self.counts.acks += sent.acks;
            self.counts.commits += sent.commits;
            self.counts.connections += sent.connections;
        }
        Ok(self.counts)
    }
}

/// A pass under way: the runs of haul, and all that happens to the server.
struct Disturbed<'a> {
    setting: &'a Setting<'a>,
    register: &'a Register,
    server: &'a mut Hauld,
    relay: &'a Relay,
    members: &'a [Member; 2],
    plan: &'a Pass,
    counts: &'a mut Counts,
    /// The new token of an account, and the length of the server's log before it was made.
    token: Option<(usize, String, usize)>,
}

impl Disturbed<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut kills = self.plan.kills.iter();
        let mut kill_at = kills.next().map(|pause| begun + *pause);
        let mut runs = [Some(self.haul(0)?), Some(self.haul(1)?)];
        loop {
            std::thread::sleep(Duration::from_millis(2));
            let now = Instant::now();
            if let Some((index, pause)) = self.plan.rotation
                && self.token.is_none()
                && now >= begun + pause
            {
                let before = self.server.log_text().len();
                let token = self.register.rotate(self.members[index].name, &KEEP)?.token;
                self.token = Some((index, token, before));
                self.counts.rotations += 1;
            }
            if kill_at.is_some_and(|at| now >= at) {
                self.kill()?;
                kill_at = kills.next().map(|pause| Instant::now() + *pause);
            }
            for (index, slot) in runs.iter_mut().enumerate() {
                let Some(run) = slot else { continue };
                let Some(status) = run.ended()? else { continue };
                let Some(run) = slot.take() else { continue };
                if !self.has_ended(index, run, status)? {
                    *slot = Some(self.haul(index)?);
                }
            }
            let is_rotated = self.plan.rotation.is_none() || self.token.is_some();
            if runs.iter().all(Option::is_none) && kill_at.is_none() && is_rotated {
                return Ok(());
            }
            ensure!(begun.elapsed() < CALM, "the runs of haul have not ended within {CALM:?}");
        }
    }

    fn haul(&mut self, index: usize) -> anyhow::Result<Client> {
        self.counts.runs += 1;
        let how = (self.plan.verbs[index], self.plan.connections[index]);
        let acks = Arc::new(Acks::default());
        self.members[index].start(self.setting, self.relay.address(), how, &acks)
    }

    /// Whether a run has sent all. If the server is killed before a run has reached it, the run ends at once; if the server
    /// has not noticed that the run before is gone, it may refuse to publish.
    fn has_ended(
        &self,
        index: usize,
        run: Client,
        status: std::process::ExitStatus,
    ) -> anyhow::Result<bool> {
        let (told, name) = (run.told()?, self.members[index].name);
        if status.success() {
            ensure!(told.failed.is_empty(), "haul of {name} told of failures: {:?}", told.failed);
            return Ok(true);
        }
        let own = |line: &String| {
            let codes = ["(taken_over)", "(busy)"];
            line.contains("not published: refused") && codes.iter().any(|code| line.contains(code))
        };
        let known = match status.code() {
            Some(1) => {
                self.plan.verbs[index] == Verb::Publish
                    && !told.failed.is_empty()
                    && told.failed.iter().all(own)
            }
            Some(3) => told.failed.is_empty(),
            _ => false,
        };
        ensure!(
            known && !self.plan.kills.is_empty(),
            "haul of {name} ended with {status}: {:?}",
            told.failed
        );
        Ok(false)
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.server.signal(Signal::KILL)?;
        self.server.wait()?;
        *self.server = start(self.setting)?;
        self.relay.lead_to(self.server.address());
        self.counts.kills += 1;
        Ok(())
    }
}

/// Both TLS and clear are taken on loopback.
fn start(setting: &Setting<'_>) -> anyhow::Result<Hauld> {
    let (root, grace) = (setting.directory.join("root"), format!("{}ms", GRACE.as_millis()));
    let args = ["--durability", setting.durability, "--grace", &grace];
    let mut command = Command::new(&setting.binaries.hauld);
    command.args(["--config-dir".as_ref(), config(setting).as_os_str()]);
    Hauld::start_at(&root, &setting.logs.join("accounts.log"), command, &args)
}

/// The server's configuration directory, which no other server of the round has.
fn config(setting: &Setting<'_>) -> PathBuf {
    setting.logs.join("accounts-config")
}

/// There are no other entries than these.
fn names(directory: &Path, known: &[&str]) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let is_known = known.iter().any(|known| name == *known);
        ensure!(is_known, "{} is in {}", name.display(), directory.display());
    }
    Ok(())
}
