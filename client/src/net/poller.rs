//! The sleep of a connection's thread: until its socket has an event, another thread wakes it, or
//! time is up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::transport::Socket;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// A poller; each connection of a run has one, also while it has no socket: a thread that waits for
/// a connect or before the next attempt can be woken like every other.
#[derive(Debug)]
pub struct Poller {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
}

impl Poller {
    /// A poller that waits for its waker only.
    ///
    /// # Errors
    /// If the system has no room.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self { poll, events: Events::with_capacity(4), waker })
    }

    /// Wakes the thread that waits here, now or the next time.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Watches a socket. Several are watched while the client tries several addresses, otherwise one at a time.
    ///
    /// # Errors
    /// If the system has no room.
    pub fn add(&self, socket: &mut Socket) -> io::Result<()> {
        socket.register(self.poll.registry(), SOCKET)
    }

    /// Forgets a socket.
    pub fn remove(&self, socket: &mut Socket) {
        // A socket that is gone is forgotten already.
        let _ = socket.deregister(self.poll.registry());
    }

    /// Waits. The cause of the wakening is not told: the caller tries everything, since events come
    /// only when a state changes.
    ///
    /// # Errors
    /// If the system fails.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}
