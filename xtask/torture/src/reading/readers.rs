//! The runs of haul in a pass: the reader, its rival, and the writer.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::Bout;
use super::origin::TREE;
use super::plan::Verb;
use crate::client::{Acks, Client, Told};

/// A run that brings files here.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) run: Client,
    /// The versions that the server had for certain when it began.
    pub(super) there: BTreeMap<u64, u64>,
    /// A signal has been sent to it.
    pub(super) is_killed: bool,
}

/// A run that sends the origin.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) run: Client,
    /// The version of each file that it sends.
    pub(super) sends: BTreeMap<u64, u64>,
}

/// How the run of a reader has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    Failed,
}

impl Bout<'_> {
    /// Starts a reader.
    pub(super) fn read(&mut self, verb: Verb, options: &[String]) -> anyhow::Result<Client> {
        let words: &[&str] = match verb {
            Verb::Get => &["get"],
            Verb::Sync => &["sync"],
            Verb::Mirror => &["sync", "--delete"],
        };
        let source = format!("haul://{}/{TREE}", self.relay.address());
        let words = words.iter().map(ToString::to_string).chain(options.iter().cloned());
        let target = self.eye.back.to_string_lossy().into_owned();
        let words: Vec<String> = words.chain([source, target]).collect();
        self.counts.runs += 1;
        self.haul(self.setting.directory, &words)
    }

    /// Starts a run that makes the server's tree like the origin. In peace it removes there as well.
    pub(super) fn write(&self, removes: bool) -> anyhow::Result<Writer> {
        let words: &[&str] = if removes { &["sync", "--delete"] } else { &["put"] };
        let words = [words, &[TREE, self.way.address()]].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let run = self.haul(self.origin.directory(), &words)?;
        Ok(Writer { run, sends: self.origin.files.clone() })
    }

    fn haul(&self, directory: &Path, words: &[String]) -> anyhow::Result<Client> {
        let own = self.setting.directory.join("haul");
        let acks = Arc::new(Acks::default());
        let haul = &self.setting.binaries.haul;
        Client::start(haul, (directory, &own), words, self.setting.logs, &acks)
    }

    /// Takes note of the end of a reader: its exit code must say how it went.
    pub(super) fn reader_ended(
        &mut self,
        (status, told): (ExitStatus, Told),
        is_killed: bool,
    ) -> anyhow::Result<Ended> {
        if let Some(line) = told.garbled {
            bail!("the client printed {line:?}");
        }
        self.counts.bytes_received += told.bytes_received;
        self.counts.bytes_resumed += told.bytes_resumed;
        for failed in &told.failed {
            let has = |words: &[&str]| words.iter().any(|word| failed.contains(word));
            if has(&["No space left on device", "os error 28"]) {
                ensure!(self.disk.is_some(), "the disk was never full: {failed}");
                self.counts.no_space += 1;
            } else if has(&["(changed)"]) {
                self.counts.changed += 1;
            } else {
                let is_known = has(&["the connection was lost", "(root_gone)"]);
                ensure!(is_known, "unexpected: {failed}");
                self.counts.disturbed += 1;
            }
        }
        let expected = match status.code() {
            Some(0) => told.failed.is_empty(),
            Some(1) => !told.failed.is_empty(),
            Some(3) => true,
            Some(130) | None => is_killed,
            Some(_) => false,
        };
        ensure!(expected, "the reader ended with {status}; failed: {:?}", told.failed);
        if !status.success() {
            return Ok(Ended::Failed);
        }
        let summary = told.summary.context("no summary")?;
        self.counts.removed += summary["removed"].as_u64().unwrap_or(0);
        Ok(Ended::Well)
    }

    /// After a run that ended well: each file shows a version that is not older than that of the server when the run began.
    pub(super) fn has_all(&mut self, there: &BTreeMap<u64, u64>) -> anyhow::Result<()> {
        self.eye.look(&self.versions)?;
        for (file, oldest) in there {
            let shown = self.eye.shown(*file);
            let is_newer = shown.is_some_and(|shown| {
                shown >= *oldest && self.eye.here.get(file).is_none_or(|here| *here != shown)
            });
            // The version that was here before may be the one that the server has.
            let is_same = shown == Some(*oldest);
            let name = super::name(*file);
            ensure!(
                is_newer || is_same,
                "the run ended well, and {name} shows version {shown:?}, not {oldest} or a newer one"
            );
        }
        Ok(())
    }

    /// Waits for the end of a run that nothing disturbs.
    pub(super) fn wait(&mut self, mut run: Client) -> anyhow::Result<(ExitStatus, Told)> {
        /// Time that such a run may take.
        const CALM: Duration = Duration::from_secs(120);
        let until = std::time::Instant::now() + CALM;
        loop {
            if let Some(status) = run.ended()? {
                return Ok((status, run.told()?));
            }
            ensure!(std::time::Instant::now() < until, "no end after {CALM:?} in peace");
            std::thread::sleep(Duration::from_millis(5));
            self.eye.look(&self.versions)?;
        }
    }
}
