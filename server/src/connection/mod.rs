//! The communication loop: one connection's state machine, run by whichever worker has it.
//!
//! A turn reads, decodes and stores until the socket would block or the turn's bounds are reached. Bytes that are read and
//! not decoded by then are kept in `rest`: bytes in user space raise no event, so the connection asks for a turn by
//! waiting until the socket can be written to, which is nearly always at once.
//!
//! The path of one request: a worker runs the connection (`step`), reads (`socket`), decodes (`input`), finds the sink of the
//! request's body (`dispatch`, `sink`), has the store carry the request out (`file_body`, `bundle`, `compare`, or `work` for
//! requests that take more than one turn), and answers (`answers`). Requests of HTTP go by `http`. A `hello` goes by `greet` and `login`. A connection ends
//! by `close`; `timeouts` says when its peer is late, and `way` when it makes way for others.

mod answers;
mod asking;
mod audited;
mod before_put;
mod bundle;
mod close;
mod compare;
mod counted;
mod dispatch;
mod failed;
mod fetch;
mod file_body;
mod get;
mod gone;
mod greet;
mod half;
mod held;
mod http;
mod input;
mod job;
mod login;
mod rate;
mod rename;
mod renaming;
mod rights;
mod seen;
mod sending;
mod sink;
mod socket;
mod staged_tree;
mod step;
mod timeouts;
mod turn;
mod unread;
mod upload;
mod walk;
mod way;
mod work;

use std::net::SocketAddr;
use std::sync::Arc;

use haul_protocol::{Pin, RequestId, Time};
use rustix::fd::OwnedFd;

use crate::accounts::{ClientId, Login, Origin, Scope, View};
use crate::audit::Event;
use crate::commit::notify::{ConnectionId, Notify};
use crate::hooks::Reserved;
use crate::net::buffer;
use crate::net::listen::{Entrance, Peer};
use crate::net::transport::{Accepts, Transport};
use crate::services::Services;
use crate::services::budget::Meter;
use crate::services::fence::Fence;
use crate::services::seats::Seat;
use crate::store::Version;
use audited::Teller;
use counted::Counted;
use half::Half;
use http::Http;
use job::Job;
pub(crate) use seen::Seen;
use sending::Sending;
use sink::Sink;
pub(crate) use step::Next;
use step::Step;
use timeouts::Pace;
use turn::Base;
pub(crate) use turn::Turn;
pub(crate) use way::Way;

/// The fewest bytes that a connection reads at once: after turns that ended before most of the bytes read were carried
/// out, and at the end of a turn. The rest is kept in memory.
const LITTLE: usize = 16 * 1024;

/// Lines of the log about requests of one connection.
const MOST_LOGGED: u32 = 100;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Arc<OwnedFd>,
    transport: Transport,
    id: ConnectionId,
    /// The address of the peer, for the log: of the present request's client, if a proxy asks that is believed.
    peer: String,
    /// Its origin.
    origin: Origin,
    /// The other end of the stream, of TCP.
    at: Option<SocketAddr>,
    /// The user of this machine who is the peer, if that is known.
    user: Option<u32>,
    /// Whether the peer needs no account, because it comes through the root itself.
    is_owner: bool,
    /// Whether the peer still has to show the invitation of the one client that may come in where it has come in.
    is_uninvited: bool,
    /// The key that the server had when the peer came.
    key_at_start: Option<Pin>,
    /// Whether the peer is the client of this process, which tells its user itself how it ends.
    is_own: bool,
    /// Whether anything may be changed here.
    may_change: bool,
    /// The protocol's half of it, without I/O.
    half: Half,
    dialect: Dialect,
    /// The account, if the server has accounts.
    login: Option<Arc<Login>>,
    /// Its seat among the connections that the server serves, until the server has done all that it will do for the client.
    seat: Option<Arc<Seat>>,
    /// Its part in the rate of the account.
    meter: Option<Meter>,
    /// Bytes of the last read, if it was not known yet whose they are: the account pays for them once it is.
    unpaid: usize,
    /// The account has not sent these bytes within its rate: nothing more of them is decoded before it may send more.
    in_debt: bool,
    /// When the account may send more: nothing is read before, in milliseconds of the server's clock.
    throttled: Option<u64>,
    /// When the account could last send more.
    freed: u64,
    /// Tells the logs and the hook `on-commit`, if there is any of them.
    teller: Option<Teller>,
    counted: Counted,
    /// The root that its client sees.
    view: View,
    sink: Sink,
    /// The file whose bytes are the body of the answer that is being sent; boxed, as an idle connection has none.
    sending: Option<Box<Sending>>,
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
    /// The changes that they ask for, if anybody is told of changes.
    fresh_events: Vec<Event>,
    /// Room for them in the spool of the hook that is told of changes.
    fresh_reserved: Option<Reserved>,
    /// The request that takes more than one turn.
    job: Option<Job>,
    /// When that request last took a step, in milliseconds of the server's clock.
    worked: u64,
    /// When its peer was last told something that means nothing, to find out whether it is gone.
    asked_gone: Option<u64>,
    /// The slow lane has given the present turn.
    is_from_slow_lane: bool,
    /// Until its next turn the server works for the peer, and does not wait for it.
    works: bool,
    /// The committer has so much to do, or the account has sent so much, that nothing is read: its peer is not late.
    held_up: bool,
    /// The second of these: the server does nothing for its peer.
    waits_for_rate: bool,
    /// It has made room once, and ends as soon as its requests are answered.
    made_room: bool,
    /// Lines that requests of this peer have added to the log.
    logged: u32,
    /// When the first byte came of a peer whose transport is not ready yet.
    opening: Option<u64>,
    /// When the socket last took ciphertext, or had taken all.
    flushed: u64,
    /// When the peer came.
    accepted: u64,
    /// When the server had done all that it will do for the peer: the connection only has to be closed.
    ended: Option<u64>,
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
    Http(Box<Http>),
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
            half: Half::new(&services.tuning().limits, Time::from_millis(now)),
            dialect: Dialect::Unknown,
            login: None,
            seat: None,
            meter: None,
            unpaid: 0,
            in_debt: false,
            throttled: None,
            freed: now,
            teller: Teller::new(services, &peer.address),
            counted: Counted::new(services, &peer.address),
            peer: peer.address,
            origin: Origin::from(peer.at),
            at: peer.at,
            user: peer.user,
            is_owner: peer.entrance.is_of_owner(),
            is_uninvited: peer.entrance == Entrance::Direct,
            key_at_start: services.keys.as_ref().map(|keys| keys.pin()),
            is_own: matches!(peer.entrance, Entrance::Direct | Entrance::Input),
            may_change: services.may_change,
            view: services.whole.clone(),
            sink: Sink::Nothing,
            sending: None,
            rest: Vec::new(),
            appetite: buffer::LEN,
            pace: Pace::begin(now),
            settled: now,
            pending: 0,
            fresh: Vec::new(),
            fresh_events: Vec::new(),
            fresh_reserved: None,
            job: None,
            worked: now,
            asked_gone: None,
            is_from_slow_lane: false,
            works: false,
            held_up: false,
            waits_for_rate: false,
            made_room: false,
            logged: 0,
            opening: None,
            flushed: now,
            accepted: now,
            ended: None,
            shuts: false,
        }
    }

    /// Whether the client is one of the haul dialect, and was greeted.
    fn is_haul(&self) -> bool {
        matches!(self.dialect, Dialect::Haul(_))
    }

    /// The scope of the tokens of its uploads.
    fn scope(&self) -> Scope {
        let account = self.login.as_ref().map(|login| &login.account);
        Scope::of(account, self.version().map(|version| version.token))
    }

    /// The next version of a directory that this connection is about.
    fn version(&self) -> Option<&Arc<Version>> {
        match &self.dialect {
            Dialect::Haul(haul) => haul.version.as_ref(),
            Dialect::Unknown | Dialect::Classic | Dialect::Http(_) => None,
        }
    }

    /// From here to the end of the turn, names are below the client's root, or the next version if the connection is about
    /// one.
    fn enter_view(&self, turn: &mut Turn<'_>) {
        turn.asker = (self.login.clone(), self.id);
        if let Dialect::Haul(haul) = &self.dialect
            && let Some(version) = &haul.version
        {
            turn.base = Base::of_version(version, &haul.fence, self.view.in_draft());
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

    /// Tells the table of clients and the bounds that the connection is over.
    pub(crate) fn closed(mut self, services: &Services, notify: &dyn Notify) {
        self.has_left();
        self.drop_rest();
        self.sink = Sink::Nothing;
        if let Dialect::Haul(haul) = &self.dialect {
            services.fences.leave(&haul.client, haul.slot, self.id);
            services.uploads.disconnected(&haul.client);
            if let Some(version) = &haul.version {
                services.publications.leave(notify, version, self.id);
            }
        }
    }
}
