//! The work of a connection that waits for the answer of the hook `before-put` ([`before_put`](super::before_put)).

use haul_protocol::Request;

use super::bundle::Bundle;
use super::http::asked::Asked as HttpAsked;
use crate::http::address::Own;

/// The work that waits for the hook's answer.
#[derive(Debug)]
pub(super) enum Asking {
    /// The file that the sink of the body is for.
    Body,
    /// A bundle, all of whose body is here.
    Bundle(Box<Bundle>, Vec<u8>),
    /// An `open`.
    Request(Box<Request>),
    /// An upload of HTTP is to begin.
    Upload(Box<HttpAsked<Own>>),
}

impl Asking {
    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Body => 0,
            Self::Bundle(_, body) => body.capacity(),
            Self::Request(_) => haul_protocol::limits::MAX_HEADER_LEN / 4,
            Self::Upload(asked) => asked.head.held_bytes(),
        }
    }
}
