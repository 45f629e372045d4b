//! The state of the runtime in numbers, for those who watch the server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Runtime;
use crate::pulse::Pulse;

/// Numbers of one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Connections that are open, and the most that the server serves.
    pub(crate) connections: usize,
    pub(crate) most_connections: usize,
    pub(crate) workers: usize,
    /// Workers that run a turn.
    pub(crate) busy: usize,
    /// Bytes of memory that all connections hold.
    pub(crate) held: usize,
    /// Newcomers wait, because there is no room for them.
    pub(crate) is_paused: bool,
}

impl Runtime {
    /// The state in numbers. Looks at no connection, so it costs the same for one and for thousands.
    pub(crate) fn figures(&self) -> Figures {
        let workers = &self.pulses.workers;
        Figures {
            connections: self.slots.len(),
            most_connections: self.door.inside(),
            workers: workers.len(),
            busy: workers.iter().filter(|pulse| pulse.is_busy()).count(),
            held: self.memory.held(),
            is_paused: self.paused.load(Ordering::Relaxed),
        }
    }

    /// The threads that have been at one piece of work for longer than this.
    pub(crate) fn stuck(&self, limit: Duration) -> Vec<String> {
        let workers = self.pulses.workers.iter().enumerate();
        let workers = workers.map(|(index, pulse)| (format!("worker-{index}"), pulse));
        let committer = self.services.committer.as_ref();
        let committer = committer.map(|it| (String::from("committer"), it.pulse()));
        let timer = (String::from("timer"), &self.pulses.timer);
        let is_stuck = |(name, pulse): (String, &Pulse)| pulse.is_stuck(limit).then_some(name);
        workers.chain(committer).chain([timer]).filter_map(is_stuck).collect()
    }
}
