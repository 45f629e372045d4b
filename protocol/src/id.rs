//! Numbers of the requests of a connection.

use core::fmt;

/// The number of a request on its connection: 1, 2, 3… in the order in which they are sent (PROTOCOL.md, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// No request, but the connection itself: a refusal of it ends the connection.
    pub const CONNECTION: Self = Self(0);

    /// The first request of a connection.
    pub const FIRST: Self = Self(1);

    /// The request of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The request that is so many after this one.
    #[must_use]
    pub const fn plus(self, requests: u64) -> Self {
        Self(self.0.saturating_add(requests))
    }

    /// So many requests in a row, of which this one is the first: the files of a bundle.
    pub fn row(self, count: u64) -> impl ExactSizeIterator<Item = Self> + Clone {
        // A bundle has few files, and more than fit a `usize` could not be named at all.
        (0..usize::try_from(count).unwrap_or(usize::MAX)).map(move |index| self.plus(index as u64))
    }
}

impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
