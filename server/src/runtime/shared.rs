//! What all threads of a server share: the connections and who of them makes room, the store, and when it stops.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use haul_protocol::ServerLimits;

use super::allocator;
use super::conn_table::{FIRST_OTHER_KEY, Slot, Slots};
use super::memory;
use super::places::{Place, Streams};
use super::timer::Timeouts;
use crate::commit::committer::Committer;
use crate::config::{Config, Durability};
use crate::connection::Connection;
use crate::connection::fence::Fences;
use crate::net::buffer::Buffers;
use crate::net::listen::Listener;
use crate::net::poller::{Interest, Poller};
use crate::store::Store;
use crate::symlinks::Symlinks;
use crate::uploads::Uploads;
use crate::versions::leases::Publications;

/// For how long no byte has come for a half-written file, or the peer has taken no answer while a file or directory of
/// its request is read, in milliseconds, before it makes room for another one.
const IDLE_PLACE: u64 = 5000;

/// Bytes that connections have held and hold no more, and connections that have been and are no more, at which free memory is
/// given back to the system.
const MUCH: usize = 16 * 1024 * 1024;
const MANY: usize = 500;

/// How much there may be at once; both together follow from the limit of open files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections.
    pub(crate) connections: usize,
    /// Files whose bytes have come in part.
    pub(crate) streams: usize,
}

/// What all threads of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) uploads: Uploads,
    pub(crate) publications: Publications,
    pub(crate) fences: Fences,
    /// Makes changes durable; `None` if nobody waits for the disk.
    pub(crate) committer: Option<Committer>,
    pub(crate) slots: Slots,
    pub(crate) streams: Streams,
    pub(crate) limits: ServerLimits,
    pub(crate) symlinks: Symlinks,
    pub(crate) timeouts: Timeouts,
    pub(crate) poller: Poller,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) max_connections: usize,
    /// A listener waits for a connection to end, or for a file descriptor.
    pub(crate) paused: AtomicBool,
    /// Bytes that all connections hold in memory, and the most of it since free memory was given back.
    pub(crate) held: AtomicUsize,
    most_held: AtomicUsize,
    /// The same for the number of connections.
    most_connections: AtomicUsize,
    pub(crate) buffers: Buffers,
    start: Instant,
    stopping: AtomicBool,
    /// When the grace time ends, in milliseconds of this clock.
    stop_at: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        store: Arc<Store>,
        listeners: Vec<Listener>,
        limits: ServerLimits,
        config: &Config,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        for (index, listener) in (FIRST_OTHER_KEY..).zip(&listeners) {
            poller.add(listener, index, Interest::READ)?;
        }
        Ok(Self {
            store,
            uploads: Uploads::default(),
            publications: Publications::default(),
            fences: Fences::default(),
            committer: (config.durability == Durability::Group).then(Committer::new),
            slots: Slots::default(),
            streams: Streams::new(bounds.streams),
            limits,
            symlinks: config.symlinks,
            timeouts: config.timeouts(),
            poller,
            listeners,
            max_connections: bounds.connections,
            paused: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            most_held: AtomicUsize::new(0),
            most_connections: AtomicUsize::new(0),
            buffers: Buffers::default(),
            start: Instant::now(),
            stopping: AtomicBool::new(false),
            stop_at: AtomicU64::new(u64::MAX),
        })
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &crate::net::listen::Listen> {
        self.listeners.iter().map(|listener| &listener.address)
    }

    /// What an ack promises, in the word of `hello`.
    pub(crate) fn durability(&self) -> &'static str {
        if self.committer.is_some() { "group" } else { "none" }
    }

    /// Milliseconds since the server started.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets owners look at deadlines that have passed.
    pub(crate) fn expire(&self, now: u64, scarce: bool) {
        self.slots.for_each(|slot| slot.expire(&self.poller, now, scarce));
    }

    /// Makes a worker run a connection soon, if it still is.
    pub(crate) fn wake(&self, key: u64) {
        if let Some(slot) = self.slots.get(key) {
            slot.wake(&self.poller);
        }
    }

    /// Whether no more connections are accepted for the time being.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= self.max_connections
    }

    /// Notes what a connection holds after a turn. If all hold too much together, those that have held most for
    /// longest have to make room, and are returned.
    pub(crate) fn note_held(&self, slot: &Slot, connection: &Connection) -> Vec<Arc<Slot>> {
        let mut heavy = Vec::new();
        let now = connection.held_bytes();
        // First more, then less: the sum of all connections is never over this number, whoever is evicted meanwhile.
        self.held.fetch_add(now, Ordering::AcqRel);
        let before = slot.held.set(now, connection.settled(), connection.place_since());
        let mut all = self.held.fetch_sub(before, Ordering::AcqRel) - before;
        if now <= before {
            return heavy;
        }
        self.most_held.fetch_max(all, Ordering::Relaxed);
        while all > memory::MOST {
            let clock = self.now();
            let weigh = |slot: &Slot| Some(slot.held.weight(clock)).filter(|weight| *weight > 0);
            let Some(heaviest) = self.slots.heaviest(weigh) else { break };
            let freed = heaviest.held.evict();
            all = self.held.fetch_sub(freed, Ordering::AcqRel) - freed;
            heavy.push(heaviest);
        }
        heavy
    }

    /// Gives memory back to the system once much of it is free.
    pub(crate) fn give_memory_back(&self) {
        let (held, connections) = (self.held.load(Ordering::Relaxed), self.slots.len());
        let most_held = self.most_held.load(Ordering::Relaxed);
        let most = self.most_connections.fetch_max(connections, Ordering::Relaxed).max(connections);
        if most_held.saturating_sub(held) >= MUCH || most - connections >= MANY {
            self.most_held.store(held, Ordering::Relaxed);
            self.most_connections.store(connections, Ordering::Relaxed);
            allocator::give_back();
        }
    }

    /// A place for a file that is open for more than a turn. If there is none, the connection that has had one for longest without
    /// using it makes room, for whoever asks next.
    pub(crate) fn place(&self) -> Option<Place> {
        let place = self.streams.begin();
        if place.is_none() {
            let now = self.now();
            let idle = |slot: &Slot| slot.held.idle_place(now).filter(|idle| *idle >= IDLE_PLACE);
            if let Some(idle) = self.slots.heaviest(idle) {
                let freed = idle.held.evict();
                self.held.fetch_sub(freed, Ordering::AcqRel);
                idle.wake_or_shut(&self.poller);
            }
        }
        place
    }

    /// Stops accepting; connections end when their transfers do, at the latest after the grace time.
    pub(crate) fn stop(&self) {
        let grace = u64::try_from(self.timeouts.grace.as_millis()).unwrap_or(u64::MAX);
        self.stop_at.store(self.now().saturating_add(grace), Ordering::Release);
        self.stopping.store(true, Ordering::Release);
        self.slots.for_each(|slot| slot.wake(&self.poller));
    }

    /// Whether a stopping server has no time left.
    pub(crate) fn is_grace_over(&self) -> bool {
        self.stopping() && self.now() >= self.stop_at.load(Ordering::Acquire)
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether a stopping server has nothing left to do, or no time; ends the workers' waiting then.
    pub(crate) fn finished(&self) -> bool {
        if !self.stopping() {
            return false;
        }
        let connections = self.slots.len();
        if connections > 0 && !self.is_grace_over() {
            // A transfer that ended in this moment leaves a connection that nothing wakes.
            self.slots.for_each(|slot| slot.wake(&self.poller));
            return false;
        }
        if connections > 0 {
            tracing::warn!(connections, "the grace time is over, transfers are cut off");
        }
        if let Err(error) = self.poller.stop() {
            tracing::error!(%error, "could not stop the workers");
        }
        true
    }

    /// Listens again where it was given up for a while.
    pub(crate) fn retry_listeners(&self) {
        if self.is_full() || self.stopping() || !self.paused.swap(false, Ordering::AcqRel) {
            return;
        }
        for (key, listener) in (FIRST_OTHER_KEY..).zip(&self.listeners) {
            if let Err(error) = self.poller.arm(listener, key, Interest::READ) {
                tracing::error!(%error, "could not listen again");
            }
        }
    }
}
