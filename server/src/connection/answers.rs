//! From a change to its answer: having it carried out, learning that it is durable, and telling the peer.
//!
//! With durability `group` a change goes to the committer. The committer flushes it with others, leaves its result at the
//! connection and wakes it; a worker takes the result ([`Connection::completed`]), and the next ack of the turn tells
//! ([`Connection::acknowledge`]). Otherwise all of that happens at once.

use std::sync::Arc;

use haul_protocol::{self as protocol, EncodeError, Reply, RequestId};

use super::sending::Sending;
use super::turn::Turn;
use super::{Connection, Dialect};
use crate::audit::Event;
use crate::commit::notify::{Done, ReplyTo, Ticket};
use crate::refusal::Refusal;
use crate::services::start::{Names, Started};
use crate::store::Change;
use crate::uploads::Publishing;

/// Letters of a refusal's message when the peer leaves its answers unread: thousands may come, and each may repeat a name.
const SHORT: usize = 100;

impl Connection {
    /// Has a change carried out: at once, or by the committer.
    pub(super) fn submit(
        &mut self,
        reply_to: ReplyTo,
        change: Change,
        publishing: Option<Publishing>,
        turn: &Turn<'_>,
    ) {
        let is_told = self.teller.is_some();
        let event = if is_told { self.event_of(&change, publishing.as_ref()) } else { None };
        self.submit_with(reply_to, change, publishing, event.into_iter().collect(), turn);
    }

    /// The same. `events`: what the logs and the hook are told of each of the change's results.
    pub(super) fn submit_with(
        &mut self,
        reply_to: ReplyTo,
        change: Change,
        publishing: Option<Publishing>,
        events: Vec<Event>,
        turn: &Turn<'_>,
    ) {
        let services = turn.services;
        let connection = self.id;
        let mut ticket = Ticket { connection, reply_to, events, reserved: None, spooled: None };
        match services.reserve_told(&ticket.events) {
            Ok(reserved) => ticket.reserved = reserved,
            Err(refusal) => {
                services.metrics.hooks.refused.add(ticket.events.len() as u64);
                return self.complete(services.over(ticket, publishing, Err(refusal)));
            }
        }
        self.submit_ticket(ticket, change, publishing, turn);
    }

    /// The same, with room in the spool of the hook that is told of the changes.
    pub(super) fn submit_ticket(
        &mut self,
        ticket: Ticket,
        change: Change,
        publishing: Option<Publishing>,
        turn: &Turn<'_>,
    ) {
        let services = turn.services;
        let change = if self.may_replace(&change) { change } else { change.of_new_only() };
        let fence = match &self.dialect {
            Dialect::Haul(haul) => Some(Arc::clone(&haul.fence)),
            Dialect::Unknown | Dialect::Classic | Dialect::Http(_) => None,
        };
        let leave = match fence.as_ref().map(|fence| fence.enter()).transpose() {
            Ok(leave) => leave,
            Err(refusal) => {
                let done = services.over(ticket, publishing, Err(refusal));
                return self.complete(done);
            }
        };
        let version = self.version().cloned();
        let real;
        let names = match (&version, &change) {
            // The swap itself is about the real names.
            (_, Change::Version(_)) => {
                real = services.store.parents();
                Names::Seen(&real)
            }
            (Some(version), _) => Names::Draft(&turn.base.parents, version),
            (None, _) => Names::Seen(&turn.base.parents),
        };
        let started = services.start(ticket, change, publishing, names);
        drop(leave);
        match started {
            Started::Now(done) => self.complete(done),
            Started::Later { results } => self.pending += results,
        }
    }

    /// The committer has done some of this connection's changes.
    pub(crate) fn completed(&mut self, completions: Vec<Done>) {
        if completions.is_empty() {
            return;
        }
        for done in completions {
            self.pending = self.pending.saturating_sub(1);
            self.complete(done);
        }
        self.release_settled();
        self.say_last_word();
    }

    /// A change is over: tells the peer that asked for it.
    pub(super) fn complete(&mut self, done: Done) {
        match (done.reply_to, done.result) {
            (ReplyTo::Ack(id), Ok(())) => self.done(id),
            (ReplyTo::Answer(id) | ReplyTo::Published(id), Ok(())) => {
                self.answer(id, Reply::Done, &[]);
            }
            (ReplyTo::RolledBack(id, facts), Ok(())) => {
                let facts = facts.get().copied().unwrap_or_default();
                let version = |published| Reply::Version { published, files: facts.files };
                self.answer(id, facts.published().map_or(Reply::Done, version), &[]);
            }
            (ReplyTo::Ack(id) | ReplyTo::Answer(id) | ReplyTo::RolledBack(id, _), Err(refusal)) => {
                self.refuse(id, refusal)
            }
            (ReplyTo::Published(id), Err(refusal)) => self.refuse(id, refusal.of_root()),
            (ReplyTo::Acks(ids), Ok(())) => ids.into_iter().for_each(|id| self.done(id)),
            (ReplyTo::Acks(ids), Err(refusal)) => self.refuse_all(ids, refusal),
            (ReplyTo::Step(_, name), result) => self.http_step_over(*name, result),
            (ReplyTo::One(id, index), result) => self.one_over(id, index, result, None),
            (ReplyTo::Classic(name), Ok(())) => {
                tracing::info!(peer = self.peer, name = name.as_bytes(), "stored");
            }
            (ReplyTo::Classic(name), Err(refusal)) => {
                self.tell_refusal(&refusal);
                if self.may_log() {
                    tracing::warn!(peer = self.peer, name = name.as_bytes(), %refusal, "refused");
                }
            }
        }
    }

    /// A change is done; the next ack says so.
    pub(super) fn done(&mut self, id: RequestId) {
        self.half.done(id);
    }

    /// A request is not carried out.
    pub(super) fn refuse(&mut self, id: RequestId, refusal: Refusal) {
        tracing::debug!(peer = self.peer, id = id.get(), %refusal, "refused");
        self.tell_refusal(&refusal);
        let refusal = self.told(refusal);
        let refusal = if self.half.is_full() { short(refusal) } else { refusal };
        let said = self.half.refuse(id, refusal);
        self.note_unsaid(said);
    }

    /// The refusal on the wire.
    pub(super) fn told(&self, refusal: Refusal) -> protocol::Refusal {
        let account = self.login.as_ref().map(|login| &login.account);
        let is_drop_box = account.is_some_and(|account| account.is_drop_box());
        let account = account.map(|account| &account.name);
        let refusal = if is_drop_box { refusal.without_numbers() } else { refusal };
        refusal.told(&self.view, account, self.version().is_some())
    }

    /// None of the requests of these ids is carried out. Only the first is told why at length: the message may
    /// repeat what the peer has sent.
    pub(super) fn refuse_all(
        &mut self,
        ids: impl IntoIterator<Item = RequestId>,
        refusal: Refusal,
    ) {
        let mut ids = ids.into_iter();
        let short = refusal.in_words("as the first one that was refused with it");
        if let Some(first) = ids.next() {
            self.refuse(first, refusal);
        }
        for id in ids {
            self.refuse(id, short.clone());
        }
    }

    /// A request that is not a change is answered.
    pub(super) fn answer(&mut self, id: RequestId, reply: Reply, body: &[u8]) {
        let said = self.half.answer(id, reply, body);
        self.note_unsaid(said);
    }

    /// As [`answer`](Self::answer), but a large body is not copied.
    pub(super) fn answer_with(&mut self, id: RequestId, reply: Reply, body: Vec<u8>) {
        let said = self.half.answer_with(id, reply, body);
        self.note_unsaid(said);
    }

    /// As [`answer`](Self::answer), but the body is `len` bytes that are sent from a file. Only if nothing else waits to be sent.
    pub(super) fn answer_from(
        &mut self,
        id: RequestId,
        reply: Reply,
        file: Box<Sending>,
        len: u64,
    ) {
        let said = self.half.answer_apart(id, reply, len);
        self.sending = said.is_ok().then_some(file);
        self.note_unsaid(said);
    }

    /// An answer that can't be put into words is a bug of the server's.
    pub(super) fn note_unsaid(&self, said: Result<(), EncodeError>) {
        if let Err(error) = said {
            tracing::error!(peer = self.peer, %error, "an answer could not be encoded");
        }
    }

    /// Tells of all changes that are done since the last ack.
    pub(super) fn acknowledge(&mut self) {
        self.half.acknowledge();
    }
}

fn short(refusal: protocol::Refusal) -> protocol::Refusal {
    let message = refusal.message.chars().take(SHORT).collect();
    protocol::Refusal { message, ..refusal }
}
