//! The direct way past ssh: a server of one run, known by the key and the token that have come over ssh.

use std::io;
use std::time::Instant;

use super::{Route, Trust};
use crate::error::ConnectionError;
use crate::error::ssh::Offer;
use crate::net::destination::Server;
use crate::net::poller::Poller;
use crate::net::ssh::direct::LIMIT;
use crate::net::transport::Transport;

impl Route<'_> {
    /// Connects to the port that the remote hauld has opened. No other key than that of the offer is trusted.
    pub(super) fn directly(
        &self,
        offer: &Offer,
        poller: &mut Poller,
    ) -> Result<Transport, ConnectionError> {
        let Offer { address, pin, token } = offer;
        let server = Server::Tcp { host: address.ip().to_string(), port: address.port() };
        let (trust, deadline) = (Trust::pins([*pin]), Instant::now() + LIMIT);
        let over = || (self.over)() || Instant::now() >= deadline;
        let route = Route {
            server: &server,
            trust: &trust,
            timeout: LIMIT,
            over: &over,
            direct: None,
            ..*self
        };
        match route.connect(poller) {
            Ok(transport) => Ok(transport.invited(token.clone())),
            // Its own time is over, and not the run.
            Err(ConnectionError::Stopped) if !(self.over)() => {
                let (server, source) = (server.to_string(), io::ErrorKind::TimedOut.into());
                Err(ConnectionError::Unreachable { server, source })
            }
            Err(error) => Err(error),
        }
    }
}
