//! One pass: readers, one after the other, while all kinds of things happen; and then a run in peace.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use haul_tests::random::Random;
use haul_tests::tree;

use super::origin::TREE;
use super::plan::{Pass, Verb};
use super::readers::{Ended, Reader, Writer};
use super::{Bout, root};
use crate::client::Client;
use crate::disturb::client_options;
use crate::weather::Weather;

/// The time between two looks at the target, at which all is as it should be.
const LOOK: Duration = Duration::from_millis(20);

/// Time that the last runs may take when nothing disturbs them any more.
const CALM: Duration = Duration::from_secs(120);

/// A pass under way.
pub(super) struct Disturbed<'b, 'a> {
    pub(super) bout: &'b mut Bout<'a>,
    pub(super) plan: Pass,
    /// Chooses options of readers, and the connection of each action that is about one.
    pub(super) random: Random,
    pub(super) reader: Option<Reader>,
    pub(super) rival: Option<Client>,
    /// A rival was there in the time of the present reader.
    pub(super) is_rivalled: bool,
    pub(super) writer: Option<Writer>,
    /// The versions that the server has for certain.
    pub(super) there: BTreeMap<u64, u64>,
    /// The next reader starts then.
    pub(super) start_at: Instant,
    pub(super) weather: Weather,
    pub(super) looked_at: Instant,
}

impl Bout<'_> {
    pub(super) fn pass(&mut self, plan: Pass, random: Random, number: u64) -> anyhow::Result<()> {
        self.origin.change(&plan.there, &mut self.versions)?;
        self.origin.turn_links(number)?;
        self.send("before the pass")?;
        self.change_here(&plan.here)?;
        self.eye.begin(&self.origin, plan.verb == Verb::Mirror)?;
        let there = self.origin.files.clone();
        let weather = Weather::new(&self.relay, plan.pace);
        let (verb, loses_root) = (plan.verb, plan.loses_root);
        let mut disturbed = Disturbed {
            bout: self,
            plan,
            random,
            reader: None,
            rival: None,
            is_rivalled: false,
            writer: None,
            there,
            start_at: Instant::now(),
            weather,
            looked_at: Instant::now(),
        };
        disturbed.run()?;
        self.send("after the disturbances")?;
        self.in_peace(verb).with_context(|| format!("{verb:?} in peace"))?;
        if loses_root {
            self.without_root()?;
        }
        // In the end everything is the same, whatever the pass was about.
        self.eye.begin(&self.origin, true)?;
        self.in_peace(Verb::Mirror).context("--delete in peace")?;
        let compared = tree::compare(&root(self.setting).join(TREE), &self.eye.back.join(TREE));
        compared.context("the trees differ")?;
        self.eye.here = self.origin.files.clone();
        self.counts.passes += 1;
        Ok(())
    }

    /// Makes the server's tree that of the origin, in peace.
    fn send(&mut self, when: &str) -> anyhow::Result<()> {
        let writer = self.write(true)?;
        let (status, told) = self.wait(writer.run)?;
        ensure!(status.success(), "the writer ended with {status} {when}: {:?}", told.failed);
        let compared =
            tree::compare(&self.origin.directory().join(TREE), &root(self.setting).join(TREE));
        compared.map(|_| ()).with_context(|| format!("the server's tree {when}"))
    }

    /// A run that nothing disturbs brings all files, and leaves none of its own.
    fn in_peace(&mut self, verb: Verb) -> anyhow::Result<()> {
        let run = self.read(verb, &[])?;
        let ended = self.wait(run)?;
        let told = format!("{}, failed: {:?}", ended.0, ended.1.failed);
        ensure!(self.reader_ended(ended, false)? == Ended::Well, "the run ended with {told}");
        let there = self.origin.files.clone();
        self.has_all(&there)?;
        for (file, number) in there {
            ensure!(self.eye.shown(file) == Some(number), "{} is old", super::name(file));
        }
        let left = self.eye.arriving()?;
        ensure!(left.is_empty(), "temporary files are left: {left:?}");
        Ok(())
    }

    /// A run that may remove everything removes nothing, for the server's root is elsewhere.
    pub(super) fn without_root(&mut self) -> anyhow::Result<()> {
        let (root, away) = (root(self.setting), self.setting.directory.join("away"));
        let before = self.eye.names()?;
        fs::rename(&root, &away)?;
        self.counts.moved_roots += 1;
        let words = ["--delete-all", "--force-delete"].map(String::from);
        let run = self.read(Verb::Mirror, &words)?;
        let ended = self.wait(run);
        fs::rename(&away, &root)?;
        let (status, told) = ended?;
        ensure!(
            status.code() == Some(3),
            "without the server's root the run ended with {status}: {:?}",
            told.failed
        );
        ensure!(self.eye.names()? == before, "without the server's root names here have changed");
        Ok(())
    }
}

impl Disturbed<'_, '_> {
    fn run(&mut self) -> anyhow::Result<()> {
        for step in self.plan.steps.clone() {
            let until = Instant::now() + step.pause;
            while Instant::now() < until {
                self.tick(true)?;
            }
            self.act(&step.act).with_context(|| format!("{:?}", step.act))?;
            self.look().with_context(|| format!("after {:?}", step.act))?;
        }
        self.weather.heal(self.bout.ground())?;
        let until = Instant::now() + CALM;
        while self.reader.is_some() || self.rival.is_some() || self.writer.is_some() {
            ensure!(Instant::now() < until, "a run does not end");
            self.tick(false)?;
        }
        self.look()
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let bout = &mut *self.bout;
        self.looked_at = Instant::now();
        bout.eye.look(&bout.versions)
    }

    /// Waits a moment, and sees to runs that have ended and disturbances that end.
    pub(super) fn tick(&mut self, starts: bool) -> anyhow::Result<()> {
        std::thread::sleep(Duration::from_millis(2));
        self.weather.tick(self.bout.ground())?;
        if self.looked_at.elapsed() >= LOOK {
            self.look()?;
        }
        self.writer_ended()?;
        self.rival_ended()?;
        self.reader_ended()?;
        if self.reader.is_none() && starts && Instant::now() >= self.start_at {
            let mut options = client_options(&mut self.random);
            // `sync` always waits for the disk.
            if self.plan.verb == Verb::Get && !self.plan.is_durable {
                options.extend(["--durability", "none"].map(String::from));
            }
            let run = self.bout.read(self.plan.verb, &options)?;
            self.is_rivalled = self.rival.is_some();
            self.reader = Some(Reader { run, there: self.there.clone(), is_killed: false });
        }
        Ok(())
    }

    fn reader_ended(&mut self) -> anyhow::Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let Some(status) = reader.run.ended()? else { return Ok(()) };
        let Some(Reader { run, there, is_killed }) = self.reader.take() else { return Ok(()) };
        let ended = (status, run.told()?);
        let ended = self.bout.reader_ended(ended, is_killed).context("a reader")?;
        // A rival may bring an older version late.
        if ended == Ended::Well && !self.is_rivalled {
            self.bout.has_all(&there)?;
        }
        self.look().context("when a reader has ended")
    }

    fn rival_ended(&mut self) -> anyhow::Result<()> {
        let Some(rival) = &mut self.rival else { return Ok(()) };
        let Some(status) = rival.ended()? else { return Ok(()) };
        let Some(rival) = self.rival.take() else { return Ok(()) };
        let ended = (status, rival.told()?);
        self.bout.reader_ended(ended, true).context("a rival").map(|_| ())
    }

    /// The writer may have failed while the server was gone; the next one sends the rest.
    fn writer_ended(&mut self) -> anyhow::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let Some(status) = writer.run.ended()? else { return Ok(()) };
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let told = writer.run.told()?;
        let code = status.code();
        ensure!(matches!(code, Some(0 | 1 | 3)), "the writer: {status}, {:?}", told.failed);
        if status.success() {
            self.there = writer.sends;
        }
        Ok(())
    }
}
