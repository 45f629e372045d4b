//! Input: bytes into events, and events to the code that carries them out.

use haul_protocol::{Classic, Code, Refusal, ServerEvent, Time};
use zeroize::Zeroize;

use super::half::{Broken, Heard};
use super::rights::only_reads;
use super::sink::Sink;
use super::timeouts::Pace;
use super::turn::Turn;
use super::{Connection, Dialect, Step};
use crate::http::status::{Status, Wrong};
use crate::metrics::Speaks;
use crate::net::buffer;

/// A request of HTTP other than `PUT` has a body that goes on and on.
const TOO_LONG: Wrong = Wrong::new(Status::TOO_LARGE, "such a request has no body");

/// Letters of a command that the log shows.
const SHOWN: usize = 100;

impl Connection {
    /// Decodes the bytes that the connection has kept, as nothing more has come.
    pub(super) fn take_kept(&mut self, turn: &mut Turn<'_>) -> Step {
        let mut buffer = std::mem::take(&mut turn.buffer);
        let step = self.take(&mut buffer.bytes(0), false, turn);
        buffer.wipe(turn.take_secrets());
        buffer.keep(0, 0);
        turn.buffer = buffer;
        step
    }

    /// Decodes the bytes that were kept for another turn.
    pub(super) fn take_rest(&mut self, turn: &mut Turn<'_>) -> Step {
        let mut rest = std::mem::take(&mut self.rest);
        let step = self.take(&mut &rest[..], false, turn);
        rest[turn.take_secrets()].zeroize();
        step
    }

    /// Throws bytes away that were kept for another turn.
    pub(super) fn drop_rest(&mut self) {
        let mut rest = std::mem::take(&mut self.rest);
        if self.may_log_in() {
            rest.zeroize();
        }
    }

    /// Whether a login may be in bytes that come on this connection.
    fn may_log_in(&self) -> bool {
        matches!(self.dialect, Dialect::Unknown | Dialect::Http(_))
    }

    /// Whether a login may be in the next bytes.
    fn hears_login(&self) -> bool {
        match self.dialect {
            Dialect::Unknown => true,
            Dialect::Http(_) => !self.half.is_in_body() || matches!(self.sink, Sink::Login(_)),
            Dialect::Haul(_) | Dialect::Classic => false,
        }
    }

    /// Whether a login may be in any bytes of the next read.
    pub(super) fn reads_login(&self) -> bool {
        // A head that comes behind the present body.
        let may_follow = || self.half.body_left().is_none_or(|left| left < buffer::LEN as u64);
        self.may_log_in() && (self.hears_login() || may_follow())
    }

    /// Decodes all bytes of one read; those that come when the outbox is full or the turn is over are kept for later.
    /// With `wait`, bytes of a body that had better be taken together with those behind them are left in `input`.
    pub(super) fn take(&mut self, input: &mut &[u8], wait: bool, turn: &mut Turn<'_>) -> Step {
        let now = turn.services.now();
        let all = input.len();
        let mut broken = None;
        while self.half.is_open() {
            let between = self.half.between_frames();
            let may_pause = between || matches!(self.sink, Sink::Check(_) | Sink::Entries(_));
            let pauses = self.holds_body_up()
                || (between && self.job.is_some())
                || (may_pause && turn.share.is_used_up(!self.fresh.is_empty()))
                || self.half.is_full()
                || self.half.is_answering()
                || self.in_debt
                || self.must_wait(turn.services);
            // The end of a body needs no bytes, so nothing would bring it later.
            let ends = self.half.body_left() == Some(0) && !self.holds_body_up() && !self.in_debt;
            if pauses && !ends {
                if self.may_log_in() {
                    turn.add_secret(all - input.len()..all);
                }
                self.rest = std::mem::take(input).to_vec();
                break;
            }
            let mut piece = *input;
            if let Some(left) = self.half.body_left() {
                piece = &piece[..self.sink.at_once(piece)];
                if wait {
                    piece = &piece[..self.sink.takes(piece, left)];
                }
                if piece.is_empty() && !ends {
                    break;
                }
            }
            let given = piece.len();
            let (begin, hears_login) = (all - input.len(), self.hears_login());
            let event = self.half.receive(&mut piece, Time::from_millis(now));
            *input = &input[given - piece.len()..];
            if hears_login {
                turn.add_secret(begin..all - input.len());
            }
            let is_new = matches!(self.dialect, Dialect::Unknown);
            if is_new && self.half.is_http() && !self.begins_http(turn.services) {
                break;
            }
            match event {
                Ok(Some(Heard::Body(bytes))) if self.skips_too_much(bytes) => {
                    broken = Some(Broken::Http(TOO_LONG));
                    break;
                }
                Ok(Some(Heard::Body(bytes))) => self.body(bytes, turn),
                Ok(Some(Heard::End)) => {
                    self.settled = now;
                    self.pace = Pace::begin(now);
                    if self.has_root(turn) {
                        self.body_end(turn);
                        self.http_end(turn);
                    }
                }
                Ok(Some(Heard::Head(id, head))) => {
                    self.pace = Pace::begin(now);
                    if self.has_root(turn) {
                        self.http_head(id, head, turn);
                    }
                }
                Ok(Some(Heard::Header(header))) => {
                    self.pace = Pace::begin(now);
                    self.header(header, turn);
                }
                Ok(None) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        let is_refused = broken.is_some() || !self.half.is_open();
        if is_refused && self.may_log_in() {
            turn.add_secret(all - input.len()..all);
        }
        if let Some(error) = broken {
            *input = &[];
            self.publish_fresh(turn);
            return self.broken(&error, turn.services);
        }
        if !self.half.is_open() {
            // The half throws these bytes away, and counts them.
            let _ = self.half.receive(input, Time::from_millis(now));
            *input = &[];
        }
        self.acknowledge();
        Step::Again
    }

    /// Whether the roots of the server and of the account are there. If one is gone, the connection ends. A turn looks once for
    /// all requests that one read has brought: a look for each request and each body costs 3 % of the server's time for small
    /// files (measured).
    pub(super) fn has_root(&mut self, turn: &Turn<'_>) -> bool {
        if turn.has_seen_root() {
            return true;
        }
        if let Err(gone) = turn.services.store.look_for_root() {
            self.end(gone);
            return false;
        }
        let is_there = self.has_own_root(turn);
        if is_there {
            turn.saw_root();
        }
        is_there
    }

    fn header(&mut self, header: ServerEvent<'_>, turn: &mut Turn<'_>) {
        match header {
            ServerEvent::Hello(hello) => self.hello(hello, turn),
            ServerEvent::Classic(_) if self.transport.is_refused() => {
                if self.may_tell(turn.services) {
                    tracing::warn!(
                        peer = self.peer,
                        "speaks the classic dialect at an address that takes only TLS, and was sent away"
                    );
                }
                // Nothing is ever told to a classic peer.
                let _ = self.end(Refusal::new(Code::Tls, ""));
            }
            ServerEvent::Request(_) | ServerEvent::Classic(Classic::Put { .. })
                if !self.has_root(turn) => {}
            ServerEvent::Request(request) => self.request(request, turn),
            ServerEvent::Classic(classic) => {
                let is_first = matches!(self.dialect, Dialect::Unknown);
                self.dialect = Dialect::Classic;
                self.is_heard(Speaks::Classic);
                if !self.may_change && !self.is_uninvited {
                    tracing::warn!(
                        peer = self.peer,
                        "speaks the classic dialect, and nothing may be changed here: its file is not stored"
                    );
                    let _ = self.end(only_reads());
                    return;
                }
                // It can't log in: the next step ends it.
                if self.needs_account(turn.services) {
                    if !self.is_uninvited {
                        tracing::warn!(
                            peer = self.peer,
                            "speaks the classic dialect, which has no login, and was sent away: its file is not stored"
                        );
                    }
                    return;
                }
                if is_first {
                    tracing::info!(peer = self.peer, "speaks the classic dialect");
                }
                match classic {
                    Classic::Put { name, size } => self.begin_classic(name, size, turn),
                    Classic::Unknown(command) if self.may_log() => {
                        let command: String = command.chars().take(SHOWN).collect();
                        tracing::info!(peer = self.peer, command, "ignored a classic command");
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
