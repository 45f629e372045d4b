//! Each connection tells how much it holds, for the account of memory and places ([`crate::memory`]).

use super::body::Sink;
use super::job::Job;
use super::{Connection, Dialect};

impl Connection {
    /// Bytes of memory that its peer has made it hold.
    pub(crate) fn held_bytes(&self) -> usize {
        // More can't be had from it.
        if self.made_room {
            return 0;
        }
        let responder = match &self.dialect {
            Dialect::Haul(haul) => haul.responder.held_bytes(),
            Dialect::Unknown | Dialect::Classic => 0,
        };
        self.decoder.held()
            + self.rest.capacity()
            + self.outbox.held_bytes()
            + self.sink.held_bytes()
            + self.job.as_ref().map_or(0, Job::held_bytes)
            + responder
    }

    /// When it was last done with a request or an answer, in milliseconds of the server's clock.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    /// When so many bytes had come that the place of the half-written file is used: not with each single byte.
    pub(crate) fn place_since(&self) -> Option<u64> {
        match &self.sink {
            Sink::File(file) => file.stream.as_ref().map(|stream| stream.advanced),
            _ => None,
        }
    }
}
