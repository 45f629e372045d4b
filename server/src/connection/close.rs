//! Ends a connection: with a last word, after the answers to all earlier requests.

use std::time::Duration;

use haul_protocol::{Code, ServerError};
use rustix::net::sockopt::set_socket_linger;

use super::half::Broken;
use super::sink::Sink;
use super::{Connection, Dialect, Step};
use crate::refusal::Refusal;
use crate::services::Services;

impl Connection {
    /// The peer breaks the protocol: the stream is no frame any more, or a request may not come now.
    pub(super) fn broken(&mut self, broken: &Broken, services: &Services) -> Step {
        let error = match broken {
            Broken::Haul(error) => error,
            Broken::Http(wrong) => {
                if self.may_tell(services) {
                    let (status, why) = (wrong.status.0, wrong.why);
                    tracing::warn!(peer = self.peer, status, why, "malformed request of HTTP");
                }
                self.sink = Sink::Nothing;
                self.drop_rest();
                if let Some(half) = self.half.http() {
                    half.fail(*wrong);
                }
                self.say_last_word();
                return Step::Again;
            }
        };
        match error {
            _ if !self.may_tell(services) => {}
            _ if self.transport.is_refused() => self.tell_plain(),
            ServerError::Order(error) => {
                tracing::warn!(peer = self.peer, %error, "request out of order");
            }
            error => tracing::warn!(peer = self.peer, %error, "malformed input"),
        }
        // Nothing of a client that has to come in TLS is looked at, wrong or not.
        if self.transport.is_refused() {
            return self.end(no_tls());
        }
        self.end(error.refusal())
    }

    /// Whether one more line of the log may tell that this peer has broken off, or breaks the rules.
    pub(super) fn may_tell(&self, services: &Services) -> bool {
        // Strangers at the port that is open for one client would write to that client's terminal.
        !self.is_uninvited && services.lines.may_tell(services.now())
    }

    /// The peer speaks without TLS where it may not.
    pub(super) fn tell_plain(&self) {
        tracing::warn!(
            peer = self.peer,
            "speaks without TLS at an address that takes only TLS, and was refused"
        );
    }

    /// Ends the connection: with a last refusal in the haul dialect, in silence in the classic one.
    pub(super) fn end(&mut self, refusal: impl Into<Refusal>) -> Step {
        let refusal = refusal.into();
        self.tell_end(&refusal);
        let refusal = self.told(refusal);
        let is_denied = matches!(refusal.code, Code::Unauthorized | Code::Tls);
        self.sink = Sink::Nothing;
        self.job = None;
        self.drop_rest();
        if !self.half.end(refusal) {
            // Nothing is ever told to a classic peer: only a reset shows it that its file has gone nowhere.
            if is_denied && let Err(errno) = set_socket_linger(&*self.socket, Some(Duration::ZERO))
            {
                tracing::debug!(peer = self.peer, %errno, "could not have the connection reset");
            }
            return Step::Close;
        }
        self.say_last_word();
        Step::Again
    }

    /// Tells why the connection ends, once all that was asked before has been told.
    pub(super) fn say_last_word(&mut self) {
        match self.pending {
            0 => self.half.conclude(),
            _ => self.half.acknowledge(),
        }
    }

    pub(super) fn refuse_connection(&mut self, code: Code, message: &str) {
        tracing::debug!(peer = self.peer, code = code.as_str(), "ended the connection");
        // A peer that is told nothing has its connection closed by the next step.
        let _ = self.end(Refusal::new(code, message));
    }

    /// Whether a stopping server may end this connection now.
    pub(super) fn may_stop(&self, services: &Services) -> bool {
        self.half.is_open()
            && !self.owes()
            && self.half.between_frames()
            && match &self.dialect {
                Dialect::Haul(haul) => !services.uploads.has_open(&haul.client),
                Dialect::Unknown | Dialect::Classic | Dialect::Http(_) => true,
            }
    }

    pub(super) fn input_ended(&mut self, services: &Services) -> Step {
        if let Err(error) = self.half.input_ended()
            && self.may_tell(services)
        {
            match self.is_own {
                true => tracing::info!(peer = self.peer, %error, "connection ended too early"),
                false => tracing::warn!(peer = self.peer, %error, "connection ended too early"),
            }
        }
        self.sink = Sink::Nothing;
        Step::Again
    }
}

/// The refusal of a client that comes without TLS to an address that takes nothing else.
pub(super) fn no_tls() -> Refusal {
    Refusal::new(Code::Tls, "this server takes only TLS here")
}
