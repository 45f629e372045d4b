//! The slow lane: connections whose turn was over before their work was.
//!
//! They stand there in their order, and the lane as a whole is one source of the poller's: among all that is ready it comes up
//! once, however many stand in it. Whichever worker finds it ready runs the first of them. So a peer that sends a short
//! request waits for the turns that are under way and for one of the lane at most, be there one long request or thousands.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

use super::conn_table::{Slot, Slots};
use crate::locks::{Mutex, Rank};
use crate::net::poller::{Interest, Poller};

/// The key of the lane in the poller.
pub(super) const KEY: u64 = u64::MAX - 1;

/// Connections that wait for their next turn.
///
/// Invariant: while there is one, the lane is armed, or a thread that has just put one in or taken one out is about to arm it.
#[derive(Debug)]
pub(super) struct SlowLane {
    /// Always readable: the poller tells of it once, whenever it is armed.
    ready: OwnedFd,
    keys: Mutex<VecDeque<u64>>,
}

impl SlowLane {
    /// Without a connection.
    pub(super) fn new(poller: &Poller) -> io::Result<Self> {
        let ready = eventfd(1, EventfdFlags::CLOEXEC)?;
        poller.add(&ready, KEY, Interest::NONE)?;
        Ok(Self { ready, keys: Mutex::new(Rank::SlowLane, VecDeque::new()) })
    }

    /// Puts a connection behind all others. It is parked and not armed; if it is there already, it keeps its place.
    pub(super) fn enter(&self, slot: &Slot, poller: &Poller) {
        if slot.enters_slow_lane() {
            self.keys.lock().push_back(slot.key);
            self.arm(poller);
        }
    }

    /// Takes the first one out. `None`: another worker has, or the connection is over.
    pub(super) fn next(&self, slots: &Slots, poller: &Poller) -> Option<Arc<Slot>> {
        let (first, is_empty) = {
            let mut keys = self.keys.lock();
            (keys.pop_front(), keys.is_empty())
        };
        if !is_empty {
            self.arm(poller);
        }
        let slot = slots.get(first?)?;
        slot.leaves_slow_lane();
        Some(slot)
    }

    fn arm(&self, poller: &Poller) {
        if let Err(error) = poller.arm(&self.ready, KEY, Interest::READ) {
            tracing::error!(%error, "could not arm the slow lane");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Origin;

    fn always_readable() -> Arc<OwnedFd> {
        Arc::new(eventfd(1, EventfdFlags::CLOEXEC).unwrap())
    }

    /// A lane with so many connections.
    fn lane(connections: usize) -> (Poller, Slots, SlowLane, Vec<Arc<Slot>>) {
        let (poller, slots) = (Poller::new().unwrap(), Slots::default());
        let lane = SlowLane::new(&poller).unwrap();
        let all: Vec<_> = (0..connections)
            .map(|_| slots.add(always_readable(), Origin::from(None)).unwrap())
            .collect();
        all.iter().for_each(|slot| lane.enter(slot, &poller));
        (poller, slots, lane, all)
    }

    #[test]
    fn connection_that_is_ready_comes_after_one_of_the_lane_however_many_stand_there() {
        let (poller, slots, lane, all) = lane(100);
        let ready = always_readable();
        poller.add(&*ready, 7, Interest::READ).unwrap();
        assert_eq!(poller.wait().unwrap(), Some(KEY));
        assert_eq!(lane.next(&slots, &poller).unwrap().key, all[0].key);
        // That one's turn is over once more.
        lane.enter(&all[0], &poller);
        assert_eq!(poller.wait().unwrap(), Some(7));
    }

    #[test]
    fn each_connection_of_the_lane_comes_once_and_in_its_order() {
        let (poller, slots, lane, all) = lane(3);
        lane.enter(&all[0], &poller);
        slots.remove(&all[1]);
        let mut found = Vec::new();
        for _ in 0..3 {
            assert_eq!(poller.wait().unwrap(), Some(KEY));
            found.push(lane.next(&slots, &poller).map(|slot| slot.key));
        }
        assert_eq!(found, [Some(all[0].key), None, Some(all[2].key)]);
        assert!(lane.next(&slots, &poller).is_none());
        // Nothing is left that the poller would tell of.
        poller.stop().unwrap();
        assert_eq!(poller.wait().unwrap(), None);
    }
}
