//! The way to a server: in clear where nobody else can listen, and with TLS everywhere else.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::host::Host;
use super::{Trust, lock};
use crate::error::ConnectionError;
use crate::error::trust::TrustError;
use crate::net::connect::connect;
use crate::net::destination::Server;
use crate::net::poller::Poller;
use crate::net::ssh::Direct;
use crate::net::ssh::connect::{self as by_ssh, Line};
use crate::net::transport::{Secrecy, Socket, Transport};

/// A way to a server.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    /// The server.
    pub server: &'a Server,
    /// The rules by which it is trusted.
    pub trust: &'a Trust,
    /// Time that it may be silent.
    pub timeout: Duration,
    /// Whether nobody wants the connection any more.
    pub over: &'a dyn Fn() -> bool,
    /// Prepares each socket that is connected.
    pub prepare: &'a dyn Fn(&Socket),
    /// The direct way of a run over ssh, if it may go past ssh.
    pub direct: Option<&'a Direct>,
}

impl fmt::Debug for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("server", self.server).finish_non_exhaustive()
    }
}

/// Nothing is to be prepared.
pub const NOTHING: &dyn Fn(&Socket) = &|_| ();

impl Route<'_> {
    /// Connects, and sees to it that the server may be sent something.
    ///
    /// # Errors
    /// If the server can't be reached or is not trusted, or nobody wants the connection any more.
    pub fn connect(&self, poller: &mut Poller) -> Result<Transport, ConnectionError> {
        let Self { server, trust, timeout, over, prepare, direct } = *self;
        if let Some(offer) = direct.and_then(Direct::offer) {
            return self.directly(offer, poller);
        }
        // ssh knows whom it trusts, and asks its user itself.
        if let Server::Ssh(place) = server {
            let asks = direct.is_some();
            let (socket, mut session) =
                by_ssh::connect(place, &Line::of(place), asks, poller, over)?;
            let offer = session.remote.as_mut().and_then(|remote| remote.direct.take());
            if let Some((direct, offer)) = direct.zip(offer) {
                direct.offered(offer);
            }
            return Ok(Transport::over_ssh(socket, session));
        }
        loop {
            let host = Host::of(server);
            let keys = match &host {
                Some(host) if !trust.is_insecure => trust.keys(host).map_err(TrustError::Known)?,
                _ => Vec::new(),
            };
            let socket = connect(server, timeout, poller, over)?;
            prepare(&socket);
            let Some(host) = host else {
                return Ok(Transport::plain(socket, Secrecy::Local));
            };
            if trust.is_insecure {
                return Ok(Transport::plain(socket, Secrecy::Clear));
            }
            let address = socket.peer();
            let is_loopback = address.is_some_and(|address| address.to_canonical().is_loopback());
            // Any other name may lead elsewhere tomorrow. A stranger who answers for names may have led it here, to another server
            // than the one for which an authority would vouch.
            let may_be_plain = is_loopback && host.is_this_machine() && keys.is_empty();
            if may_be_plain && !lock(&trust.wanting).contains(&host) {
                let has_asked = lock(&trust.asking).contains(&host);
                let secrecy = if has_asked { Secrecy::Local } else { Secrecy::Unasked };
                return Ok(Transport::plain(socket, secrecy));
            }
            let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
            match self.encrypted(&host, &keys, (socket, address), poller) {
                Ok(Some(transport)) => return Ok(transport),
                // The user trusts the server now.
                Ok(None) => {}
                Err(ConnectionError::NoTls(server))
                    if is_loopback && !host.is_this_machine() && keys.is_empty() =>
                {
                    return Err(ConnectionError::NoTlsHere { server, port: host.port() });
                }
                Err(error) => return Err(error),
            }
        }
    }
}
