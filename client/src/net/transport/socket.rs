//! Sockets that never block: TCP or Unix.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use mio::{Interest, Registry, Token};

/// Bytes that wait in the kernel to be sent (tcp(7), `TCP_NOTSENT_LOWAT`). Those on their way are not
/// counted, so a long line is as full as ever; but where the server is the slower side, the bytes that
/// wait for it stay few enough to be still in a cache when they are copied on.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 512 * 1024;

/// The congestion control within one machine (tcp(7), `TCP_CONGESTION`). The system's own, made for
/// networks, may pace: for a line that is as quick as memory, timers between the segments are an eighth of
/// the whole cost of a large file. This one never paces, and every process may have it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const WITHIN: &[u8] = b"reno";

/// A stream, connected or about to be.
#[derive(Debug)]
pub enum Socket {
    /// Over a network, or loopback.
    Tcp(mio::net::TcpStream),
    /// On this machine.
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

impl Socket {
    /// Begins to connect to an address.
    ///
    /// # Errors
    /// If the connect fails at once.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if address.ip().to_canonical().is_loopback() {
            return Self::within(address);
        }
        mio::net::TcpStream::connect(address).map(Self::Tcp)
    }

    /// As [`tcp`](Self::tcp), for an address of this machine.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn within(address: SocketAddr) -> io::Result<Self> {
        use rustix::io::Errno;
        use socket2::{Domain, Protocol, Type};

        let kind = Type::STREAM.nonblocking();
        let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        // A socket that has once paced goes on to, so this comes first. Only speed depends on it.
        let _ = socket.set_tcp_congestion(WITHIN);
        match socket.connect(&address.into()) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
            _ => Ok(Self::Tcp(mio::net::TcpStream::from_std(socket.into()))),
        }
    }

    /// Begins to connect to a Unix socket.
    ///
    /// # Errors
    /// If the connect fails at once; `WouldBlock` if the server is behind with accepting.
    #[cfg(unix)]
    pub fn unix(path: &Path) -> io::Result<Self> {
        mio::net::UnixStream::connect(path).map(Self::Unix)
    }

    /// There are no Unix sockets here.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(unix))]
    pub fn unix(_: &Path) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Whether it is connected by now.
    ///
    /// # Errors
    /// If the socket never will be connected.
    pub fn is_connected(&self) -> io::Result<bool> {
        let (error, peer) = match self {
            Self::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
            #[cfg(unix)]
            Self::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    /// Sends small writes at once, as requests are gathered here already, and lets little
    /// wait in the kernel.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_options(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                {
                    // Only speed depends on it, and not every kernel that looks like Linux has it.
                    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
                }
                stream.set_nodelay(true)
            }
            #[cfg(unix)]
            Self::Unix(_) => Ok(()),
        }
    }

    /// The address of its peer; none of a Unix socket.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|address| address.ip()),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// Whether its bytes go over a network: its peer is on another machine, as far as addresses tell.
    #[must_use]
    pub fn leaves_the_machine(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.peer_addr().is_ok_and(|peer| {
                let peer = peer.ip().to_canonical();
                let is_here = |local: std::net::SocketAddr| local.ip().to_canonical() == peer;
                !peer.is_loopback() && stream.local_addr().is_ok_and(|local| !is_here(local))
            }),
            #[cfg(unix)]
            Self::Unix(_) => false,
        }
    }

    /// Registers for both directions; events come when a state changes (edge-triggered).
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

    /// Takes the registration back, which a socket needs before it is closed.
    ///
    /// # Errors
    /// If the socket was not registered.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.deregister(stream),
            #[cfg(unix)]
            Self::Unix(stream) => registry.deregister(stream),
        }
    }

    /// Writes as many bytes of the pieces as the socket takes.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing now, or if the connection is gone.
    pub fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(pieces),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_vectored(pieces),
        }
    }

    /// Reads the bytes that are there.
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

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn nothing_is_paced_within_a_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let Socket::Tcp(stream) = Socket::tcp(listener.local_addr().unwrap()).unwrap() else {
            panic!("not TCP");
        };
        let found = socket2::SockRef::from(&stream).tcp_congestion().unwrap();
        assert!(found.starts_with(WITHIN), "{}", String::from_utf8_lossy(&found));
    }
}
