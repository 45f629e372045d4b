//! The two directions of a connection: what is gathered to be sent, and what has come.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_protocol::{
    Answer, Answers, Decoder, Event, Hello, ServerHello, encode,
    limits::{MAX_BODY_LEN, VERSION},
};
use mio::{Events, Poll, Token, Waker};

use crate::destination::Server;
use crate::error::{ConnectionError, ProtocolError};
use crate::socket::Socket;
use crate::transfer::Run;

/// How long a server may take to answer `hello`.
const HELLO: Duration = Duration::from_secs(10);

/// How long a server may be silent while it owes an answer; and after how long without a request it
/// is told that the client is still there.
const SILENCE: Duration = Duration::from_secs(60);

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// A socket, its poller and its buffers.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    out: Vec<u8>,
    /// A large body that follows `out`.
    tail: Vec<u8>,
    /// Bytes of both that are sent.
    sent: usize,
    blocked: bool,
    pub(super) decoder: Decoder<Answers>,
    /// A buffer for what is read.
    pub(super) input: Vec<u8>,
    moved: Instant,
}

impl Link {
    pub(super) fn connect(server: &Server) -> Result<Self, ConnectionError> {
        let lost = ConnectionError::Lost;
        let mut socket = Socket::connect(server)?;
        let poll = Poll::new().map_err(lost)?;
        socket.register(poll.registry(), SOCKET).map_err(lost)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(lost)?;
        Ok(Self {
            socket,
            poll,
            events: Events::with_capacity(4),
            waker: Arc::new(waker),
            out: Vec::new(),
            tail: Vec::new(),
            sent: 0,
            blocked: false,
            decoder: Decoder::new(Answers),
            input: vec![0; 64 * 1024],
            moved: Instant::now(),
        })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Introduces the client and waits for the server's answer; `None` if there is nothing left to
    /// do meanwhile.
    pub(super) fn hello(
        &mut self,
        run: &Run<'_>,
        slot: usize,
    ) -> Result<Option<ServerHello>, ConnectionError> {
        let hello = Hello {
            version: VERSION,
            agent: concat!("haul/", env!("CARGO_PKG_VERSION")).to_owned(),
            client: run.client.clone(),
            slot: slot as u64,
            identity: None,
            must: Vec::new(),
        };
        encode::hello(&hello, &mut self.out).map_err(super::encoding)?;
        let deadline = Instant::now() + HELLO;
        let mut input = vec![0; 64 * 1024];
        loop {
            if run.work.is_stopped() {
                return Err(ConnectionError::Stopped);
            }
            if run.work.is_finished() {
                return Ok(None);
            }
            let wrote = self.write();
            let len = match self.read(&mut input) {
                Ok(len) => len,
                Err(ConnectionError::Closed) => return Err(ConnectionError::ClosedAtHello),
                Err(error) => return Err(error),
            };
            wrote?;
            let mut bytes = &input[..len];
            match self.decoder.decode(&mut bytes).map_err(ConnectionError::NotHaul)? {
                Some(Event::Header(Answer::Hello(hello))) => {
                    let limits = &hello.limits;
                    if limits.window_requests == 0 || limits.window_bytes < MAX_BODY_LEN {
                        return Err(ProtocolError::Limits.into());
                    }
                    return match self.decoder.decode(&mut bytes).map_err(ProtocolError::from)? {
                        Some(Event::End) if bytes.is_empty() => Ok(Some(hello)),
                        _ => Err(ProtocolError::Kind.into()),
                    };
                }
                Some(Event::Header(Answer::Refused { refusal, .. })) => {
                    return Err(ConnectionError::Ended(refusal));
                }
                Some(_) => return Err(ProtocolError::Kind.into()),
                None if len > 0 => continue,
                None => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ConnectionError::NoHello(HELLO.as_secs()));
            }
            self.poll(left)?;
        }
    }

    /// Bytes that wait to be sent.
    pub(super) fn gathered(&self) -> usize {
        // A large body goes alone.
        if self.tail.is_empty() { self.out.len() - self.sent } else { usize::MAX }
    }

    /// Where requests are appended; nothing may be while a large body waits.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Takes a large body that follows what was appended, and gives its buffer in exchange.
    pub(super) fn follow(&mut self, body: &mut Vec<u8>) {
        std::mem::swap(&mut self.tail, body);
        body.clear();
    }

    /// Whether the socket takes no more for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Sends what the socket takes; returns whether it took anything.
    pub(super) fn write(&mut self) -> Result<bool, ConnectionError> {
        let mut any = false;
        self.blocked = false;
        while self.sent < self.out.len() + self.tail.len() {
            let first = self.out.get(self.sent..).unwrap_or_default();
            let second = &self.tail[self.sent.saturating_sub(self.out.len())..];
            match self.socket.write(first, second) {
                Ok(sent) => {
                    any = true;
                    self.sent += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ConnectionError::Lost(error)),
            }
        }
        if !self.blocked {
            self.out.clear();
            self.tail.clear();
            self.sent = 0;
        }
        if any {
            self.moved = Instant::now();
        }
        Ok(any)
    }

    /// Reads what is there; 0 if nothing is.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ConnectionError> {
        loop {
            return match self.socket.read(buffer) {
                Ok(0) => Err(ConnectionError::Closed),
                Ok(len) => {
                    self.moved = Instant::now();
                    Ok(len)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(ConnectionError::Lost(error)),
            };
        }
    }

    /// Waits until the socket or other threads have something, or something is due; returns whether an idle connection
    /// should say that it is there.
    pub(super) fn wait(
        &mut self,
        idle: bool,
        due: Option<Duration>,
    ) -> Result<bool, ConnectionError> {
        let left = SILENCE.saturating_sub(self.moved.elapsed());
        if left.is_zero() {
            self.moved = Instant::now();
            return if idle { Ok(true) } else { Err(ConnectionError::Silent(SILENCE.as_secs())) };
        }
        self.poll(due.map_or(left, |due| due.min(left)))?;
        Ok(false)
    }

    fn poll(&mut self, timeout: Duration) -> Result<(), ConnectionError> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(ConnectionError::Lost(error)),
        }
    }
}
