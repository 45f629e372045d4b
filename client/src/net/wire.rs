//! A client's half of a connection on its transport: sends its output, and reads its input.

use std::io;
use std::time::{Duration, Instant};

use haul_protocol::{
    ClientConfig, ClientConnection, ClientEvent, Digest, Hello, Op, Reply, Time, Unanswered,
};

use super::bodies::Bodies;
use super::body::Body;
use super::congestion;
use super::line::{self, Facts, Interval, Watch};
use super::poller::Poller;
use super::rate_limit::Limit;
use super::transport::Transport;
use crate::error::ConnectionError;

/// Bodies up to this are copied behind their header, which needs fewer buffers; larger ones are sent from where they are.
const COPIED: usize = 16 * 1024;

/// A transport, its poller, and the half of the connection that they move bytes for. `T` is the note on a request.
#[derive(Debug)]
pub(crate) struct Wire<'a, T> {
    half: ClientConnection<T>,
    /// The moment from which the half counts time.
    origin: Instant,
    transport: Transport,
    poller: &'a mut Poller,
    /// Bodies that are not copied into the half's output.
    bodies: Bodies,
    blocked: bool,
    /// Looks at the line, if that is worth it.
    watch: Option<Watch>,
    /// Bounds the bytes sent.
    limit: Option<&'a Limit>,
    /// Time for which the limit holds bytes back.
    held_back: Option<Duration>,
    /// A buffer for the bytes read.
    pub(crate) input: Vec<u8>,
}

impl<'a, T> Wire<'a, T> {
    /// Over a transport whose socket is in the poller.
    ///
    /// # Errors
    /// If `hello` can't be put into words.
    pub(crate) fn new(
        transport: Transport,
        poller: &'a mut Poller,
        hello: &Hello,
        timeout: Duration,
        limit: Option<&'a Limit>,
    ) -> Result<Self, ConnectionError> {
        Ok(Self {
            half: half(hello, timeout)?,
            origin: Instant::now(),
            transport,
            poller,
            bodies: Bodies::default(),
            blocked: false,
            watch: None,
            limit,
            held_back: None,
            input: vec![0; 64 * 1024],
        })
    }

    /// Begins anew over another transport, in the place of one over which the server wants no connection.
    ///
    /// # Errors
    /// If `hello` can't be put into words.
    pub(crate) fn begin_again(
        &mut self,
        connect: impl FnOnce(&mut Poller) -> Result<Transport, ConnectionError>,
        hello: impl FnOnce(&Transport) -> Hello,
        timeout: Duration,
    ) -> Result<(), ConnectionError> {
        self.poller.remove(self.transport.socket_mut());
        self.transport = connect(self.poller)?;
        self.half = half(&hello(&self.transport), timeout)?;
        self.origin = Instant::now();
        Ok(())
    }

    /// The transport.
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Looks at the line from now on, if that is worth it.
    pub(crate) fn watch(&mut self) {
        self.watch = Watch::new(self.transport.socket());
    }

    /// The last period of the line, if it is watched and the period is over.
    pub(crate) fn look(&mut self) -> Option<Interval> {
        let blocked = self.blocked;
        self.watch.as_mut()?.look(self.transport.socket(), self.transport.moved(), blocked)
    }

    /// The line as it is now, and the algorithm that sends over it; `always`, or if it leaves the machine.
    pub(crate) fn line(&self, always: bool) -> Option<(String, Facts)> {
        let socket = self.transport.socket();
        if !always && !socket.leaves_the_machine() {
            return None;
        }
        Some((congestion::of(socket)?, line::facts(socket)?))
    }

    fn now(&self) -> Time {
        Time::from_millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether so many requests with so many bytes of bodies fit the server's window.
    pub(crate) fn has_room_for(&self, requests: u64, bytes: u64) -> bool {
        self.half.has_room_for(requests, bytes)
    }

    /// Requests without an answer.
    pub(crate) fn unanswered(&self) -> u64 {
        self.half.unanswered()
    }

    /// Whether the server has answered anything but `hello`.
    pub(crate) fn has_progress(&self) -> bool {
        self.half.has_progress()
    }

    /// Takes all requests that have no answer.
    pub(crate) fn lost(&mut self) -> Unanswered<T> {
        self.half.lost()
    }

    /// Appends a request and its body; nothing may be appended while a [large](Bodies::has_large) body waits.
    pub(crate) fn request(&mut self, what: T, op: &Op, body: &[u8]) -> Result<(), ConnectionError> {
        let now = self.now();
        // Each request was checked before it comes here, so an error is a bug of ours.
        self.half.request(what, op, body.len() as u64, now)?;
        self.half.body(body);
        Ok(())
    }

    /// As [`request`](Self::request), but the body is not copied: its buffer is taken, and another one given for it.
    pub(crate) fn request_with(
        &mut self,
        what: T,
        op: &Op,
        body: &mut Body,
    ) -> Result<(), ConnectionError> {
        let now = self.now();
        self.half.request(what, op, body.len() as u64, now)?;
        self.append(body);
        Ok(())
    }

    /// As [`request_with`](Self::request_with), with a bundle and the notes on its files.
    pub(crate) fn bundle<I>(&mut self, files: I, body: &mut Body) -> Result<(), ConnectionError>
    where
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    {
        let now = self.now();
        self.half.bundle(files, Digest::of(body), body.len() as u64, now)?;
        self.append(body);
        Ok(())
    }

    /// The body of the request that was appended last.
    fn append(&mut self, body: &mut Body) {
        if body.len() <= COPIED {
            self.half.body(body);
            body.clear();
        } else {
            self.bodies.push(body, self.half.output().len());
        }
    }

    /// The server has to read so many bytes before it can answer the last request.
    pub(crate) fn reads(&mut self, bytes: u64) {
        self.half.reads(bytes);
    }

    /// Bytes that wait to be sent.
    pub(crate) fn gathered(&self) -> usize {
        if self.bodies.has_large() { usize::MAX } else { self.waiting() }
    }

    /// Bytes that the transport has not accepted.
    fn waiting(&self) -> usize {
        self.half.output().len() + self.bodies.len()
    }

    /// Bytes that were given to the connection and not to the socket yet.
    pub(crate) fn unsent(&self) -> u64 {
        (self.waiting() + self.transport.pending()) as u64
    }

    /// Whether no more can be sent for now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked || self.held_back.is_some()
    }

    /// Sends as many bytes as the socket takes; returns whether it took any.
    pub(crate) fn write(&mut self) -> Result<bool, ConnectionError> {
        let before = self.transport.moved();
        let was_blocked = std::mem::take(&mut self.blocked);
        self.held_back = None;
        loop {
            let mut granted = self.waiting();
            if granted == 0 {
                break;
            }
            if let Some(limit) = self.limit {
                granted = match limit.take(granted) {
                    Ok(granted) => granted,
                    Err(pause) => {
                        self.held_back = Some(pause);
                        break;
                    }
                };
            }
            let pieces = self.bodies.pieces(self.half.output(), granted);
            let written = self.transport.write(&pieces);
            if let (Some(limit), sent) = (self.limit, written.as_ref().map_or(0, |sent| *sent)) {
                limit.give_back(granted - sent);
            }
            match written {
                Ok(sent) => {
                    let (of_output, now) = (self.bodies.take(sent), self.now());
                    self.half.sent(of_output, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.transport.closed(Some(error))),
            }
        }
        // Accepted bytes that wait for the socket are sent though nothing follows them.
        if !self.blocked && self.transport.pending() > 0 {
            match self.transport.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                flushed => flushed.map_err(ConnectionError::Lost)?,
            }
        }
        let any = self.transport.moved() > before;
        // A full socket has room again only when the peer has taken bytes; room in a socket that was not full says
        // nothing of the peer. But the peer can't answer requests that are held back here.
        if any && (was_blocked || self.limit.is_some()) {
            let now = self.now();
            self.half.heard(now);
        }
        Ok(any)
    }

    /// Reads the bytes that are there; 0 if none are.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConnectionError> {
        loop {
            return match self.transport.read(buffer) {
                Ok(0) => Err(self.transport.closed(None)),
                Ok(len) => Ok(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(self.transport.closed(Some(error))),
            };
        }
    }

    /// Takes bytes that were read, up to the next event; `None` means that all are taken.
    pub(crate) fn receive(
        &mut self,
        bytes: &mut &[u8],
    ) -> Result<Option<ClientEvent<T>>, ConnectionError> {
        self.receive_with(bytes, |_, _, _| false)
    }

    /// As [`receive`](Self::receive); `take` is shown each piece of a body first, and the connection keeps those that it does not take.
    pub(crate) fn receive_with(
        &mut self,
        bytes: &mut &[u8],
        take: impl FnMut(&T, &Reply, &[u8]) -> bool,
    ) -> Result<Option<ClientEvent<T>>, ConnectionError> {
        let now = self.now();
        Ok(self.half.receive_with(bytes, now, take)?)
    }

    /// Sends a `ping` if one is due, and returns the time to wait for more. The output may have grown.
    ///
    /// # Errors
    /// If the server has been silent for too long.
    pub(crate) fn expire(&mut self) -> Result<Duration, ConnectionError> {
        let now = self.now();
        self.half.expire(now)?;
        Ok(self.half.deadline().since(now))
    }

    /// Waits until the socket or other threads have an event, or time is up.
    pub(crate) fn sleep(&mut self, timeout: Duration) -> Result<(), ConnectionError> {
        let timeout = self.held_back.map_or(timeout, |pause| pause.min(timeout));
        let timeout = self.watch.as_ref().map_or(timeout, |watch| watch.due_in().min(timeout));
        self.poller.wait(timeout).map_err(ConnectionError::Poller)
    }
}

impl<T> Drop for Wire<'_, T> {
    fn drop(&mut self) {
        self.transport.end();
        self.poller.remove(self.transport.socket_mut());
    }
}

/// The half of a connection that says hello.
fn half<T>(hello: &Hello, timeout: Duration) -> Result<ClientConnection<T>, ConnectionError> {
    let usual = ClientConfig::default();
    let config = ClientConfig { timeout, hello: first_answer(timeout), ..usual };
    Ok(ClientConnection::new(hello, config, Time::from_millis(0))?)
}

/// Time for the first answer of a server that may be silent for `timeout`: it has less to do for that one, unless the
/// user gives another time.
pub(crate) fn first_answer(timeout: Duration) -> Duration {
    let usual = ClientConfig::default();
    if timeout == usual.timeout { usual.hello } else { timeout }
}
