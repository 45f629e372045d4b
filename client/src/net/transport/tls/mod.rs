//! TLS over a socket that never blocks: the one file of the client that knows how rustls moves bytes.
//!
//! The caller's plaintext is encrypted once, into a buffer that is sent as the socket has room; no plaintext is accepted
//! while bytes of that buffer wait. Records are decrypted as soon as they are whole, where they lie: a cursor moves over
//! them, and only the unfinished record at the end is ever moved.

mod handshake;

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};

use super::PIECES;
use super::socket::Socket;
pub use handshake::HandshakeError;

/// Plaintext that is encrypted at once: as much as a connection gathers, which leaves in one write then. With half of it the
/// server wakes twice, and stores half as many files together.
const AT_ONCE: usize = 320 * 1024;

/// The plaintext of one record at most.
const RECORD: usize = 16 * 1024;

/// Bytes that a record is longer than its plaintext, at most.
const OVERHEAD: usize = 64;

/// Room for the ciphertext of so much, in which each piece begins a record, and for records of the connection's own before it.
const OUTGOING: usize = AT_ONCE + (AT_ONCE / RECORD + PIECES) * OVERHEAD + RECORD;

/// Ciphertext that is read at once. A message of the handshake, of at most 64 KiB, has to fit whole.
const INCOMING: usize = 96 * 1024;

/// The number of times that ciphertext is read without any plaintext in it, before the caller looks after other things: a
/// server may send empty records without end.
const FRUITLESS: usize = 64;

/// A TLS connection, in its handshake or after it.
pub struct Tls {
    socket: Socket,
    connection: UnbufferedClientConnection,
    /// Ciphertext from the server; the bytes from `begin` to `end` are not decrypted.
    incoming: Vec<u8>,
    begin: usize,
    end: usize,
    /// Plaintext for which the caller had no room, from `plain_taken` on.
    plain: Vec<u8>,
    plain_taken: usize,
    /// Ciphertext for the server; the bytes from `sent` to `filled` wait for the socket.
    outgoing: Vec<u8>,
    sent: usize,
    filled: usize,
    moved: u64,
    /// Whether any bytes have come that can be TLS.
    is_tls: bool,
    /// The server sends nothing more.
    is_closed: bool,
    /// The reason why it can't go on.
    broken: Option<rustls::Error>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// The result of one step of the connection.
enum Step {
    /// Plaintext has come, of which so many bytes are in the caller's room.
    Read(usize),
    /// The connection itself has bytes to send, or is done with them.
    Encoded,
    /// The caller's plaintext is encrypted, or could be.
    Ready,
    /// The handshake needs bytes of the server.
    Blocked,
    /// The server sends nothing more.
    Closed,
}

impl Tls {
    /// A connection over a connected socket; the handshake has not begun.
    ///
    /// # Errors
    /// If the configuration can't be used.
    pub fn new(
        socket: Socket,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            socket,
            connection: UnbufferedClientConnection::new(config, name)?,
            incoming: vec![0; INCOMING],
            begin: 0,
            end: 0,
            plain: Vec::new(),
            plain_taken: 0,
            outgoing: vec![0; OUTGOING],
            sent: 0,
            filled: 0,
            moved: 0,
            is_tls: false,
            is_closed: false,
            broken: None,
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    pub(super) fn pending(&self) -> usize {
        self.filled - self.sent
    }

    /// Accepts plaintext of the pieces, in their order.
    ///
    /// # Errors
    /// `WouldBlock` if bytes that were accepted before are still to be sent, or if the connection is gone.
    pub(super) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        let mut accepted = 0;
        for piece in pieces {
            let piece = &piece[..piece.len().min(AT_ONCE - accepted)];
            let mut is_encrypted = piece.is_empty();
            while !is_encrypted {
                is_encrypted = match self.step(&mut [], piece) {
                    Ok(Step::Ready) => true,
                    Ok(Step::Read(_) | Step::Encoded | Step::Closed) => false,
                    Ok(Step::Blocked) => return Err(io::ErrorKind::WouldBlock.into()),
                    Err(error) => return Err(self.broken(error)),
                };
            }
            accepted += piece.len();
        }
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(accepted),
        }
    }

    /// Sends ciphertext that waits.
    ///
    /// # Errors
    /// `WouldBlock` if some still waits, or if the connection is gone.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.filled {
            match self.socket.write(&[IoSlice::new(&self.outgoing[self.sent..self.filled])]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    self.sent += sent;
                    self.moved += sent as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.sent, self.filled) = (0, 0);
        Ok(())
    }

    /// Reads plaintext.
    ///
    /// # Errors
    /// `WouldBlock` if none is there now, or if the connection is gone.
    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut read = self.take_plain(room);
        let mut fruitless = 0;
        while read < room.len() && !self.is_closed {
            match self.step(&mut room[read..], &[]) {
                Ok(Step::Read(len)) => read += len,
                // `flush` sends it.
                Ok(Step::Encoded | Step::Closed) => {}
                // No whole record is left. The caller comes again, until nothing is there.
                Ok(Step::Ready | Step::Blocked) if read > 0 => break,
                Ok(Step::Ready | Step::Blocked) => {
                    fruitless += 1;
                    if fruitless > FRUITLESS {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    self.is_closed = self.fill()? == 0;
                }
                Err(error) => {
                    let error = self.broken(error);
                    // The server may have said why; the error comes again.
                    return if read > 0 { Ok(read) } else { Err(error) };
                }
            }
        }
        Ok(read)
    }

    /// Takes plaintext that had no room before.
    fn take_plain(&mut self, room: &mut [u8]) -> usize {
        let left = &self.plain[self.plain_taken..];
        let len = left.len().min(room.len());
        room[..len].copy_from_slice(&left[..len]);
        self.plain_taken += len;
        if self.plain_taken == self.plain.len() {
            self.plain.clear();
            self.plain_taken = 0;
        }
        len
    }

    /// Reads ciphertext; returns the number of bytes, 0 at the end of the stream.
    fn fill(&mut self) -> io::Result<usize> {
        if self.begin > 0 {
            // Less than a record, since all whole ones are decrypted.
            self.incoming.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        if self.end == self.incoming.len() {
            let text = "a record of the server is too long";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let len = self.socket.read(&mut self.incoming[self.end..])?;
        self.end += len;
        Ok(len)
    }

    /// One step of the connection. If it is ready, it encrypts `piece`; plaintext that comes goes into `room`, and
    /// what has no room there into the connection's own buffer, which then holds no more than was read at once.
    fn step(&mut self, room: &mut [u8], piece: &[u8]) -> Result<Step, rustls::Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let incoming = &mut self.incoming[self.begin..self.end];
        let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(incoming);
        let outgoing = &mut self.outgoing[self.filled..];
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut read = 0;
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    let len = record.payload.len().min(room.len() - read);
                    room[read..read + len].copy_from_slice(&record.payload[..len]);
                    self.plain.extend_from_slice(&record.payload[len..]);
                    read += len;
                    discard += record.discard;
                }
                Ok(Step::Read(read))
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => match data.encode(outgoing) {
                Ok(len) => {
                    self.filled += len;
                    Ok(Step::Encoded)
                }
                Err(error) => Err(failed(&error)),
            },
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::Encoded)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                match traffic.encrypt(piece, outgoing) {
                    Ok(len) => {
                        self.filled += len;
                        Ok(Step::Ready)
                    }
                    Err(error) => Err(failed(&error)),
                }
            }
            Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                self.is_closed = true;
                Ok(Step::Closed)
            }
            // Early data, which a client never receives.
            Ok(_) => Err(rustls::Error::General(String::from("unexpected state"))),
            Err(error) => Err(error),
        };
        self.begin += discard;
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
        step
    }

    /// Lets the server know why the connection can't go on, as far as the socket takes that now.
    fn give_up(&mut self, error: &rustls::Error) {
        // rustls must not see input again that it has refused.
        (self.begin, self.end) = (0, 0);
        while self.connection.wants_write() && self.step(&mut [], &[]).is_ok() {}
        self.broken = Some(error.clone());
        let _ = self.flush();
    }

    /// The error of a connection whose bytes make no sense.
    fn broken(&mut self, error: rustls::Error) -> io::Error {
        self.give_up(&error);
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    /// Tells the server that nothing more comes, as far as the socket takes that now.
    pub(super) fn end(&mut self) {
        let is_ready = loop {
            match self.step(&mut [], &[]) {
                Ok(Step::Read(_) | Step::Encoded | Step::Closed) => {}
                Ok(Step::Ready) => break true,
                Ok(Step::Blocked) | Err(_) => break false,
            }
        };
        if !is_ready {
            return;
        }
        let incoming = &mut self.incoming[self.begin..self.end];
        let status = self.connection.process_tls_records(incoming);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state
            && let Ok(len) = traffic.queue_close_notify(&mut self.outgoing[self.filled..])
        {
            self.filled += len;
        }
        let _ = self.flush();
    }
}

/// The error of a connection that has no room for bytes of its own, because the server reads none of them.
fn failed(error: &dyn fmt::Display) -> rustls::Error {
    rustls::Error::General(error.to_string())
}
