//! Memory that peers make grow: how much all connections together may hold, and which of them make room if it is more.
//!
//! The bounds of a single connection stand where it holds memory (docs/memory-bounds.md, "Each kind of
//! memory"). After each turn a connection says how much it holds. As long as that is too much in all, the connection that has
//! held most for longest is ended ([`Held::weight`](super::memory::Held::weight)).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::allocator;
use super::conn_table::{Slot, Slots};
use crate::connection::Connection;

/// Bytes that all connections together may hold between two turns.
const MOST: usize = 128 * 1024 * 1024;

/// Bytes that connections have held and hold no more, and connections that have been and are no more, at which free memory is
/// given back to the system.
const MUCH: usize = 16 * 1024 * 1024;
const MANY: usize = 500;

/// The memory that all connections hold together.
#[derive(Debug, Default)]
pub(super) struct TotalMemory {
    held: AtomicUsize,
    /// The most of it since free memory was given back.
    most_held: AtomicUsize,
    /// The same for the number of connections.
    most_connections: AtomicUsize,
}

impl TotalMemory {
    /// Notes what a connection holds after a turn. If all hold too much together, the connections that have held most for
    /// longest have to make room, and are returned.
    pub(super) fn note(
        &self,
        slots: &Slots,
        slot: &Slot,
        connection: &Connection,
        clock: u64,
    ) -> Vec<Arc<Slot>> {
        let mut heavy = Vec::new();
        let now = connection.held_bytes();
        // First more, then less: the sum of all connections is never over this number, whichever connection is evicted meanwhile.
        self.held.fetch_add(now, Ordering::AcqRel);
        let before = slot.held.set(now, connection.settled(), connection.place_since());
        let mut all = self.less(before);
        if now <= before {
            return heavy;
        }
        self.most_held.fetch_max(all, Ordering::Relaxed);
        while all > MOST {
            let weigh = |slot: &Slot| Some(slot.held.weight(clock)).filter(|weight| *weight > 0);
            let Some(heaviest) = slots.heaviest(weigh) else { break };
            all = self.less(heaviest.held.evict());
            heavy.push(heaviest);
        }
        heavy
    }

    /// The bytes that all connections hold.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// So many bytes are held no more; returns how many are.
    pub(super) fn less(&self, bytes: usize) -> usize {
        self.held.fetch_sub(bytes, Ordering::AcqRel) - bytes
    }

    /// Gives memory back to the system once much of it is free.
    pub(super) fn give_back(&self, connections: usize) {
        let held = self.held.load(Ordering::Relaxed);
        let most_held = self.most_held.load(Ordering::Relaxed);
        let most = self.most_connections.fetch_max(connections, Ordering::Relaxed).max(connections);
        if most_held.saturating_sub(held) >= MUCH || most - connections >= MANY {
            self.most_held.store(held, Ordering::Relaxed);
            self.most_connections.store(connections, Ordering::Relaxed);
            allocator::give_back();
        }
    }
}
