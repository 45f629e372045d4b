//! One connection for a few questions, without a run around it.

use std::collections::VecDeque;
use std::time::Duration;

use haul_protocol::{AccountFacts, ClientEvent, Op, Refusal, Reply, ServerHello};

use super::hello::Who;
use super::reach::reach;
use crate::credentials::{Login, Need};
use crate::error::{ConnectionError, ProtocolError};
use crate::net::poller::Poller;
use crate::net::wire::Wire;
use crate::trust::Route;

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
    login: &'a Login,
    hello: ServerHello,
    has_changed: bool,
}

impl std::fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl<'a> Asking<'a> {
    /// Connects, logs in with the rights that the command `needs`, and introduces itself as `client`, which is random: once
    /// this succeeds, no request of an earlier connection of the same client takes effect any more.
    ///
    /// # Errors
    /// If there is no haul server, or it is over.
    pub fn connect(
        route: Route<'a>,
        login: &'a Login,
        needs: &[Need],
        client: &str,
        poller: &'a mut Poller,
    ) -> Result<Self, ConnectionError> {
        let who = Who { login, needs, client, identity: None, publish: None, slot: 0 };
        let (wire, hello) = reach(route, &who, poller, None)?;
        let over = route.over;
        Ok(Self { wire, asked: 0, over, ready: VecDeque::new(), login, hello, has_changed: false })
    }

    /// Whether the server has a feature.
    #[must_use]
    pub fn has_feature(&self, feature: &str) -> bool {
        self.hello.features.iter().any(|known| known == feature)
    }

    /// The account, if the server has told one.
    #[must_use]
    pub fn account(&self) -> Option<&AccountFacts> {
        self.hello.account.as_ref()
    }

    /// Whether the server has confirmed a change.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.has_changed
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
        self.ask_with(op, &[])
    }

    /// Asks for something with a body; returns its number.
    ///
    /// # Errors
    /// If the question can't be put into words.
    pub fn ask_with(&mut self, op: &Op, body: &[u8]) -> Result<u64, ConnectionError> {
        self.asked += 1;
        self.wire.request(self.asked, op, body)?;
        Ok(self.asked)
    }

    /// Asks for something without a body as soon as the server takes one more question; returns its number.
    ///
    /// # Errors
    /// If the connection breaks, or it is over.
    pub fn ask_in_turn(&mut self, op: &Op) -> Result<u64, ConnectionError> {
        let mut input = std::mem::take(&mut self.wire.input);
        let mut waited = Ok(());
        while waited.is_ok() && !self.has_room() {
            waited = self.go_on(&mut input);
        }
        self.wire.input = input;
        waited?;
        self.ask(op)
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
                    self.has_changed |= !ids.is_empty();
                    self.ready.extend(ids.into_iter().map(|id| (id, Said::Done)));
                }
                ClientEvent::Refused(id, refusal) => {
                    self.ready.push_back((id, Said::Refused(refusal)));
                }
                ClientEvent::Answered(id, reply, body) => {
                    self.ready.push_back((id, Said::Answered(reply, body)));
                }
                ClientEvent::Ended(refusal) => {
                    return Err(self.login.ended(refusal, true, true));
                }
                _ => return Err(ProtocolError::Kind.into()),
            }
        }
        Ok(())
    }
}
