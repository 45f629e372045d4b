//! A tree at a server comes back to this machine again and again, by `haul get` and `haul sync`, while client and server
//! are killed, the network breaks, the disk here is full, another client replaces files at the server, another run
//! writes to the same target, and the server's root is moved away. Under each name here there must always be one version
//! of that file, whole; no good file goes; and a run in peace makes both trees equal.

mod act;
mod eye;
mod halves;
mod origin;
mod pass;
mod plan;
mod readers;
mod report;
mod versions;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use haul_tests::alive;
use haul_tests::hauld::Hauld;
use haul_tests::random::Random;
use haul_tests::relay::Relay;

use crate::Setting;
use crate::disk::Disk;
use crate::disturb::GRACE;
use crate::weather::Ground;
use eye::Eye;
pub(super) use halves::halves;
use origin::{Origin, index, name};
use plan::{Change, Pass, What};
pub(super) use report::Counts;
use versions::{Side, Version, Versions};

/// Numbers of files that were never at the server.
const ONLY_HERE: u64 = 1 << 20;

/// A bout of so many passes, on a server of its own. The target is on the disk, if there is one.
pub(super) fn bout(
    setting: &Setting<'_>,
    disk: Option<&Disk>,
    mut random: Random,
    passes: u64,
) -> anyhow::Result<Counts> {
    if passes == 0 {
        return Ok(Counts::default());
    }
    let mut bout = Bout::start(setting, disk, &mut random)?;
    for number in 1..=passes {
        let plan = Pass::new(&mut random, disk.is_some());
        fs::write(setting.logs.join("reading.plan"), format!("pass {number}: {plan:#?}\n"))?;
        let result = bout.pass(plan.clone(), random.clone(), number);
        bout.counts.looked = bout.eye.looked;
        if let Err(error) = result {
            let listing = crate::listing(&bout.eye.back);
            fs::write(setting.logs.join("reading.listing"), listing)?;
            let found = alive::diagnose(&mut bout.server, GRACE);
            bail!(
                "reading back, pass {number} ({:?}): {error:#}\n  the server: {found}\n  until then: {}",
                plan.verb,
                bout.counts,
            );
        }
        // How many decisions the pass has taken from its own copy depends on time.
        random.number();
    }
    bout.end()
}

/// The state that goes on from pass to pass.
struct Bout<'a> {
    setting: &'a Setting<'a>,
    disk: Option<&'a Disk>,
    server: Hauld,
    /// The way of the readers, and that of the writer, which has no bad days but those of the server.
    relay: Relay,
    way: Relay,
    versions: Versions,
    origin: Origin,
    eye: Eye,
    only_here: u64,
    counts: Counts,
}

impl<'a> Bout<'a> {
    fn start(
        setting: &'a Setting<'a>,
        disk: Option<&'a Disk>,
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let back = disk.map_or(setting.directory, Disk::path).join("back");
        // There is one of the bout before on the disk.
        let _ = fs::remove_dir_all(&back);
        fs::create_dir(&back)?;
        let mut versions = Versions::default();
        let origin = Origin::new(&setting.directory.join("origin"), random, &mut versions)?;
        let server = start(setting)?;
        let relay = Relay::start(server.address(), &[])?;
        let way = Relay::start(server.address(), &[])?;
        let (eye, counts) = (Eye::new(&back), Counts::default());
        Ok(Self { setting, disk, server, relay, way, versions, origin, eye, only_here: 0, counts })
    }

    /// The network of the readers, and the disk here.
    fn ground(&self) -> Ground<'_> {
        Ground { relay: &self.relay, disk: self.disk }
    }

    /// Somebody here changes the target before a pass.
    fn change_here(&mut self, changes: &[Change]) -> anyhow::Result<()> {
        for change in changes {
            let here = &mut self.eye.here;
            let picked = here.iter().nth(index(change.pick, here.len()));
            let picked = picked.map(|(file, number)| (*file, *number));
            let (file, len) = match (change.what, picked) {
                (What::Add(len), _) => {
                    self.only_here += 1;
                    (ONLY_HERE + self.only_here, len)
                }
                (What::Remove, Some((file, _))) => {
                    fs::remove_file(self.eye.back.join(name(file)))?;
                    here.remove(&file);
                    continue;
                }
                (What::Size(len), Some((file, _))) => (file, len),
                (What::SameSize, Some((file, number))) => {
                    (file, self.versions.len(Version { file, number }).unwrap_or_default())
                }
                (_, None) => continue,
            };
            let path = self.eye.back.join(name(file));
            let number = self.versions.write(&path, file, (len, change.mode), Side::Here)?;
            self.eye.here.insert(file, number);
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Counts> {
        alive::stop(&mut self.server, GRACE)?;
        let log = self.server.log_text();
        ensure!(!log.contains("panicked"), "a thread of the server panicked");
        fs::remove_dir_all(&self.eye.back).context("the target")?;
        Ok(self.counts)
    }
}

fn start(setting: &Setting<'_>) -> anyhow::Result<Hauld> {
    let grace = format!("{}ms", GRACE.as_millis());
    let args = ["--durability", setting.durability, "--grace", &grace];
    let mut command = Command::new(&setting.binaries.hauld);
    command.args(["--config-dir".as_ref(), setting.logs.join("reading-config").as_os_str()]);
    let (root, log): (&Path, _) = (&root(setting), setting.logs.join("reading.log"));
    Hauld::start_at(root, &log, command, &args)
}

/// The server's root.
fn root(setting: &Setting<'_>) -> std::path::PathBuf {
    setting.directory.join("root")
}
