//! The transport: a stream to the server that never blocks, TCP or Unix.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use mio::{Interest, Registry, Token};

use crate::destination::Server;
use crate::error::ConnectionError;

/// How long one address may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// A connected stream.
#[derive(Debug)]
pub enum Socket {
    /// Over a network, or loopback.
    Tcp(mio::net::TcpStream),
    /// On this machine.
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

impl Socket {
    /// Connects, trying all addresses of a name.
    ///
    /// # Errors
    /// What the last address said.
    pub fn connect(server: &Server) -> Result<Self, ConnectionError> {
        let failed = |source| ConnectionError::Unreachable { server: server.to_string(), source };
        match server {
            Server::Tcp { host, port } => {
                let stream = tcp(host, *port).map_err(failed)?;
                stream.set_nonblocking(true).map_err(failed)?;
                Ok(Self::Tcp(mio::net::TcpStream::from_std(stream)))
            }
            #[cfg(unix)]
            Server::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path).map_err(failed)?;
                stream.set_nonblocking(true).map_err(failed)?;
                Ok(Self::Unix(mio::net::UnixStream::from_std(stream)))
            }
            #[cfg(not(unix))]
            Server::Unix(_) => Err(failed(io::Error::from(io::ErrorKind::Unsupported))),
        }
    }

    /// Registers for both directions; events come when something changes (edge-triggered).
    ///
    /// # Errors
    /// If the system has no room.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, both),
            #[cfg(unix)]
            Self::Unix(stream) => registry.register(stream, token, both),
        }
    }

    /// Writes what the socket takes of two pieces.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing now, or if the connection is gone.
    pub fn write(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let pieces = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Self::Tcp(stream) => stream.write_vectored(&pieces),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_vectored(&pieces),
        }
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there now, or if the connection is gone.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

/// A blocking stream to the first address that answers.
///
/// # Errors
/// What the last address said.
pub fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
