//! The stream of one connection: plain, or encrypted with TLS. The first bytes tell which.

use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustls::ServerConfig;

use super::received::{Received, TransportError};
use super::tls::Tls;

/// The answer to a TLS client at an address that takes no TLS: a fatal alert, `protocol_version`.
pub(crate) const NO_TLS_HERE: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// Bytes that may wait for the socket before no more are read: more than one piece of plaintext becomes.
const MOST_UNSENT: usize = 128 * 1024;

/// The streams that an address takes.
#[derive(Debug, Clone)]
pub(crate) struct Accepts {
    /// Streams without encryption.
    pub(crate) plain: bool,
    /// TLS, with this configuration.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

impl Accepts {
    /// Streams without encryption, and no others.
    pub(crate) const PLAIN: Self = Self { plain: true, tls: None };
}

/// The stream of one connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// The first bytes have not told yet; these have come.
    Sniffing { accepts: Accepts, first: Vec<u8> },
    /// Bytes are as they are. `allowed`: the address takes such streams.
    Plain { allowed: bool },
    /// Encrypted.
    Tls(Box<Tls>),
}

/// The kind of a stream, as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Tls,
    /// Too few to tell.
    Either,
}

/// A TLS client begins with a handshake record of a version 3.1 to 3.4: the prefix of a frame of that length is not allowed.
pub(super) fn kind(first: &[u8]) -> Kind {
    match first {
        [] | [22] | [22, 3] => Kind::Either,
        [22, 3, 1..=4, ..] => Kind::Tls,
        _ => Kind::Plain,
    }
}

impl Transport {
    /// Whether its bytes are encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// A stream of which no byte has come.
    pub(crate) fn new(accepts: Accepts) -> Self {
        Self::Sniffing { accepts, first: Vec::new() }
    }

    /// From now on a secret may be in the bytes that come, or none is: a copy of it that others make is overwritten.
    pub(crate) fn guard(&mut self, is_guarded: bool) {
        if let Self::Tls(tls) = self {
            tls.guard(is_guarded);
        }
    }

    /// Reads once, `most` bytes at most, and puts plaintext into `room`. `scratch` is the worker's room for ciphertext.
    pub(crate) fn receive(
        &mut self,
        socket: &OwnedFd,
        room: &mut [u8],
        scratch: &mut Vec<u8>,
        most: usize,
    ) -> Result<Received, TransportError> {
        match self {
            Self::Plain { .. } => receive(socket, &mut room[..most]),
            Self::Tls(tls) if tls.is_over() => receive(socket, &mut room[..most]),
            Self::Tls(tls) => {
                let len = room.len();
                tls.receive(socket, scratch_of(scratch, len), room, most)
            }
            Self::Sniffing { first, .. } => {
                let before = first.len();
                room[..before].copy_from_slice(first);
                match receive(socket, &mut room[before..most])? {
                    Received::Bytes { taken, .. } => {
                        self.sniff(&mut room[..], before + taken, taken, scratch)
                    }
                    // An end within the first bytes: they are not TLS.
                    Received::End { .. } if before > 0 => {
                        self.decide_plain();
                        Ok(Received::Bytes { plain: before, taken: 0 })
                    }
                    end => Ok(end),
                }
            }
        }
    }

    /// The first `len` bytes of the room are the first of the stream; `taken` of them have come now.
    fn sniff(
        &mut self,
        room: &mut [u8],
        len: usize,
        taken: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Received, TransportError> {
        let Self::Sniffing { accepts, first } = self else {
            return Ok(Received::Bytes { plain: len, taken });
        };
        match kind(&room[..len]) {
            Kind::Plain => {
                self.decide_plain();
                Ok(Received::Bytes { plain: len, taken })
            }
            Kind::Either => {
                *first = room[..len].to_vec();
                Ok(Received::Bytes { plain: 0, taken })
            }
            Kind::Tls => {
                let Some(config) = accepts.tls.take() else {
                    *self = Self::Plain { allowed: true };
                    return Err(TransportError::NoTls);
                };
                let mut tls = Box::new(Tls::begin(config)?);
                let scratch = &mut scratch_of(scratch, room.len())[..len];
                scratch.copy_from_slice(&room[..len]);
                let plain = tls.process(scratch, room);
                *self = Self::Tls(tls);
                Ok(Received::Bytes { plain: plain?, taken })
            }
        }
    }

    fn decide_plain(&mut self) {
        if let Self::Sniffing { accepts, .. } = self {
            *self = Self::Plain { allowed: accepts.plain };
        }
    }

    /// Accepts bytes from the front of `bytes`, and returns how many: none if the socket takes nothing now. Accepted bytes may
    /// not be on the wire yet.
    pub(crate) fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Result<usize, TransportError> {
        if let Self::Tls(tls) = self {
            return tls.send(socket, bytes);
        }
        loop {
            match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                sent => return Ok(sent?),
            }
        }
    }

    /// Whether bytes of a file may go straight into the socket, when all that was accepted before is on the wire.
    pub(crate) fn sends_files(&self) -> bool {
        matches!(self, Self::Plain { .. })
    }

    /// Sends accepted bytes; returns whether all are on the wire.
    pub(crate) fn flush(&mut self, socket: &OwnedFd) -> Result<bool, Errno> {
        match self {
            Self::Tls(tls) => tls.flush(socket),
            Self::Sniffing { .. } | Self::Plain { .. } => Ok(true),
        }
    }

    /// Bytes that are accepted, and wait for the socket in the form that the wire has.
    pub(crate) fn unsent(&self) -> usize {
        match self {
            Self::Tls(tls) => tls.unsent(),
            Self::Sniffing { .. } | Self::Plain { .. } => 0,
        }
    }

    /// Whether so many of them wait that no more should be read: reading makes answers of TLS's own.
    pub(crate) fn is_full(&self) -> bool {
        self.unsent() > MOST_UNSENT
    }

    /// Whether accepted bytes wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.unsent() > 0
    }

    /// Tells the peer, in the words of the transport, that the server sends no more. They have to be flushed; then the sending
    /// side of the socket may be shut.
    pub(crate) fn end(&mut self) {
        if let Self::Tls(tls) = self {
            tls.end();
        }
    }

    /// Throws accepted bytes away.
    pub(crate) fn abandon(&mut self) {
        if let Self::Tls(tls) = self {
            tls.abandon();
        }
    }

    /// Whether the peer has begun, and may not do anything else before it has told which stream this is, and has shaken hands.
    pub(crate) fn is_opening(&self) -> bool {
        match self {
            Self::Sniffing { first, .. } => !first.is_empty(),
            Self::Plain { .. } => false,
            Self::Tls(tls) => tls.is_handshaking(),
        }
    }

    /// Whether the stream is one that the address does not take.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Plain { allowed: false })
    }

    /// Whether the stream is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether the end of the stream has been read, which no event tells any more. Once the server has ended its own side, it
    /// reads the socket itself, whose events tell all.
    pub(crate) fn has_peer_ended(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.has_peer_ended() && !tls.is_over())
    }

    /// Whether no whole record that was read waits undecrypted.
    pub(crate) fn is_settled(&self) -> bool {
        match self {
            Self::Tls(tls) => tls.is_settled(),
            Self::Sniffing { .. } | Self::Plain { .. } => true,
        }
    }

    /// The cipher suite, for the log.
    pub(crate) fn suite(&self) -> Option<rustls::CipherSuite> {
        match self {
            Self::Tls(tls) => tls.suite(),
            Self::Sniffing { .. } | Self::Plain { .. } => None,
        }
    }

    /// Bytes of memory that the peer has made it hold.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Sniffing { first, .. } => first.capacity(),
            Self::Plain { .. } => 0,
            Self::Tls(tls) => tls.held_bytes(),
        }
    }
}

fn receive(socket: &OwnedFd, room: &mut [u8]) -> Result<Received, TransportError> {
    match rustix::net::recv(socket, room, RecvFlags::empty())? {
        (0, _) => Ok(Received::End { cut: false }),
        (taken, _) => Ok(Received::Bytes { plain: taken, taken }),
    }
}

/// Room for so many bytes of ciphertext. The worker's buffer keeps it.
fn scratch_of(scratch: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
    &mut scratch[..len]
}
