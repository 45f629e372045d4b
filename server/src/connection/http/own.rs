//! Requests for addresses of the server's own, below `/.haul/`.

use super::asked::Asked;
use crate::connection::Connection;
use crate::connection::turn::Turn;
use crate::http::address::Own;
use crate::http::method::Method;
use crate::http::target::reserved;

impl Connection {
    /// The account of the request is known, if it needs one: does what comes before its body.
    pub(super) fn own_enters(&mut self, asked: Asked<Own>, turn: &mut Turn<'_>) {
        if asked.target.split().0 == "tus" {
            return self.resumable_enters(asked, turn);
        }
        let (first, rest) = asked.target.split();
        if (first, rest, asked.head.method) == ("many", "", Method::Post) {
            return self.http_rows(asked);
        }
        tracing::debug!(peer = self.peer, first, rest, query = &*asked.target.query, "not served");
        self.refuse_http(asked.id, reserved().into());
    }
}
