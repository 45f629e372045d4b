//! A connection on its socket: reading once, and sending as much as the socket takes.

use haul_protocol::{Code, Time};
use rustix::io::Errno;
use rustix::net::Shutdown;

use super::sink::Sink;
use super::timeouts::Pace;
use super::turn::Turn;
use super::{Connection, LITTLE, Step};
use crate::net::poller::Interest;
use crate::net::received::{Received, TransportError};
use crate::net::transport::{NO_TLS_HERE, Transport};
use crate::services::Services;

impl Connection {
    /// Reads once, `most` bytes at most, and decodes what has come. If nothing has, the connection waits for `waiting`.
    pub(super) fn read(&mut self, waiting: Interest, most: usize, turn: &mut Turn<'_>) -> Step {
        let mut buffer = std::mem::take(&mut turn.buffer);
        let (room, ciphertext) = buffer.rooms(self.sink.offset());
        let fits = turn.share.fits(!self.fresh.is_empty()).max(LITTLE);
        let most = room.len().min(self.appetite).min(fits).min(most);
        let reads_login = self.reads_login();
        self.transport.guard(reads_login);
        let received = self.transport.receive(&self.socket, room, ciphertext, most);
        if matches!(self.transport, Transport::Plain { .. }) {
            self.opening = None;
        } else {
            self.note_opening(turn.services.now());
        }
        let step = match received {
            Ok(Received::End { cut }) => {
                if self.transport.is_opening() && self.may_tell(turn.services) {
                    tracing::info!(peer = self.peer, "broke the TLS handshake off");
                }
                if cut && self.may_tell(turn.services) {
                    tracing::info!(
                        peer = self.peer,
                        "ended the stream without the words of TLS for it"
                    );
                }
                self.input_ended(turn.services)
            }
            Ok(Received::Bytes { plain, taken }) => {
                // Records without plaintext are work, too.
                turn.share.took(taken.max(plain));
                self.has_received(taken, turn.services.now());
                self.pay_for_read(taken.max(plain));
                if plain == 0 {
                    Step::Again
                } else {
                    self.note_for_version();
                    self.pace.moved(plain, turn.services.now());
                    turn.look_again();
                    let mut input = buffer.bytes(plain);
                    let step = self.take(&mut input, true, turn);
                    let rest = input.len();
                    let secrets = turn.take_secrets();
                    if !secrets.is_empty() {
                        if self.transport.is_encrypted() {
                            buffer.wipe_ciphertext(taken);
                        }
                        buffer.wipe(secrets);
                    }
                    buffer.keep(plain, rest);
                    step
                }
            }
            // Only now is it sure that nothing that has come is dropped.
            Err(TransportError::Socket(Errno::AGAIN))
                if turn.services.clock.is_stopping() && self.may_stop(turn.services) =>
            {
                self.refuse_connection(Code::ShuttingDown, "the server is stopping");
                Step::Again
            }
            Err(TransportError::Socket(Errno::AGAIN)) => Step::Wait(waiting),
            Err(TransportError::Socket(Errno::INTR)) => Step::Again,
            Err(TransportError::Socket(errno)) => {
                tracing::debug!(peer = self.peer, %errno, "connection lost");
                Step::Close
            }
            Err(error) => {
                if reads_login {
                    // A record in front of the one that has failed may have been decrypted.
                    buffer.wipe_all();
                }
                self.transport_failed(&error, turn.services)
            }
        };
        turn.buffer = buffer;
        step
    }

    /// Sends as much as the socket takes.
    pub(super) fn flush(&mut self, now: u64) -> Result<(), TransportError> {
        let unsent = self.transport.unsent();
        if unsent > 0 {
            let is_flushed = self.transport.flush(&self.socket)?;
            if self.transport.unsent() < unsent {
                self.is_taken(now);
            }
            if !is_flushed {
                return Ok(());
            }
        }
        while !self.half.output().is_empty() {
            let accepted = self.transport.send(&self.socket, self.half.output())?;
            if accepted == 0 {
                break;
            }
            self.half.sent(accepted, Time::from_millis(now));
            self.has_sent(accepted, now);
            self.pace.moved(accepted, now);
            self.is_taken(now);
        }
        Ok(())
    }

    /// The peer has taken bytes.
    pub(super) fn is_taken(&mut self, now: u64) {
        self.flushed = now;
        if !self.is_unread() {
            self.settled = now;
            self.pace = Pace::begin(now);
        }
    }

    /// Whether the peer has not taken all that it was told.
    pub(super) fn is_unread(&self) -> bool {
        !self.half.is_said() || self.transport.wants_write()
    }

    /// Shuts the sending side of the socket once all is said and on the wire.
    pub(super) fn shut_when_said(&mut self, now: u64) -> Result<(), TransportError> {
        if self.half.shuts(Time::from_millis(now)) {
            self.shuts = true;
            self.transport.end();
            self.flush(now)?;
        } else if self.half.is_over(self.owes()) {
            self.transport.end();
            self.flush(now)?;
        }
        if self.shuts && !self.transport.wants_write() {
            self.shuts = false;
            // Fails only if the peer is gone, which the next read tells.
            let _ = rustix::net::shutdown(&*self.socket, Shutdown::Write);
        }
        Ok(())
    }

    /// The connection is closed: a TLS peer is told so if the socket takes the words now.
    pub(super) fn say_goodbye(&mut self) {
        self.transport.end();
        let _ = self.transport.flush(&self.socket);
    }

    /// Notes the moment of the first byte, and the end of the handshake.
    fn note_opening(&mut self, now: u64) {
        if self.transport.is_opening() {
            self.opening = self.opening.or(Some(now));
        } else if self.opening.take().is_some()
            && let Some(suite) = self.transport.suite()
        {
            tracing::debug!(peer = self.peer, ?suite, "speaks TLS");
        }
    }

    /// The stream breaks the rules of TLS, or is one that the address does not take. The peer is told by an alert.
    fn transport_failed(&mut self, error: &TransportError, services: &Services) -> Step {
        self.sink = Sink::Nothing;
        self.job = None;
        self.sending = None;
        self.drop_rest();
        self.opening = None;
        self.half.abandon();
        let is_told = self.may_tell(services);
        if matches!(error, TransportError::NoTls) {
            if is_told {
                tracing::warn!(
                    peer = self.peer,
                    "speaks TLS at an address that takes none, and was sent away"
                );
            }
            self.half.end_with(&NO_TLS_HERE);
        } else {
            if is_told {
                tracing::warn!(peer = self.peer, "TLS failed: {error}");
            }
            self.half.end_with(&[]);
        }
        Step::Again
    }
}
