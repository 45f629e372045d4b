//! Watching the server: `/metrics`, `/health` and `/ready` over HTTP, at an address of their own (`--metrics`); and `/status` for
//! the owner of the root, over a socket in `.haul` (`hauld status`).
//!
//! One thread serves all who watch, and no worker: it has to answer also when every worker is stuck. It asks nothing of the
//! disk; a second thread looks at that every two seconds, and its last look is told, with its age. So neither a disk that
//! hangs nor a peer that reads slowly holds anything but itself: peers are few, and one more takes the place of the one that has
//! been served least lately.

mod answer;
mod disk;
mod gather;
mod peer;
mod status;
mod verdict;

use std::fs::File;
use std::io;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::net::listen::{Entrance, Listen, Listener};
use crate::net::root_socket;
use crate::runtime::Runtime;
use disk::LastLook;
use peer::Peer;

/// Peers at once. Each holds one request and the bytes of its answer.
const MOST_PEERS: usize = 16;

/// Peers that are accepted before others have their turn.
const ACCEPTS: usize = 4;

/// Time for which nobody is accepted after the process has run out of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Everything that those who watch are told from.
#[derive(Debug)]
pub(crate) struct Monitor {
    listeners: Vec<Listener>,
    /// Readable once the server has ended.
    over: OwnedFd,
    disk: LastLook,
    /// `/proc/self/statm`: the sandbox lets nobody open it later.
    memory: Option<File>,
}

impl Monitor {
    /// Takes these listeners over.
    pub(crate) fn new(listeners: Vec<Listener>) -> io::Result<Self> {
        let over = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let memory = File::open("/proc/self/statm").ok();
        Ok(Self { listeners, over, disk: LastLook::default(), memory })
    }

    /// The addresses at which metrics are told and that the process has bound itself.
    pub(crate) fn bound_addresses(&self) -> impl Iterator<Item = &Listen> {
        let told = self.listeners.iter().filter(|it| it.entrance == Entrance::Address);
        told.filter(|listener| !listener.is_given).map(|listener| &listener.address)
    }

    /// The address at which metrics are told.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Listen> {
        let told = self.listeners.iter().filter(|it| it.entrance == Entrance::Address);
        told.map(|listener| &listener.address)
    }

    /// Ends both threads.
    pub(crate) fn stop(&self) {
        if let Err(error) = rustix::io::write(&self.over, &1_u64.to_ne_bytes()) {
            tracing::error!(%error, "could not end the threads of the metrics");
        }
    }

    /// Looks at the disk, again and again. The first look is over when [`look`](Self::look) was called before.
    pub(crate) fn keep_looking(&self, runtime: &Runtime) {
        loop {
            let mut over = [PollFd::new(&self.over, PollFlags::IN)];
            match poll(&mut over, Some(&disk::EVERY)) {
                Ok(0) => self.look(runtime),
                Ok(_) => return,
                Err(Errno::INTR) => {}
                Err(error) => return tracing::error!(%error, "nobody looks at the disk any more"),
            }
        }
    }

    /// Looks at the disk once.
    pub(crate) fn look(&self, runtime: &Runtime) {
        let disk = runtime.services.store.disk();
        self.disk.set(disk, runtime.services.now());
    }

    /// Serves all who watch, until the server has ended.
    pub(crate) fn serve(&self, runtime: &Runtime) {
        let mut peers: Vec<Peer> = Vec::new();
        let mut paused_until = 0;
        loop {
            let now = runtime.services.now();
            peers.retain(|peer| !peer.is_late(now));
            let accepts = now >= paused_until;
            let ready = match self.wait(&peers, accepts, now, paused_until) {
                Ok(Some(ready)) => ready,
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, "nobody can watch any more"),
            };
            let (heard, ready_peers) = ready.split_at(self.listeners.len());
            let mut ready_peers = ready_peers.iter();
            let now = runtime.services.now();
            peers.retain_mut(|peer| {
                let is_ready = ready_peers.next().copied().unwrap_or_default();
                !is_ready
                    || peer.run(now, |path, is_of_owner| self.answer(path, is_of_owner, runtime))
            });
            for (listener, _) in
                self.listeners.iter().zip(heard).filter(|(_, heard)| accepts && **heard)
            {
                if !accept(listener, &mut peers, now) {
                    paused_until = now + u64::try_from(PAUSE.as_millis()).unwrap_or(0);
                }
            }
        }
    }

    /// Waits; returns which listeners, and then which peers, are ready. `None`: the server has ended.
    fn wait(
        &self,
        peers: &[Peer],
        accepts: bool,
        now: u64,
        paused_until: u64,
    ) -> Result<Option<Vec<bool>>, Errno> {
        let hears = if accepts { PollFlags::IN } else { PollFlags::empty() };
        let mut polled = vec![PollFd::new(&self.over, PollFlags::IN)];
        polled.extend(self.listeners.iter().map(|listener| PollFd::new(listener, hears)));
        polled.extend(peers.iter().map(Peer::polled));
        let deadlines = peers.iter().map(Peer::deadline).chain((!accepts).then_some(paused_until));
        let left = deadlines.min().map(|at| Duration::from_millis(at.saturating_sub(now) + 1));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut polled, left.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Some(vec![false; polled.len() - 1])),
            Err(errno) => return Err(errno),
        }
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        Ok((!ready[0]).then(|| ready[1..].to_vec()))
    }
}

/// Takes peers in. `false`: there is no file descriptor for one.
fn accept(listener: &Listener, peers: &mut Vec<Peer>, now: u64) -> bool {
    for _ in 0..ACCEPTS {
        match listener.accept() {
            Ok((socket, peer)) => {
                if peers.len() >= MOST_PEERS
                    && let Some(oldest) =
                        (0..peers.len()).min_by_key(|index| peers[*index].served())
                {
                    peers.swap_remove(oldest);
                }
                root_socket::welcome(&socket, peer.entrance);
                peers.push(Peer::new(socket, peer.entrance, now));
            }
            Err(Errno::AGAIN) => return true,
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => {
                tracing::warn!(%errno, "could not accept a connection for metrics, trying again soon");
                return false;
            }
        }
    }
    true
}
