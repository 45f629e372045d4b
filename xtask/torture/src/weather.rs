//! Disturbances of the network and the disk, some of which last for a while.

use std::time::{Duration, Instant};

use haul_tests::relay::{Event, Relay};

use crate::disk::Disk;
use crate::disturb::Action;

/// A disturbance that ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stall { cut: bool },
    Delay,
    Fill,
}

/// All that disturbances of the network and the disk happen to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'g> {
    /// The network between clients and a server.
    pub(crate) relay: &'g Relay,
    pub(crate) disk: Option<&'g Disk>,
}

/// The disturbances that last, and will end by themselves.
#[derive(Debug)]
pub(crate) struct Weather {
    /// Time that each piece of 16 KiB takes when nothing is wrong.
    pace: Duration,
    ends: Vec<(Instant, End)>,
}

impl Weather {
    /// Good weather, in which the network has this pace.
    pub(crate) fn new(relay: &Relay, pace: Duration) -> Self {
        relay.delay(pace);
        Self { pace, ends: Vec::new() }
    }

    /// Lets a disturbance happen, to all connections or to the one that `pick` leads to. Signals to server and client are
    /// none of its disturbances.
    pub(crate) fn act(
        &mut self,
        on: Ground<'_>,
        action: Action,
        pick: usize,
    ) -> anyhow::Result<()> {
        let (now, relay) = (Instant::now(), on.relay);
        let happen =
            |event, all| if all { relay.now(event) } else { relay.now_to_one(event, pick) };
        match action {
            Action::Cut { all } => happen(Event::Cut, all),
            Action::Truncate { all } => happen(Event::Truncate, all),
            Action::Stall { all, time, cut } => {
                happen(Event::Stall, all);
                self.ends.push((now + time, End::Stall { cut }));
            }
            Action::Delay { each, time } => {
                relay.delay(each);
                self.ends.push((now + time, End::Delay));
            }
            Action::Fill { left, time } => {
                if let Some(disk) = on.disk {
                    disk.fill(left)?;
                    self.ends.push((now + time, End::Fill));
                }
            }
            Action::KillServer { .. }
            | Action::StopServer
            | Action::KillClient { .. }
            | Action::Interrupt => {}
        }
        Ok(())
    }

    /// Whether the disk is full in this moment.
    pub(crate) fn is_full(&self) -> bool {
        self.ends.iter().any(|(_, end)| *end == End::Fill)
    }

    /// Ends the disturbances whose time is over.
    pub(crate) fn tick(&mut self, on: Ground<'_>) -> anyhow::Result<()> {
        let now = Instant::now();
        let due: Vec<_> = self.ends.extract_if(.., |(at, _)| *at <= now).collect();
        due.into_iter().try_for_each(|(_, end)| self.end(on, end))
    }

    /// Makes room on the disk.
    pub(crate) fn free(&mut self, on: Ground<'_>) -> anyhow::Result<()> {
        self.ends.retain(|(_, end)| *end != End::Fill);
        self.end(on, End::Fill)
    }

    /// Ends all disturbances.
    pub(crate) fn heal(&mut self, on: Ground<'_>) -> anyhow::Result<()> {
        let ends = std::mem::take(&mut self.ends);
        ends.into_iter().try_for_each(|(_, end)| self.end(on, end))?;
        on.relay.delay(Duration::ZERO);
        Ok(())
    }

    fn end(&self, on: Ground<'_>, end: End) -> anyhow::Result<()> {
        match end {
            End::Stall { cut: true } => on.relay.now(Event::Cut),
            End::Stall { cut: false } => on.relay.now(Event::Resume),
            End::Delay => on.relay.delay(self.pace),
            End::Fill => on.disk.map_or(Ok(()), Disk::free)?,
        }
        Ok(())
    }
}
