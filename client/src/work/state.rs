//! Everything that waits, behind one lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use mio::Waker;

use super::multipart::Large;
use super::{Item, Kind, Task};
use crate::error::ConnectionError;

/// Items and tasks that wait, each with its connection.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) batches: VecDeque<Vec<Item>>,
    /// Items in them.
    pub(super) queued: usize,
    pub(super) urgent: VecDeque<Task>,
    /// Large files that may have parts left to send, and the connection that does.
    pub(super) large: Vec<(Arc<Large>, Option<usize>)>,
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
    /// The connection that leaves work to others.
    pub(super) resting: Option<usize>,
    pub(super) error: Option<ConnectionError>,
    /// Threads that wait for a change.
    pub(super) sleepers: usize,
}

impl State {
    /// Wakes one connection that has nothing to do, or all of them.
    pub(super) fn wake(&mut self, all: bool) {
        self.wake_but(None, all);
    }

    /// The same, without the connection of this number, which looks for work in any case or never again.
    pub(super) fn wake_but(&mut self, caller: Option<usize>, all: bool) {
        for (number, (waker, idle)) in self.wakers.iter_mut().enumerate() {
            if caller == Some(number) {
                continue;
            }
            let is_resting = self.resting == Some(number);
            // It would leave the work to others, who would not know of it.
            if is_resting && !all {
                continue;
            }
            if *idle || is_resting || self.closed {
                *idle = false;
                // A poller that is gone belongs to a connection that needs no waking.
                let _ = waker.wake();
                if !all {
                    return;
                }
            }
        }
    }

    /// Items and tasks that a connection could take.
    pub(super) fn waiting(&self) -> usize {
        self.queued + self.urgent.len()
    }

    /// Whether there will never be anything to do again.
    pub(super) fn is_finished(&self) -> bool {
        self.closed && self.open == 0 && self.urgent.is_empty()
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
        self.urgent.pop_front()
    }

    /// A part of a large file: of one that connection `number` sends or nobody does; of `any` if it has
    /// nothing else to do. The kernel lets one write to a file at a time, so two connections with parts of
    /// the same file wait for each other at the server.
    pub(super) fn take_part(&mut self, number: usize, any: bool) -> Option<Task> {
        loop {
            let of = |wanted| self.large.iter().position(|(_, sender)| *sender == wanted);
            let others = || (any && !self.large.is_empty()).then_some(0);
            let at = of(Some(number)).or_else(|| of(None)).or_else(others)?;
            let (large, sender) = &mut self.large[at];
            let index = large.parts().take();
            if let Some(index) = index {
                sender.get_or_insert(number);
                return Some(Task::Part(Arc::clone(large), index));
            }
            self.large.remove(at);
        }
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

#[cfg(test)]
mod tests {
    use std::env::current_exe;

    use haul_protocol::{Bitmap, Geometry, Name, Token};

    use super::*;
    use crate::source::Source;
    use crate::source::links::Links;
    use crate::work::Work;

    /// A large file of two parts.
    fn large(name: &[u8]) -> Arc<Large> {
        let path = current_exe().unwrap();
        let source = Source::open(&path, Links::Copy).unwrap();
        let item = Item::new(path, Name::parse(name).unwrap(), Kind::File);
        let (geometry, held) = (Geometry::new(2048, 1024).unwrap(), Bitmap::new());
        Arc::new(Large::new(
            item,
            source,
            Token::parse(&"0".repeat(32)).unwrap(),
            geometry,
            held,
            0,
        ))
    }

    fn part(task: Option<Task>) -> Option<(String, usize)> {
        match task? {
            Task::Part(large, index) => Some((large.item.name.to_string(), index)),
            task => panic!("{task:?}"),
        }
    }

    #[test]
    fn large_file_is_sent_by_one_connection_while_others_have_something_else() {
        let files = [b"a", b"b"].map(|name| (large(name), None));
        let mut state = State { large: files.into(), ..State::default() };
        let expected = |name: &str, index| Some((name.to_owned(), index));
        assert_eq!(part(state.take_part(0, false)), expected("a", 0));
        assert_eq!(part(state.take_part(1, false)), expected("b", 0));
        assert_eq!(part(state.take_part(2, false)), None);
        assert_eq!(part(state.take_part(2, true)), expected("a", 1));
        assert_eq!(part(state.take_part(1, false)), expected("b", 1));
        assert_eq!(part(state.take_part(0, true)), None);
        assert!(state.large.is_empty());
    }

    #[test]
    fn large_file_of_a_connection_that_is_lost_is_anybodys() {
        let work = Work::new(2);
        work.add_large(large(b"a"));
        assert!(work.take(0, true).is_some());
        assert!(work.take(1, true).is_none());
        work.put_back(0, Vec::new());
        assert!(work.take(1, true).is_some());
    }
}
