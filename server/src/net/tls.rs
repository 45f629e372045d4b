//! TLS over one connection's socket: records into plaintext, and plaintext into records. No other file of the server uses the
//! connections of rustls (its unbuffered API).
//!
//! A step decrypts every whole record that it has read: bytes in user space raise no event, so a record that waited here would
//! never be looked at again. Only the record whose end has not come waits in the connection; its other bytes raise an event.
//! Ciphertext is read into a worker's buffer, where a cursor moves over the records; only the unfinished one is copied.

use std::fmt;
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use zeroize::Zeroizing;

use super::received::{Received, TransportError};

/// Bytes of the longest record: its header, 16 KiB, and the most that encryption adds.
pub(crate) const RECORD: usize = 5 + 16 * 1024 + 256;

/// Bytes that are encrypted at once, at most. All of their ciphertext may have to wait for the socket.
const AT_ONCE: usize = 64 * 1024;

/// Bytes that a record of application data has besides its plaintext.
const OVERHEAD: usize = 22;

/// Bytes of blocks that are overwritten after rustls has freed one with a secret: as many as fit, one at least.
const FREED: usize = 8 * 1024;

/// The most of these blocks. The GNU C library keeps seven of a size apart for each thread.
const BLOCKS: usize = 8;

/// The alert if rustls has none for an error in the handshake: fatal, `decode_error`.
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// One TLS connection.
pub(crate) struct Tls {
    session: UnbufferedServerConnection,
    /// The bytes of a record, or of a handshake message, whose end has not come.
    tail: Vec<u8>,
    /// Every whole record that was read has been decrypted.
    is_settled: bool,
    out: Outgoing,
    /// A secret may be in the plaintext that comes.
    is_guarded: bool,
    /// The peer has said that it sends no more.
    has_peer_ended: bool,
    /// Nothing more is encrypted or decrypted: the server has said so, or TLS has failed.
    is_over: bool,
}

impl Tls {
    /// A connection whose handshake begins.
    pub(crate) fn begin(config: Arc<ServerConfig>) -> Result<Self, TransportError> {
        Ok(Self {
            session: UnbufferedServerConnection::new(config)?,
            tail: Vec::new(),
            is_settled: true,
            out: Outgoing::default(),
            is_guarded: true,
            has_peer_ended: false,
            is_over: false,
        })
    }

    /// Reads once from the socket, `most` bytes at most, and decrypts all whole records into `room`. `scratch` is for
    /// ciphertext; both have room for more than one record.
    pub(crate) fn receive(
        &mut self,
        socket: &OwnedFd,
        scratch: &mut [u8],
        room: &mut [u8],
        most: usize,
    ) -> Result<Received, TransportError> {
        if self.has_peer_ended {
            return Ok(Received::End { cut: false });
        }
        // Plaintext is never longer than its records.
        let waiting = self.tail.len();
        let end = room.len().min(scratch.len()).min(waiting + most);
        let (taken, _) = rustix::net::recv(socket, &mut scratch[waiting..end], RecvFlags::empty())?;
        if taken == 0 {
            return Ok(Received::End { cut: !self.session.is_handshaking() });
        }
        scratch[..waiting].copy_from_slice(&self.tail);
        let plain = self.process(&mut scratch[..waiting + taken], room)?;
        Ok(Received::Bytes { plain, taken })
    }

    /// Decrypts all whole records of `input` into `room`; the rest waits. Returns the number of bytes of plaintext.
    pub(crate) fn process(
        &mut self,
        input: &mut [u8],
        room: &mut [u8],
    ) -> Result<usize, TransportError> {
        self.is_settled = false;
        let (mut at, mut plain) = (0, 0);
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.session.process_tls_records(&mut input[at..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    let mut freed = 0;
                    let read = loop {
                        // Frees the plaintext of the record before.
                        let next = traffic.next_record();
                        if self.is_guarded {
                            overwrite_freed(freed);
                        }
                        let record = match next {
                            Some(Ok(record)) => record,
                            Some(Err(error)) => break Err(error),
                            None => break Ok(()),
                        };
                        let end = plain + record.payload.len();
                        room[plain..end].copy_from_slice(record.payload);
                        plain = end;
                        discard += record.discard;
                        freed = record.payload.len();
                    };
                    if let Err(error) = read {
                        self.fail();
                        return Err(error.into());
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    self.out.encode(&mut data);
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.has_peer_ended = true;
                    true
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    // The answer to a KeyUpdate leaves with the next plaintext, of which there may be none. Encryption without
                    // room for its result puts that answer in front, and encrypts nothing.
                    let _ = traffic.encrypt(&[0], &mut []);
                    self.session.wants_write()
                }
                Ok(_) => false,
                Err(error) => {
                    self.fail();
                    return Err(error.into());
                }
            };
            at += discard;
            if !goes_on {
                break;
            }
        }
        let rest = if self.has_peer_ended { &[][..] } else { &input[at..] };
        if rest.len() > RECORD {
            self.fail();
            return Err(TransportError::Message);
        }
        self.tail = rest.to_vec();
        self.is_settled = true;
        Ok(plain)
    }

    /// Encrypts bytes from the front of `plain`, and sends as much as the socket takes. Returns how many are accepted: they
    /// must not come again, and may not be on the wire yet. Nothing is accepted while earlier bytes wait.
    pub(crate) fn send(&mut self, socket: &OwnedFd, plain: &[u8]) -> Result<usize, TransportError> {
        if !self.flush(socket)? || self.is_over || plain.is_empty() {
            return Ok(0);
        }
        let piece = &plain[..plain.len().min(AT_ONCE)];
        let mut accepted = 0;
        while accepted == 0 {
            // Spans of a handshake message that is not whole are places in the tail, so it has to be there.
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.tail);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    self.out.fill(piece.len() + records(piece.len()) * OVERHEAD, |room| {
                        traffic.encrypt(piece, room)
                    })?;
                    accepted = piece.len();
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => self.out.encode(&mut data),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(_) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.flush(socket)?;
        Ok(accepted)
    }

    /// Sends ciphertext that waits; returns whether none is left.
    pub(crate) fn flush(&mut self, socket: &OwnedFd) -> Result<bool, Errno> {
        self.out.flush(socket)
    }

    /// Bytes of ciphertext that wait for the socket.
    pub(crate) fn unsent(&self) -> usize {
        self.out.bytes.len() - self.out.sent
    }

    /// Tells the peer that the server sends no more: `close_notify`, which has to be flushed. What the peer sends from now
    /// on is not decrypted.
    pub(crate) fn end(&mut self) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.tail);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            // A peer that can't be told learns it from the end of the stream.
            let _ = self.out.fill(2 * OVERHEAD, |room| traffic.queue_close_notify(room));
        }
        self.tail = Vec::new();
    }

    /// Gives up on a peer that reads nothing.
    pub(crate) fn abandon(&mut self) {
        self.is_over = true;
        self.tail = Vec::new();
        self.out = Outgoing::default();
    }

    /// TLS has failed, and the alert of rustls, if there is one, waits to be sent.
    fn fail(&mut self) {
        self.is_over = true;
        self.is_settled = true;
        self.tail = Vec::new();
        let is_silent = !self.session.wants_write() && self.session.is_handshaking();
        if is_silent {
            self.out.bytes.extend_from_slice(&DECODE_ERROR);
        }
        // Without a byte of input rustls gives what it has to send, and looks for nothing else.
        while self.session.wants_write() {
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut []);
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => self.out.encode(&mut data),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while traffic.next_record().is_some() {}
                }
                _ => break,
            }
        }
    }

    /// From now on a secret may be in the plaintext that comes, or none is.
    pub(crate) fn guard(&mut self, is_guarded: bool) {
        self.is_guarded = is_guarded;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Whether the peer has ended its side, which no event of the socket may tell.
    pub(crate) fn has_peer_ended(&self) -> bool {
        self.has_peer_ended
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        !self.is_over && self.session.is_handshaking()
    }

    /// The cipher suite, once it is agreed on.
    pub(crate) fn suite(&self) -> Option<rustls::CipherSuite> {
        self.session.negotiated_cipher_suite().map(|suite| suite.suite())
    }

    /// Bytes of memory that the peer has made the connection hold.
    pub(crate) fn held_bytes(&self) -> usize {
        self.tail.capacity() + self.out.bytes.capacity()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// Overwrites plaintext of so many bytes that rustls has freed just now: rustls does not. An allocator gives the blocks that were
/// freed last to whoever asks for that size next, so these are taken, overwritten and given back.
fn overwrite_freed(len: usize) {
    let blocks = FREED.checked_div(len).map_or(0, |fit| fit.clamp(1, BLOCKS));
    let block = |at| (at < blocks).then(|| Zeroizing::new(Vec::<u8>::with_capacity(len)));
    // All at once: each is another one.
    let taken: [_; BLOCKS] = std::array::from_fn(block);
    drop(taken);
}

/// The number of records for so many bytes.
fn records(len: usize) -> usize {
    len.div_ceil(16 * 1024)
}

/// Ciphertext on its way to the peer; takes no memory when all is sent.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Appends what `write` writes. `expected`: the room that it needs, unless it says that it needs more.
    fn fill(
        &mut self,
        expected: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), TransportError> {
        let start = self.bytes.len();
        let mut room = expected;
        loop {
            self.bytes.resize(start + room, 0);
            match write(&mut self.bytes[start..]) {
                Ok(written) => {
                    self.bytes.truncate(start + written);
                    return Ok(());
                }
                Err(EncryptError::InsufficientSize(size)) if size.required_size > room => {
                    room = size.required_size;
                }
                Err(_) => {
                    self.bytes.truncate(start);
                    return Err(TransportError::Exhausted);
                }
            }
        }
    }

    /// Appends a handshake message or an alert.
    fn encode<T>(&mut self, data: &mut EncodeTlsData<'_, T>) {
        let start = self.bytes.len();
        if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
            self.bytes.resize(start + size.required_size, 0);
            // It fits now.
            let _ = data.encode(&mut self.bytes[start..]);
        }
    }

    fn flush(&mut self, socket: &OwnedFd) -> Result<bool, Errno> {
        while self.sent < self.bytes.len() {
            match rustix::net::send(socket, &self.bytes[self.sent..], SendFlags::NOSIGNAL) {
                Ok(len) => self.sent += len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno),
            }
        }
        *self = Self::default();
        Ok(true)
    }
}
