//! How long a connection waits for its peer, and its repeated ack when the peer waits for it.

use std::time::Duration;

use haul_protocol::{Answer, Code};

use super::{Connection, Dialect, Phase, REPEAT};
use crate::net::poller::{Interest, is_writable};
use crate::services::Services;
use crate::services::timeouts::{Deadline, Owes};

/// When connections are scarce, the server waits for this long in which fewer than [`PACE_BYTES`] come or go, be it byte by
/// byte: 13 KB a second.
const PACE_TIME: Duration = Duration::from_secs(5);
const PACE_BYTES: usize = 64 * 1024;

/// How fast bytes of a body come, and those of answers go.
#[derive(Debug)]
pub(super) struct Pace {
    /// Since when fewer than [`PACE_BYTES`] have come and gone, in milliseconds of the server's clock.
    since: u64,
    bytes: usize,
}

impl Pace {
    /// Something begins at this moment.
    pub(super) fn begin(now: u64) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// So many bytes more.
    pub(super) fn moved(&mut self, bytes: usize, now: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= PACE_BYTES {
            *self = Self::begin(now);
        }
    }
}

impl Connection {
    /// The peer was silent for too long. Returns whether there is still something to do.
    pub(super) fn expire(&mut self, owes: Owes, now: u64) -> bool {
        if let (Owes::Nothing, Dialect::Haul(haul)) = (owes, &self.dialect) {
            self.outbox.push(&Answer::Ack(haul.responder.last_ack()));
            self.said = now;
            return true;
        }
        tracing::info!(peer = self.peer, "peer was silent for too long");
        if self.phase != Phase::Open || owes == Owes::Reading {
            return false;
        }
        self.refuse_connection(Code::Timeout, "nothing came for too long");
        true
    }

    /// Notes at the end of a turn whether it is the server that has something to do. If answers are left that the socket
    /// does not take, or it can't be written to, which is how the connection waits for its next turn, the peer must read.
    pub(super) fn note_who_works(&mut self, now: u64) {
        let has_work = self.job.is_some() || !self.rest.is_empty() || self.held_up;
        self.works =
            has_work && self.outbox.is_empty() && (self.held_up || is_writable(&self.socket));
        if self.works {
            self.pace = Pace::begin(now);
            self.settled = now;
        }
    }

    /// When a connection that has just been accepted must have sent something, should connections
    /// be scarce.
    pub(crate) fn first_deadline(&self, services: &Services) -> Deadline {
        Deadline::NONE.or_when_scarce(self.progress, services.timeouts.header)
    }

    pub(super) fn deadline(&self, services: &Services, interest: Interest) -> Deadline {
        let peer = self.peer_deadline(services, interest);
        // A peer that leaves answers unread needs no more of them.
        if !self.owes() || self.is_unread(interest) || !matches!(self.dialect, Dialect::Haul(_)) {
            return peer;
        }
        let repeat = Deadline::after(self.said, REPEAT, Owes::Nothing);
        // Its next turn comes soon, and looks again; the timer could not make it come.
        if interest.write {
            return if repeat.at <= services.now() { repeat } else { peer };
        }
        if peer.at < repeat.at { peer } else { repeat }
    }

    /// Whether answers wait for the peer to read.
    fn is_unread(&self, interest: Interest) -> bool {
        interest.write && !self.outbox.is_empty()
    }

    /// When the peer must have done something.
    pub(super) fn peer_deadline(&self, services: &Services, interest: Interest) -> Deadline {
        let timeouts = &services.timeouts;
        if self.is_unread(interest) {
            return Deadline::after(self.progress, timeouts.body, Owes::Reading)
                .or_when_scarce(self.pace.since, PACE_TIME);
        }
        // It waits only for its next turn. If that does not come, the peer leaves so much unread that the socket can't be
        // written to, though the outbox is empty.
        if interest.write {
            return Deadline::after(services.now(), timeouts.body, Owes::Reading);
        }
        match (self.phase, &self.dialect, self.header_since) {
            // Nothing more is expected of the peer.
            (Phase::InputEnded, ..) => Deadline::NONE,
            // The server owes answers.
            (Phase::Draining { .. }, ..) if self.last_word.is_some() => Deadline::NONE,
            (Phase::Draining { since, .. }, ..) => {
                Deadline::after(since, timeouts.header, Owes::Bytes)
            }
            // Not read on as long as the server is busy with what has come.
            _ if self.job.is_some() || !self.rest.is_empty() || self.held_up => Deadline::NONE,
            (_, _, Some(since)) => Deadline::after(since, timeouts.header, Owes::Bytes),
            (_, Dialect::Unknown, None) => self.first_deadline(services),
            _ if !self.decoder.between_frames() => {
                Deadline::after(self.progress, timeouts.body, Owes::Bytes)
                    .or_when_scarce(self.pace.since, PACE_TIME)
            }
            // The server owes answers.
            _ if self.owes() => Deadline::NONE,
            (_, Dialect::Haul(_), None) => {
                Deadline::after(self.progress, timeouts.idle, Owes::Bytes)
                    .or_when_scarce(self.progress, timeouts.header)
            }
            // The user sits at a prompt; closing would silently lose the next file, so only if others can't come in.
            (_, Dialect::Classic, None) => {
                Deadline::NONE.or_when_scarce(self.progress, timeouts.header)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_bytes_do_not_count_as_pace_until_there_are_enough() {
        let mut pace = Pace::begin(1000);
        (1001..5000).for_each(|now| pace.moved(1, now));
        assert_eq!(pace.since, 1000);
        pace.moved(PACE_BYTES, 6000);
        pace.moved(PACE_BYTES - 1, 7000);
        assert_eq!(pace.since, 6000);
        pace.moved(1, 8000);
        assert_eq!(pace.since, 8000);
    }
}
