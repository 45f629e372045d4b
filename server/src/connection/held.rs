//! Each connection tells how much it holds, for the account of memory and places (`runtime::account`).

use super::job::Job;
use super::sink::Sink;
use super::{Connection, Dialect};

impl Connection {
    /// Bytes of memory that its peer has made it hold.
    pub(crate) fn held_bytes(&self) -> usize {
        // More can't be had from it.
        if self.made_room {
            return 0;
        }
        self.half.held_bytes()
            + self.transport.held_bytes()
            + self.rest.capacity()
            + self.sink.held_bytes()
            + if let Dialect::Http(http) = &self.dialect { http.held_bytes() } else { 0 }
            + self.job.as_ref().map_or(0, Job::held_bytes)
    }

    /// The moment since which the server waits for its peer to send or to read, in milliseconds of the server's clock.
    /// `None`: the server works for the peer.
    pub(crate) fn settled(&self) -> Option<u64> {
        (!self.works).then_some(self.settled)
    }

    /// Since when its place is not used though the peer could see to it, if it has one: since so many bytes had come for a
    /// half-written file, not with each single byte; since the last step of the request that reads a file or directory.
    pub(crate) fn place_since(&self) -> Option<u64> {
        if let Some(sending) = self.sending.as_ref().filter(|_| !self.works) {
            return Some(sending.place_since());
        }
        match (&self.job, &self.sink) {
            _ if self.works => None,
            (Some(job), _) if job.has_place() => Some(self.worked),
            (_, Sink::Ordered(body)) => Some(body.advanced),
            (_, Sink::File(file)) => file.stream.as_ref().map(|stream| stream.advanced),
            (_, Sink::Entries(entries)) => {
                entries.file()?.stream.as_ref().map(|stream| stream.advanced)
            }
            _ => None,
        }
    }
}
