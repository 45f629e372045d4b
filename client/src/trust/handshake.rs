//! The handshake of one connection, and the reasons for which it fails.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_protocol::{Answers, Decoder, Pin};
use rustls::{AlertDescription, Error};

use super::crypto;
use super::host::Host;
use super::known::Key;
use super::verifier::{OneServer, Seen, Verdict};
use super::{Route, Stranger};
use crate::error::ConnectionError;
use crate::error::trust::TrustError;
use crate::net::connect::connect;
use crate::net::poller::Poller;
use crate::net::transport::{HandshakeError, Socket, Tls, Transport};
use crate::net::wire::first_answer;

/// Time between two looks whether anybody still wants the connection.
const PAUSE: Duration = Duration::from_millis(100);

/// A server whose key is known and which takes no TLS: somebody may be in between, who lacks the key.
fn without_tls_now(error: ConnectionError, keys: &[Key]) -> ConnectionError {
    match error {
        ConnectionError::NoTls(server) if !keys.is_empty() => TrustError::Clear { server }.into(),
        error => error,
    }
}

impl Route<'_> {
    /// Encrypts a connection to a host with these keys. `None`: the user has just trusted the server, and a new
    /// connection will be trusted.
    pub(super) fn encrypted(
        &self,
        host: &Host,
        keys: &[Key],
        (socket, address): (Socket, IpAddr),
        poller: &mut Poller,
    ) -> Result<Option<Transport>, ConnectionError> {
        let pins = keys.iter().map(|key| key.pin).collect();
        let (mut tls, seen) = match self.shaken(host, pins, (socket, address), poller) {
            Ok(shaken) => shaken,
            Err(Failure::Connection(error)) => return Err(without_tls_now(error, keys)),
            Err(Failure::Tls(failed)) => {
                let untrusted = self.untrusted(host, keys, failed.1, &failed.0);
                return untrusted.map_err(|error| without_tls_now(error, keys));
            }
        };
        let pinned = match seen {
            Some(Seen { pin, verdict: Verdict::Pinned, is_proved: true }) => Some(pin),
            Some(Seen { verdict: Verdict::Vouched, is_proved: true, .. }) => None,
            _ => {
                poller.remove(tls.socket_mut());
                let why = String::from("the server showed no key");
                return Err(ConnectionError::Handshake { server: host.to_string(), why });
            }
        };
        if let Some(pin) = pinned
            && keys.iter().any(|key| key.pin == pin && key.of.is_some())
        {
            // If it can't be noted now, the next connection notes it.
            let _ = self.trust.change(|known| known.arrived(host, pin));
        }
        Ok(Some(Transport::verified(tls, pinned)))
    }

    /// Looks which key the server has. Nothing is sent but the handshake.
    ///
    /// # Errors
    /// If the server can't be reached, or takes no TLS.
    pub fn look(&self, poller: &mut Poller) -> Result<Look, ConnectionError> {
        let unreachable = || ConnectionError::NoTls(self.server.to_string());
        let host = Host::of(self.server).ok_or_else(unreachable)?;
        let socket = connect(self.server, self.timeout, poller, self.over)?;
        let address = socket.peer().ok_or_else(unreachable)?;
        let (seen, error) = match self.shaken(&host, Vec::new(), (socket, address), poller) {
            Ok((mut tls, seen)) => {
                poller.remove(tls.socket_mut());
                (seen, Error::HandshakeNotComplete)
            }
            Err(Failure::Connection(error)) => return Err(error),
            Err(Failure::Tls(failed)) => (failed.1, failed.0),
        };
        match seen {
            Some(Seen { pin, verdict, is_proved: true }) => {
                let is_vouched = verdict == Verdict::Vouched;
                let why = if let Verdict::Unknown(why) = verdict { why } else { None };
                Ok(Look { pin, is_vouched, why })
            }
            seen => self.untrusted(&host, &[], seen, &error).and(Err(unreachable())),
        }
    }

    /// A connection whose handshake is done, and the key of the server.
    fn shaken(
        &self,
        host: &Host,
        pins: Vec<Pin>,
        (socket, address): (Socket, IpAddr),
        poller: &mut Poller,
    ) -> Result<(Tls, Option<Seen>), Failure> {
        let server = Arc::new(OneServer::new(pins, Arc::clone(&self.trust.authorities)));
        let failed = |error| Failure::Tls(Box::new((error, server.seen())));
        let config = crypto::config(Arc::<OneServer>::clone(&server)).map_err(failed)?;
        let mut tls = Tls::new(socket, config, host.server_name(address)).map_err(failed)?;
        match self.shake_hands(&mut tls, poller) {
            Ok(Ok(())) => Ok((tls, server.seen())),
            Ok(Err(error)) => {
                poller.remove(tls.socket_mut());
                Err(failed(error))
            }
            Err(error) => {
                poller.remove(tls.socket_mut());
                Err(Failure::Connection(error))
            }
        }
    }

    /// Until it is done, in the time that the first answer may take. The inner error is that of the two sides.
    fn shake_hands(
        &self,
        tls: &mut Tls,
        poller: &mut Poller,
    ) -> Result<Result<(), Error>, ConnectionError> {
        let limit = first_answer(self.timeout);
        let deadline = Instant::now() + limit;
        loop {
            if (self.over)() {
                return Err(ConnectionError::Stopped);
            }
            match tls.handshake() {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => {}
                Err(HandshakeError::Tls(error)) => return Ok(Err(error)),
                Err(HandshakeError::Lost(error)) => return Err(ConnectionError::Lost(error)),
                Err(HandshakeError::Closed) => return Err(ConnectionError::ClosedAtHandshake),
                Err(HandshakeError::NotTls(bytes)) => return Err(self.foreign(&bytes)),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ConnectionError::NoHandshake(limit));
            }
            poller.wait(left.min(PAUSE)).map_err(ConnectionError::Poller)?;
        }
    }

    /// The error of a server that does not speak TLS.
    fn foreign(&self, mut bytes: &[u8]) -> ConnectionError {
        match Decoder::new(Answers).decode(&mut bytes) {
            Err(error) => ConnectionError::NotHaul(error),
            // A refusal, or its beginning.
            Ok(_) => ConnectionError::NoTls(self.server.to_string()),
        }
    }

    /// The error of a server to which the handshake has failed, if the user does not trust it now.
    fn untrusted(
        &self,
        host: &Host,
        keys: &[Key],
        seen: Option<Seen>,
        error: &Error,
    ) -> Result<Option<Transport>, ConnectionError> {
        let (server, why) = (host.to_string(), error.to_string());
        if is_no_tls(error) {
            return Err(ConnectionError::NoTls(server));
        }
        let Some(Seen { pin, verdict, is_proved }) = seen else {
            return Err(ConnectionError::Handshake { server, why });
        };
        Err(match verdict {
            _ if !is_proved => TrustError::Unproved { server, why }.into(),
            Verdict::Changed => self.trust.changed(host, keys, pin).into(),
            Verdict::Unknown(why) => {
                self.trust.judge(host, &Stranger { server, pin, why })?;
                return Ok(None);
            }
            // It has failed behind the proof.
            Verdict::Pinned | Verdict::Vouched => ConnectionError::Handshake { server, why },
        })
    }
}

/// Whether the server has said that it takes no TLS, or none of this version.
fn is_no_tls(error: &Error) -> bool {
    use AlertDescription::{HandshakeFailure, ProtocolVersion};
    matches!(error, Error::AlertReceived(HandshakeFailure | ProtocolVersion))
        || matches!(error, Error::PeerIncompatible(_))
}

/// The end of a handshake.
enum Failure {
    Connection(ConnectionError),
    /// The two sides don't agree; with the key of the server, if it has shown one.
    Tls(Box<(Error, Option<Seen>)>),
}

/// The key of a server, seen before anything else was sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The key.
    pub pin: Pin,
    /// A public authority vouches for it.
    pub is_vouched: bool,
    /// The reason why no authority vouches for it, if it has a certificate of one.
    pub why: Option<String>,
}
