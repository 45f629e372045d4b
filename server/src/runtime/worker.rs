//! A worker: waits for one event at a time, accepts connections and runs them.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use haul_protocol::Refusal;
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::conn_table::{FIRST_OTHER_KEY, Slot};
use super::shared::Shared;
use crate::connection::fence::Fence;
use crate::connection::{Connection, Next, Share};
use crate::locks::ReadGuard;
use crate::net::buffer::Buffer;
use crate::net::poller::Interest;
use crate::store::{Fresh, Parents, State, Version};

/// Connections accepted before others have their turn.
const ACCEPTS: usize = 64;

/// What is held while something in a next version changes.
pub(crate) type Leave<'a> = (ReadGuard<'a, bool>, ReadGuard<'a, State>);

/// What belongs to one worker.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) parents: Parents,
    /// While a connection has its turn that is about the next version of a directory: the present one.
    pub(crate) present: Option<Parents>,
    /// The next version itself, and the connection's right to change anything in it.
    pub(crate) version: Option<(Arc<Version>, Arc<Fence>)>,
    pub(crate) fresh: Fresh<'a>,
    /// Of no use between two turns.
    pub(crate) buffer: Buffer,
    /// What the present turn has taken.
    pub(crate) share: Share,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            parents: shared.store.parents(),
            present: None,
            version: None,
            fresh: Fresh::new(&shared.store),
            buffer: Buffer::default(),
            share: Share::new(),
        }
    }

    /// Leave to change something in the next version: not once it is complete, nor when a newer connection has
    /// taken this one's place.
    pub(crate) fn enter_version(&self) -> Result<Option<Leave<'_>>, Refusal> {
        let Some((version, fence)) = &self.version else { return Ok(None) };
        Ok(Some((fence.enter()?, version.enter()?)))
    }

    /// Runs until the pool stops: when nothing is left to do, or with the turn in which the grace time ends.
    pub(crate) fn run(&mut self) {
        while !self.shared.is_grace_over() {
            match self.shared.poller.wait() {
                Ok(None) => return,
                Ok(Some(key)) if key >= FIRST_OTHER_KEY => self.accept(key),
                Ok(Some(key)) => {
                    if let Some(slot) = self.shared.slots.get(key)
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

    fn take_turns(&mut self, slot: &Slot, connection: Box<Connection>) {
        self.buffer = self.shared.buffers.take();
        self.drive(slot, connection);
        self.shared.buffers.give_back(mem::take(&mut self.buffer));
    }

    /// Runs a connection until it waits or is over, and then those that have to make room: at once, since others would
    /// fill the memory before it was their turn.
    fn drive(&mut self, slot: &Slot, connection: Box<Connection>) {
        let mut heavy = self.run_one(slot, connection);
        while let Some(slot) = heavy.pop().filter(|_| !self.shared.is_grace_over()) {
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
        while let Some(mut connection) = running.take().filter(|_| !self.shared.is_grace_over()) {
            connection.completed(slot.completions());
            if slot.held.is_evicted() {
                connection.make_room();
            }
            let next = connection.turn(self);
            heavy.extend(self.shared.note_held(slot, &connection));
            match next {
                Next::Park(interest, deadline) => {
                    slot.set_deadline(deadline);
                    running = slot.park(&self.shared.poller, connection, interest);
                }
                Next::Close => {
                    let held = slot.held.set(0, None, None);
                    self.shared.held.fetch_sub(held, Ordering::AcqRel);
                    connection.closed(self.shared);
                    self.shared.slots.remove(slot);
                    self.shared.retry_listeners();
                }
            }
        }
        heavy
    }

    fn accept(&mut self, key: u64) {
        let shared = self.shared;
        let index = usize::try_from(key - FIRST_OTHER_KEY).unwrap_or(usize::MAX);
        let Some(listener) = shared.listeners.get(index) else {
            return;
        };
        for _ in 0..ACCEPTS {
            if shared.stopping() {
                return;
            }
            if shared.is_full() {
                tracing::warn!(connections = shared.max_connections, "no more connections for now");
                shared.paused.store(true, Ordering::Release);
                // One may have ended in this moment, and nobody would listen again.
                shared.retry_listeners();
                return;
            }
            match listener.accept() {
                Ok((socket, peer)) => self.connected(socket, peer),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => {
                    tracing::warn!(%errno, "could not accept a connection, trying again soon");
                    shared.paused.store(true, Ordering::Release);
                    return;
                }
            }
        }
        if let Err(error) = shared.poller.arm(listener, key, Interest::READ) {
            tracing::error!(%error, "could not listen again");
        }
    }

    fn connected(&mut self, socket: OwnedFd, peer: String) {
        let socket = Arc::new(socket);
        let slot = self.shared.slots.add(Arc::clone(&socket));
        // Registered without interest; parking arms it.
        let now = self.shared.now();
        let connection = Box::new(Connection::new(Arc::clone(&socket), slot.key, peer, now));
        if let Err(error) = self.shared.poller.add(&*socket, slot.key, Interest::NONE) {
            tracing::error!(%error, "could not watch a connection");
            self.shared.slots.remove(&slot);
            return;
        }
        slot.set_deadline(connection.first_deadline(self.shared));
        // A peer that is gone already is told of before that, whatever was asked for (`EPOLLHUP`, epoll_ctl(2)).
        if let Some(connection) = slot.park(&self.shared.poller, connection, Interest::READ) {
            self.take_turns(&slot, connection);
        }
    }
}
