//! Carries out the plan of a round.

use std::time::{Duration, Instant};

use haul_tests::alive;
use haul_tests::relay::Event;
use rustix::process::Signal;

use super::{Round, start};
use crate::disk::Disk;
use crate::disturb::{Action, GRACE};

/// A disturbance that ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Stall { cut: bool },
    Delay,
    Fill,
}

impl Round<'_> {
    /// Lets a step happen.
    pub(super) fn act(&mut self, action: Action) -> anyhow::Result<()> {
        let pick = self.plan.random.index(64);
        let now = Instant::now();
        let relay = &self.relay;
        let happen =
            |event, all| if all { relay.now(event) } else { relay.now_to_one(event, pick) };
        match action {
            Action::KillServer { down } => {
                self.server.signal(Signal::KILL)?;
                self.server.wait()?;
                self.counts.server_kills += 1;
                self.check_acks("while the server is dead")?;
                std::thread::sleep(down);
                self.start_server()?;
                self.check_acks("when the server was started again")?;
            }
            Action::StopServer => {
                alive::stop(&mut self.server, GRACE)?;
                self.counts.server_stops += 1;
                self.check_acks("while the server is stopped")?;
                self.start_server()?;
            }
            Action::KillClient { pause } => {
                if let Some(client) = &self.client {
                    client.signal(Signal::KILL);
                    (self.killed, self.start_at) = (true, now + pause);
                    self.counts.client_kills += 1;
                }
            }
            Action::Interrupt => {
                if let Some(client) = &self.client {
                    client.signal(Signal::INT);
                    self.killed = true;
                    self.counts.interrupts += 1;
                }
            }
            Action::Cut { all } => {
                happen(Event::Cut, all);
                self.counts.cuts += 1;
            }
            Action::Truncate { all } => {
                happen(Event::Truncate, all);
                self.counts.truncations += 1;
            }
            Action::Stall { all, time, cut } => {
                happen(Event::Stall, all);
                self.ends.push((now + time, End::Stall { cut }));
                self.counts.stalls += 1;
            }
            Action::Delay { each, time } => {
                self.relay.delay(each);
                self.ends.push((now + time, End::Delay));
                self.counts.delays += 1;
            }
            Action::Fill { left, time } => {
                if let Some(disk) = self.setting.disk {
                    disk.fill(left)?;
                    self.ends.push((now + time, End::Fill));
                    self.counts.full_disks += 1;
                }
            }
        }
        Ok(())
    }

    /// Ends a disturbance that lasts.
    pub(super) fn end(&self, end: End) -> anyhow::Result<()> {
        match end {
            End::Stall { cut: true } => self.relay.now(Event::Cut),
            End::Stall { cut: false } => self.relay.now(Event::Resume),
            End::Delay => self.relay.delay(self.plan.pace),
            End::Fill => self.setting.disk.map_or(Ok(()), Disk::free)?,
        }
        Ok(())
    }

    /// Ends all disturbances.
    pub(super) fn heal(&mut self) -> anyhow::Result<()> {
        for (_, end) in std::mem::take(&mut self.ends) {
            self.end(end)?;
        }
        self.relay.delay(Duration::ZERO);
        Ok(())
    }

    /// Starts the server again. A full disk may not let it.
    fn start_server(&mut self) -> anyhow::Result<()> {
        self.server = match (start(&self.setting, &self.plan), self.setting.disk) {
            (Err(_), Some(disk)) if self.ends.iter().any(|(_, end)| *end == End::Fill) => {
                self.counts.starts_refused += 1;
                disk.free()?;
                start(&self.setting, &self.plan)?
            }
            (result, _) => result?,
        };
        self.relay.lead_to(self.server.address());
        Ok(())
    }
}
