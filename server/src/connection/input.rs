//! Input: bytes into events, and events to the code that carries them out.

use haul_protocol::{Classic, Event, FirstOrLater};

use super::sink::Sink;
use super::timeouts::Pace;
use super::turn::Turn;
use super::{Connection, Dialect, Phase, Step};

/// Letters of a command that the log shows.
const SHOWN: usize = 100;

impl Connection {
    /// Decodes what is kept, as nothing more has come.
    pub(super) fn take_kept(&mut self, turn: &mut Turn<'_>) -> Step {
        let mut buffer = std::mem::take(&mut turn.buffer);
        let step = self.take(&mut buffer.bytes(0), false, turn);
        buffer.keep(0, 0);
        turn.buffer = buffer;
        step
    }

    /// Decodes all bytes of one read; those that come when the outbox is full or the turn is over are kept for later.
    /// With `wait`, bytes of a body that had better be taken together with those behind them are left in `input`.
    pub(super) fn take(&mut self, input: &mut &[u8], wait: bool, turn: &mut Turn<'_>) -> Step {
        if let Phase::Draining { left, .. } = &mut self.phase {
            *left = left.saturating_sub(input.len());
            *input = &[];
            return if *left == 0 { Step::Close } else { Step::Again };
        }
        let mut malformed = None;
        while self.phase == Phase::Open {
            let between = self.decoder.between_frames();
            let may_pause = between || matches!(self.sink, Sink::Check(_));
            let pauses = self.holds_body_up()
                || (between && self.job.is_some())
                || (may_pause && turn.share.is_late(!self.fresh.is_empty()))
                || self.outbox.is_full()
                || self.must_wait(turn.services);
            // The end of a body needs no bytes, so nothing would bring it later.
            let ends = self.decoder.body_left() == Some(0) && !self.holds_body_up();
            if pauses && !ends {
                self.rest = std::mem::take(input).to_vec();
                break;
            }
            let mut now = *input;
            if let Some(left) = self.decoder.body_left() {
                now = &now[..self.sink.at_once(now)];
                if wait {
                    now = &now[..self.sink.takes(now, left)];
                }
                if now.is_empty() && !ends {
                    break;
                }
            }
            let given = now.len();
            let event = self.decoder.decode(&mut now);
            *input = &input[given - now.len()..];
            match event {
                Ok(Some(Event::Header(header))) => self.header(header, turn),
                Ok(Some(Event::Body(bytes))) => self.body(bytes, turn),
                Ok(Some(Event::End)) => {
                    self.settled = self.progress;
                    self.pace = Pace::begin(self.progress);
                    self.body_end(turn);
                }
                Ok(None) => break,
                Err(error) => {
                    malformed = Some(error);
                    break;
                }
            }
        }
        if self.phase != Phase::Open || malformed.is_some() {
            *input = &[];
        }
        if let Some(error) = malformed {
            self.publish_fresh(turn);
            return self.malformed(&error);
        }
        self.acknowledge();
        let held = self.decoder.held();
        if held == 0 {
            self.header_since = None;
        } else if self.header_since.is_none() {
            self.header_since = Some(self.progress);
        }
        Step::Again
    }

    fn header(&mut self, header: FirstOrLater, turn: &mut Turn<'_>) {
        self.header_since = None;
        self.pace = Pace::begin(self.progress);
        match header {
            FirstOrLater::Hello(hello) => self.hello(hello, turn),
            FirstOrLater::Request(request) => self.request(request, turn),
            FirstOrLater::Classic(classic) => {
                if matches!(self.dialect, Dialect::Unknown) {
                    tracing::info!(peer = self.peer, "speaks the classic dialect");
                    self.dialect = Dialect::Classic;
                }
                match classic {
                    Classic::Put { name, size } => self.begin_classic(name, size, turn),
                    Classic::Unknown(command) if self.may_log() => {
                        let command: String = command.chars().take(SHOWN).collect();
                        tracing::info!(peer = self.peer, command, "ignored a classic command");
                    }
                    Classic::Unknown(_) => {}
                }
            }
        }
    }
}
