//! One connection of a run that reads back: takes tasks, asks the server, and carries the answers out while it asks for
//! more.

use std::time::{Duration, Instant};

use haul_protocol::{ClientEvent, Name, Op, Right, encode_wanted, limits};

use super::coming::{Coming, Input};
use super::comparing::Compared;
use super::item::Arrived;
use super::pending::Pending;
use super::run::Run;
use super::source::Top;
use super::task::Task;
use crate::connection::before::before;
use crate::connection::hello::Who;
use crate::connection::reach::reach;
use crate::error::{ConnectionError, ProtocolError};
use crate::net::poller::Poller;
use crate::net::wire::Wire;
use crate::target::Group;
use crate::trust::{NOTHING, Route};

/// Time between two looks whether the run was stopped.
const LOOK: Duration = Duration::from_millis(100);

/// Time that a staged file waits for others to get its name with, while the connection goes on.
const STAGED: Duration = Duration::from_secs(1);

/// Bytes of files that one connection asks for ahead: enough for a long line, and little enough for the server's memory.
const AHEAD: u64 = 16 * 1024 * 1024;

/// Requests that one connection has under way.
const REQUESTS: u64 = 256;

/// Pages of directories among these: each may be a MiB.
const LISTS: usize = 8;

/// Bytes of answers that are read before the connection is looked after.
const TURN: usize = 4 * 1024 * 1024;

/// The feature of a server that gives files back.
const FEATURE: &str = "get";

/// One connection of a run.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) run: &'a Run<'a>,
    /// Its number in the queue.
    number: usize,
    /// Its number at the server.
    slot: usize,
    pub(super) wire: Wire<'a, Pending>,
    /// The part of a large file whose bytes come at the moment.
    pub(super) coming: Option<Coming>,
    /// Bytes of files that it has asked for and not got.
    asked: u64,
    /// Pages that it has asked for and not got.
    lists: usize,
    /// Files that are here and have not their names yet.
    pub(super) group: Group<Arrived>,
    /// Since when the first of them waits.
    pub(super) staged: Option<Instant>,
    /// Files that are to be compared by their digests.
    pub(super) unread: Vec<Compared>,
}

impl<'a> Connection<'a> {
    /// Connects, introduces itself, and waits for the answer.
    ///
    /// # Errors
    /// If there is no haul server that gives files back, or it is not trusted, or wants no connection, or the run is over.
    pub(super) fn greet(
        run: &'a Run<'a>,
        number: usize,
        slot: usize,
        poller: &'a mut Poller,
    ) -> Result<Self, ConnectionError> {
        let needs = [(Right::Get, "get"), (Right::List, "get")];
        let (login, client) = (run.login, &*run.client);
        let who = Who { login, needs: &needs, client, identity: None, publish: None, slot };
        let route = Route {
            server: run.login.server(),
            trust: run.trust,
            timeout: run.wishes.settings.timeout,
            over: &|| run.is_over(),
            prepare: NOTHING,
            direct: run.direct.as_ref(),
        };
        let (wire, hello) = reach(route, &who, poller, None)?;
        if !hello.features.iter().any(|feature| feature == FEATURE) {
            return Err(ConnectionError::GivesNothingBack);
        }
        run.progress.reached_by(wire.transport(), run.direct.as_ref());
        if hello.account.is_none() {
            run.reached.is_without_account(run.login, run.progress);
        }
        let (group, unread) = (Group::new(), Vec::new());
        let (coming, staged) = (None, None);
        Ok(Self { run, number, slot, wire, coming, asked: 0, lists: 0, group, staged, unread })
    }

    /// It is over: if it was the last one that went past ssh, the one over ssh works again.
    pub(super) fn leaves_the_way(&self) {
        if self.run.direct.as_ref().is_some_and(|direct| direct.left(self.slot)) {
            self.run.queue.wake_all();
        }
    }

    /// Works until there is nothing left to do. `add` begins connections in more slots of the run.
    ///
    /// # Errors
    /// If the connection breaks, or the run is stopped.
    pub(super) fn work(&mut self, add: &dyn Fn(usize)) -> Result<(), ConnectionError> {
        if let Some(direct) = &self.run.direct {
            direct.followers(self.slot).for_each(add);
        }
        let mut input = Input::new();
        loop {
            if self.run.is_stopped() {
                return Err(ConnectionError::Stopped);
            }
            let mut waits = false;
            while self.has_room() {
                let rests = self.run.direct.as_ref().is_some_and(|direct| direct.rests(self.slot));
                let task = match rests {
                    true => self.run.queue.rest(self.number),
                    false => self.run.queue.take(self.number, self.may_list()),
                };
                let Some(task) = task else {
                    waits = true;
                    break;
                };
                self.ask(task)?;
            }
            let wrote = self.wire.write();
            let read = self.read(&mut input)?;
            let wrote = wrote?;
            let is_old = self.staged.is_some_and(|since| since.elapsed() >= STAGED);
            if self.group.is_full() || is_old || (waits && self.wire.unanswered() == 0) {
                let has_files = !self.group.is_empty();
                self.commit();
                // Directories may be over, so that others may be listed.
                if has_files {
                    continue;
                }
            }
            if waits && self.wire.unanswered() == 0 && self.run.queue.is_finished() {
                return Ok(());
            }
            if !wrote && !read {
                let left = self.wire.expire()?;
                let due = self.run.queue.due_in().filter(|_| waits);
                let due = due.map_or(left, |due| due.min(left));
                if self.wire.gathered() == 0 || self.wire.is_blocked() {
                    self.wire.sleep(due.min(LOOK))?;
                }
            }
        }
    }

    /// Whether a directory may be listed now, which is open here from then on. A connection with nothing else to do always
    /// goes on, so that the depth of a tree stops nobody.
    fn may_list(&self) -> bool {
        let is_idle = || self.wire.unanswered() == 0 && self.group.is_empty();
        self.lists < LISTS && (self.run.ends.may_enter() || is_idle())
    }

    fn has_room(&self) -> bool {
        self.wire.has_room_for(1, limits::MAX_BUNDLE_LEN)
            && self.wire.unanswered() < REQUESTS
            && self.asked < AHEAD
    }

    /// Asks the server for what a task is about.
    fn ask(&mut self, task: Task) -> Result<(), ConnectionError> {
        match task {
            Task::Top(top) => self.ask_top(top),
            Task::List(page) => {
                self.lists += 1;
                let op = Op::List { name: page.name.clone(), after: page.after.clone() };
                self.request(Pending::List(page), &op, &[])
            }
            Task::Small(batch) => {
                let mut names = Vec::new();
                batch.files.iter().for_each(|file| encode_wanted(&file.name, &mut names));
                self.request(Pending::Small(batch), &Op::Fetch, &names)
            }
            Task::First(mut file) => {
                file.by_parts |= !self.run.login.server().reconnects();
                let (pending, op) = Pending::first(file);
                self.request(pending, &op, &[])
            }
            Task::Part(large, index) => {
                let op = large.op(index);
                self.request(Pending::Part(large, index), &op, &[])
            }
            Task::Check(comparing) | Task::Unread(comparing) => self.ask_check(comparing),
        }
    }

    /// Asks which entry a source is: its directory's list tells, from just before its name on.
    fn ask_top(&mut self, top: Top) -> Result<(), ConnectionError> {
        let Some(name) = &top.name else {
            // The root is no entry of any directory.
            self.root(&top);
            return Ok(());
        };
        self.lists += 1;
        let op = Op::List { name: Name::parse(name.split().0).ok(), after: before(name) };
        self.request(Pending::Top(top), &op, &[])
    }

    fn request(&mut self, pending: Pending, op: &Op, body: &[u8]) -> Result<(), ConnectionError> {
        let bytes = pending.bytes();
        self.asked += bytes;
        self.run.progress.asked(bytes);
        self.wire.request(pending, op, body)?;
        self.wire.reads(bytes);
        Ok(())
    }

    /// Reads answers that are there; returns whether there were any.
    fn read(&mut self, input: &mut Input) -> Result<bool, ConnectionError> {
        let (mut any, mut left) = (false, TURN);
        while left > 0 {
            let input = input.room(self.coming.as_ref());
            let mut most = input.len();
            if let Some(limit) = &self.run.limit {
                match limit.take(most) {
                    Ok(granted) => most = granted,
                    Err(pause) => {
                        // Other connections of the run wait as well.
                        self.wire.sleep(pause.min(LOOK))?;
                        break;
                    }
                }
            }
            let len = self.wire.read(&mut input[..most]);
            if let Some(limit) = &self.run.limit {
                limit.give_back(most - len.as_ref().map_or(0, |len| *len));
            }
            let len = len?;
            if len == 0 {
                break;
            }
            (any, left) = (true, left.saturating_sub(len));
            self.receive(&input[..len])?;
        }
        Ok(any)
    }

    fn receive(&mut self, mut bytes: &[u8]) -> Result<(), ConnectionError> {
        loop {
            let coming = &mut self.coming;
            let take = |pending: &Pending, reply: &_, piece: &[u8]| {
                Coming::take(coming, pending, reply, piece)
            };
            let Some(event) = self.wire.receive_with(&mut bytes, take)? else { return Ok(()) };
            match event {
                ClientEvent::Acked(_) => {}
                ClientEvent::Refused(pending, refusal) => {
                    self.run.reached.hear();
                    self.over(&pending);
                    self.refused(pending, refusal);
                }
                ClientEvent::Answered(pending, reply, body) => {
                    self.run.reached.hear();
                    self.over(&pending);
                    self.answered(pending, reply, &body)?;
                }
                ClientEvent::Ended(refusal) => {
                    return Err(self.run.login.ended(refusal, true, true));
                }
                _ => return Err(ProtocolError::Kind.into()),
            }
        }
    }

    /// A request has its answer.
    fn over(&mut self, pending: &Pending) {
        let bytes = pending.bytes();
        self.asked -= bytes;
        self.run.progress.answered(bytes);
        self.lists -= usize::from(matches!(pending, Pending::List(_) | Pending::Top(_)));
    }

    /// Gives the files of the group their names.
    pub(super) fn commit(&mut self) {
        self.staged = None;
        if self.group.is_empty() {
            return;
        }
        for (arrived, result) in self.group.commit(self.run.wishes.durable) {
            self.named(arrived, result);
        }
    }
}
