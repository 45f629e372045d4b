//! A request of HTTP whose head has been looked at, and the reasons for which it is not carried out.

use std::sync::Arc;

use haul_protocol::{Name, RequestId};

use crate::http::address::Address;
use crate::http::head::Head;
use crate::http::status::{Status, Wrong};
use crate::http::target::Target;
use crate::refusal::Refusal;
use crate::services::seats::Seat;

/// A request whose head has been looked at. `T`: an address of any kind, or only that of an entry or of the server's own.
#[derive(Debug)]
pub(in crate::connection) struct Asked<T = Target> {
    pub(in crate::connection) id: RequestId,
    pub(in crate::connection) head: Box<Head>,
    pub(in crate::connection) target: T,
}

/// A request whose connection waits for a seat.
#[derive(Debug)]
pub(in crate::connection) struct Waiting {
    pub(in crate::connection) seat: Arc<Seat>,
    /// When it began to wait.
    pub(in crate::connection) since: u64,
    pub(in crate::connection) asked: Box<Asked<Address>>,
}

impl Waiting {
    /// Bytes of memory that it takes.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        self.asked.head.held_bytes()
    }
}

impl Asked {
    /// The name; an error if the request is about the root.
    pub(super) fn name(&self) -> Result<Name, Wrong> {
        let root = Wrong::new(Status::FORBIDDEN, "the root itself stays as it is");
        self.target.name.clone().ok_or(root)
    }
}

/// Why a request is not carried out.
pub(super) enum Refused {
    /// It is wrong in itself.
    Wrong(Wrong),
    /// The store or the rules of the accounts are against it.
    Refusal(Refusal),
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl<E: Into<Refusal>> From<E> for Refused {
    fn from(refusal: E) -> Self {
        Self::Refusal(refusal.into())
    }
}
