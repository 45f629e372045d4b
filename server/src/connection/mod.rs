//! The communication loop: one connection's state machine, run by whichever worker has it.
//!
//! A turn reads, decodes and stores until the socket would block or the turn's bounds are reached. Bytes that are read and
//! not decoded by then are kept in `rest`: bytes in user space raise no event, so the connection asks for a turn by
//! waiting until the socket can be written to, which is nearly always at once.

mod answers;
mod audited;
mod bundle;
mod close;
mod compare;
mod dispatch;
mod file_body;
mod greet;
mod held;
mod input;
mod job;
mod login;
mod rights;
mod sink;
mod socket;
mod staged_tree;
mod timeouts;
mod turn;
mod unread;
mod work;

use std::sync::Arc;

use haul_protocol::{RequestId, ServerConnection, Time};
use rustix::fd::OwnedFd;

use crate::accounts::{AccountOf, ClientId, Login, View};
use crate::audit::Event;
use crate::commit::notify::ConnectionId;
use crate::net::buffer;
use crate::net::listen::Peer;
use crate::net::poller::Interest;
use crate::net::transport::{Accepts, Transport};
use crate::services::Services;
use crate::services::budget::Seat;
use crate::services::fence::{self, Fence};
use crate::services::timeouts::Deadline;
use crate::store::{Version, given_up};
use audited::Teller;
use job::Job;
use sink::Sink;
use timeouts::Pace;
use turn::Base;
pub(crate) use turn::Turn;

/// The fewest bytes that a connection reads at once: after turns that ended before most of the bytes read were carried
/// out, and at the end of a turn. The rest is kept in memory.
const LITTLE: usize = 16 * 1024;

/// Lines of the log about requests of one connection.
const MOST_LOGGED: u32 = 100;

/// The answer to a peer that speaks HTTP.
const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/plain\r\n\r\nThis is hauld, which speaks no HTTP. \
    Upload with: haul put FILE HOST:PORT\n";

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Arc<OwnedFd>,
    transport: Transport,
    id: ConnectionId,
    /// The address of the peer, for the log.
    peer: String,
    /// The user of this machine who is the peer, if that is known.
    user: Option<u32>,
    /// The protocol's half of it, without I/O.
    half: ServerConnection,
    dialect: Dialect,
    /// The account, if the server has accounts.
    login: Option<Arc<Login>>,
    /// Its place among the connections of the account.
    seat: Option<Seat>,
    /// When the account may send more: nothing is read before, in milliseconds of the server's clock.
    throttled: Option<u64>,
    /// When the account could last send more.
    freed: u64,
    /// Tells the audit log, if there is one.
    teller: Option<Teller>,
    /// The root that its client sees.
    view: View,
    sink: Sink,
    /// Bytes that came when the outbox was full or the turn over: they are decoded later.
    rest: Vec<u8>,
    /// Bytes that are read at once: less if much of them had to be kept as `rest`.
    appetite: usize,
    /// The speed at which bytes have come and gone since a header or a frame was last complete, or all answers taken.
    pace: Pace,
    /// The moment when a frame was last complete, all answers taken, or the server still worked for the peer at the end of
    /// a turn.
    settled: u64,
    /// Changes that are not done yet: by the committer, or until the staged tree is visible.
    pending: usize,
    /// Requests whose changes wait in the worker's tree of new directories; none between two turns.
    fresh: Vec<RequestId>,
    /// The changes that they ask for, if there is an audit log.
    fresh_events: Vec<Event>,
    /// The request that takes more than one turn.
    job: Option<Job>,
    /// When that request last took a step, in milliseconds of the server's clock.
    worked: u64,
    /// Until its next turn the server works for the peer, and does not wait for it.
    works: bool,
    /// The committer has so much to do that nothing is read: its peer is not late.
    held_up: bool,
    /// It has made room once, and ends as soon as its requests are answered.
    made_room: bool,
    /// Lines that requests of this peer have added to the log.
    logged: u32,
    /// When the first byte came of a peer whose transport is not ready yet.
    opening: Option<u64>,
    /// When the socket last took ciphertext, or had taken all.
    flushed: u64,
    /// The sending side of the socket is shut once all is on the wire.
    shuts: bool,
}

#[derive(Debug)]
enum Dialect {
    /// Before the first header.
    Unknown,
    /// Never written to.
    Classic,
    Haul(Haul),
}

/// The facts that a `hello` has stated.
#[derive(Debug)]
struct Haul {
    client: ClientId,
    slot: u64,
    identity: String,
    /// The next version of a directory, which all names are below.
    version: Option<Arc<Version>>,
    fence: Arc<Fence>,
}

/// The decision after one step of a turn.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The next step.
    Again,
    /// Nothing can be done until the socket is ready.
    Wait(Interest),
    /// The connection is over.
    Close,
}

/// The fate of a connection after its turn.
#[derive(Debug)]
pub(crate) enum Next {
    /// It waits.
    Park(Interest, Deadline),
    /// It is over.
    Close,
}

impl Connection {
    pub(crate) fn new(
        socket: Arc<OwnedFd>,
        id: ConnectionId,
        peer: Peer,
        accepts: Accepts,
        services: &Services,
    ) -> Self {
        let now = services.now();
        Self {
            socket,
            transport: Transport::new(accepts),
            id,
            half: ServerConnection::new(&services.limits, Time::from_millis(now)),
            dialect: Dialect::Unknown,
            login: None,
            seat: None,
            throttled: None,
            freed: now,
            teller: Teller::new(services.audit.as_ref(), &peer.address),
            peer: peer.address,
            user: peer.user,
            view: View::default(),
            sink: Sink::Nothing,
            rest: Vec::new(),
            appetite: buffer::LEN,
            pace: Pace::begin(now),
            settled: now,
            pending: 0,
            fresh: Vec::new(),
            fresh_events: Vec::new(),
            job: None,
            worked: now,
            works: false,
            held_up: false,
            made_room: false,
            logged: 0,
            opening: None,
            flushed: now,
            shuts: false,
        }
    }

    /// Runs until there is nothing to do or others are due.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>) -> Next {
        if self.job.is_some() && self.is_gone() {
            return Next::Close;
        }
        self.enter_view(turn);
        let next = loop {
            match self.step(turn) {
                Step::Again => {}
                Step::Wait(_) if turn.buffer.keeps() => {
                    if matches!(self.take_kept(turn), Step::Close) {
                        break Next::Close;
                    }
                }
                Step::Close | Step::Wait(_) if !self.fresh.is_empty() => {
                    self.publish_fresh(turn);
                    self.acknowledge();
                }
                Step::Close => break Next::Close,
                Step::Wait(interest) => {
                    self.note_who_works(turn.services.now());
                    let deadline = self.deadline(turn.services, interest);
                    if !deadline.is_over(turn.services.now(), turn.is_scarce) {
                        break Next::Park(interest, deadline);
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
        debug_assert!(self.transport.is_settled(), "a whole record waits undecrypted");
        if matches!(next, Next::Close) {
            self.say_goodbye();
        }
        next
    }

    /// Whether the client is one of the haul dialect, and was greeted.
    fn is_haul(&self) -> bool {
        matches!(self.dialect, Dialect::Haul(_))
    }

    /// The account of the client.
    fn account(&self) -> AccountOf<'_> {
        match &self.dialect {
            Dialect::Haul(haul) => haul.client.account(),
            Dialect::Unknown | Dialect::Classic => None,
        }
    }

    /// The next version of a directory that this connection is about.
    fn version(&self) -> Option<&Arc<Version>> {
        match &self.dialect {
            Dialect::Haul(haul) => haul.version.as_ref(),
            Dialect::Unknown | Dialect::Classic => None,
        }
    }

    /// From here to the end of the turn, names are below the client's root, or the next version if the connection is about
    /// one.
    fn enter_view(&self, turn: &mut Turn<'_>) {
        if let Dialect::Haul(haul) = &self.dialect
            && let Some(version) = &haul.version
        {
            turn.base = Base::of_version(version, &haul.fence);
        } else {
            turn.base.view = self.view.clone();
        }
    }

    /// Whether one more line of the log may tell what this peer has asked for: a line may have ten times the bytes of the
    /// request.
    fn may_log(&mut self) -> bool {
        self.logged = self.logged.saturating_add(1);
        if self.logged == MOST_LOGGED {
            tracing::warn!(
                peer = self.peer,
                "the log tells no more about requests of this connection"
            );
        }
        self.logged < MOST_LOGGED
    }

    /// Bytes of a body have come, for the next version if the connection is about one.
    fn note_for_version(&self) {
        if let Some(version) = self.version().filter(|_| !self.half.between_frames()) {
            version.touch();
        }
    }

    /// Writes what waits to be written, then does one thing: goes on with a request, or reads and decodes once.
    fn step(&mut self, turn: &mut Turn<'_>) -> Step {
        self.held_up = false;
        turn.services.flush_audit();
        if self.flush(turn.services.now()).is_err() {
            return Step::Close;
        }
        if self.shut_when_said(turn.services.now()).is_err() {
            return Step::Close;
        }
        if self.half.is_over(self.owes()) {
            // Ciphertext of the last answers may still wait for the socket.
            return if self.transport.wants_write() {
                Step::Wait(Interest::WRITE)
            } else {
                Step::Close
            };
        }
        let is_open = self.half.is_open();
        if is_open && self.is_fenced() {
            return self.end(fence::refusal());
        }
        if is_open && let Some(refusal) = self.lost_account(turn.services) {
            return self.end(refusal);
        }
        if is_open && self.version().is_some_and(|version| version.is_given_up()) {
            return self.end(given_up());
        }
        if self.half.is_full() {
            return Step::Wait(Interest::WRITE);
        }
        let unread = self.is_unread();
        let answers = if unread { Interest::WRITE } else { Interest::NONE };
        if self.job.is_some() {
            return self.step_of_job(answers, turn);
        }
        if self.half.has_input_ended() {
            // Not armed for input, which has ended; the last completion wakes.
            return Step::Wait(answers);
        }
        if is_open && self.must_wait(turn.services) {
            self.held_up = true;
            return Step::Wait(answers);
        }
        if !self.rest.is_empty() {
            if self.is_over(turn) {
                return Step::Wait(Interest::WRITE);
            }
            let rest = std::mem::take(&mut self.rest);
            return self.take(&mut &rest[..], false, turn);
        }
        // No event tells of an end that has been read already.
        let unread = unread || self.transport.has_peer_ended();
        let waiting = if unread { Interest::BOTH } else { Interest::READ };
        if self.is_over(turn) {
            return Step::Wait(waiting);
        }
        match self.may_read(turn.services.now()) {
            Some(most) => self.read(waiting, most, turn),
            // The timer wakes it.
            None => {
                self.held_up = true;
                Step::Wait(answers)
            }
        }
    }

    /// Goes on with the request that takes more than one turn. `answers`: what there is to wait for besides.
    fn step_of_job(&mut self, answers: Interest, turn: &mut Turn<'_>) -> Step {
        if self.is_over(turn) {
            // A socket is nearly always writable, so this connection's next turn comes soon.
            return Step::Wait(Interest::WRITE);
        }
        // The last of the changes that it waits for wakes it.
        if self.job.as_ref().is_some_and(|job| job.waits(self.pending)) {
            self.held_up = true;
            return Step::Wait(answers);
        }
        // Its files are changes as those of any other request.
        if matches!(self.job, Some(Job::Bundle(..))) && self.must_wait(turn.services) {
            self.held_up = true;
            return Step::Wait(answers);
        }
        self.work(turn);
        let ends = self.job.is_none() && self.half.body_left() == Some(0);
        match ends && self.rest.is_empty() {
            // The end of a body that was held up.
            true => self.take(&mut &[][..], false, turn),
            false => Step::Again,
        }
    }

    /// Tells the table of clients and the bounds that the connection is over.
    pub(crate) fn closed(mut self, services: &Services) {
        self.sink = Sink::Nothing;
        if let Dialect::Haul(haul) = &self.dialect {
            services.fences.leave(&haul.client, haul.slot, self.id);
            services.uploads.disconnected(&haul.client);
            if let Some(version) = &haul.version {
                services.publications.leave(version, self.id);
            }
        }
    }

    /// Whether the turn has taken all that it may, or a stopping server has no time left.
    fn is_over(&self, turn: &Turn<'_>) -> bool {
        turn.share.is_over(!self.fresh.is_empty()) || turn.services.clock.is_grace_over()
    }

    /// Whether the peer waits for an answer that is not in the outbox yet.
    fn owes(&self) -> bool {
        self.pending > 0 || self.job.is_some() || self.held_up
    }

    /// Whether a newer connection has taken this one's place.
    fn is_fenced(&self) -> bool {
        matches!(&self.dialect, Dialect::Haul(haul) if haul.fence.is_closed())
    }

    /// Whether the committer has so much to do that no more is read.
    fn must_wait(&self, services: &Services) -> bool {
        services
            .committer
            .as_ref()
            .is_some_and(|committer| committer.is_full(self.id, self.pending == 0))
    }
}
