//! Resumable uploads over HTTP, by tus 1.0 and the draft of the IETF: several at once, each by one client or by two that
//! take it away from each other, in clear and in TLS, while the server is killed, connections break and the disk is full. No
//! offset may go back behind one that was told, no file may be visible before its last byte was sent, and in the end each
//! file is there once, whole.

mod line;
mod pass;
mod plan;
mod report;
mod requests;
mod sender;
mod upload;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use haul_tests::alive;
use haul_tests::hauld::Hauld;
use haul_tests::random::Random;
use haul_tests::register::Register;
use haul_tests::relay::Relay;

use crate::Setting;
use crate::disk::Disk;
use crate::disturb::GRACE;
pub(crate) use line::{Way, ask};
pub(crate) use plan::{Pass, Plan};
pub(crate) use report::{Counts, What};
pub(crate) use sender::Sender;
pub(crate) use upload::{End, Upload};
pub(crate) use work::Work;

/// The account of the clients, if the server has accounts.
const ACCOUNT: &str = "alice";

/// A bout of so many passes, on a server of its own. The root is on the disk, if there is one.
pub(super) fn bout(
    setting: &Setting<'_>,
    disk: Option<&Disk>,
    mut random: Random,
    passes: u64,
) -> anyhow::Result<Counts> {
    if passes == 0 {
        return Ok(Counts::default());
    }
    let mut bout = Bout::start(setting, disk, random.chance(50))?;
    for number in 1..=passes {
        let plan = Pass::new(&mut random, disk.is_some());
        fs::write(setting.logs.join("tus.plan"), format!("pass {number}: {plan:#?}\n"))?;
        if let Err(error) = bout.pass(&plan, number, random.number()) {
            fs::write(setting.logs.join("tus.listing"), crate::listing(bout.server.root()))?;
            let found = alive::diagnose(&mut bout.server, GRACE);
            bail!(
                "resumable uploads, pass {number}: {error:#}\n  the server: {found}\n  until then: {}",
                bout.counts
            );
        }
    }
    bout.end()
}

/// The state that goes on from pass to pass.
struct Bout<'a> {
    setting: &'a Setting<'a>,
    disk: Option<&'a Disk>,
    server: Hauld,
    relay: Relay,
    token: Option<String>,
    /// The root that clients see.
    root: PathBuf,
    /// The files that stand there.
    standing: BTreeMap<String, Arc<Vec<u8>>>,
    counts: Counts,
}

impl<'a> Bout<'a> {
    fn start(
        setting: &'a Setting<'a>,
        disk: Option<&'a Disk>,
        has_accounts: bool,
    ) -> anyhow::Result<Self> {
        let place = disk.map_or(setting.directory, Disk::path).join("tus");
        // There is one of the bout before on the disk.
        let _ = fs::remove_dir_all(&place);
        let register = Register::new(setting.binaries, &config(setting), &place);
        let token = has_accounts.then(|| register.add(ACCOUNT, &["--rights", "mirror"]));
        let token = token.transpose()?.map(|shown| shown.token);
        let root = if has_accounts { place.join(ACCOUNT) } else { place.clone() };
        let server = start(setting, &place)?;
        let relay = Relay::start(server.address(), &[])?;
        let (standing, counts) = (BTreeMap::new(), Counts::default());
        Ok(Self { setting, disk, server, relay, token, root, standing, counts })
    }

    /// The uploads of a pass. Each has a name of its own.
    fn uploads(&self, plan: &Pass, pass: u64) -> anyhow::Result<Vec<Upload>> {
        let mut free: Vec<&String> = self.standing.keys().collect();
        let mut upload = |(number, plan): (usize, &Plan)| {
            let pick = plan.replaces.and_then(|pick| pick.checked_rem(free.len() as u64));
            let name = match pick.map(usize::try_from) {
                Some(pick) => free.swap_remove(pick?).clone(),
                None => format!("d{}/file{pass}-{number}", number % 3),
            };
            let before = self.standing.get(&name).cloned();
            Upload::new(plan.clone(), name, &self.root, before)
        };
        plan.uploads.iter().enumerate().map(&mut upload).collect()
    }

    /// In the end of a pass each file is there once, and nothing else is.
    fn check(&mut self, uploads: &[Upload]) -> anyhow::Result<()> {
        for upload in uploads {
            upload.look().with_context(|| upload.name.clone())?;
            self.counts.one(What::Uploads);
            match upload.end() {
                End::Whole => {
                    self.counts.one(What::Whole);
                    self.standing.insert(upload.name.clone(), Arc::clone(&upload.bytes));
                }
                End::Removed => self.counts.one(What::Removed),
                end => bail!("{} has come to no end: {end:?}", upload.name),
            }
        }
        let found = names(&self.root)?;
        let known: BTreeSet<String> = self.standing.keys().cloned().collect();
        ensure!(found == known, "the root has {found:?}, not {known:?}");
        for (name, bytes) in &self.standing {
            let there = fs::read(self.root.join(name)).with_context(|| name.clone())?;
            ensure!(there == **bytes, "{name} is not the file that was acknowledged");
            self.counts.one(What::Files);
        }
        // A client that got no answer does not know the address of its upload.
        let (partials, lost) = (self.server.partials()?, self.counts.of(&What::LostCreations));
        ensure!(partials.len() as u64 <= lost, "{partials:?} are left, but {lost} could be");
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Counts> {
        alive::stop(&mut self.server, GRACE)?;
        let log = self.server.log_text();
        ensure!(!log.contains("panicked"), "a thread of the server panicked");
        fs::remove_dir_all(self.server.root())?;
        Ok(self.counts)
    }
}

fn start(setting: &Setting<'_>, root: &Path) -> anyhow::Result<Hauld> {
    let grace = format!("{}ms", GRACE.as_millis());
    let args = ["--durability", setting.durability, "--grace", &grace, "--keep-free", "0"];
    let mut command = Command::new(&setting.binaries.hauld);
    command.args(["--config-dir".as_ref(), config(setting).as_os_str()]);
    Hauld::start_at(root, &setting.logs.join("tus.log"), command, &args)
}

/// The server's configuration directory, which no other server of the round has.
fn config(setting: &Setting<'_>) -> PathBuf {
    setting.logs.join("tus-config")
}

/// The names of all files below a root, but for the server's own.
fn names(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let (mut names, mut left) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_name() == ".haul" {
            } else if entry.file_type()?.is_dir() {
                left.push(entry.path());
            } else {
                let path = entry.path();
                names.insert(path.strip_prefix(root)?.to_string_lossy().into_owned());
            }
        }
    }
    Ok(names)
}
