//! The peer's end of a connection's socket.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;

/// The peer's end of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerEnd {
    /// The peer may send more.
    Open,
    /// The peer sends nothing more, and may read.
    Sent,
    /// The peer can't be told anything any more.
    Gone,
}

impl PeerEnd {
    /// The peer's end of a socket, as the system knows it.
    pub(crate) fn of(socket: &OwnedFd) -> Self {
        let mut socket = [PollFd::new(socket, PollFlags::RDHUP)];
        let polled = poll(&mut socket, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        let seen = socket[0].revents();
        match polled {
            Ok(_) if seen.intersects(PollFlags::HUP | PollFlags::ERR) => Self::Gone,
            Ok(_) if seen.contains(PollFlags::RDHUP) => Self::Sent,
            _ => Self::Open,
        }
    }
}
