//! A worker: waits for one event at a time, accepts connections and runs them.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::Runtime;
use super::conn_table::{FIRST_OTHER_KEY, Slot};
use super::slow_lane;
use crate::commit::notify::Notify;
use crate::connection::{Connection, Next, Turn};
use crate::net::buffer::Buffer;
use crate::net::listen::Peer;
use crate::net::poller::Interest;
use crate::net::transport::Accepts;
use crate::pulse::Pulse;

/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    runtime: &'a Runtime,
    notify: Arc<dyn Notify>,
    buffer: Buffer,
    pulse: Option<&'a Pulse>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(runtime: &'a Arc<Runtime>) -> Self {
        let notify: Arc<dyn Notify> = Arc::clone(runtime) as _;
        let pulse = runtime.worker_pulse();
        Self { runtime, notify, buffer: Buffer::default(), pulse }
    }

    /// Runs until the pool stops: when nothing is left to do, or with the turn in which the grace time ends.
    pub(crate) fn run(&mut self) {
        self.take_events();
        self.pulse.inspect(|pulse| pulse.rest());
    }

    fn take_events(&mut self) {
        while !self.runtime.services.clock.is_grace_over() {
            self.pulse.inspect(|pulse| pulse.rest());
            let event = self.runtime.poller.wait();
            self.pulse.inspect(|pulse| pulse.beat());
            match event {
                Ok(None) => return,
                Ok(Some(slow_lane::KEY)) => self.take_from_slow_lane(),
                Ok(Some(key)) if key >= FIRST_OTHER_KEY => self.accept(key),
                Ok(Some(key)) => {
                    if let Some(slot) = self.runtime.slots.get(key)
                        && let Some(connection) = slot.take()
                    {
                        self.take_turns(&slot, connection);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a worker can't wait and ends");
                    return;
                }
            }
        }
    }

    fn take_from_slow_lane(&mut self) {
        let runtime = self.runtime;
        if let Some(slot) = runtime.slow_lane.next(&runtime.slots, &runtime.poller)
            && let Some(mut connection) = slot.take()
        {
            connection.comes_from_slow_lane();
            self.take_turns(&slot, connection);
        }
    }

    fn take_turns(&mut self, slot: &Slot, connection: Box<Connection>) {
        self.buffer = self.runtime.buffers.take();
        self.drive(slot, connection);
        self.runtime.buffers.give_back(mem::take(&mut self.buffer));
    }

    /// Runs a connection until it waits or is over, and then those that have to make room: at once, since others would
    /// fill the memory before it was their turn.
    fn drive(&mut self, slot: &Slot, connection: Box<Connection>) {
        let mut heavy = self.run_one(slot, connection);
        while let Some(slot) = heavy.pop().filter(|_| !self.runtime.services.clock.is_grace_over())
        {
            // Another worker that runs it just now runs it once more.
            if let Some(connection) = slot.take() {
                heavy.extend(self.run_one(&slot, connection));
            }
        }
    }

    /// Runs a connection until it waits or is over; returns those that have to make room.
    fn run_one(&mut self, slot: &Slot, connection: Box<Connection>) -> Vec<Arc<Slot>> {
        let mut heavy = Vec::new();
        let mut running = Some(connection);
        // One that is notified in each of its turns would never come back to the poller.
        while let Some(mut connection) =
            running.take().filter(|_| !self.runtime.services.clock.is_grace_over())
        {
            connection.completed(slot.take_completions());
            if slot.held.take_eviction() {
                connection.make_room_for_others();
            }
            if let Some(way) = slot.take_way() {
                connection.make_way(way);
            }
            let next = self.turn(&mut connection);
            let now = self.runtime.services.now();
            slot.set_at_door(connection.at_door());
            heavy.extend(self.runtime.memory.note(&self.runtime.slots, slot, &connection, now));
            match next {
                Next::Park(interest, deadline) => {
                    slot.set_deadline(deadline);
                    running = slot.park(&self.runtime.poller, connection, interest);
                }
                Next::SlowLane(deadline) => {
                    slot.set_deadline(deadline);
                    running = slot.park(&self.runtime.poller, connection, Interest::NONE);
                    if running.is_none() {
                        self.runtime.slow_lane.enter(slot, &self.runtime.poller);
                    }
                }
                Next::Close => {
                    self.runtime.memory.less(slot.held.set(0, None, None));
                    connection.closed(&self.runtime.services, &*self.notify);
                    self.runtime.remove(slot);
                    self.runtime.retry_listeners();
                }
            }
        }
        heavy
    }

    fn turn(&mut self, connection: &mut Connection) -> Next {
        let runtime = self.runtime;
        let buffer = mem::take(&mut self.buffer);
        let mut turn = Turn::begin(&runtime.services, &self.notify, runtime.is_scarce(), buffer);
        let next = connection.run(&mut turn);
        self.buffer = turn.end();
        next
    }

    fn accept(&mut self, key: u64) {
        let runtime = self.runtime;
        let index = usize::try_from(key - FIRST_OTHER_KEY).unwrap_or(usize::MAX);
        let Some(listener) = runtime.listeners.get(index) else {
            return;
        };
        for _ in 0..ACCEPTS {
            // It stays unarmed.
            if listener.is_closed() {
                return;
            }
            if runtime.services.clock.is_stopping() {
                return;
            }
            if runtime.is_full() {
                runtime.door.tell_full(runtime.services.now());
                runtime.paused.store(true, Ordering::Release);
                runtime.clear_the_door();
                // One may have ended in this moment, and nobody would listen again.
                runtime.retry_listeners();
                return;
            }
            match listener.accept() {
                Ok((socket, peer)) => self.connected(socket, peer, listener.accepts.clone()),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) if listener.is_closed() => return,
                Err(errno) => {
                    tracing::warn!(%errno, "could not accept a connection, trying again soon");
                    runtime.paused.store(true, Ordering::Release);
                    return;
                }
            }
        }
        if let Err(error) = runtime.poller.arm(listener, key, Interest::READ) {
            tracing::error!(%error, "could not listen again");
        }
    }

    fn connected(&mut self, socket: OwnedFd, peer: Peer, accepts: Accepts) {
        if let Some((slot, connection)) = self.runtime.connect(socket, peer, accepts) {
            self.take_turns(&slot, connection);
        }
    }
}
