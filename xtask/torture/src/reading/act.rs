//! Carries out the plan of a pass.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::ensure;
use haul_tests::alive;
use haul_tests::relay::Event;
use rustix::process::Signal;

use super::pass::Disturbed;
use super::plan::{Act, Verb};
use super::{root, start};
use crate::disk::Disk;
use crate::disturb::{Action, GRACE};

/// A disturbance that ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Stall { cut: bool },
    Delay,
    Fill,
}

impl Disturbed<'_, '_> {
    /// Lets a step happen.
    pub(super) fn act(&mut self, act: &Act) -> anyhow::Result<()> {
        match act {
            Act::Bad(action) => self.disturb(*action),
            Act::Write(changes) => {
                if self.writer.is_some() {
                    return Ok(());
                }
                let bout = &mut *self.bout;
                bout.counts.writes += 1;
                bout.counts.written += bout.origin.change(changes, &mut bout.versions)?;
                self.writer = Some(bout.write(false)?);
                Ok(())
            }
            Act::Rival { connections } => {
                if self.rival.is_none() {
                    let connections = ["--connections".to_owned(), connections.to_string()];
                    self.rival = Some(self.bout.read(Verb::Get, &connections)?);
                    (self.is_rivalled, self.bout.counts.rivals) =
                        (true, self.bout.counts.rivals + 1);
                }
                Ok(())
            }
            Act::MoveRoot { time } => {
                let (root, away) =
                    (root(self.bout.setting), self.bout.setting.directory.join("away"));
                fs::rename(&root, &away)?;
                self.bout.counts.moved_roots += 1;
                let until = Instant::now() + *time;
                let mut ticked = Ok(());
                while ticked.is_ok() && Instant::now() < until {
                    ticked = self.tick(true);
                }
                ensure!(!root.exists(), "somebody has made the root anew");
                fs::rename(&away, &root)?;
                ticked
            }
        }
    }

    fn disturb(&mut self, action: Action) -> anyhow::Result<()> {
        let pick = self.random.index(64);
        let now = Instant::now();
        let (bout, reader) = (&mut *self.bout, &mut self.reader);
        let relay = &bout.relay;
        let happen =
            |event, all| if all { relay.now(event) } else { relay.now_to_one(event, pick) };
        let counts = &mut bout.counts;
        match action {
            Action::KillServer { down } => {
                bout.server.signal(Signal::KILL)?;
                bout.server.wait()?;
                counts.server_kills += 1;
                std::thread::sleep(down);
                self.start_server()?;
            }
            Action::StopServer => {
                alive::stop(&mut bout.server, GRACE)?;
                counts.server_stops += 1;
                self.start_server()?;
            }
            Action::KillClient { pause } => {
                if let Some(reader) = reader {
                    reader.run.signal(Signal::KILL);
                    (reader.is_killed, self.start_at) = (true, now + pause);
                    counts.client_kills += 1;
                }
            }
            Action::Interrupt => {
                if let Some(reader) = reader {
                    reader.run.signal(Signal::INT);
                    reader.is_killed = true;
                    counts.interrupts += 1;
                }
            }
            Action::Cut { all } => {
                happen(Event::Cut, all);
                counts.cuts += 1;
            }
            Action::Truncate { all } => {
                happen(Event::Truncate, all);
                counts.cuts += 1;
            }
            Action::Stall { all, time, cut } => {
                happen(Event::Stall, all);
                counts.stalls += 1;
                self.ends.push((now + time, End::Stall { cut }));
            }
            Action::Delay { each, time } => {
                relay.delay(each);
                counts.delays += 1;
                self.ends.push((now + time, End::Delay));
            }
            Action::Fill { left, time } => {
                if let Some(disk) = bout.disk {
                    disk.fill(left)?;
                    counts.full_disks += 1;
                    self.ends.push((now + time, End::Fill));
                }
            }
        }
        Ok(())
    }

    /// Ends a disturbance that lasts.
    pub(super) fn end(&self, end: End) -> anyhow::Result<()> {
        let relay = &self.bout.relay;
        match end {
            End::Stall { cut: true } => relay.now(Event::Cut),
            End::Stall { cut: false } => relay.now(Event::Resume),
            End::Delay => relay.delay(self.plan.pace),
            End::Fill => self.bout.disk.map_or(Ok(()), Disk::free)?,
        }
        Ok(())
    }

    /// Ends all disturbances.
    pub(super) fn heal(&mut self) -> anyhow::Result<()> {
        for (_, end) in std::mem::take(&mut self.ends) {
            self.end(end)?;
        }
        self.bout.relay.delay(Duration::ZERO);
        Ok(())
    }

    fn start_server(&mut self) -> anyhow::Result<()> {
        self.bout.server = start(self.bout.setting)?;
        for way in [&self.bout.relay, &self.bout.way] {
            way.lead_to(self.bout.server.address());
        }
        // Its connections to the server of before have ended, which the writer may not have noticed.
        self.bout.way.now(Event::Cut);
        Ok(())
    }
}
