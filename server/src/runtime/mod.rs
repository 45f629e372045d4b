//! Running connections: workers, the table of connections, the timer, and the memory of all connections.

mod allocator;
mod conn_table;
mod door;
pub(crate) mod figures;
mod memory;
mod ownership;
mod slow_lane;
pub(crate) mod timer;
mod total_memory;
pub(crate) mod worker;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use rustix::fd::OwnedFd;

use crate::accounts::Origin;
use crate::commit::committer::Committer;
use crate::commit::notify::{ConnectionId, Done, Notify};
use crate::connection::{Connection, Way};
use crate::net::buffer::Buffers;
use crate::net::listen::{Entrance, Listen, Listener, Peer};
use crate::net::poller::{Interest, Poller};
use crate::net::root_socket;
use crate::net::transport::Accepts;
use crate::pulse::Pulse;
use crate::services::Services;
use conn_table::{FIRST_OTHER_KEY, Slot, Slots};
use door::Door;
use slow_lane::SlowLane;
use total_memory::TotalMemory;

/// For how long no byte has come for a half-written file, or the peer has taken no answer while a file or directory of
/// its request is read, in milliseconds, before it makes room for another one.
const IDLE_PLACE: u64 = 5000;

/// The connections of a server, and what its threads need to run them.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) services: Arc<Services>,
    slots: Slots,
    poller: Poller,
    slow_lane: SlowLane,
    listeners: Vec<Listener>,
    door: Door,
    /// A listener waits for a connection to end, or for a file descriptor.
    paused: AtomicBool,
    memory: TotalMemory,
    buffers: Buffers,
    /// Unparked whenever a connection has ended.
    follower: OnceLock<Thread>,
    pulses: Pulses,
}

/// The pulses of the threads whose work every connection needs.
#[derive(Debug)]
struct Pulses {
    workers: Vec<Pulse>,
    /// Workers that have theirs.
    given: AtomicUsize,
    timer: Pulse,
}

impl Runtime {
    /// Without a connection yet; at most `connections` at once, and if there are accounts `door` more whose clients have not
    /// logged in, or are to leave.
    pub(crate) fn new(
        services: Arc<Services>,
        listeners: Vec<Listener>,
        workers: usize,
        (connections, door): (usize, usize),
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        for (index, listener) in (FIRST_OTHER_KEY..).zip(&listeners) {
            poller.add(listener, index, Interest::READ)?;
        }
        let slow_lane = SlowLane::new(&poller)?;
        Ok(Self {
            services,
            slots: Slots::default(),
            poller,
            slow_lane,
            listeners,
            door: Door::new(connections, door),
            paused: AtomicBool::new(false),
            memory: TotalMemory::default(),
            buffers: Buffers::default(),
            follower: OnceLock::new(),
            pulses: Pulses {
                workers: (0..workers).map(|_| Pulse::default()).collect(),
                given: AtomicUsize::new(0),
                timer: begun(),
            },
        })
    }

    /// Enters a connection. Returns it if it has to be run at once.
    pub(crate) fn connect(
        &self,
        socket: OwnedFd,
        peer: Peer,
        accepts: Accepts,
    ) -> Option<(Arc<Slot>, Box<Connection>)> {
        let socket = Arc::new(socket);
        let slot = self.slots.add(Arc::clone(&socket), Origin::from(peer.at))?;
        root_socket::welcome(&socket, peer.entrance);
        if peer.entrance == Entrance::Direct {
            slot.mark_direct();
        }
        // Registered without interest; parking arms it.
        let id = ConnectionId(slot.key);
        let connection = Connection::new(Arc::clone(&socket), id, peer, accepts, &self.services);
        let connection = Box::new(connection);
        let _ = slot.seen.set(Arc::clone(connection.seen()));
        if let Err(error) = self.poller.add(&*socket, slot.key, Interest::NONE) {
            tracing::error!(%error, "could not watch a connection");
            self.slots.remove(&slot);
            return None;
        }
        slot.set_deadline(connection.first_deadline(&self.services));
        slot.set_at_door(connection.at_door());
        // A peer that is gone already is told of before that, whatever was asked for (`EPOLLHUP`, epoll_ctl(2)).
        let running = slot.park(&self.poller, connection, Interest::READ);
        running.map(|connection| (slot, connection))
    }

    /// Enters a connection before there is a worker. `None`: that failed.
    pub(crate) fn adopt(&self, socket: OwnedFd, peer: Peer) -> Option<ConnectionId> {
        let mut entered = None;
        // Nobody wakes it, so it waits.
        if self.connect(socket, peer, Accepts::PLAIN).is_none() {
            self.slots.for_each(|slot| entered = Some(ConnectionId(slot.key)));
        }
        entered
    }

    /// Unparks this thread whenever a connection has ended.
    pub(crate) fn is_followed_by(&self, thread: Thread) {
        let _ = self.follower.set(thread);
    }

    /// A connection has ended.
    pub(crate) fn remove(&self, slot: &Slot) {
        self.slots.remove(slot);
        if let Some(follower) = self.follower.get() {
            follower.unpark();
        }
    }

    /// Whether a connection still is.
    pub(crate) fn is_connected(&self, connection: ConnectionId) -> bool {
        self.slots.get(connection.0).is_some()
    }

    /// Number of connections of other clients than the one for whom a port is open.
    pub(crate) fn others(&self) -> usize {
        let mut others = 0;
        self.slots.for_each(|slot| others += usize::from(!slot.is_direct()));
        others
    }

    /// Takes nobody more in at the port that is open for one client.
    pub(crate) fn close_direct(&self) {
        let direct = self.listeners.iter().filter(|it| it.entrance == Entrance::Direct);
        direct.for_each(Listener::close);
    }

    /// Ends all connections that have come in there: the client is gone.
    pub(crate) fn end_direct(&self) {
        self.close_direct();
        self.slots.for_each(|slot| slot.end_if_direct(&self.poller));
    }

    /// Stops if there is no connection; none comes in between.
    pub(crate) fn stop_if_idle(&self) -> bool {
        let is_idle = self.slots.close_if_empty();
        if is_idle {
            self.stop();
        }
        is_idle
    }

    /// Whether a worker, the committer or the timer has been at one piece of work for longer than this.
    pub(crate) fn is_stuck(&self, limit: Duration) -> bool {
        let Pulses { workers, timer, .. } = &self.pulses;
        let committer = self.services.committer.as_ref().map(Committer::pulse);
        workers.iter().chain([timer]).chain(committer).any(|pulse| pulse.is_stuck(limit))
    }

    /// The pulse of the next worker.
    fn worker_pulse(&self) -> Option<&Pulse> {
        self.pulses.workers.get(self.pulses.given.fetch_add(1, Ordering::Relaxed))
    }

    /// The same, and the streams that each takes.
    pub(crate) fn entrances(&self) -> impl Iterator<Item = (&Listen, &Accepts)> {
        let told = self.listeners.iter().filter(|it| it.entrance == Entrance::Address);
        told.map(|listener| (&listener.address, &listener.accepts))
    }

    /// The addresses that the server was told to listen on.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Listen> {
        let told = self.listeners.iter().filter(|it| it.entrance == Entrance::Address);
        told.map(|listener| &listener.address)
    }

    /// Those that the process has bound itself.
    pub(crate) fn bound_addresses(&self) -> impl Iterator<Item = &Listen> {
        let told = self.listeners.iter().filter(|it| it.entrance == Entrance::Address);
        told.filter(|listener| !listener.is_given).map(|listener| &listener.address)
    }

    /// Lets owners look at deadlines that have passed.
    fn expire(&self, now: u64, scarce: bool) {
        self.slots.for_each(|slot| slot.expire(&self.poller, now, scarce));
    }

    /// Whether no more connections are accepted for the time being.
    fn is_full(&self) -> bool {
        self.door.is_full(self.slots.len(), self.services.accounts.are_needed())
    }

    /// Whether the server can serve no more connections than there are.
    fn is_scarce(&self) -> bool {
        match self.services.accounts.are_needed() {
            true => self.services.seats.are_taken(),
            false => self.is_full(),
        }
    }

    /// If newcomers wait because there is no room for them, ends a connection that is at the door.
    fn clear_the_door(&self) {
        if self.paused.load(Ordering::Acquire)
            && self.is_full()
            && let Some(slot) = door::first_to_leave(&self.slots, self.services.now())
        {
            slot.ask_to_make_way(Way::Door);
            slot.wake_or_shut(&self.poller);
        }
    }

    /// Gives memory back to the system once much of it is free.
    fn give_memory_back(&self) {
        self.memory.give_back(self.slots.len());
    }

    /// Has a connection make room; who wakes it does the rest.
    fn evict(&self, slot: &Slot) {
        self.memory.less(slot.held.evict());
    }

    /// Stops accepting; connections end when their transfers do, at the latest after the grace time.
    pub(crate) fn stop(&self) {
        self.services.clock.stop(self.services.tuning().timeouts.grace);
        self.slots.for_each(|slot| slot.wake(&self.poller));
    }

    /// Whether a stopping server has nothing left to do, or no time; ends the workers' waiting then.
    fn finished(&self) -> bool {
        let clock = &self.services.clock;
        if !clock.is_stopping() {
            return false;
        }
        let connections = self.slots.len();
        if connections > 0 && !clock.is_grace_over() {
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

    /// Whether the server has nothing left to do, or no time.
    pub(crate) fn has_stopped(&self) -> bool {
        self.poller.is_stopped()
    }

    /// Listens again where it was given up for a while.
    fn retry_listeners(&self) {
        if self.is_full()
            || self.services.clock.is_stopping()
            || !self.paused.swap(false, Ordering::AcqRel)
        {
            return;
        }
        let listeners = (FIRST_OTHER_KEY..).zip(&self.listeners);
        for (key, listener) in listeners.filter(|(_, listener)| !listener.is_closed()) {
            if let Err(error) = self.poller.arm(listener, key, Interest::READ) {
                tracing::error!(%error, "could not listen again");
            }
        }
    }
}

impl Notify for Runtime {
    fn wake(&self, connection: ConnectionId) {
        if let Some(slot) = self.slots.get(connection.0) {
            slot.wake(&self.poller);
        }
    }

    fn complete(&self, connection: ConnectionId, completion: Done) -> bool {
        let slot = self.slots.get(connection.0);
        slot.inspect(|slot| slot.complete(completion)).is_some()
    }

    fn free_a_place(
        &self,
        if_idle: &[ConnectionId],
        in_any_case: &[ConnectionId],
    ) -> Option<ConnectionId> {
        let now = self.services.now();
        let idle = |slot: &Arc<Slot>| slot.held.idle_place(now);
        let slots = |of: &[ConnectionId]| {
            let slots = of.iter().filter_map(|connection| self.slots.get(connection.0));
            slots.max_by_key(idle)
        };
        let longest = slots(if_idle).filter(|slot| idle(slot) >= Some(IDLE_PLACE));
        let slot = longest.or_else(|| slots(in_any_case))?;
        self.evict(&slot);
        slot.wake_or_shut(&self.poller);
        Some(ConnectionId(slot.key))
    }

    fn free_a_seat(&self, connections: &[ConnectionId]) -> Option<ConnectionId> {
        let now = self.services.now();
        let slot = |connection: &ConnectionId| self.slots.get(connection.0);
        let waited = |connection: &&ConnectionId| {
            slot(connection).map_or(u64::MAX, |slot| slot.held.waited(now))
        };
        let longest = *connections.iter().max_by_key(waited)?;
        if let Some(slot) = slot(&longest) {
            slot.ask_to_make_way(Way::Seat);
            slot.wake_or_shut(&self.poller);
        }
        Some(longest)
    }
}

/// The pulse of a thread that always has work: one that never begins is stuck, too.
fn begun() -> Pulse {
    let pulse = Pulse::default();
    pulse.beat();
    pulse
}
