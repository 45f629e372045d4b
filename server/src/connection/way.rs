//! A connection makes way for others: because it holds too much, because others need its seat, or because it is at the door
//! and newcomers wait.
//!
//! A connection is *at the door* before the first header of its peer is whole, and after the server has done all that it will do
//! for the peer. There the peer gets nothing, and keeps a socket of the server's from others.

use haul_protocol::Code;

use super::sink::Sink;
use super::{Connection, Dialect};

/// The reason for which others have asked a connection to make way. Memory is no such reason: it is asked for apart, and counts
/// as free from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Way {
    /// Another account has fewer seats: this connection has lost its own.
    Seat = 1,
    /// Newcomers wait, and this one has been at the door for longest.
    Door,
}

impl Way {
    /// The reason with this number; `None`: there is no reason.
    pub(crate) fn of(number: u8) -> Option<Self> {
        [Self::Seat, Self::Door].into_iter().find(|way| *way as u8 == number)
    }
}

impl Connection {
    /// Since when it has been at the door; `None`: the server works for its peer.
    pub(crate) fn at_door(&self) -> Option<u64> {
        let is_unknown = match &self.dialect {
            Dialect::Unknown => true,
            // Nobody has shown that they may ask.
            Dialect::Http(http) => !http.has_come_in,
            Dialect::Classic | Dialect::Haul(_) => false,
        };
        let is_new = is_unknown && self.job.is_none() && !self.is_client_of_process();
        self.ended.or(is_new.then_some(self.accepted))
    }

    /// Notes when the server has done all that it will do for the peer, before the peer is told: its next connection may come at
    /// once.
    pub(super) fn note_end(&mut self, now: u64) {
        if self.ended.is_none() && !self.half.is_open() && !self.owes() {
            self.ended = Some(now);
            self.seat = None;
        }
    }

    /// Ends the connection, or makes it end soon.
    pub(crate) fn make_way(&mut self, way: Way) {
        match way {
            Way::Door if self.at_door().is_some() => {
                tracing::debug!(peer = self.peer, "closed the connection, others wait to come in");
                self.give_up();
            }
            // It has come in meanwhile.
            Way::Door => {}
            Way::Seat => self.make_room(
                "all connections of this server are taken, and this account has most of them",
            ),
        }
    }

    /// The same, because all connections together hold too much in memory, or too many open files, and this one most or for
    /// longest.
    pub(crate) fn make_room_for_others(&mut self) {
        self.make_room("this connection holds too much while others need room");
    }

    fn make_room(&mut self, why: &str) {
        if std::mem::replace(&mut self.made_room, true) {
            return;
        }
        tracing::warn!(peer = self.peer, "closed the connection, to make room for others");
        // A peer that leaves its answers unread would not read this one either.
        match self.is_unread() {
            true => self.give_up(),
            false => self.refuse_connection(Code::Busy, why),
        }
    }

    /// The next step closes the connection, without a word.
    fn give_up(&mut self) {
        self.half.abandon();
        self.transport.abandon();
        self.drop_rest();
        self.job = None;
        self.sending = None;
        self.sink = Sink::Nothing;
        self.pending = 0;
    }
}
