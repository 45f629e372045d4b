//! One pass: both accounts run haul again and again, uploads come over HTTP, and the owner does one thing after the other.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::owner::Owner;
use super::plan::{Act, Pass};
use super::report::{Counts, What};
use super::{Bout, NAMES, root};
use crate::Setting;
use crate::accounts::Member;
use crate::client::{Acks, Client};
use crate::tus::{End, Sender, Upload, Way, Work};

/// Time that a pass may take.
const CALM: Duration = Duration::from_secs(180);

impl Bout<'_> {
    pub(super) fn pass(&mut self, plan: &Pass, number: u64) -> anyhow::Result<()> {
        for (member, changes) in self.members.iter_mut().zip(&plan.changes) {
            member.change(changes)?;
            for (name, size, digest) in member.sources()? {
                self.ledger.is_put(&name, size, &digest);
            }
        }
        let uploads = self.uploads(plan, number)?;
        self.ledger.is_moody();
        self.owner.relay.delay(plan.pace);
        let acks = [(); 2].map(|()| Arc::new(Acks::default()));
        self.run(plan, &uploads, &acks)?;
        self.owner.relay.delay(Duration::ZERO);
        self.settle(&uploads, &acks)?;
        for (who, token) in std::mem::take(&mut self.owner.tokens).into_iter().enumerate() {
            if let Some(token) = token {
                self.members[who].token = token;
                self.log_in(&self.members[who])?;
            }
        }
        if plan.switches_key {
            self.switch_key().context("another key")?;
        }
        self.counts.one(What::Passes);
        Ok(())
    }

    fn uploads(&mut self, plan: &Pass, pass: u64) -> anyhow::Result<Vec<Upload>> {
        let above = root(self.setting).join(NAMES[0]);
        let mut uploads = Vec::new();
        for (number, plan) in plan.uploads.iter().enumerate() {
            let name = format!("tus/file{pass}-{number}");
            let upload = Upload::new(plan.clone(), name, &above, None)?;
            let (size, digest) = (plan.size, blake3::hash(&upload.bytes).to_string());
            self.ledger.is_put(&format!("{}/{}", NAMES[0], upload.name), size, &digest);
            uploads.push(upload);
        }
        Ok(uploads)
    }

    fn run(
        &mut self,
        plan: &Pass,
        uploads: &[Upload],
        acks: &[Arc<Acks>; 2],
    ) -> anyhow::Result<()> {
        let (work, token) = (Work::of(uploads.len()), self.members[0].token.clone());
        let address = self.owner.relay.address().to_owned();
        let way = Way { address: &address, token: Some(&token) };
        let (setting, members) = (self.setting, &self.members);
        let (owner, counts) = (&mut self.owner, &mut self.counts);
        std::thread::scope(|scope| {
            let work = &work;
            let send = |upload| scope.spawn(move || work.run(Sender::new(upload, way, 0, false)));
            let senders: Vec<_> = uploads.iter().map(send).collect();
            let result = Disturbed { setting, owner, members, plan, acks, work, counts }.run();
            work.end();
            for sender in senders {
                sender.join().ok().context("a client over HTTP panicked")??;
            }
            result
        })
    }

    /// All that was acknowledged is there, and was told.
    fn settle(&mut self, uploads: &[Upload], acks: &[Arc<Acks>; 2]) -> anyhow::Result<()> {
        let root = root(self.setting);
        for (member, acks) in self.members.iter().zip(acks) {
            self.counts.add(What::Trees, member.check_tree(&root)?);
            let sources = member.sources()?;
            let digests: BTreeMap<_, _> =
                sources.iter().map(|(name, _, digest)| (name, digest)).collect();
            for name in acks.each() {
                let name = format!("{}/{name}", member.name);
                if let Some(digest) = digests.get(&name) {
                    self.ledger.is_acknowledged(&name, digest);
                }
            }
        }
        for upload in uploads {
            upload.look().with_context(|| upload.name.clone())?;
            self.counts.one(What::Uploads);
            if upload.end() == End::Whole {
                let digest = blake3::hash(&upload.bytes).to_string();
                self.ledger.is_acknowledged(&format!("{}/{}", NAMES[0], upload.name), &digest);
            }
        }
        // Counted in the end of the bout.
        self.ledger.settle(&root, &mut Counts::default())
    }
}

/// A pass under way.
struct Disturbed<'p, 'a> {
    setting: &'p Setting<'p>,
    owner: &'p mut Owner<'a>,
    members: &'p [Member; 2],
    plan: &'p Pass,
    acks: &'p [Arc<Acks>; 2],
    work: &'p Work,
    counts: &'p mut Counts,
}

/// A run of haul, and the number of starts of the server when it began.
struct Run {
    client: Client,
    starts: u64,
}

impl Disturbed<'_, '_> {
    fn run(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut steps = self.plan.steps.iter();
        let mut next = steps.next().map(|(pause, act)| (begun + *pause, act));
        let mut runs = [Some(self.haul(0)?), Some(self.haul(1)?)];
        loop {
            std::thread::sleep(Duration::from_millis(2));
            if let Some((at, act)) = next
                && Instant::now() >= at
            {
                self.act(act)?;
                next = steps.next().map(|(pause, act)| (Instant::now() + *pause, act));
            }
            for (who, slot) in runs.iter_mut().enumerate() {
                let Some(run) = slot else { continue };
                let Some(status) = run.client.ended()? else { continue };
                let Some(run) = slot.take() else { continue };
                // While the owner has work to do, so have the clients.
                if !self.has_ended(who, run, status)? || next.is_some() {
                    *slot = Some(self.haul(who)?);
                }
            }
            let are_over = runs.iter().all(Option::is_none) && next.is_none();
            if are_over && self.work.is_done() || self.work.has_failed() {
                return Ok(());
            }
            ensure!(begun.elapsed() < CALM, "the clients have not ended within {CALM:?}");
        }
    }

    fn act(&mut self, act: &Act) -> anyhow::Result<()> {
        self.owner.act(act, self.counts).with_context(|| format!("{act:?}"))
    }

    fn haul(&mut self, who: usize) -> anyhow::Result<Run> {
        self.counts.one(What::Runs);
        let how = (self.plan.verbs[who], self.plan.connections[who]);
        let address = self.owner.relay.address();
        let client = self.members[who].start(self.setting, address, how, &self.acks[who])?;
        Ok(Run { client, starts: self.owner.starts })
    }

    /// Whether a run has sent all. If the server ends, or a connection does, before a run has reached it, the run ends at once.
    fn has_ended(&mut self, who: usize, run: Run, status: ExitStatus) -> anyhow::Result<bool> {
        let (starts, told, name) = (run.starts, run.client.told()?, self.members[who].name);
        ensure!(told.garbled.is_none(), "haul of {name} told {:?}", told.garbled);
        let has_failed = !told.failed.is_empty();
        ensure!(!has_failed, "haul of {name} told of failures: {:?}", told.failed);
        if status.success() {
            return Ok(true);
        }
        let was_away = starts != self.owner.starts || self.counts.of(&What::Cuts) > 0;
        let is_known = status.code() == Some(3) && told.bytes_sent == 0 && was_away;
        ensure!(is_known, "haul of {name} ended with {status}");
        self.counts.one(What::NotReached);
        Ok(false)
    }
}
