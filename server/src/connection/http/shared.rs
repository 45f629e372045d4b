//! Requests of pages of other servers: what they may do, and what their browsers are told.

use super::asked::Asked;
use crate::connection::Connection;
use crate::http::address::Address;
use crate::http::head::{Field, Head};
use crate::http::host::is_own;
use crate::http::method::Method;
use crate::http::origins::{EXPOSED, preflight};
use crate::services::Services;

impl Connection {
    /// Tells the browser of a page of a named origin that the page may read the answer. That page asks without the cookie of this
    /// server's own pages.
    pub(super) fn share(&mut self, head: &mut Head, services: &Services) {
        let (origins, over_tls) = (&services.origins, self.came_over_tls());
        let Some(half) = self.half.http().filter(|_| !origins.is_empty()) else { return };
        half.always("Vary", "Origin");
        let named = head.field(Field::Origin).filter(|origin| origins.knows(origin));
        let Some(origin) = named.map(str::to_owned) else { return };
        half.always("Access-Control-Allow-Origin", &*origin);
        half.always("Access-Control-Expose-Headers", EXPOSED);
        let host = head.field(Field::Host);
        if !host.is_some_and(|host| is_own(&origin, host, over_tls)) {
            head.forget_cookie();
        }
    }

    /// Answers the question of a browser whether a page of a named origin may send a request. Returns the request if it is
    /// another one.
    pub(super) fn answer_preflight(
        &mut self,
        asked: Asked<Address>,
        services: &Services,
    ) -> Option<Asked<Address>> {
        let head = &asked.head;
        let is_asking =
            head.method == Method::Options && head.field(Field::RequestMethod).is_some();
        let is_named =
            head.field(Field::Origin).is_some_and(|origin| services.origins.knows(origin));
        if !is_asking || !is_named {
            return Some(asked);
        }
        if let Some(half) = self.half.http() {
            half.answer_empty(&preflight());
        }
        None
    }
}

/// Whether a page of a named origin may ask for this address: logging in and out is for pages of this server alone.
pub(super) fn is_shared(address: &Address) -> bool {
    !matches!(address, Address::Own(own) if matches!(own.split().0, "login" | "logout"))
}
