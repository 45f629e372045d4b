//! A connection on its socket: reading once, sending as much as the socket takes, and whether the peer is still there.

use haul_protocol::{Code, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::timeouts::Pace;
use super::turn::Turn;
use super::{Connection, Dialect, LITTLE, Step};
use crate::net::poller::Interest;

impl Connection {
    /// Reads once, and decodes what has come. If nothing has, the connection waits for `waiting`.
    pub(super) fn read(&mut self, waiting: Interest, turn: &mut Turn<'_>) -> Step {
        let mut buffer = std::mem::take(&mut turn.buffer);
        let room = buffer.room(self.sink.offset());
        let fits = turn.share.fits(!self.fresh.is_empty()).max(LITTLE);
        let most = room.len().min(self.appetite).min(fits);
        let room = &mut room[..most];
        let received = rustix::net::recv(&*self.socket, room, RecvFlags::empty());
        let step = match received {
            Ok((0, _)) => self.input_ended(),
            Ok((len, _)) => {
                self.note_for_version();
                self.pace.moved(len, turn.services.now());
                turn.share.took(len);
                turn.look_again();
                let mut input = buffer.bytes(len);
                let step = self.take(&mut input, true, turn);
                let rest = input.len();
                buffer.keep(len, rest);
                step
            }
            // Only now is it sure that nothing that has come is dropped.
            Err(Errno::AGAIN)
                if turn.services.clock.is_stopping() && self.may_stop(turn.services) =>
            {
                self.refuse_connection(Code::ShuttingDown, "the server is stopping");
                Step::Again
            }
            Err(Errno::AGAIN) => Step::Wait(waiting),
            Err(Errno::INTR) => Step::Again,
            Err(errno) => {
                tracing::debug!(peer = self.peer, %errno, "connection lost");
                Step::Close
            }
        };
        turn.buffer = buffer;
        step
    }

    /// Sends as much as the socket takes.
    pub(super) fn flush(&mut self, now: u64) -> Result<(), Errno> {
        while !self.half.output().is_empty() {
            match rustix::net::send(&*self.socket, self.half.output(), SendFlags::NOSIGNAL) {
                Ok(len) => {
                    self.half.sent(len, Time::from_millis(now));
                    self.pace.moved(len, now);
                    if self.half.output().is_empty() {
                        self.settled = now;
                        self.pace = Pace::begin(now);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Whether the peer can't be told anything any more; while a job goes on nothing else would show it.
    pub(super) fn is_gone(&self) -> bool {
        // A classic peer is never told anything, and may close as soon as it has sent all.
        if matches!(self.dialect, Dialect::Classic) {
            return false;
        }
        let mut socket = [PollFd::new(&*self.socket, PollFlags::empty())];
        let polled = poll(&mut socket, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        polled.is_ok() && socket[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }
}
