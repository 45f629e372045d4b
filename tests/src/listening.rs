//! A listening socket whose test never waits for ever.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;

use crate::DEADLINE;

/// A socket that listens on a free port of the loopback.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    /// Readable from when nobody waits any more.
    over: OwnedFd,
}

impl Listening {
    /// Listens.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, over: eventfd(0, EventfdFlags::CLOEXEC)? })
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpListener {
        &self.listener
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// If the system doesn't say.
    pub fn address(&self) -> io::Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }

    /// Takes the next connection. Its peer may be silent for [`DEADLINE`].
    ///
    /// # Errors
    /// `TimedOut`, if none comes within [`DEADLINE`]; `WouldBlock`, if none has come and nobody waits any more.
    pub fn accept(&self) -> io::Result<TcpStream> {
        let began = Instant::now();
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(DEADLINE))?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let mut events = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::new(&self.over, PollFlags::IN),
            ];
            let left = DEADLINE.saturating_sub(began.elapsed());
            if poll(&mut events, Some(&Timespec::try_from(left).map_err(io::Error::other)?))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if !events[0].revents().contains(PollFlags::IN) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }

    /// From now on only connections are taken that have come already.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn stop_waiting(&self) -> io::Result<()> {
        rustix::io::write(&self.over, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}
