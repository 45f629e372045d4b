//! Requests of a proxy that the owner has named: whoever asked the proxy is the client.

use std::net::{IpAddr, SocketAddr};

use crate::accounts::Origin;
use crate::connection::Connection;
use crate::http::forwarded::Told;
use crate::http::head::Head;
use crate::http::status::{Status, Wrong};
use crate::services::Services;

impl Connection {
    /// Believes a proxy for whom it asks, if it is one of those that are believed: from here on the client of this request is
    /// the peer. An error if that client may not ask so.
    pub(super) fn comes_by_proxy(
        &mut self,
        head: &mut Head,
        services: &Services,
    ) -> Result<(), Wrong> {
        let Some(at) = self.at else { return Ok(()) };
        if !services.proxies.have(at.ip()) {
            return Ok(());
        }
        let told = services.proxies.told(head.forwarded());
        self.is_asked_by(told.as_ref().and_then(|told| told.client), at, services);
        if let Some(http) = self.http() {
            http.told.clone_from(&told);
        }
        let Some(Told { client, over_tls, host }) = told else { return Ok(()) };
        if let Some(host) = host {
            head.is_for(host);
        }
        let is_here = client.is_some_and(|client| client.is_loopback());
        if services.may_be_in_clear || is_here || over_tls == Some(true) {
            return Ok(());
        }
        let why = "the proxy does not say that you came by https:// (X-Forwarded-Proto), and this server asks for that";
        Err(Wrong::new(Status::FORBIDDEN, why))
    }

    /// Whether the client came over TLS: to the proxy, if one that is believed has told that.
    pub(super) fn came_over_tls(&mut self) -> bool {
        let told = self.http().and_then(|http| http.told.as_ref()?.over_tls);
        told.unwrap_or_else(|| self.transport.is_tls())
    }

    /// Whether a proxy asks for somebody else.
    pub(super) fn is_proxied(&mut self) -> bool {
        self.http().is_some_and(|http| http.told.is_some())
    }

    /// The client is this one; `None`: the proxy itself.
    fn is_asked_by(&mut self, client: Option<IpAddr>, proxy: SocketAddr, services: &Services) {
        let address = client.map_or_else(|| proxy.to_string(), |client| client.to_string());
        if address == self.peer {
            return;
        }
        tracing::debug!(peer = self.peer, client = address, "a proxy asks for another client");
        // Another client shows a login of its own.
        self.log_out(services);
        let at = client.map_or(proxy, |client| SocketAddr::new(client, 0));
        self.origin = Origin::from(Some(at));
        self.seen().is_from(&address);
        if let Some(teller) = &mut self.teller {
            teller.is_from(&address);
        }
        self.peer = address;
    }
}
