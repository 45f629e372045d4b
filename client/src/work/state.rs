//! Everything that waits, behind one lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use mio::Waker;

use super::{Item, Kind, Task};
use crate::error::ConnectionError;
use crate::large::Large;

/// What waits, and for whom.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) batches: VecDeque<Vec<Item>>,
    /// Items in them.
    pub(super) queued: usize,
    pub(super) urgent: VecDeque<Task>,
    /// Large files that may have parts left to send.
    pub(super) large: Vec<Arc<Large>>,
    /// Large files that may have parts left to hash, because the server holds them.
    pub(super) held: Vec<Arc<Large>>,
    /// Large files under way, from before they are opened until they are settled.
    pub(super) large_open: usize,
    /// Large files that wait for one of those to be settled.
    pub(super) large_later: VecDeque<Item>,
    /// Items that are tried again when everything else is settled.
    pub(super) last: Vec<Item>,
    /// Items that are tried again when some time has passed.
    pub(super) delayed: Vec<(Instant, Item)>,
    pub(super) open: usize,
    pub(super) closed: bool,
    /// For each connection, how to wake it, and whether it has nothing to do.
    pub(super) wakers: Vec<(Arc<Waker>, bool)>,
    pub(super) error: Option<ConnectionError>,
}

impl State {
    /// Wakes one connection that has nothing to do, or all of them.
    pub(super) fn wake(&mut self, all: bool) {
        for (waker, idle) in &mut self.wakers {
            if *idle || self.closed {
                *idle = false;
                // A poller that is gone belongs to a connection that needs no waking.
                let _ = waker.wake();
                if !all {
                    return;
                }
            }
        }
    }

    /// The next new items.
    pub(super) fn take_batch(&mut self) -> Option<Vec<Item>> {
        let batch = self.batches.pop_front()?;
        self.queued -= batch.len();
        Some(batch)
    }

    /// The next task that goes before new items.
    pub(super) fn take_urgent(&mut self) -> Option<Task> {
        let now = Instant::now();
        while let Some(at) = self.delayed.iter().position(|(due, _)| *due <= now) {
            let (_, item) = self.delayed.swap_remove(at);
            self.urgent.push_back(Task::Item(item));
        }
        if let Some(task) = self.urgent.pop_front() {
            return Some(task);
        }
        while let Some(large) = self.large.first() {
            if let Some(index) = large.take() {
                return Some(Task::Part(Arc::clone(large), index));
            }
            self.large.remove(0);
        }
        None
    }

    /// Lets items go that wait for everything else: directories first, because they may be why the
    /// others were refused.
    pub(super) fn release_last(&mut self) {
        if self.last.is_empty() || self.open > self.last.len() {
            return;
        }
        let directory = |item: &Item| matches!(item.kind, Kind::Directory(_));
        let any = self.last.iter().any(directory);
        let (now, later): (Vec<Item>, Vec<Item>) =
            std::mem::take(&mut self.last).into_iter().partition(|item| directory(item) == any);
        self.last = later;
        self.urgent.extend(now.into_iter().map(Task::Item));
    }
}
