//! One who watches: a connection of HTTP of which the monitor's thread runs a step whenever its socket is ready.

use std::time::{SystemTime, UNIX_EPOCH};

use haul_protocol::{Owed, Time};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use crate::http::half::{Event, Half};
use crate::http::head::Head;
use crate::http::method::Method;
use crate::http::response::Response;
use crate::http::status::{Status, Wrong};
use crate::net::listen::Entrance;

/// Milliseconds for which a peer may be silent within a request or leave an answer unread.
const SILENT: u64 = 10_000;

/// The same between two requests: a scraper comes each minute.
const IDLE: u64 = 150_000;

/// Bytes that are read at once, and of which a part may wait.
const READ: usize = 4096;

/// Bytes of the bodies of one request, which have no meaning here.
const MOST_BODY: usize = 64 * 1024;

/// An answer, and its body.
pub(super) type Answer = (Response, Vec<u8>);

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    socket: OwnedFd,
    half: Half,
    entrance: Entrance,
    /// Bytes that were read while an answer waited.
    rest: Vec<u8>,
    asked: Option<Box<Head>>,
    body: usize,
    /// When it came or had its last answer.
    served: u64,
}

impl Peer {
    pub(super) fn new(socket: OwnedFd, entrance: Entrance, now: u64) -> Self {
        let half = Half::new(Time::from_millis(now));
        Self { socket, half, entrance, rest: Vec::new(), asked: None, body: 0, served: now }
    }

    /// When it came, or had its last answer.
    pub(super) fn served(&self) -> u64 {
        self.served
    }

    /// The events for which it waits.
    pub(super) fn polled(&self) -> PollFd<'_> {
        let writes = !self.half.output().is_empty() || !self.rest.is_empty();
        PollFd::new(&self.socket, if writes { PollFlags::OUT } else { PollFlags::IN })
    }

    /// When it has been silent for too long.
    pub(super) fn deadline(&self) -> u64 {
        let (since, limit) = match self.half.owed(false, false) {
            Owed::Request(since) => (since.as_millis(), IDLE),
            Owed::Reading(since)
            | Owed::First(since)
            | Owed::Header(since)
            | Owed::Body(since)
            | Owed::Command(since)
            | Owed::Close(since) => (since.as_millis(), SILENT),
            // Only the server has to act, or the protocol has a debt that HTTP lacks.
            _ => (self.served, SILENT),
        };
        since.saturating_add(limit)
    }

    pub(super) fn is_late(&self, now: u64) -> bool {
        now >= self.deadline()
    }

    /// Sends, reads once and answers. `answer` has the answer to a path, for the owner of the root or for anybody. `false`: the
    /// connection is over.
    pub(super) fn run(&mut self, now: u64, answer: impl Fn(&str, bool) -> Answer) -> bool {
        if self.send(now).is_err() {
            return false;
        }
        if !self.half.output().is_empty() {
            return true;
        }
        let mut input = std::mem::take(&mut self.rest);
        if input.is_empty() {
            let mut buffer = [0; READ];
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => {
                    self.half.input_ended();
                    return false;
                }
                Ok((len, _)) => input.extend_from_slice(&buffer[..len]),
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
        self.take(&input, now, answer) && self.send(now).is_ok() && !self.half.is_over(false)
    }

    /// Understands these bytes, until there is an answer to be sent.
    fn take(&mut self, input: &[u8], now: u64, answer: impl Fn(&str, bool) -> Answer) -> bool {
        let mut input = input;
        let time = Time::from_millis(now);
        while self.half.output().is_empty() {
            match self.half.receive(&mut input, time) {
                Ok(Some(Event::Head(_, head))) => (self.asked, self.body) = (Some(head), 0),
                Ok(Some(Event::Body(bytes))) => {
                    self.body += bytes.len();
                    if self.body > MOST_BODY {
                        return false;
                    }
                }
                Ok(Some(Event::End)) => self.answer(now, &answer),
                Ok(None) => break,
                Err(wrong) => {
                    self.half.fail(wrong);
                    self.half.conclude();
                    input = &[];
                }
            }
        }
        self.rest = input.to_vec();
        true
    }

    fn answer(&mut self, now: u64, answer: &impl Fn(&str, bool) -> Answer) {
        let Some(head) = self.asked.take() else { return };
        self.served = now;
        let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.half.tell_second(i64::try_from(second).unwrap_or(i64::MAX));
        if !matches!(head.method, Method::Get | Method::Head) {
            let response = Response::new(Status::METHOD).with("Allow", "GET, HEAD");
            return self.half.answer(&response, b"there is nothing to change here\n");
        }
        let Some(path) = head.target.strip_prefix('/') else {
            return self.half.refuse_wrong(Wrong::bad("the address has to begin with /"));
        };
        let path = path.split('?').next().unwrap_or_default();
        let (response, body) = answer(path, self.entrance.is_of_owner());
        self.half.answer(&response, &body);
    }

    /// Sends as much as the socket takes.
    fn send(&mut self, now: u64) -> Result<(), Errno> {
        let time = Time::from_millis(now);
        while !self.half.output().is_empty() {
            match rustix::net::send(&self.socket, self.half.output(), SendFlags::NOSIGNAL) {
                Ok(len) => self.half.sent(len, time),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        if self.half.shuts(time) {
            rustix::net::shutdown(&self.socket, Shutdown::Write)?;
        }
        Ok(())
    }
}
