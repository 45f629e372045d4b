//! A server with a hook and accounts, whose owner changes settings, accounts, certificates and keys while clients put, sync and
//! upload over HTTP, and which is stopped, killed and started again. No client may fail, what is wrong may change
//! nothing, and the hook must be told of each file that was acknowledged, and of none that nobody has put.

mod ledger;
mod owner;
mod pass;
mod plan;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use haul_tests::alive::{self, GENEROUS};
use haul_tests::hauld::Hauld;
use haul_tests::random::Random;
use haul_tests::register::Register;
use haul_tests::relay::Relay;

use crate::Setting;
use crate::accounts::Member;
use ledger::Ledger;
use owner::{Owner, ls};
use plan::{Pass, Settings};
pub(super) use report::Counts;
use report::What;

/// The accounts. No client of them puts files by hand.
const NAMES: [&str; 2] = ["alice", "bob"];

/// An account that only looks.
const OWNER: &str = "owner";

/// The longest grace time of the settings.
const GRACE: Duration = Duration::from_secs(10);

/// A bout of so many passes, on a server of its own.
pub(super) fn bout(
    setting: &Setting<'_>,
    mut random: Random,
    passes: u64,
) -> anyhow::Result<Counts> {
    if passes == 0 {
        return Ok(Counts::default());
    }
    let mut bout = Bout::start(setting, Settings::new(&mut random))?;
    for number in 1..=passes {
        let plan = Pass::new(&mut random);
        fs::write(setting.logs.join("reloads.plan"), format!("pass {number}: {plan:#?}\n"))?;
        if let Err(error) = bout.pass(&plan, number) {
            let found = alive::diagnose(&mut bout.owner.server, GRACE);
            bail!(
                "reloads, pass {number}: {error:#}\n  the server: {found}\n  until then: {}",
                bout.counts
            );
        }
    }
    bout.end(&mut random)
}

/// The state that goes on from pass to pass.
struct Bout<'a> {
    setting: &'a Setting<'a>,
    owner: Owner<'a>,
    members: [Member; 2],
    ledger: Ledger,
    counts: Counts,
}

impl<'a> Bout<'a> {
    fn start(setting: &'a Setting<'a>, settings: Settings) -> anyhow::Result<Self> {
        let register = Register::new(setting.binaries, &config(setting), &root(setting));
        let member = |name| {
            let token = register.add(name, &["--rights", "mirror"])?.token;
            Member::new((name, 0), setting.directory, token)
        };
        let members = [member(NAMES[0])?, member(NAMES[1])?];
        let token = register.add(OWNER, &["--rights", "reader"])?.token;
        let ledger = Ledger::new();
        fs::create_dir(settings_file(setting).parent().context("no parent")?)?;
        fs::write(settings_file(setting), settings.text())?;
        let hook = ledger.words();
        let server = start(setting, &hook)?;
        let relay = Relay::start(server.address(), &[])?;
        let owner = Owner::new(setting, server, relay, register, token, settings, hook);
        let counts = Counts::default();
        let bout = Self { setting, owner, members, ledger, counts };
        bout.members.iter().try_for_each(|member| bout.log_in(member))?;
        Ok(bout)
    }

    fn log_in(&self, member: &Member) -> anyhow::Result<()> {
        let (register, relay) = (&self.owner.register, &self.owner.relay);
        let link = register.link(member.name, relay.address())?;
        register.log_in(&link, &member.token, &member.files())
    }

    /// The server gets another key, of which the clients have heard before.
    fn switch_key(&mut self) -> anyhow::Result<()> {
        let register = &self.owner.register;
        let before = register.pin()?;
        register.change(&["key", "next"])?;
        self.owner.announces_a_key()?;
        for member in &self.members {
            ls(self.setting, self.owner.relay.address(), &member.files())?;
        }
        register.change(&["key", "switch"])?;
        ensure!(register.pin()? != before, "the key is that of before");
        self.owner.has_key_of_its_own()?;
        self.counts.one(What::Keys);
        Ok(())
    }

    /// Stops the server, after which a new one still has to tell what was left.
    fn end(mut self, random: &mut Random) -> anyhow::Result<Counts> {
        if random.chance(50) {
            alive::stop(&mut self.owner.server, GRACE)?;
            self.owner.start()?;
        }
        self.ledger.settle(&root(self.setting), &mut self.counts)?;
        alive::stop(&mut self.owner.server, GRACE)?;
        let log = self.owner.server.log_text();
        ensure!(!log.contains("panicked"), "a thread of the server panicked");
        Ok(self.counts)
    }
}

fn start(setting: &Setting<'_>, hook: &[String; 2]) -> anyhow::Result<Hauld> {
    let mut command = Command::new(&setting.binaries.hauld);
    command.arg("--config-dir").arg(config(setting)).arg("--config").arg(settings_file(setting));
    let args = ["--durability", setting.durability, &hook[0], &hook[1]];
    Hauld::start_at(&root(setting), &setting.logs.join("reloads.log"), command, &args)
}

/// The server's root.
fn root(setting: &Setting<'_>) -> PathBuf {
    setting.directory.join("root")
}

/// The server's configuration directory, which no other server of the round has.
fn config(setting: &Setting<'_>) -> PathBuf {
    setting.logs.join("reloads-config")
}

/// The server's file of settings, alone in its directory.
fn settings_file(setting: &Setting<'_>) -> PathBuf {
    setting.logs.join("reloads-settings").join("hauld.toml")
}

/// Writes a file that takes the place of another at once; without a text it removes that one.
fn replace(path: &Path, text: Option<&str>) -> anyhow::Result<()> {
    let Some(text) = text else { return Ok(fs::remove_file(path)?) };
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    if path.exists() {
        fs::set_permissions(&new, fs::metadata(path)?.permissions())?;
    }
    Ok(fs::rename(new, path)?)
}

/// Waits for something that the server does on its own time.
fn wait_until(
    what: &str,
    mut has_come: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let until = Instant::now() + GENEROUS;
    while !has_come()? {
        ensure!(Instant::now() < until, "not within {GENEROUS:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
