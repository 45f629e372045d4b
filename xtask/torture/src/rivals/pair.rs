//! Two runs of `haul put` that send the same file at once. Both have the identity of this user on this machine.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use haul_tests::hauld::Hauld;

use super::plan::Pair;
use super::{Content, Counts};
use crate::Setting;
use crate::client::{Acks, Client};

/// Time that both may take, one after the other and several times over.
const CALM: Duration = Duration::from_secs(120);

/// The source's name, and the target's.
const SOURCE: &str = "pair";

/// The circumstances of the runs.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) server: &'a Hauld,
}

impl Runs<'_> {
    /// Starts both. One of them stores the file; the other one does too, or leaves it to the first.
    pub(super) fn race(&self, plan: &Pair, number: u64, counts: &mut Counts) -> anyhow::Result<()> {
        let source = self.setting.directory.join(SOURCE);
        if let Some(len) = plan.fresh {
            fs::write(&source, Content::new(number, len).bytes)?;
        }
        let acks = Arc::new(Acks::default());
        let start = |connections: u64| {
            let connections = connections.to_string();
            let args = ["put", "--connections", &connections, SOURCE, self.server.address()];
            let args = args.map(String::from);
            let Setting { binaries, directory, logs, .. } = self.setting;
            let own = directory.join("haul");
            Client::start(&binaries.haul, (directory, &own), &args, logs, &acks)
        };
        let one = start(plan.connections[0])?;
        std::thread::sleep(plan.apart);
        let runs = [one, start(plan.connections[1])?];
        counts.pairs += 1;
        let until = Instant::now() + CALM;
        let (mut stored, mut has_told) = (0, false);
        for mut run in runs {
            let status = loop {
                if let Some(status) = run.ended()? {
                    break status;
                }
                ensure!(Instant::now() < until, "haul put has not ended within {CALM:?}");
                std::thread::sleep(Duration::from_millis(2));
            };
            let told = run.told()?;
            if status.success() {
                let summary = told.summary.context("no summary")?;
                // A file that was there before is told as unchanged.
                let counts = ["files", "unchanged"].map(|field| summary[field].as_u64());
                let has_stored = counts == [Some(1), Some(0)] && acks.has(SOURCE);
                let was_there = counts == [Some(0), Some(1)];
                ensure!(has_stored || was_there, "a run that has not told of the file: {summary}");
                stored += 1;
                has_told |= has_stored;
                continue;
            }
            let left = told.failed.iter().all(|line| line.contains("a newer run sends this file"));
            let left = left && !told.failed.is_empty() && status.code() == Some(1);
            ensure!(left, "haul put ended with {status}: {:?}", told.failed);
            counts.left += 1;
        }
        ensure!(stored > 0, "each run has left the file to the other one");
        let is_fresh = plan.fresh.is_some();
        ensure!(has_told || !is_fresh, "a run has stored the file, and none has said so");
        counts.stored += stored;
        let found = fs::read(self.server.root().join(SOURCE)).context("a file that is stored")?;
        ensure!(
            found == fs::read(&source)?,
            "the file that is stored is not the one that was sent"
        );
        Ok(())
    }
}
