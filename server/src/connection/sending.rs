//! The body of an answer that is sent from its file, without a copy in memory.
//!
//! The client compares the digest of the whole file, which the answer has stated: bytes that somebody changes on their way,
//! even after the kernel has taken them, are not in the file that the client keeps.

use haul_protocol::Time;

use super::turn::Turn;
use super::{Connection, Step};
use crate::audit::access::Reading;
use crate::net::poller::Interest;
use crate::services::places::Place;
use crate::store::{Readable, Sent};

/// Bytes that are copied at once where the file system has no way into a socket.
const COPIED: u64 = 64 * 1024;

/// A file that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    file: Readable,
    /// Where the next byte is.
    offset: u64,
    /// When bytes last went, in milliseconds of the server's clock.
    advanced: u64,
    /// Tells the access log of it.
    reading: Option<Box<Reading>>,
    _place: Place,
}

impl Sending {
    /// Bytes of a file, from this offset on. `now`: the moment, in milliseconds of the server's clock.
    pub(super) fn new(file: Readable, offset: u64, place: Place, now: u64) -> Self {
        Self { file, offset, advanced: now, reading: None, _place: place }
    }

    /// The same, of which the access log is told.
    pub(super) fn told_by(mut self: Box<Self>, reading: Option<Box<Reading>>) -> Box<Self> {
        self.reading = reading;
        self
    }

    /// Since when its place is not used.
    pub(super) fn place_since(&self) -> u64 {
        self.advanced
    }
}

impl Connection {
    /// Whether the next bytes for the peer come from a file.
    pub(super) fn is_sending(&self) -> bool {
        self.half.output().is_empty() && self.half.apart() > 0
    }

    /// Sends bytes of the file, a bounded number of them. If they can't be read any more, the answer that has begun can't end,
    /// and so the connection ends: the client asks again, and is refused or told the reason then.
    pub(super) fn send_file(&mut self, turn: &mut Turn<'_>) -> Step {
        if self.is_over(turn) {
            return Step::Later(Interest::WRITE);
        }
        match self.send_piece(turn) {
            Ok(0) => Step::Wait(Interest::WRITE),
            Ok(_) => Step::Again,
            Err(reason) => {
                // A peer that has gone is no fault of the file.
                if !self.is_gone() && self.may_log() {
                    tracing::warn!(peer = self.peer, "could not send the rest of a file: {reason}");
                }
                Step::Close
            }
        }
    }

    /// Sends bytes of the file; returns how many: none if the socket takes nothing now.
    fn send_piece(&mut self, turn: &mut Turn<'_>) -> Result<usize, String> {
        let (left, now) = (self.half.apart(), turn.services.now());
        let Some(sending) = &mut self.sending else {
            return Err("it is not open".to_owned());
        };
        let Sending { file, offset, advanced, reading, .. } = &mut **sending;
        let sent =
            match file.send(&self.socket, *offset, left).map_err(|error| error.to_string())? {
                Sent::Bytes(sent) => sent,
                Sent::NoWay => {
                    let room = turn.buffer.room(*offset);
                    let most = usize::try_from(left.min(COPIED)).unwrap_or(0).min(room.len());
                    let read = file.read(*offset, &mut room[..most]);
                    let read = read.map_err(|error| error.to_string())?;
                    let sent = self.transport.send(&self.socket, &room[..read]);
                    sent.map_err(|error| error.to_string())?
                }
            };
        if sent == 0 {
            return Ok(0);
        }
        (*offset, *advanced) = (*offset + sent as u64, now);
        if let Some(reading) = reading {
            reading.moved(sent as u64);
        }
        turn.share.took(sent);
        self.has_sent(sent, now);
        self.half.sent_apart(sent as u64, Time::from_millis(now));
        if self.half.apart() == 0 {
            self.sending = None;
        }
        self.pace.moved(sent, now);
        self.is_taken(now);
        Ok(sent)
    }
}
