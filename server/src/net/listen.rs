//! Addresses to listen on, and the sockets that come of them.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;

use super::transport::Accepts;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Where to listen: `HOST:PORT`, `[V6]:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// An address can't be read, or not be listened on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Not an address.
    #[error("`{0}` is not HOST:PORT, [V6]:PORT or unix:PATH")]
    Address(String),
    /// A port without a host.
    #[error(
        "a port needs an address:\n  127.0.0.1:{0} for this machine\n  0.0.0.0:{0} for all that reach it"
    )]
    PortAlone(u16),
    /// A host without a port.
    #[error("an address needs a port:\n  {0}:8080, or port 0 for a free one")]
    NoPort(String),
    /// An IPv6 address without brackets, which may end with a port.
    #[error("it needs brackets and a port:\n  [{0}]:8080")]
    BareV6(String),
    /// The name of the host is not known.
    #[error("the host could not be looked up: {0}")]
    Lookup(#[source] std::io::Error),
    /// The port is taken.
    #[error(
        "{0} is taken by another program; choose another address with --listen, or port 0 for a \
         free one"
    )]
    Taken(Listen),
    /// A live server listens on that Unix socket, or something else is there.
    #[error("{0} is in use or is not a socket; choose another path with --listen")]
    SocketInUse(Listen),
    /// The variables of sockets that are given can't be read.
    #[error("the sockets that hauld was given (LISTEN_FDS) could not be had: {0}")]
    Environment(#[source] std::io::Error),
    /// A socket that is given is none to listen on.
    #[error("the socket {number} (`{name}`) that hauld was given can't be listened on: {why}")]
    Given {
        /// The number of its descriptor.
        number: usize,
        /// Its name in the unit of the socket.
        name: String,
        /// The reason.
        why: &'static str,
    },
    /// Anything else.
    #[error("could not listen on {0}: {1}")]
    Io(Listen, #[source] std::io::Error),
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(ListenError::Address(text.to_owned())),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let wrong = || ListenError::Address(text.to_owned());
        if let Some(port) = number(text.strip_prefix(':').unwrap_or(text)) {
            return Err(ListenError::PortAlone(port));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(ListenError::BareV6(text.to_owned()));
        }
        if text.contains('/') {
            return Err(wrong());
        }
        let Some((_, port)) = text.rsplit_once(':').filter(|_| !text.ends_with(']')) else {
            return Err(ListenError::NoPort(text.to_owned()));
        };
        number(port).ok_or_else(wrong)?;
        let mut addresses = text.to_socket_addrs().map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => wrong(),
            _ => ListenError::Lookup(error),
        })?;
        addresses.next().map(Self::Tcp).ok_or_else(wrong)
    }
}

fn number(text: &str) -> Option<u16> {
    // `parse` takes a sign as well.
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listen {
    /// Whether only this machine can reach the address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    pub(crate) fn bind(&self) -> Result<Listener, ListenError> {
        match self {
            Self::Tcp(address) => match tcp(*address) {
                Ok(listener) => Ok(listener),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    Err(ListenError::Taken(self.clone()))
                }
                Err(error) => Err(ListenError::Io(self.clone(), error)),
            },
            Self::Unix(path) => {
                if let Ok(found) = std::fs::symlink_metadata(path) {
                    // A dead socket refuses; everything else is somebody's.
                    let live = UnixStream::connect(path);
                    let dead = found.file_type().is_socket()
                        && live.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
                    if !dead {
                        return Err(ListenError::SocketInUse(self.clone()));
                    }
                    let _ = std::fs::remove_file(path);
                }
                // No moment in which another user could connect. Nothing else runs yet.
                let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
                let bound = UnixListener::bind(path);
                rustix::process::umask(umask);
                let bound = bound.and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    Ok(listener)
                });
                match bound {
                    Ok(listener) => {
                        let address = self.clone();
                        Ok(Listener::new(listener.into(), address))
                    }
                    Err(error) => Err(ListenError::Io(self.clone(), error)),
                }
            }
        }
    }
}

fn tcp(address: SocketAddr) -> std::io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(Listener::new(socket.into(), Listen::Tcp(bound)))
}

/// The program at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The address, for people: of a Unix socket the server's own.
    pub(crate) address: String,
    /// The address, of a TCP connection.
    pub(crate) at: Option<SocketAddr>,
    /// The user of this machine who has connected to a Unix socket, as the kernel says (unix(7), `SO_PEERCRED`).
    pub(crate) user: Option<u32>,
    pub(crate) entrance: Entrance,
}

/// Where a peer comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// One of the server's addresses.
    Address,
    /// The socket in the root's `.haul`, which only the server's user and root reach. A first byte tells the peer that it has
    /// come in: a server that ends takes nobody in, whatever waits at its socket.
    Root,
    /// The standard input of this process.
    Input,
    /// The port that is open for the client at the standard input, who alone has the invitation that is shown there.
    Direct,
}

impl Entrance {
    /// Whether a peer could change everything below the root without the server, so that it needs no account.
    pub(crate) fn is_of_owner(self) -> bool {
        matches!(self, Self::Root | Self::Input)
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    /// The address that it is really bound to.
    pub(crate) address: Listen,
    /// The streams that it takes.
    pub(crate) accepts: Accepts,
    pub(crate) entrance: Entrance,
    /// Somebody else has bound it, and keeps it.
    pub(crate) is_given: bool,
    is_closed: AtomicBool,
}

impl Listener {
    fn new(socket: OwnedFd, address: Listen) -> Self {
        let (accepts, entrance) = (Accepts::PLAIN, Entrance::Address);
        let (is_given, is_closed) = (false, AtomicBool::new(false));
        Self { socket, address, accepts, entrance, is_given, is_closed }
    }

    /// Of a socket that somebody else has bound, and keeps.
    pub(super) fn given(socket: OwnedFd, address: Listen) -> Self {
        let mut listener = Self::new(socket, address);
        listener.is_given = true;
        listener
    }

    /// At a free port of an address, for peers that show an invitation.
    pub(crate) fn direct(address: IpAddr, accepts: Accepts) -> std::io::Result<Self> {
        let mut listener = tcp(SocketAddr::new(address, 0))?;
        (listener.accepts, listener.entrance) = (accepts, Entrance::Direct);
        Ok(listener)
    }

    /// Takes no more connections; the port is free for others.
    pub(crate) fn close(&self) {
        if !self.is_closed.swap(true, Ordering::AcqRel) {
            // The kernel knows this of a socket that listens (`inet_shutdown`). If that failed, nobody would accept any more.
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        }
    }

    /// Whether nobody accepts its connections any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Of the socket in a root's `.haul`.
    pub(super) fn of_root(socket: OwnedFd, address: Listen) -> Self {
        let mut listener = Self::new(socket, address);
        listener.entrance = Entrance::Root;
        listener
    }

    /// The next connection that waits, and who it is.
    pub(crate) fn accept(&self) -> Result<(OwnedFd, Peer), Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match self.address {
            Listen::Unix(_) => {
                let socket = rustix::net::accept_with(&self.socket, flags)?;
                // The kernel has noted it when the peer connected.
                let user = rustix::net::sockopt::socket_peercred(&socket);
                let user = user.ok().map(|peer| peer.uid.as_raw());
                let address = self.address.to_string();
                Ok((socket, Peer { address, at: None, user, entrance: self.entrance }))
            }
            Listen::Tcp(_) => {
                let (socket, peer) = rustix::net::acceptfrom_with(&self.socket, flags)?;
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                let options = SockRef::from(&socket);
                let keepalive = TcpKeepalive::new()
                    .with_time(Duration::from_secs(60))
                    .with_interval(Duration::from_secs(20));
                // Neither is worth refusing a connection that works without.
                let _ = options.set_tcp_nodelay(true);
                let _ = options.set_tcp_keepalive(&keepalive);
                let address = peer.map_or_else(|| String::from("?"), |peer| peer.to_string());
                Ok((socket, Peer { address, at: peer, user: None, entrance: self.entrance }))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let (Listen::Unix(path), Entrance::Address, false) =
            (&self.address, self.entrance, self.is_given)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_of_a_peer_is_known_at_a_unix_socket_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = Listen::Unix(path.clone()).bind().unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let (_socket, peer) = listener.accept().unwrap();
        assert_eq!(peer.user, Some(rustix::process::geteuid().as_raw()));
        assert_eq!(peer.address, format!("unix:{}", path.display()));

        let listener = "127.0.0.1:0".parse::<Listen>().unwrap().bind().unwrap();
        let Listen::Tcp(address) = listener.address else { panic!("{listener:?}") };
        let client = std::net::TcpStream::connect(address).unwrap();
        let (_socket, peer) = listener.accept().unwrap();
        let at = client.local_addr().unwrap();
        let address = at.to_string();
        assert_eq!(peer, Peer { address, at: Some(at), user: None, entrance: Entrance::Address });
    }

    #[test]
    fn address_without_host_or_port_is_told_with_the_right_form() {
        for (text, right) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("127.0.0.1", "127.0.0.1:8080"),
            ("[::1]", "[::1]:8080"),
            ("::1", "[::1]:8080"),
            ("127.0.0.1:18a", "HOST:PORT"),
            ("http://127.0.0.1:80", "HOST:PORT"),
            ("unix:", "unix:PATH"),
        ] {
            let told = text.parse::<Listen>().unwrap_err().to_string();
            assert!(told.contains(right), "{text}: {told}");
        }
        for text in ["127.0.0.1:0", "[::1]:8080", "localhost:8080", "::1:18080"] {
            assert!(matches!(text.parse(), Ok(Listen::Tcp(_))), "{text}");
        }
    }
}
