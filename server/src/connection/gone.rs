//! Peers that have ended their sending side: they may still read, or be gone.
//!
//! A client may send its request, end its sending side, and read the answer. One that has closed its socket looks the same
//! until something is written to it: then its system answers with a reset. So while such a peer's request takes more than one
//! turn, the server says something at once, and then once a second, that means nothing, and works for the peer only in
//! turns that the slow lane gives.

use haul_protocol::Time;

use super::job::Job;
use super::turn::Turn;
use super::{Connection, Dialect, Step};
use crate::net::peer_end::PeerEnd;
use crate::net::poller::Interest;

/// Milliseconds between two words to a peer that may be gone.
const ASKED_EVERY: u64 = 1000;

impl Connection {
    /// The worker has found it in the slow lane.
    pub(crate) fn comes_from_slow_lane(&mut self) {
        self.is_from_slow_lane = true;
    }

    /// The peer's end of the socket; looked at once in a turn.
    pub(super) fn peer_end(&self, turn: &mut Turn<'_>) -> PeerEnd {
        // A classic peer is never told anything, and may close as soon as it has sent all.
        if matches!(self.dialect, Dialect::Classic) {
            return PeerEnd::Open;
        }
        *turn.peer_end.get_or_insert_with(|| PeerEnd::of(&self.socket))
    }

    /// Whether the peer can't be told anything any more, in this moment.
    pub(super) fn is_gone(&self) -> bool {
        PeerEnd::of(&self.socket) == PeerEnd::Gone
    }

    /// Whether the request that takes more than one turn may not go on now, since its peer may be gone: the step to take
    /// instead.
    pub(super) fn waits_as_gone(&mut self, turn: &mut Turn<'_>) -> Option<Step> {
        if self.peer_end(turn) == PeerEnd::Open {
            return None;
        }
        if self.asks_whether_gone(turn.services.now()) {
            // The answer to that is known in the next turn.
            self.is_from_slow_lane = false;
            return Some(Step::Again);
        }
        (!self.is_from_slow_lane).then_some(Step::Later(Interest::WRITE))
    }

    /// Says something that means nothing, if it is time for it.
    fn asks_whether_gone(&mut self, now: u64) -> bool {
        let is_early = self.asked_gone.is_some_and(|at| now < at + ASKED_EVERY);
        // The socket does not take what waits already: that tells as well.
        if is_early || self.is_unread() {
            return false;
        }
        match &self.job {
            // Nothing is lost of these if they end with their peer.
            Some(Job::Check(_) | Job::List(_) | Job::Get(_) | Job::Fetch(_) | Job::Open(..)) => {
                self.half.repeat(Time::from_millis(now));
            }
            Some(Job::Directory(directory)) if directory.is_sorting() => {
                let Some(half) = self.half.http() else { return false };
                half.append(b" ");
            }
            _ => return false,
        }
        self.asked_gone = Some(now);
        true
    }
}
