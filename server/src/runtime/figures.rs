//! The state of the runtime in numbers, for those who watch the server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Runtime;
use crate::connection::Seen;
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

    /// Connections, those that were active last first: at most so many, and how many more there are.
    pub(crate) fn seen(&self, most: usize) -> (Vec<Arc<Seen>>, usize) {
        let mut all = Vec::with_capacity(self.slots.len());
        self.slots.for_each(|slot| all.extend(slot.seen.get().cloned()));
        // Once each: they change meanwhile.
        all.sort_by_cached_key(|seen| std::cmp::Reverse(seen.active()));
        let more = all.len().saturating_sub(most);
        all.truncate(most);
        (all, more)
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
