//! Carries out the plan of a round.

use std::time::{Duration, Instant};

use haul_tests::alive;
use rustix::process::Signal;

use super::{Round, start};
use crate::disturb::{Action, GRACE};
use crate::weather::Ground;

impl Round<'_> {
    /// Lets a step happen.
    pub(super) fn act(&mut self, action: Action) -> anyhow::Result<()> {
        let pick = self.plan.random.index(64);
        let on = Ground { relay: &self.relay, disk: self.setting.disk };
        self.weather.act(on, action, pick)?;
        let counts = &mut self.counts;
        match action {
            Action::KillServer { down } => return self.kill_server(down),
            Action::StopServer => return self.stop_server(),
            Action::KillClient { pause } => {
                if let Some(client) = &self.client {
                    client.signal(Signal::KILL);
                    (self.killed, self.start_at) = (true, Instant::now() + pause);
                    counts.client_kills += 1;
                }
            }
            Action::Interrupt => {
                if let Some(client) = &self.client {
                    client.signal(Signal::INT);
                    self.killed = true;
                    counts.interrupts += 1;
                }
            }
            Action::Cut { .. } => counts.cuts += 1,
            Action::Truncate { .. } => counts.truncations += 1,
            Action::Stall { .. } => counts.stalls += 1,
            Action::Delay { .. } => counts.delays += 1,
            Action::Fill { .. } => counts.full_disks += u64::from(self.setting.disk.is_some()),
        }
        Ok(())
    }

    fn kill_server(&mut self, down: Duration) -> anyhow::Result<()> {
        self.server.signal(Signal::KILL)?;
        self.server.wait()?;
        self.counts.server_kills += 1;
        self.check_acks("while the server is dead")?;
        std::thread::sleep(down);
        self.start_server()?;
        self.check_acks("when the server was started again")
    }

    fn stop_server(&mut self) -> anyhow::Result<()> {
        alive::stop(&mut self.server, GRACE)?;
        self.counts.server_stops += 1;
        self.check_acks("while the server is stopped")?;
        self.start_server()
    }

    /// Starts the server again. A full disk may not let it.
    fn start_server(&mut self) -> anyhow::Result<()> {
        self.server = match start(&self.setting, &self.plan) {
            Err(_) if self.weather.is_full() => {
                self.counts.starts_refused += 1;
                self.weather.free(Ground { relay: &self.relay, disk: self.setting.disk })?;
                start(&self.setting, &self.plan)?
            }
            result => result?,
        };
        self.relay.lead_to(self.server.address());
        Ok(())
    }
}
