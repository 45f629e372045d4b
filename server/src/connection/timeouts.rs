//! Deadlines of a connection that waits for its peer, and the repeated ack for a peer that waits.

use std::time::Duration;

use haul_protocol::{Code, Owed, Time};

use super::Connection;
use super::job::{Greeting, Job};
use crate::net::poller::{Interest, is_writable};
use crate::services::Services;
use crate::services::timeouts::{Deadline, Owes};

/// When connections are scarce, the server waits for this long in which fewer than [`PACE_BYTES`] come or go, be it byte by
/// byte: 13 KB a second.
const PACE_TIME: Duration = Duration::from_secs(5);
const PACE_BYTES: usize = 64 * 1024;

/// The speed at which bytes of a body come, and bytes of answers go.
#[derive(Debug)]
pub(super) struct Pace {
    /// Since when fewer than [`PACE_BYTES`] have come and gone, in milliseconds of the server's clock.
    since: u64,
    bytes: usize,
}

impl Pace {
    /// The pace of a header, body or answer that begins at this moment.
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
    /// The peer was silent for too long. Returns whether there is still work to do.
    pub(super) fn expire(&mut self, owes: Owes, services: &Services) -> bool {
        let now = services.now();
        if self.throttled.take_if(|at| *at <= now).is_some() {
            return true;
        }
        if owes == Owes::Nothing && self.is_haul() {
            self.half.repeat(Time::from_millis(now));
            return true;
        }
        if self.seat_awaited_since().is_some() {
            self.refuse_without_seat();
            return true;
        }
        let is_opening = self.opening.is_some();
        if self.may_tell(services) {
            let what = match is_opening {
                true => "the TLS handshake took too long",
                false => "peer was silent for too long",
            };
            tracing::info!(peer = self.peer, "{what}");
        }
        if is_opening {
            return false;
        }
        if !self.half.is_open() || owes == Owes::Reading {
            return false;
        }
        self.refuse_connection(Code::Timeout, "nothing came for too long");
        true
    }

    /// Notes at the end of a turn whether the server works for the peer, which it does not while the account may send nothing
    /// more. If answers are left that the socket
    /// does not take, or it can't be written to, which is how the connection waits for its next turn, the peer must read.
    pub(super) fn note_who_works(&mut self, now: u64) {
        let has_work = self.job.is_some() || !self.rest.is_empty() || self.held_up;
        let waits = has_work && !self.is_unread() && (self.held_up || is_writable(&self.socket));
        if waits {
            self.pace = Pace::begin(now);
        }
        // A peer that has used its rate up is not late. But it alone decides for how long that is, so what it holds meanwhile
        // counts as held by it.
        self.works = waits && !self.waits_for_rate;
        if self.works {
            self.settled = now;
        }
    }

    /// Since when the client has waited for a seat.
    fn seat_awaited_since(&self) -> Option<u64> {
        let greeting = match &self.job {
            Some(Job::Greet(greeting)) => greeting,
            Some(Job::Seat(waiting)) => return Some(waiting.since),
            _ => return None,
        };
        match &**greeting {
            Greeting::Seat { since, .. } => Some(*since),
            Greeting::Closing(..) | Greeting::Fenced(..) => None,
        }
    }

    /// The moment by which a connection that has just been accepted must have sent a byte, should connections
    /// be scarce.
    pub(crate) fn first_deadline(&self, services: &Services) -> Deadline {
        self.deadline(services, Interest::READ)
    }

    /// The moment at which the connection is looked at, whatever its peer does.
    pub(super) fn deadline(&self, services: &Services, interest: Interest) -> Deadline {
        let usual = self.usual_deadline(services, interest);
        match self.throttled {
            Some(at) if at < usual.at => Deadline { at, owes: Owes::Nothing, ..usual },
            _ => usual,
        }
    }

    fn usual_deadline(&self, services: &Services, interest: Interest) -> Deadline {
        let peer = self.peer_deadline(services, interest);
        // A peer that leaves answers unread needs no more of them, and before it is greeted no ack may come.
        let is_greeted = !matches!(self.job, Some(Job::Greet(_)));
        if !is_greeted || !self.owes() || self.is_unread() || !self.is_haul() {
            return peer;
        }
        let at = self.half.repeats_at().as_millis();
        let repeat = Deadline { at, owes: Owes::Nothing, ..Deadline::NONE };
        // Its next turn comes soon, and looks again; the timer could not make it come.
        if interest.write {
            return if repeat.at <= services.now() { repeat } else { peer };
        }
        if peer.at < repeat.at { peer } else { repeat }
    }

    /// The moment by which the peer must have sent or read bytes.
    pub(super) fn peer_deadline(&self, services: &Services, interest: Interest) -> Deadline {
        let deadline = self.deadline_of_peer(services, interest);
        match self.is_client_of_process() {
            // Strangers at its port must not end its run.
            true => Deadline { scarce: Deadline::NONE.scarce, ..deadline },
            false => deadline,
        }
    }

    /// Whether the peer is the client for whom this process runs. It makes room for nobody.
    pub(super) fn is_client_of_process(&self) -> bool {
        self.is_own && !self.is_uninvited
    }

    fn deadline_of_peer(&self, services: &Services, interest: Interest) -> Deadline {
        let timeouts = services.tuning().timeouts;
        if self.is_uninvited {
            return Deadline::after(self.accepted, timeouts.header, Owes::Bytes);
        }
        let works = self.job.is_some() || !self.rest.is_empty() || self.held_up;
        // While the account could send nothing more, the peer was not late.
        let moment = |since: Time| since.as_millis().max(self.freed);
        let after = |since: Time, timeout, owes| Deadline::after(moment(since), timeout, owes);
        if let Some(since) = self.opening {
            return Deadline::after(since, timeouts.header, Owes::Bytes);
        }
        if let Some(since) = self.seat_awaited_since() {
            return Deadline::after(since, timeouts.header, Owes::Bytes);
        }
        let owed = match self.half.is_said() && self.transport.wants_write() {
            true => Owed::Reading(Time::from_millis(self.flushed)),
            false => self.half.owed(works, self.owes()),
        };
        match owed {
            Owed::Reading(since) => after(since, timeouts.body, Owes::Reading)
                .or_when_scarce(self.pace.since, PACE_TIME),
            // The server has said all: this ends, whatever the connection waits for, and however little its account may send.
            Owed::Close(since) => Deadline::after(since.as_millis(), timeouts.header, Owes::Bytes),
            // It waits only for its next turn. If that does not come, the peer leaves so much unread that the socket can't
            // be written to, though nothing waits here to be sent.
            _ if interest.write => Deadline::after(services.now(), timeouts.body, Owes::Reading),
            Owed::Header(since) => after(since, timeouts.header, Owes::Bytes),
            Owed::Body(since) => {
                after(since, timeouts.body, Owes::Bytes).or_when_scarce(self.pace.since, PACE_TIME)
            }
            Owed::Request(since) => after(since, timeouts.idle, Owes::Bytes)
                .or_when_scarce(moment(since), timeouts.header),
            // A user sits at the prompt of a classic client; closing would silently lose the next file, so only if others
            // can't come in. The same holds for peers that connect ahead.
            Owed::First(since) | Owed::Command(since) => {
                Deadline::NONE.or_when_scarce(since.as_millis(), timeouts.header)
            }
            _ => Deadline::NONE,
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
