//! Readiness: one epoll instance on which all workers wait, one event at a time.
//!
//! Everything is registered one-shot (epoll(7)), so an event wakes one worker, which owns the source
//! until it arms it again.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

/// The readiness for which a source wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interest {
    /// Bytes to read, or the end of the stream.
    pub(crate) read: bool,
    /// Room to write.
    pub(crate) write: bool,
}

impl Interest {
    pub(crate) const NONE: Self = Self { read: false, write: false };
    pub(crate) const READ: Self = Self { read: true, write: false };
    pub(crate) const WRITE: Self = Self { read: false, write: true };
    pub(crate) const BOTH: Self = Self { read: true, write: true };

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::ONESHOT;
        if self.read {
            flags |= EventFlags::IN | EventFlags::RDHUP;
        }
        if self.write {
            flags |= EventFlags::OUT;
        }
        flags
    }
}

/// Whether a socket can be written to now, as the poller sees it.
pub(crate) fn is_writable(socket: &OwnedFd) -> bool {
    let mut socket = [PollFd::new(socket, PollFlags::OUT)];
    let polled = poll(&mut socket, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    polled.is_ok() && socket[0].revents().contains(PollFlags::OUT)
}

/// The key that wakes every worker for good.
const STOP: u64 = u64::MAX;

/// The epoll instance and the signal that ends all waiting.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    stop: OwnedFd,
    /// Looked at before each wait: in the epoll instance the signal comes after all that is ready.
    stopped: AtomicBool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Level-triggered and never read: once written it wakes everyone who waits, again and again.
        epoll::add(&epoll, &stop, EventData::new_u64(STOP), EventFlags::IN)?;
        Ok(Self { epoll, stop, stopped: AtomicBool::new(false) })
    }

    pub(crate) fn add(&self, source: impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(key), interest.flags())?)
    }

    pub(crate) fn arm(&self, source: impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(key), interest.flags())?)
    }

    /// Blocks until a stream or listener is ready and returns its key; `None` when the pool stops.
    pub(crate) fn wait(&self) -> io::Result<Option<u64>> {
        while !self.is_stopped() {
            // Room for one: events taken in a batch would sit behind a worker that is busy.
            let mut events = [const { std::mem::MaybeUninit::uninit() }; 1];
            match epoll::wait(&self.epoll, &mut events, None) {
                Ok((events, _)) => match events.first().map(|event| event.data.u64()) {
                    Some(STOP) => return Ok(None),
                    Some(key) => return Ok(Some(key)),
                    None => {}
                },
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(None)
    }

    /// Whether all waiting has been ended.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends all waiting, now and later.
    pub(crate) fn stop(&self) -> io::Result<()> {
        self.stopped.store(true, Ordering::Release);
        rustix::io::write(&self.stop, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_comes_before_all_that_is_ready() {
        let poller = Poller::new().unwrap();
        let ready: Vec<_> = (0..100)
            .map(|key| {
                let ready = eventfd(1, EventfdFlags::CLOEXEC).unwrap();
                poller.add(&ready, key, Interest::READ).unwrap();
                ready
            })
            .collect();
        assert!(poller.wait().unwrap().is_some());
        poller.stop().unwrap();
        assert_eq!(poller.wait().unwrap(), None);
        drop(ready);
    }
}
