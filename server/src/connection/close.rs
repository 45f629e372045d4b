//! How a connection ends: with a last word, after the answers to all earlier requests.

use haul_protocol::{Answer, Code, DecodeError, Decoder, Refusal, Requests};

use super::outbox::Outbox;
use super::sink::Sink;
use super::{Connection, DRAIN_BYTES, Dialect, HTTP_ANSWER, Phase, Step};
use crate::services::Services;

impl Connection {
    /// The stream is no frame any more.
    pub(super) fn malformed(&mut self, error: &DecodeError) -> Step {
        tracing::warn!(peer = self.peer, %error, "malformed input");
        if *error == DecodeError::Http && matches!(self.dialect, Dialect::Unknown) {
            self.outbox.push_raw(HTTP_ANSWER);
            return self.drain();
        }
        self.end(Refusal::new(Code::Malformed, error))
    }

    /// Ends the connection: with a last refusal in the haul dialect, in silence in the classic one.
    pub(super) fn end(&mut self, refusal: Refusal) -> Step {
        self.sink = Sink::Nothing;
        self.job = None;
        self.rest = Vec::new();
        let is_haul = self.decoder.side().is_haul();
        // A connection that only drains holds no header.
        self.decoder = Decoder::new(Requests::default());
        self.header_since = None;
        if !is_haul {
            return Step::Close;
        }
        self.last_word = Some(refusal);
        self.say_last_word();
        self.drain()
    }

    /// All connections together hold too much in memory, or too many open files, and this one most or for longest.
    pub(crate) fn make_room(&mut self) {
        if std::mem::replace(&mut self.made_room, true) {
            return;
        }
        tracing::warn!(peer = self.peer, "made room for others");
        // A peer that leaves its answers unread would not read this one either.
        if !self.outbox.is_empty() {
            self.outbox = Outbox::default();
            self.phase = Phase::InputEnded;
            self.rest = Vec::new();
            self.job = None;
            self.sink = Sink::Nothing;
            self.pending = 0;
            return;
        }
        self.refuse_connection(Code::Busy, "this connection holds too much while others need room");
    }

    /// Tells why the connection ends, once all that was asked before has been told.
    pub(super) fn say_last_word(&mut self) {
        self.acknowledge();
        if self.pending == 0
            && let Some(refusal) = self.last_word.take()
        {
            self.outbox.push(&Answer::Refused { id: 0, refusal });
        }
    }

    pub(super) fn drain(&mut self) -> Step {
        self.rest = Vec::new();
        self.phase = Phase::Draining { left: DRAIN_BYTES, shut: false, since: self.progress };
        Step::Again
    }

    pub(super) fn refuse_connection(&mut self, code: Code, message: &str) {
        tracing::debug!(peer = self.peer, code = code.as_str(), "ended the connection");
        if let Step::Close = self.end(Refusal::new(code, message)) {
            self.phase = Phase::InputEnded;
        }
    }

    /// Whether a stopping server may end this connection now.
    pub(super) fn may_stop(&self, services: &Services) -> bool {
        self.phase == Phase::Open
            && !self.owes()
            && self.decoder.between_frames()
            && match &self.dialect {
                Dialect::Haul(haul) => !services.uploads.has_open(&haul.client),
                Dialect::Unknown | Dialect::Classic => true,
            }
    }

    pub(super) fn input_ended(&mut self) -> Step {
        if let Err(error) = self.decoder.finish()
            && self.phase == Phase::Open
        {
            tracing::warn!(peer = self.peer, %error, "connection ended too early");
        }
        self.sink = Sink::Nothing;
        let told = self.outbox.is_empty() && self.last_word.is_none();
        if matches!(self.phase, Phase::Draining { .. }) && told {
            return Step::Close;
        }
        self.phase = Phase::InputEnded;
        Step::Again
    }
}
