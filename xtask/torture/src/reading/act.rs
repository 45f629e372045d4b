//! Carries out the plan of a pass.

use std::fs;
use std::time::Instant;

use anyhow::ensure;
use haul_tests::alive;
use haul_tests::relay::Event;
use rustix::process::Signal;

use super::pass::Disturbed;
use super::plan::{Act, Verb};
use super::{root, start};
use crate::disturb::{Action, GRACE};

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
        self.weather.act(self.bout.ground(), action, pick)?;
        let (bout, reader) = (&mut *self.bout, &mut self.reader);
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
                    (reader.is_killed, self.start_at) = (true, Instant::now() + pause);
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
            Action::Cut { .. } | Action::Truncate { .. } => counts.cuts += 1,
            Action::Stall { .. } => counts.stalls += 1,
            Action::Delay { .. } => counts.delays += 1,
            Action::Fill { .. } => counts.full_disks += u64::from(bout.disk.is_some()),
        }
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
