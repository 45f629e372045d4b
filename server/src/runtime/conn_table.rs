//! All connections, as others than their owners see them: found by key, woken, looked at by the timer.
//! [`super::ownership`] says which thread runs a connection.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fd::OwnedFd;
use rustix::net::Shutdown;
use slab::Slab;

use super::memory::Held;
use super::ownership::Ownership;
use crate::accounts::Origin;
use crate::commit::notify::Done;
use crate::connection::{Connection, Seen, Way};
use crate::locks::{Mutex, Rank, RwLock};
use crate::net::poller::{Interest, Poller, is_writable};
use crate::services::timeouts::{Deadline, NEVER, Owes};

/// One connection, as others than its owner see it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Names this entry of the table in the poller: an index, and a generation against events that come late.
    pub(crate) key: u64,
    /// Shared with the connection: armed here, and shut down at a deadline.
    pub(crate) socket: Arc<OwnedFd>,
    /// Milliseconds of the server's clock at which the peer has been silent for too long.
    deadline: AtomicU64,
    /// The same if connections are scarce.
    scarce: AtomicU64,
    /// The bytes or the reading that the peer owes by then, as [`Owes`].
    owes: AtomicU8,
    owner: Ownership<Box<Connection>>,
    /// Changes of this connection that the committer is done with.
    completions: Mutex<Vec<Done>>,
    /// The memory that it holds.
    pub(crate) held: Held,
    /// Itself as those who watch see it, once it is there.
    pub(crate) seen: OnceLock<Arc<Seen>>,
    /// Whom it comes from.
    pub(crate) origin: Origin,
    /// Since when it has been at the door, in milliseconds of the server's clock; [`NEVER`]: it is not there.
    door: AtomicU64,
    /// The reason for which it has to make way, as [`Way`]; 0: none.
    way: AtomicU8,
    /// It has come in by the port that is open for one client.
    is_direct: AtomicBool,
    /// It stands in the slow lane.
    is_in_slow_lane: AtomicBool,
}

impl Slot {
    /// Takes a parked connection to run it. `None` if it is running (and now notified) or closed.
    pub(crate) fn take(&self) -> Option<Box<Connection>> {
        self.owner.take()
    }

    /// Parks a connection and arms it; gives it back if it was notified while it ran.
    #[must_use]
    pub(crate) fn park(
        &self,
        poller: &Poller,
        connection: Box<Connection>,
        interest: Interest,
    ) -> Option<Box<Connection>> {
        self.owner.park(connection, || {
            // Armed for nothing it would still be told of a hang-up, again and again.
            if interest != Interest::NONE {
                self.arm(poller, interest);
            }
        })
    }

    fn arm(&self, poller: &Poller, interest: Interest) {
        if let Err(error) = poller.arm(&*self.socket, self.key, interest) {
            tracing::error!(%error, "could not arm a connection");
        }
    }

    /// The committer is done with a change; the worker that runs the connection next takes this.
    pub(crate) fn complete(&self, completion: Done) {
        self.completions.lock().push(completion);
    }

    /// Takes the results that the committer has left.
    pub(crate) fn take_completions(&self) -> Vec<Done> {
        std::mem::take(&mut self.completions.lock())
    }

    /// Makes a worker run the connection soon, whatever its peer does.
    pub(crate) fn wake(&self, poller: &Poller) {
        // A socket is nearly always writable, so this fires at once.
        self.owner.wake(|| self.arm(poller, Interest::BOTH));
    }

    /// The same for a connection that must make room, also if its socket takes nothing, so that no readiness would wake
    /// its owner; the end of the socket does. A peer that can't be written to can't be told anything either.
    pub(crate) fn wake_or_shut(&self, poller: &Poller) {
        if !is_writable(&self.socket) {
            // The peer may be gone already; then its owner knows that as well.
            let _ = rustix::net::shutdown(&*self.socket, Shutdown::Both);
        }
        self.wake(poller);
    }

    /// Since when the connection has been at the door, as its owner says.
    pub(crate) fn set_at_door(&self, since: Option<u64>) {
        self.door.store(since.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// The same, as others see it.
    pub(crate) fn at_door(&self) -> Option<u64> {
        Some(self.door.load(Ordering::Relaxed)).filter(|since| *since != NEVER)
    }

    /// Has its owner see to it that the connection makes way, once it is woken.
    pub(crate) fn ask_to_make_way(&self, way: Way) {
        if way == Way::Door {
            self.set_at_door(None);
        }
        self.way.store(way as u8, Ordering::Release);
    }

    /// Notes that it has come in by the port that is open for one client.
    pub(crate) fn mark_direct(&self) {
        self.is_direct.store(true, Ordering::Release);
    }

    /// Ends a connection that came so: its client is gone.
    pub(crate) fn end_if_direct(&self, poller: &Poller) {
        if self.is_direct() {
            // The peer may be gone already.
            let _ = rustix::net::shutdown(&*self.socket, Shutdown::Both);
            self.wake(poller);
        }
    }

    /// Whether it came so.
    pub(crate) fn is_direct(&self) -> bool {
        self.is_direct.load(Ordering::Acquire)
    }

    /// Notes that it stands in the slow lane; whether it did not before.
    pub(super) fn enters_slow_lane(&self) -> bool {
        !self.is_in_slow_lane.swap(true, Ordering::AcqRel)
    }

    /// It does no more; whoever says so takes the connection next.
    pub(super) fn leaves_slow_lane(&self) {
        self.is_in_slow_lane.store(false, Ordering::Release);
    }

    /// The reason for which its owner has to make it make way now; told once.
    pub(crate) fn take_way(&self) -> Option<Way> {
        Way::of(self.way.swap(0, Ordering::AcqRel))
    }

    /// Both moments are released after the debt, so that whoever acquires one of them sees its debt or a newer one. If the debt
    /// is newer, the moment has changed by the time at which the timer takes it.
    pub(crate) fn set_deadline(&self, deadline: Deadline) {
        self.owes.store(deadline.owes as u8, Ordering::Relaxed);
        self.scarce.store(deadline.scarce, Ordering::Release);
        self.deadline.store(deadline.at, Ordering::Release);
    }

    /// Lets the owner look at a deadline that has passed. Bytes of the peer may wait to be read, so
    /// only the owner can tell whether it is late.
    pub(crate) fn expire(&self, poller: &Poller, now: u64, scarce: bool) {
        let which = if scarce && self.scarce.load(Ordering::Relaxed) <= now {
            &self.scarce
        } else {
            &self.deadline
        };
        let at = which.load(Ordering::Acquire);
        let owes = self.owes.load(Ordering::Relaxed);
        if at > now {
            return;
        }
        // If the owner has moved the deadline in this moment, the peer is not silent.
        if which.compare_exchange(at, NEVER, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        match owes == Owes::Reading as u8 {
            // If the socket can be written to, the connection only waits for a worker.
            true => self.wake_or_shut(poller),
            false => self.wake(poller),
        }
    }
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: RwLock<Slab<Arc<Slot>>>,
    /// Number of connections.
    len: AtomicUsize,
    generation: AtomicU64,
    /// Changes only while the table is locked.
    is_closed: AtomicBool,
}

/// Bits of a key that are the entry's index, and those above them that are its generation.
const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 37;

/// Keys from here up are not of connections.
pub(crate) const FIRST_OTHER_KEY: u64 = 1 << 62;

const _: () = assert!(1 << (INDEX_BITS + GENERATION_BITS) <= FIRST_OTHER_KEY);

/// The index in a key.
fn index(key: u64) -> Option<usize> {
    usize::try_from(key & ((1 << INDEX_BITS) - 1)).ok()
}

impl Default for Slots {
    fn default() -> Self {
        let slots = RwLock::new(Rank::Slots, Slab::new());
        Self {
            slots,
            len: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        }
    }
}

impl Slots {
    /// Enters a connection as running: the caller parks it. `None`: the table was closed.
    pub(crate) fn add(&self, socket: Arc<OwnedFd>, origin: Origin) -> Option<Arc<Slot>> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) % (1 << GENERATION_BITS);
        let mut slots = self.slots.write();
        if self.is_closed.load(Ordering::Relaxed) {
            return None;
        }
        let entry = slots.vacant_entry();
        let slot = Arc::new(Slot {
            key: (generation << INDEX_BITS) | entry.key() as u64,
            socket,
            deadline: AtomicU64::new(NEVER),
            scarce: AtomicU64::new(NEVER),
            owes: AtomicU8::new(Owes::Bytes as u8),
            owner: Ownership::running(),
            completions: Mutex::new(Rank::Completions, Vec::new()),
            held: Held::default(),
            seen: OnceLock::new(),
            origin,
            door: AtomicU64::new(NEVER),
            way: AtomicU8::new(0),
            is_direct: AtomicBool::new(false),
            is_in_slow_lane: AtomicBool::new(false),
        });
        entry.insert(Arc::clone(&slot));
        self.len.store(slots.len(), Ordering::Release);
        Some(slot)
    }

    /// Takes no more connections, if there is none now.
    pub(crate) fn close_if_empty(&self) -> bool {
        let slots = self.slots.write();
        let is_empty = slots.is_empty();
        if is_empty {
            self.is_closed.store(true, Ordering::Relaxed);
        }
        is_empty
    }

    /// The entry of a key, if that connection still is.
    pub(crate) fn get(&self, key: u64) -> Option<Arc<Slot>> {
        let index = index(key)?;
        let slots = self.slots.read();
        slots.get(index).filter(|slot| slot.key == key).cloned()
    }

    /// Removes a connection that its owner ends.
    pub(crate) fn remove(&self, slot: &Slot) {
        slot.owner.close();
        if let Some(index) = index(slot.key) {
            let mut slots = self.slots.write();
            slots.try_remove(index);
            self.len.store(slots.len(), Ordering::Release);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// The connection for which `weigh` gives most, if it gives anything for one.
    pub(crate) fn heaviest(&self, weigh: impl Fn(&Slot) -> Option<u64>) -> Option<Arc<Slot>> {
        let slots = self.slots.read();
        let weighed = slots.iter().filter_map(|(_, slot)| Some((weigh(slot)?, slot)));
        weighed.max_by_key(|(weight, _)| *weight).map(|(_, slot)| Arc::clone(slot))
    }

    /// Calls `each` for every connection.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Slot)) {
        let slots = self.slots.read();
        slots.iter().for_each(|(_, slot)| each(slot));
    }
}
