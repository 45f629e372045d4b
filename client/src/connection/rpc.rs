//! One connection for a few questions, without a run around it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use haul_protocol::{Answer, Event, Op, Refusal, Reply, Requester, encode};

use super::hello::{Who, hello};
use crate::error::{ConnectionError, ProtocolError};
use crate::net::connect::connect;
use crate::net::destination::Server;
use crate::net::framed::Link;
use crate::net::poller::Poller;

/// How often it is seen whether anybody still wants an answer.
const PAUSE: Duration = Duration::from_millis(100);

/// What the server says.
#[derive(Debug)]
pub enum Said {
    /// A change is done.
    Done,
    /// An answer, and its body.
    Answered(Reply, Vec<u8>),
    /// It is not carried out.
    Refused(Refusal),
}

/// A connection.
pub struct Asking<'a> {
    link: Link<'a>,
    book: Requester<u64>,
    over: &'a dyn Fn() -> bool,
    /// The answer whose body is being read.
    unfinished: Option<(u64, Reply, Vec<u8>)>,
    ready: VecDeque<(u64, Said)>,
}

impl std::fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("book", &self.book).finish_non_exhaustive()
    }
}

impl<'a> Asking<'a> {
    /// Connects and introduces itself. `over` says that nobody wants to know any more.
    ///
    /// # Errors
    /// If there is no haul server, or it is over.
    pub fn connect(
        server: &Server,
        poller: &'a mut Poller,
        timeout: Duration,
        over: &'a dyn Fn() -> bool,
    ) -> Result<Self, ConnectionError> {
        let socket = connect(server, poller, over)?;
        let mut link = Link::new(socket, poller, timeout, None);
        let mut client = [0; 16];
        getrandom::fill(&mut client).map_err(|error| {
            ConnectionError::Poller(std::io::Error::other(format!("no random bytes: {error}")))
        })?;
        let client = haul_protocol::Token(client).to_string();
        let who = Who { client: &client, identity: None, publish: None, slot: 0 };
        let hello = hello(&mut link, &who, over)?;
        let book = Requester::new(&hello.limits);
        Ok(Self { link, book, over, unfinished: None, ready: VecDeque::new() })
    }

    /// Whether the server takes one more question now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.book.has_room(0)
    }

    /// Asks for something without a body; returns its number.
    ///
    /// # Errors
    /// If the question can't be put into words.
    pub fn ask(&mut self, op: &Op) -> Result<u64, ConnectionError> {
        let id = self.book.next_id();
        encode::request(id, 0, op, self.link.out())?;
        if self.book.unanswered() == 0 {
            self.link.expects();
        }
        self.book.sent(id, op.is_change(), 0);
        Ok(id)
    }

    /// Waits for the next answer, to whichever question.
    ///
    /// # Errors
    /// If the connection breaks, or it is over.
    pub fn answer(&mut self) -> Result<(u64, Said), ConnectionError> {
        let mut input = std::mem::take(&mut self.link.input);
        let said = loop {
            if let Some(said) = self.ready.pop_front() {
                break Ok(said);
            }
            match self.go_on(&mut input) {
                Ok(()) => {}
                Err(error) => break Err(error),
            }
        };
        self.link.input = input;
        said
    }

    fn go_on(&mut self, input: &mut [u8]) -> Result<(), ConnectionError> {
        if (self.over)() {
            return Err(ConnectionError::Stopped);
        }
        let wrote = self.link.write();
        let len = self.link.read(input)?;
        wrote?;
        if len == 0 {
            self.link.patience(false)?;
            return self.link.sleep(PAUSE);
        }
        let mut bytes = &input[..len];
        while let Some(event) = self.link.decoder.decode(&mut bytes).map_err(ProtocolError::from)? {
            match event {
                Event::Header(answer) => self.header(answer)?,
                Event::Body(bytes) => {
                    if let Some((_, _, body)) = &mut self.unfinished {
                        body.extend_from_slice(bytes);
                    }
                }
                Event::End => {
                    if let Some((id, reply, body)) = self.unfinished.take() {
                        self.ready.push_back((id, Said::Answered(reply, body)));
                    }
                }
            }
        }
        Ok(())
    }

    fn header(&mut self, answer: Answer) -> Result<(), ConnectionError> {
        match answer {
            Answer::Ack(id) => {
                let (ready, before) = (&mut self.ready, self.book.unanswered());
                self.book
                    .acked(id, |id| ready.push_back((id, Said::Done)))
                    .map_err(ProtocolError::from)?;
                if self.book.unanswered() == before {
                    self.link.silence.repeated(Instant::now())?;
                } else {
                    self.link.silence.got_on(Instant::now());
                }
            }
            Answer::Refused { id: 0, refusal } => return Err(ConnectionError::Ended(refusal)),
            Answer::Refused { id, refusal } => {
                self.book.answered(id).map_err(ProtocolError::from)?;
                self.link.silence.got_on(Instant::now());
                self.ready.push_back((id, Said::Refused(refusal)));
            }
            Answer::Answered { id, reply, .. } => {
                self.book.answered(id).map_err(ProtocolError::from)?;
                self.link.silence.got_on(Instant::now());
                self.unfinished = Some((id, reply, Vec::new()));
            }
            Answer::Hello(_) => return Err(ProtocolError::Kind.into()),
        }
        Ok(())
    }
}
