//! The transport: the stream to the server, plain or TLS, which never blocks.

mod socket;
mod tls;

use std::io::{self, IoSlice};

use haul_protocol::{AccessToken, Pin};

use super::ssh::child::Session;
use crate::error::ConnectionError;
use crate::error::ssh::{Remote, SshError};

pub use socket::Socket;
pub use tls::{HandshakeError, Tls};

/// Pieces that are given to [`Transport::write`] at once, at most.
pub(super) const PIECES: usize = 16;

/// The people who can read and change the bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Only a process of this machine that has asked for a login: at a Unix socket, or on loopback.
    Local,
    /// A process of this machine, on loopback, that has not asked for a login.
    Unasked,
    /// Only the server, whose key is trusted.
    Verified,
    /// Everybody on the way, as the user wants it.
    Clear,
    /// Only the server, as ssh has made sure of. There are no accounts, so no token is sent.
    Ssh,
}

/// A connected stream.
#[derive(Debug)]
pub struct Transport {
    stream: Stream,
    secrecy: Secrecy,
    /// The pin by which the server was verified, if it was by one.
    pinned: Option<Pin>,
    /// Bytes that the socket has taken in clear.
    moved: u64,
    /// The ssh at the other end of the socket, which ends when the socket is closed.
    ssh: Option<Box<Session>>,
    /// The token that its server has given for it.
    invitation: Option<AccessToken>,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    Tls(Box<Tls>),
}

impl Transport {
    /// A stream in clear.
    #[must_use]
    pub fn plain(socket: Socket, secrecy: Secrecy) -> Self {
        let stream = Stream::Plain(socket);
        Self { stream, secrecy, pinned: None, moved: 0, ssh: None, invitation: None }
    }

    /// A stream to a hauld that ssh has started.
    #[must_use]
    pub(crate) fn over_ssh(socket: Socket, session: Session) -> Self {
        let ssh = Some(Box::new(session));
        Self { ssh, ..Self::plain(socket, Secrecy::Ssh) }
    }

    /// The hauld that ssh has started, and the command line, if the stream goes over ssh.
    #[must_use]
    pub(crate) fn remote(&self) -> Option<(&Remote, &str)> {
        let session = self.ssh.as_ref()?;
        Some((session.remote.as_ref()?, &session.command))
    }

    /// The path at the other machine of the copy of hauld that was made for this stream.
    #[must_use]
    pub(crate) fn copied(&self) -> Option<&str> {
        self.ssh.as_ref()?.copied.as_deref()
    }

    /// The error of a stream that is closed, for a reason that the system may know.
    #[must_use]
    pub fn closed(&mut self, error: Option<io::Error>) -> ConnectionError {
        match (&mut self.ssh, error) {
            (Some(session), _) => {
                let status = session.ended();
                SshError::Lost { host: session.host.clone(), status }.into()
            }
            (None, Some(error)) => ConnectionError::Lost(error),
            (None, None) => ConnectionError::Closed,
        }
    }

    /// A stream whose handshake is done: the server has the key that is trusted, by this pin or by an authority.
    #[must_use]
    pub fn verified(tls: Tls, pinned: Option<Pin>) -> Self {
        let stream = Stream::Tls(Box::new(tls));
        let secrecy = Secrecy::Verified;
        Self { stream, secrecy, pinned, moved: 0, ssh: None, invitation: None }
    }

    /// The same, with a token that its server has given over ssh.
    #[must_use]
    pub(crate) fn invited(self, token: AccessToken) -> Self {
        Self { invitation: Some(token), ..self }
    }

    /// That token.
    #[must_use]
    pub(crate) fn invitation(&self) -> Option<&AccessToken> {
        self.invitation.as_ref().filter(|_| self.may_carry_token())
    }

    /// The pin by which the server was verified, if it was by one.
    #[must_use]
    pub fn pinned(&self) -> Option<Pin> {
        self.pinned
    }

    /// Whether a secret of the user may be sent.
    #[must_use]
    pub fn may_carry_token(&self) -> bool {
        matches!(self.secrecy, Secrecy::Local | Secrecy::Verified)
    }

    /// Whether its bytes are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.socket(),
        }
    }

    /// The same, for the poller.
    pub fn socket_mut(&mut self) -> &mut Socket {
        match &mut self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.socket_mut(),
        }
    }

    /// Bytes that the socket has taken, encrypted ones as they are on the wire.
    #[must_use]
    pub fn moved(&self) -> u64 {
        match &self.stream {
            Stream::Plain(_) => self.moved,
            Stream::Tls(tls) => tls.moved(),
        }
    }

    /// Bytes that were accepted, and that the socket has not taken yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        match &self.stream {
            Stream::Plain(_) => 0,
            Stream::Tls(tls) => tls.pending(),
        }
    }

    /// Accepts bytes of the pieces, of which there are [`PIECES`] at most, in their order; returns their number. Accepted bytes
    /// may not be on the wire yet: [`flush`](Self::flush) sends them.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes are accepted now, or if the connection is gone.
    pub fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(socket) => {
                let sent = socket.write(pieces)?;
                self.moved += sent as u64;
                Ok(sent)
            }
            Stream::Tls(tls) => tls.write(pieces),
        }
    }

    /// Sends accepted bytes.
    ///
    /// # Errors
    /// `WouldBlock` if the socket does not take all of them now, or if the connection is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => tls.flush(),
        }
    }

    /// Reads the bytes that are there. A caller that reads until nothing is there, or until its room is full each time,
    /// leaves no whole record unread.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there now, or if the connection is gone.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }

    /// Tells the server that nothing more comes, as far as the socket takes that now.
    pub fn end(&mut self) {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.end();
        }
    }
}
