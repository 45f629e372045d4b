//! Connecting, without ever blocking: a thread that wants the run to end is heard at any time.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::destination::Server;
use super::poller::Poller;
use super::transport::Socket;
use crate::error::ConnectionError;

/// Time that one address may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// Pause before a server that is behind with accepting is asked again.
const BEHIND: Duration = Duration::from_millis(50);

/// Longer than any wait here; the waker ends it earlier.
const LONG: Duration = Duration::from_secs(3600);

/// Connects, trying all addresses of a name; the socket is in the poller. `over` says that nobody
/// wants it any more.
///
/// # Errors
/// The error of the last address; or [`ConnectionError::Stopped`] if the run is over.
pub fn connect(
    server: &Server,
    poller: &mut Poller,
    over: &dyn Fn() -> bool,
) -> Result<Socket, ConnectionError> {
    let failed = |source| ConnectionError::Unreachable { server: server.to_string(), source };
    let (host, port) = match server {
        Server::Tcp { host, port } => (host, *port),
        Server::Unix(path) => {
            let socket = attempt(&|| Socket::unix(path), poller, over).map_err(failed)?;
            return socket.ok_or(ConnectionError::Stopped);
        }
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let addresses = resolve(host, port, poller, over).map_err(failed)?;
    for address in addresses.ok_or(ConnectionError::Stopped)? {
        match attempt(&|| Socket::tcp(address), poller, over) {
            Ok(socket) => return socket.ok_or(ConnectionError::Stopped),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// The addresses of a host; `None` if it is over. Asking for a name blocks, so a thread of its own
/// asks; when nobody waits for it any more, it ends by itself.
fn resolve(
    host: &str,
    port: u16,
    poller: &mut Poller,
    over: &dyn Fn() -> bool,
) -> io::Result<Option<Vec<SocketAddr>>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Some(vec![SocketAddr::new(address, port)]));
    }
    let (sender, receiver) = mpsc::channel();
    let (host, waker) = (host.to_owned(), poller.waker());
    thread::Builder::new().name(String::from("resolve")).spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // The thread that asked may have gone.
        let _ = sender.send(addresses);
        let _ = waker.wake();
    })?;
    loop {
        if over() {
            return Ok(None);
        }
        match receiver.try_recv() {
            Ok(addresses) => return addresses.map(Some),
            Err(TryRecvError::Disconnected) => {
                return Err(io::Error::other("the name could not be looked up"));
            }
            Err(TryRecvError::Empty) => poller.wait(LONG)?,
        }
    }
}

/// Tries one address; `None` if the run is over.
fn attempt(
    begin: &dyn Fn() -> io::Result<Socket>,
    poller: &mut Poller,
    over: &dyn Fn() -> bool,
) -> io::Result<Option<Socket>> {
    let deadline = Instant::now() + CONNECT;
    loop {
        let mut socket = match begin() {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if over() {
                    return Ok(None);
                }
                if Instant::now() >= deadline {
                    return Err(error);
                }
                poller.wait(BEHIND)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        poller.add(&mut socket)?;
        let result = established(&socket, poller, deadline, over);
        if !matches!(result, Ok(true)) {
            poller.remove(&mut socket);
        }
        return result.map(|established| established.then_some(socket));
    }
}

/// Waits until a socket is connected; `false` if it is over.
fn established(
    socket: &Socket,
    poller: &mut Poller,
    deadline: Instant,
    over: &dyn Fn() -> bool,
) -> io::Result<bool> {
    loop {
        if over() {
            return Ok(false);
        }
        if socket.is_connected()? {
            socket.set_options()?;
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let text = format!("no answer in {} seconds", CONNECT.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        poller.wait(left)?;
    }
}
