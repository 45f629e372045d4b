//! One connection for a few questions, without a run around it.

use std::collections::VecDeque;
use std::time::Duration;

use haul_protocol::{ClientEvent, Op, Refusal, Reply};

use super::hello::{Who, greeted};
use crate::error::{ConnectionError, ProtocolError};
use crate::net::connect::connect;
use crate::net::destination::Server;
use crate::net::poller::Poller;
use crate::net::wire::Wire;

/// Time between two looks whether anybody still wants an answer.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer of the server.
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
    wire: Wire<'a, u64>,
    /// Questions so far.
    asked: u64,
    over: &'a dyn Fn() -> bool,
    ready: VecDeque<(u64, Said)>,
}

impl std::fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("wire", &self.wire).finish_non_exhaustive()
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
        let mut client = [0; 16];
        getrandom::fill(&mut client).map_err(|error| {
            ConnectionError::Poller(std::io::Error::other(format!("no random bytes: {error}")))
        })?;
        let client = haul_protocol::Token(client).to_string();
        let who = Who { client: &client, identity: None, publish: None, slot: 0 };
        let mut wire = Wire::new(socket, poller, &who.hello(), timeout, None)?;
        greeted(&mut wire, over)?;
        Ok(Self { wire, asked: 0, over, ready: VecDeque::new() })
    }

    /// Whether the server takes one more question now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.wire.has_room_for(1, 0)
    }

    /// Asks for something without a body; returns its number.
    ///
    /// # Errors
    /// If the question can't be put into words.
    pub fn ask(&mut self, op: &Op) -> Result<u64, ConnectionError> {
        self.asked += 1;
        self.wire.request(self.asked, op, &[])?;
        Ok(self.asked)
    }

    /// Waits for the next answer, to whichever question.
    ///
    /// # Errors
    /// If the connection breaks, or it is over.
    pub fn answer(&mut self) -> Result<(u64, Said), ConnectionError> {
        let mut input = std::mem::take(&mut self.wire.input);
        let said = loop {
            if let Some(said) = self.ready.pop_front() {
                break Ok(said);
            }
            match self.go_on(&mut input) {
                Ok(()) => {}
                Err(error) => break Err(error),
            }
        };
        self.wire.input = input;
        said
    }

    fn go_on(&mut self, input: &mut [u8]) -> Result<(), ConnectionError> {
        if (self.over)() {
            return Err(ConnectionError::Stopped);
        }
        let wrote = self.wire.write();
        let len = self.wire.read(input)?;
        wrote?;
        if len == 0 {
            let left = self.wire.expire()?;
            return self.wire.sleep(left.min(PAUSE));
        }
        let mut bytes = &input[..len];
        while let Some(event) = self.wire.receive(&mut bytes)? {
            match event {
                ClientEvent::Acked(ids) => {
                    self.ready.extend(ids.into_iter().map(|id| (id, Said::Done)));
                }
                ClientEvent::Refused(id, refusal) => {
                    self.ready.push_back((id, Said::Refused(refusal)));
                }
                ClientEvent::Answered(id, reply, body) => {
                    self.ready.push_back((id, Said::Answered(reply, body)));
                }
                ClientEvent::Ended(refusal) => return Err(ConnectionError::Ended(refusal)),
                _ => return Err(ProtocolError::Kind.into()),
            }
        }
        Ok(())
    }
}
