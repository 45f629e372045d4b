//! The stream of a peer: a Unix socket, or TCP in clear or with TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use haul_tests::tls::{Config, TlsPeer};
use rustix::net::sockopt::set_socket_send_buffer_size;

/// The way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Unix,
    /// TCP, on which the script says all bytes.
    Tcp,
    /// TLS, with the handshake behind it.
    Tls,
}

/// The server's addresses.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) unix: &'a Path,
    pub(super) tcp: &'a str,
    pub(super) config: Arc<Config>,
}

#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsPeer>),
}

impl Places<'_> {
    pub(super) fn connect(&self, way: Way, send_buffer: usize) -> io::Result<Stream> {
        let stream = match way {
            Way::Unix => Stream::Unix(UnixStream::connect(self.unix)?),
            Way::Tcp => Stream::Tcp(TcpStream::connect(self.tcp)?),
            Way::Tls => {
                let peer = TlsPeer::connect_with(self.tcp, Arc::clone(&self.config))?;
                Stream::Tls(Box::new(peer))
            }
        };
        set_socket_send_buffer_size(&stream, send_buffer)?;
        match &stream {
            Stream::Unix(stream) => stream.set_nonblocking(true)?,
            Stream::Tcp(stream) => stream.set_nonblocking(true)?,
            Stream::Tls(peer) => peer.stream.sock.set_nonblocking(true)?,
        }
        Ok(stream)
    }
}

impl Stream {
    /// Writes bytes as they are, past TLS.
    pub(super) fn write_raw(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tls(peer) => peer.stream.sock.write(bytes),
            other => other.write(bytes),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
            Self::Tls(peer) => peer.stream.sock.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(peer) => peer.stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(peer) => peer.stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(peer) => peer.stream.flush(),
            Self::Unix(_) | Self::Tcp(_) => Ok(()),
        }
    }
}
