//! The steps of a turn, in their order, and the fate of the connection after the turn.
//!
//! A step sends what waits to be sent, ends the connection if there is a reason to, and then does one thing: it goes on with the
//! request that takes more than one turn, decodes bytes that were kept, or reads once and decodes that.

use super::job::Job;
use super::turn::Turn;
use super::{Connection, Dialect, LITTLE};
use crate::net::buffer;
use crate::net::peer_end::PeerEnd;
use crate::net::poller::{Interest, is_writable};
use crate::net::received::TransportError;
use crate::refusal::Refusal;
use crate::services::Services;
use crate::services::fence;
use crate::services::timeouts::Deadline;
use crate::store::given_up;

/// The decision after one step of a turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// The next step.
    Again,
    /// Nothing can be done until the socket is ready.
    Wait(Interest),
    /// The turn is over. There may be more to do, or the socket has to be ready for it.
    Later(Interest),
    /// The connection is over.
    Close,
}

/// The fate of a connection after its turn.
#[derive(Debug)]
pub(crate) enum Next {
    /// It waits.
    Park(Interest, Deadline),
    /// It wants another turn.
    SlowLane(Deadline),
    /// It is over.
    Close,
}

impl Connection {
    /// Runs until there is nothing to do or others are due.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>) -> Next {
        if self.job.is_some() && self.peer_end(turn) == PeerEnd::Gone {
            return Next::Close;
        }
        self.enter_view(turn);
        self.tell_second();
        let next = loop {
            let step = self.step(turn);
            match step {
                Step::Again => {}
                Step::Later(_) | Step::Wait(_) if turn.buffer.keeps() => {
                    if matches!(self.take_kept(turn), Step::Close) {
                        break Next::Close;
                    }
                }
                Step::Close | Step::Later(_) | Step::Wait(_) if !self.fresh.is_empty() => {
                    self.publish_fresh(turn);
                    self.acknowledge();
                }
                Step::Close => break Next::Close,
                Step::Later(interest) | Step::Wait(interest) => {
                    self.note_who_works(turn.services.now());
                    let deadline = self.deadline(turn.services, interest);
                    if !deadline.is_over(turn.services.now(), turn.is_scarce) {
                        let is_slow = matches!(step, Step::Later(_)) && self.can_go_on(interest);
                        break match is_slow {
                            true => Next::SlowLane(deadline),
                            false => Next::Park(interest, deadline),
                        };
                    }
                    if !self.expire(deadline.owes, turn.services) {
                        break Next::Close;
                    }
                }
            }
        };
        self.appetite = match self.rest.len() <= self.appetite / 2 {
            true => (2 * self.appetite).min(buffer::LEN),
            false => (self.appetite / 2).max(LITTLE),
        };
        turn.buffer.keep(0, 0);
        self.is_from_slow_lane = false;
        debug_assert!(self.transport.is_settled(), "a whole record waits undecrypted");
        if matches!(next, Next::Close) {
            self.say_goodbye();
        }
        next
    }

    /// One step.
    fn step(&mut self, turn: &mut Turn<'_>) -> Step {
        (self.held_up, self.waits_for_rate) = (false, false);
        turn.services.flush_audit();
        self.note_end(turn.services.now());
        if self.say(turn.services.now()).is_err() {
            return Step::Close;
        }
        if self.half.is_over(self.owes()) {
            // Ciphertext of the last answers may still wait for the socket.
            return match self.transport.wants_write() {
                true => Step::Wait(Interest::WRITE),
                false => Step::Close,
            };
        }
        if self.half.is_open()
            && let Some(refusal) = self.reason_to_end(turn.services)
        {
            return self.end(refusal);
        }
        self.end_if_overtaken();
        if self.is_sending() {
            return self.send_file(turn);
        }
        if self.half.is_full() || self.transport.is_full() {
            return Step::Wait(Interest::WRITE);
        }
        self.go_on(turn)
    }

    /// Sends as much as the socket takes; shuts the sending side once all is said.
    fn say(&mut self, now: u64) -> Result<(), TransportError> {
        self.flush(now)?;
        self.shut_when_said(now)
    }

    /// The reason for which the client may ask for nothing more, though it has done nothing wrong.
    fn reason_to_end(&self, services: &Services) -> Option<Refusal> {
        if self.is_fenced() {
            return Some(fence::refusal());
        }
        if let Some(refusal) = self.lost_account(services) {
            return Some(refusal);
        }
        let is_given_up = self.version().is_some_and(|version| version.is_given_up());
        is_given_up.then(|| given_up().into())
    }

    /// Does one thing.
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Step {
        let unread = self.is_unread();
        let answers = if unread { Interest::WRITE } else { Interest::NONE };
        if self.job.is_some() {
            return self.go_on_with_job(answers, turn);
        }
        if self.half.has_input_ended() {
            // Not armed for input, which has ended; the last completion wakes.
            return Step::Wait(answers);
        }
        if self.half.is_open() && self.must_wait(turn.services) {
            self.held_up = true;
            return Step::Wait(answers);
        }
        if self.half.is_answering() {
            if self.pending == 0 {
                // A whole request that nobody works on has an answer, or this server has a bug.
                tracing::error!(peer = self.peer, "a request was not answered");
                return Step::Close;
            }
            self.held_up = true;
            return Step::Wait(answers);
        }
        if self.in_debt {
            if !self.has_paid(turn.services.now()) {
                return self.wait_for_rate(answers);
            }
            // Also if nothing is left: the end of a body needs no bytes.
            let rest = std::mem::take(&mut self.rest);
            return self.take(&mut &rest[..], false, turn);
        }
        if !self.rest.is_empty() {
            if self.is_over(turn) {
                return Step::Later(Interest::WRITE);
            }
            return self.take_rest(turn);
        }
        // No event tells of an end that has been read already.
        let unread = unread || self.transport.has_peer_ended();
        let waiting = if unread { Interest::BOTH } else { Interest::READ };
        if self.is_over(turn) {
            // The next request of a client of HTTP that sends one after the other may be short.
            return match turn.share.has_begun_all() {
                true => Step::Wait(waiting),
                false => Step::Later(waiting),
            };
        }
        match self.may_read(turn.services) {
            Some(most) => self.read(waiting, most, turn),
            None => self.wait_for_rate(answers),
        }
    }

    /// Goes on with the request that takes more than one turn. `answers`: what there is to wait for besides.
    fn go_on_with_job(&mut self, answers: Interest, turn: &mut Turn<'_>) -> Step {
        if self.is_over(turn) {
            return Step::Later(Interest::WRITE);
        }
        // The last of the changes that it waits for wakes it.
        if self.job.as_ref().is_some_and(|job| job.waits(self.pending)) {
            self.held_up = true;
            return Step::Wait(answers);
        }
        // A part is read when the peer has taken all before it, so that a connection holds one at most.
        let is_get = self.job.as_ref().is_some_and(Job::waits_for_reader);
        if is_get && !self.half.is_said() {
            return Step::Wait(Interest::WRITE);
        }
        // Its files are changes as those of any other request.
        if matches!(self.job, Some(Job::Bundle(..) | Job::Tree(_))) && self.must_wait(turn.services)
        {
            self.held_up = true;
            return Step::Wait(answers);
        }
        if let Some(step) = self.waits_as_gone(turn) {
            return step;
        }
        self.work(turn);
        let ends = self.job.is_none() && self.half.body_left() == Some(0);
        match ends && self.rest.is_empty() {
            // The end of a body that was held up.
            true => self.take(&mut &[][..], false, turn),
            false => Step::Again,
        }
    }

    /// Whether it can do something at once in its next turn, as far as its peer is concerned: one that leaves answers unread is
    /// waited for.
    fn can_go_on(&self, interest: Interest) -> bool {
        interest.read || self.works || is_writable(&self.socket)
    }

    /// Whether the turn has taken all that it may, or a stopping server has no time left.
    pub(super) fn is_over(&self, turn: &Turn<'_>) -> bool {
        turn.share.is_over(!self.fresh.is_empty()) || turn.services.clock.is_grace_over()
    }

    /// Whether the peer waits for an answer that is not in the outbox yet.
    pub(super) fn owes(&self) -> bool {
        self.pending > 0 || self.job.is_some() || self.held_up
    }

    /// Whether a newer connection has taken this one's place.
    fn is_fenced(&self) -> bool {
        matches!(&self.dialect, Dialect::Haul(haul) if haul.fence.is_closed())
    }

    /// Whether the committer has so much to do that no more is read.
    pub(super) fn must_wait(&self, services: &Services) -> bool {
        services
            .committer
            .as_ref()
            .is_some_and(|committer| committer.is_full(self.id, self.pending == 0))
    }
}
