//! Answers on their way to the peer.

use haul_protocol::{Answer, encode};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::SendFlags;

/// Bytes of unread answers at which no more requests are read from a connection.
const FULL: usize = 64 * 1024;

/// Answers that the socket did not take yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() - self.sent >= FULL
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends an answer without a body.
    pub(super) fn push(&mut self, answer: &Answer) {
        self.push_with(answer, &[]);
    }

    /// Appends an answer and its body.
    pub(super) fn push_with(&mut self, answer: &Answer, body: &[u8]) {
        match encode::answer(answer, &mut self.bytes) {
            Ok(()) => self.bytes.extend_from_slice(body),
            Err(error) => tracing::error!(%error, ?answer, "an answer could not be encoded"),
        }
    }

    /// Appends bytes that are no answer.
    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends as many bytes as the socket takes; returns their number.
    pub(super) fn flush(&mut self, socket: &OwnedFd) -> Result<usize, Errno> {
        let mut taken = 0;
        while self.sent < self.bytes.len() {
            match rustix::net::send(socket, &self.bytes[self.sent..], SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.sent += sent;
                    taken += sent;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    // Sent bytes take no memory, also if there are always some left.
                    if self.sent > self.bytes.len() / 2 {
                        self.bytes.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(taken);
                }
                Err(errno) => return Err(errno),
            }
        }
        if !self.bytes.is_empty() {
            // An idle connection holds no buffer.
            *self = Self::default();
        }
        Ok(taken)
    }
}
