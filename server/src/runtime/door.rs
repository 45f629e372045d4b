//! The door: room for connections whose clients have not come in, or are to leave.
//!
//! A server with accounts does not know whose a connection is before the client has logged in. So it accepts some more
//! connections than it serves, and lets newcomers log in there ([`crate::services::seats`] says who is served). If nobody else
//! can come in because the sockets are all taken, connections at the door make way. Otherwise peers that do not go on
//! (in the handshake, in a header, with a login that has failed) would keep everybody out until each is late.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::conn_table::{Slot, Slots};

/// Milliseconds for which a connection may be at the door, however many newcomers wait: enough for a handshake and a `hello`
/// over a long line.
const AT_LEAST: u64 = 500;

/// Milliseconds between two lines of the log about a full server.
const TOLD_EVERY: u64 = 1000;

/// The number of connections that there may be.
#[derive(Debug)]
pub(super) struct Door {
    /// Those that the server serves.
    inside: usize,
    /// Those at the door, if there are accounts.
    outside: usize,
    /// When the log may tell again that the server is full.
    tells: AtomicU64,
}

impl Door {
    pub(super) fn new(inside: usize, outside: usize) -> Self {
        Self { inside, outside, tells: AtomicU64::new(0) }
    }

    /// The most connections that the server serves.
    pub(super) fn inside(&self) -> usize {
        self.inside
    }

    /// Whether no more than so many connections may be.
    pub(super) fn is_full(&self, connections: usize, has_accounts: bool) -> bool {
        connections >= self.inside + if has_accounts { self.outside } else { 0 }
    }

    /// Tells the log that newcomers wait, now and then.
    pub(super) fn tell_full(&self, now: u64) {
        let at = self.tells.load(Ordering::Relaxed);
        let next = now + TOLD_EVERY;
        if at <= now && self.tells.fetch_max(next, Ordering::Relaxed) == at {
            tracing::warn!(connections = self.inside, "no more connections for now");
        }
    }
}

/// The connection at the door that makes way: of the origin that has most there, the one that has been there for longest.
/// `None`: none has been there for long enough.
pub(super) fn first_to_leave(slots: &Slots, now: u64) -> Option<Arc<Slot>> {
    let mut crowds = HashMap::new();
    slots.for_each(|slot| {
        if slot.at_door().is_some() {
            *crowds.entry(slot.origin).or_insert(0_u64) += 1;
        }
    });
    slots.heaviest(|slot| {
        let waited = now.saturating_sub(slot.at_door()?);
        let crowd = crowds.get(&slot.origin).copied().unwrap_or(0);
        // Milliseconds of some years fit below.
        (waited >= AT_LEAST).then_some((crowd << 40) + waited.min((1 << 40) - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Origin;
    use rustix::event::{EventfdFlags, eventfd};

    #[test]
    fn longest_of_the_largest_crowd_leaves_first_and_nobody_who_has_just_come() {
        let slots = Slots::default();
        let socket = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let add = |host: u8, since: Option<u64>| {
            let slot = slots.add(Arc::clone(&socket), Origin::V4([10, 0, 0, host]));
            let slot = slot.unwrap();
            slot.set_at_door(since);
            slot.key
        };
        let _inside = add(1, None);
        let alone = add(2, Some(0));
        let oldest = add(1, Some(100));
        let _new = add(1, Some(200));
        let first = |now| first_to_leave(&slots, now).map(|slot| slot.key);
        assert_eq!([first(400), first(500), first(600)], [None, Some(alone), Some(oldest)]);
        first_to_leave(&slots, 600).unwrap().set_at_door(None);
        assert_eq!(first(600), Some(alone));
    }

    #[test]
    fn log_tells_of_a_full_server_once_a_second() {
        let door = Door::new(2, 1);
        assert!(!door.is_full(1, false) && door.is_full(2, false));
        assert!(!door.is_full(2, true) && door.is_full(3, true));
        door.tell_full(0);
        door.tell_full(999);
        assert_eq!(door.tells.load(Ordering::Relaxed), 1000);
        door.tell_full(1000);
        assert_eq!(door.tells.load(Ordering::Relaxed), 2000);
    }
}
