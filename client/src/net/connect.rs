//! Connecting, without ever blocking: a thread that wants the run to end is heard at any time.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use haul_protocol::ClientConfig;

use super::destination::Server;
use super::poller::Poller;
use super::race::race;
use super::resolve::resolve;
use super::transport::Socket;
use crate::error::ConnectionError;

/// Time to connect, if a server may be silent for as long as it may if nobody says otherwise.
const CONNECT: Duration = Duration::from_secs(10);

/// Pause before a server that is behind with accepting is asked again.
const BEHIND: Duration = Duration::from_millis(50);

/// Connects to one of the addresses of a name; the socket is in the poller. All addresses together may
/// take as long as the first answer of a server that may be silent for `timeout`. `over` says that nobody
/// wants it any more.
///
/// # Errors
/// The error of the address that has failed last; or [`ConnectionError::Stopped`] if the run is over.
pub fn connect(
    server: &Server,
    timeout: Duration,
    poller: &mut Poller,
    over: &dyn Fn() -> bool,
) -> Result<Socket, ConnectionError> {
    // As for the first answer: unless the user gives another time.
    let limit = if timeout == ClientConfig::default().timeout { CONNECT } else { timeout };
    let failed = |source| ConnectionError::Unreachable { server: server.to_string(), source };
    let (host, port) = match server {
        Server::Tcp { host, port } => (host, *port),
        Server::Unix(path) => {
            let socket = unix(path, limit, poller, over).map_err(failed)?;
            return socket.ok_or(ConnectionError::Stopped);
        }
        // Only a route knows how to get there.
        Server::Ssh(_) => return Err(failed(io::ErrorKind::Unsupported.into())),
    };
    let addresses = resolve(host, port, poller, over).map_err(failed)?;
    let socket =
        race(&addresses.ok_or(ConnectionError::Stopped)?, limit, poller, over).map_err(failed)?;
    socket.ok_or(ConnectionError::Stopped)
}

/// Connects to a Unix socket; `None` if the run is over.
fn unix(
    path: &Path,
    limit: Duration,
    poller: &mut Poller,
    over: &dyn Fn() -> bool,
) -> io::Result<Option<Socket>> {
    let deadline = Instant::now() + limit;
    loop {
        if over() {
            return Ok(None);
        }
        match Socket::unix(path) {
            Ok(mut socket) => {
                poller.add(&mut socket)?;
                return Ok(Some(socket));
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => poller.wait(BEHIND)?,
        }
    }
}
