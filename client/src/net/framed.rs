//! The two directions of a connection: what is gathered to be sent, and what has come.

use std::io;
use std::time::{Duration, Instant};

use haul_protocol::{Answers, Decoder};

use super::body::Body;
use super::poller::Poller;
use super::rate_limit::Limit;
use super::silence::Silence;
use super::transport::Socket;
use crate::error::ConnectionError;

/// After how long without a byte an idle client says that it is there: well before the server's idle
/// deadline, which nobody announces.
const IDLE: Duration = Duration::from_secs(60);

/// Bytes that are sent and kept before what waits is moved to the front.
const SENT_KEPT: usize = 256 * 1024;

/// A socket, its poller and its buffers.
#[derive(Debug)]
pub(crate) struct Link<'a> {
    socket: Socket,
    poller: &'a mut Poller,
    out: Vec<u8>,
    /// A large body that follows `out`.
    tail: Body,
    /// Bytes of both that are sent.
    sent: usize,
    blocked: bool,
    /// Bounds what is sent.
    limit: Option<&'a Limit>,
    /// How long nothing may be sent for that.
    held_back: Option<Duration>,
    pub(crate) decoder: Decoder<Answers>,
    /// A buffer for what is read.
    pub(crate) input: Vec<u8>,
    /// How long the server is waited for.
    pub(crate) silence: Silence,
    /// When a byte last went either way.
    moved: Instant,
}

/// How long a connection may go on waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// So long.
    Left(Duration),
    /// It should say that it is still there.
    Ping,
}

impl<'a> Link<'a> {
    /// Over a connected socket that is in the poller.
    pub(crate) fn new(
        socket: Socket,
        poller: &'a mut Poller,
        timeout: Duration,
        limit: Option<&'a Limit>,
    ) -> Self {
        let now = Instant::now();
        Self {
            socket,
            poller,
            out: Vec::new(),
            tail: Body::default(),
            sent: 0,
            blocked: false,
            limit,
            held_back: None,
            decoder: Decoder::new(Answers),
            input: vec![0; 64 * 1024],
            silence: Silence::new(timeout, now),
            moved: now,
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn gathered(&self) -> usize {
        // A large body goes alone.
        if self.tail.is_empty() { self.out.len() - self.sent } else { usize::MAX }
    }

    /// Where requests are appended; nothing may be while a large body waits.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Takes a large body that follows what was appended, and gives its buffer in exchange.
    pub(crate) fn follow(&mut self, body: &mut Body) {
        std::mem::swap(&mut self.tail, body);
        body.clear();
    }

    /// Whether no more can be sent for now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked || self.held_back.is_some()
    }

    /// From now on the server owes an answer, which it did not before.
    pub(crate) fn expects(&mut self) {
        self.silence.expects(Instant::now());
    }

    /// Sends what the socket takes; returns whether it took anything.
    pub(crate) fn write(&mut self) -> Result<bool, ConnectionError> {
        let mut any = false;
        let was_blocked = std::mem::take(&mut self.blocked);
        self.held_back = None;
        while self.sent < self.out.len() + self.tail.len() {
            let mut first = self.out.get(self.sent..).unwrap_or_default();
            let mut second = &self.tail[self.sent.saturating_sub(self.out.len())..];
            let mut granted = first.len() + second.len();
            if let Some(limit) = self.limit {
                granted = match limit.take(granted) {
                    Ok(granted) => granted,
                    Err(pause) => {
                        self.held_back = Some(pause);
                        break;
                    }
                };
                first = &first[..granted.min(first.len())];
                second = &second[..granted - first.len()];
            }
            let written = self.socket.write(first, second);
            if let (Some(limit), sent) = (self.limit, written.as_ref().map_or(0, |sent| *sent)) {
                limit.give_back(granted - sent);
            }
            match written {
                Ok(sent) => {
                    any = true;
                    self.sent += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ConnectionError::Lost(error)),
            }
        }
        if !self.is_blocked() {
            self.out.clear();
            self.tail.clear();
            self.sent = 0;
        } else if self.tail.is_empty() && self.sent >= SENT_KEPT {
            // A socket that always takes a little less than there is would let it grow for ever.
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        if any {
            self.moved = Instant::now();
            self.silence.got_on(self.moved);
            // A full socket has room again only when the peer has taken something; room in one that
            // was not full says nothing of the peer. But what is held back here it can't answer.
            if was_blocked || self.limit.is_some() {
                self.silence.heard(self.moved);
            }
        }
        Ok(any)
    }

    /// Reads what is there; 0 if nothing is.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConnectionError> {
        loop {
            return match self.socket.read(buffer) {
                Ok(0) => Err(ConnectionError::Closed),
                Ok(len) => {
                    self.moved = Instant::now();
                    self.silence.heard(self.moved);
                    Ok(len)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(ConnectionError::Lost(error)),
            };
        }
    }

    /// How long to wait for the server, which owes an answer unless the connection is idle.
    ///
    /// # Errors
    /// If that was too long.
    pub(crate) fn patience(&self, idle: bool) -> Result<Patience, ConnectionError> {
        if !idle {
            return self.silence.left(Instant::now()).map(Patience::Left);
        }
        let left = IDLE.saturating_sub(self.moved.elapsed());
        Ok(if left.is_zero() { Patience::Ping } else { Patience::Left(left) })
    }

    /// Waits until the socket or other threads have something, or time is up.
    pub(crate) fn sleep(&mut self, timeout: Duration) -> Result<(), ConnectionError> {
        let timeout = self.held_back.map_or(timeout, |pause| pause.min(timeout));
        self.poller.wait(timeout).map_err(ConnectionError::Poller)
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        self.poller.remove(&mut self.socket);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read;

    use super::*;

    /// The peer takes all that it is sent, but is always a little behind.
    #[test]
    fn what_is_sent_is_not_kept() {
        let (ours, mut theirs) = mio::net::UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        let mut socket = Socket::Unix(ours);
        poller.add(&mut socket).unwrap();
        let mut link = Link::new(socket, &mut poller, Duration::from_secs(60), None);
        let (mut sent, mut read) = (Vec::new(), Vec::new());
        let mut buffer = vec![0; 64 * 1024];
        for number in 0..200_u8 {
            while link.gathered() < 256 * 1024 {
                let piece = vec![number; 10_000];
                link.out().extend_from_slice(&piece);
                sent.extend(piece);
            }
            link.write().unwrap();
            assert!(link.is_blocked(), "the test needs a peer that is behind");
            let len = theirs.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..len]);
        }
        assert!(sent.len() > 8 << 20);
        assert!(link.out.capacity() <= 2 << 20, "{} bytes are kept", link.out.capacity());
        while read.len() < sent.len() {
            link.write().unwrap();
            let len = theirs.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..len]);
        }
        assert!(read == sent, "what arrives is not what was sent");
    }
}
