//! Sockets that the process was started with, as systemd gives them (sd_listen_fds(3), systemd.socket(5)): it listens before
//! hauld starts and while hauld is started again, so clients wait in the meantime instead of being refused.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::fd::OwnedFd;
use socket2::SockRef;

use super::listen::{Listen, ListenError, Listener};

/// The name of a socket for those who watch the server.
const METRICS: &str = "metrics";

/// Descriptors before the first one that is given.
const FIRST: usize = 3;

/// Sockets that somebody else has bound, and listens on as well.
#[derive(Debug, Default)]
pub struct Given {
    /// For clients.
    pub(crate) clients: Vec<Listener>,
    /// For those who watch the server.
    pub(crate) metrics: Vec<Listener>,
}

impl Given {
    /// The sockets that this process was started with; to be called once, before it opens anything. No program that it starts
    /// later gets them.
    ///
    /// # Errors
    /// If one of them is no socket that listens for streams, of TCP or at a path.
    pub fn take() -> Result<Self, ListenError> {
        let mut given = Self::default();
        // They are for another process, such as one that has started this one: nothing of them is looked at.
        let is_ours = |pid: String| pid.parse() == Ok(std::process::id());
        if !std::env::var("LISTEN_PID").is_ok_and(is_ours) {
            return Ok(given);
        }
        // First of all, since the other library takes the variables away.
        let names = sd_notify::listen_fds_with_names().map_err(ListenError::Environment)?;
        let names: Vec<String> = names.map(|(_, name)| name).collect();
        if names.is_empty() {
            return Ok(given);
        }
        let mut sockets = ListenFd::from_env();
        for (index, name) in names.into_iter().enumerate() {
            let listener = socket(&mut sockets, index).and_then(listener);
            let wrong = |why| ListenError::Given { number: FIRST + index, name: name.clone(), why };
            let listener = listener.map_err(wrong)?;
            match &*name {
                METRICS => given.metrics.push(listener),
                _ => given.clients.push(listener),
            }
        }
        Ok(given)
    }
}

/// The socket of this index.
fn socket(sockets: &mut ListenFd, index: usize) -> Result<OwnedFd, &'static str> {
    if let Ok(Some(tcp)) = sockets.take_tcp_listener(index) {
        return Ok(TcpListener::into(tcp));
    }
    match sockets.take_unix_listener(index) {
        Ok(Some(unix)) => Ok(UnixListener::into(unix)),
        _ => Err("it is no stream socket of TCP or Unix"),
    }
}

fn listener(socket: OwnedFd) -> Result<Listener, &'static str> {
    if !rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false) {
        return Err("it does not listen; the unit of the socket needs Accept=no");
    }
    let options = SockRef::from(&socket);
    let address = options.local_addr().ok();
    let tcp = address.as_ref().and_then(socket2::SockAddr::as_socket).map(Listen::Tcp);
    let unix = || Some(Listen::Unix(address.as_ref()?.as_pathname()?.to_owned()));
    let address = tcp.or_else(unix).ok_or("it is a Unix socket without a path")?;
    options.set_nonblocking(true).map_err(|_| "it can't be used without blocking")?;
    Ok(Listener::given(socket, address))
}
