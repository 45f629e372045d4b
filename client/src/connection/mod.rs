//! One connection: takes work, reads and hashes sources, sends requests, and reads answers while it
//! writes.
//!
//! One thread and one poller do both directions: a peer that is blocked in a write with answers
//! unread is a deadlock.

mod adjusted;
mod already_there;
pub(crate) mod before;
mod bundle;
pub mod classic;
mod compare;
pub(crate) mod delete;
mod differences;
mod doubtful_removal;
mod dry_run;
mod failure;
mod foreseen_directory;
pub(crate) mod hello;
mod lacking;
mod perform;
mod private;
pub(crate) mod reach;
mod recover;
mod replies;
pub mod rpc;
mod send;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use haul_protocol::{Cv, Digest, Durability, Name, Right, limits::MAX_BODY_LEN};

use crate::error::ConnectionError;
use crate::net::body::Body;
use crate::net::line::Facts;
use crate::net::poller::Poller;
use crate::net::wire::Wire;
use crate::report::note::Note;
use crate::source::base::Bases;
use crate::source::dir_cache::Nearby;
use crate::source::{Source, Stamp};
use crate::trust::Route;
use crate::work::context::Run;
use crate::work::multipart::Large;
use crate::work::{Abort, Item, Taken, Task};

/// Bytes of requests that are gathered before they are sent in one write.
const GATHER: usize = 256 * 1024;

/// The subject of a request.
#[derive(Debug)]
enum Pending {
    /// A file, link, directory or attributes.
    Item(Item, Sent),
    /// Items that are compared.
    Check(Vec<Item>),
    /// A directory that is looked through.
    List(Item),
    /// The swap of versions.
    Publish(Item),
    /// An announced large file.
    Open(Item, Source),
    /// An open large file, all of whose parts the server holds: it may have the file itself.
    Look(Arc<Large>),
    /// The same file, when the client knows its digest: whether the server's file has these bytes.
    Bytes(Arc<Large>),
    Part(Arc<Large>, usize, Cv),
    Commit(Arc<Large>),
    Abort(Box<Abort>),
}

impl Pending {
    /// Bytes of its body.
    fn body(&self) -> u64 {
        match self {
            Self::Item(_, Sent { size, .. }) => *size,
            Self::Part(large, index, _) => {
                large.geometry.range(*index).map_or(0, |range| range.end - range.start)
            }
            Self::Check(_)
            | Self::List(_)
            | Self::Publish(_)
            | Self::Open(..)
            | Self::Look(_)
            | Self::Bytes(_)
            | Self::Commit(_)
            | Self::Abort(_) => 0,
        }
    }
}

/// Facts of an item that are needed when it has arrived.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    size: u64,
    special_bits: bool,
    digest: Option<Digest>,
    stamp: Option<Stamp>,
}

/// One connection of a run, from when its `hello` is answered until it ends.
#[derive(Debug)]
pub struct Connection<'a> {
    run: &'a Run<'a>,
    /// Its number in the work.
    number: usize,
    /// Its number at the server.
    slot: usize,
    wire: Wire<'a, Pending>,
    max_file: u64,
    max_body: u64,
    /// Items that are this connection's to send.
    batch: VecDeque<Item>,
    /// Private directories that it has sent, among them all that the server has not acknowledged.
    private: HashSet<Name>,
    /// Where they are found.
    nearby: Nearby<'a>,
    /// Where they are removed.
    bases: Bases<'a>,
    /// The server takes bundles.
    bundles: bool,
    /// The account may ask which entries are there.
    may_list: bool,
    /// Files that it gets next, all at once.
    bundle: bundle::Bundle,
    /// Items that the server is asked about next.
    gathered: compare::Gathered,
    /// Items that it was asked about and has not told.
    asked: usize,
    /// The body that is being read.
    body: Body,
    /// The directory of the source that lacks the entries which are being removed, and when the client has looked at it.
    looked_at: Option<lacking::LookedAt>,
    /// Bytes that the socket had not taken when the progress was told of them.
    unsent: u64,
}

impl<'a> Connection<'a> {
    /// Connects, introduces itself, and waits for the answer. `number` is what the work knows it by, `slot` what the
    /// server does.
    ///
    /// # Errors
    /// If there is no haul server, or it is not trusted, or it wants no connection, or the run is over.
    pub fn greet(
        run: &'a Run<'a>,
        number: usize,
        slot: usize,
        poller: &'a mut Poller,
    ) -> Result<Self, ConnectionError> {
        let publish = run.policy.publishes().map(|name| run.course.publish(name));
        let needs = run.policy.needs();
        let (login, client, identity) = (run.login, &*run.client, Some(&*run.identity));
        let who = hello::Who { login, needs: &needs, client, identity, publish, slot };
        let route = Route {
            server: run.login.server(),
            trust: run.trust,
            timeout: run.settings.timeout,
            over: &|| run.is_over(),
            prepare: &|socket| run.choose_congestion(socket),
            direct: run.direct.as_ref(),
        };
        let (mut wire, hello) = reach::reach(route, &who, poller, run.limit.as_ref())?;
        if run.committed.remove_source && hello.durability != Durability::Group {
            return Err(ConnectionError::NotDurable(hello.durability.to_string()));
        }
        if !run.course.entered(hello.tree, run.policy.is_publish()) {
            return Err(ConnectionError::VersionGone);
        }
        run.reached.announce(&hello.durability.to_string());
        run.progress.reached_by(wire.transport(), run.direct.as_ref());
        match &hello.account {
            Some(account) => dry_run::foresee(run, account),
            None => run.reached.is_without_account(run.login, run.progress),
        }
        if run.more.is_some() {
            wire.watch();
        }
        Ok(Self {
            run,
            number,
            slot,
            wire,
            max_file: hello.limits.max_file,
            max_body: hello.limits.max_body,
            batch: VecDeque::new(),
            private: HashSet::new(),
            nearby: Nearby::new(&run.sources),
            bases: Bases::new(&run.sources),
            bundles: hello.features.iter().any(|feature| feature == bundle::FEATURE),
            may_list: hello.account.is_none_or(|account| account.rights.contains(Right::List)),
            bundle: bundle::Bundle::default(),
            gathered: compare::Gathered::default(),
            asked: 0,
            body: Body::default(),
            looked_at: None,
            unsent: 0,
        })
    }

    /// Whether the server has answered anything but `hello`.
    #[must_use]
    pub fn has_progress(&self) -> bool {
        self.wire.has_progress()
    }

    /// Whether the server owes no answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.wire.unanswered() == 0
    }

    /// It is over: if it was the last one that went past ssh, the one over ssh works again.
    pub(crate) fn leaves_the_way(&self) {
        if self.run.direct.as_ref().is_some_and(|direct| direct.left(self.slot)) {
            self.run.work.wake_all();
        }
    }

    /// Tells the algorithm of its line and the line's facts, if they are of interest.
    pub fn tell_line(&self) {
        let line = self.wire.line(self.run.congestion.is_some());
        if let Some((algorithm, Facts { round_trip, retransmits })) = line {
            let connection = self.slot + 1;
            self.run.progress.detail(Note::Line { connection, algorithm, round_trip, retransmits });
        }
    }

    /// Works until there is nothing left to do. `add` begins connections in more slots of the run.
    ///
    /// # Errors
    /// If the connection breaks, or the run is stopped.
    pub fn work(&mut self, add: &dyn Fn(usize)) -> Result<(), ConnectionError> {
        if let Some(direct) = &self.run.direct {
            direct.followers(self.slot).for_each(add);
        }
        loop {
            if self.run.work.is_stopped() {
                return Err(ConnectionError::Stopped);
            }
            if let Some(interval) = self.wire.look() {
                self.run.look(self.slot, interval).for_each(add);
            }
            let mut waiting_for_work = false;
            while self.wire.gathered() < self.most_gathered() && self.has_room() {
                match self.next() {
                    Some(task) => {
                        let is_check = matches!(task, Task::Check);
                        self.send(task)?;
                        // A file is being read for long: time to look after the connection.
                        if is_check && self.gathered.is_unfinished() {
                            break;
                        }
                    }
                    None => {
                        waiting_for_work = true;
                        break;
                    }
                }
            }
            self.send_bundle()?;
            // Before any of it can be acknowledged: when all is, nothing may be removed if something has vanished.
            for path in self.nearby.leave() {
                self.run.progress.vanished(&path);
            }
            let wrote = match self.wire.write() {
                Ok(wrote) => wrote,
                // The server may have said why before it closed.
                Err(error) => {
                    self.read()?;
                    return Err(error);
                }
            };
            self.note_unsent();
            let read = self.read()?;
            let idle = self.is_idle();
            if waiting_for_work && idle && self.run.work.is_finished() {
                return Ok(());
            }
            if !wrote && !read && (waiting_for_work || self.wire.is_blocked() || !self.has_room()) {
                self.pause(waiting_for_work)?;
            }
        }
    }

    /// Tells how many bytes the socket has not taken yet: with a slow line or a limit they may be a MiB and more.
    fn note_unsent(&mut self) {
        let before = std::mem::replace(&mut self.unsent, self.wire.unsent());
        if before != self.unsent {
            self.run.progress.waiting(before, self.unsent);
        }
    }

    /// Nothing can be sent or read now: time for what is less urgent, or to sleep.
    fn pause(&mut self, waiting_for_work: bool) -> Result<(), ConnectionError> {
        let left = self.wire.expire()?;
        // A `ping` is to be sent.
        if !self.wire.is_blocked() && self.wire.gathered() > 0 {
            return Ok(());
        }
        if self.hash_held() {
            return Ok(());
        }
        // While the window is full, items that are due can't be sent anyway.
        let due = if waiting_for_work { self.run.work.due_in() } else { None };
        self.wire.sleep(due.map_or(left, |due| due.min(left)))
    }

    /// Hashes one part that the server holds already, if there is one: its chaining value is needed
    /// for the digest of the file. One at a time, so that sending goes on as soon as it can.
    fn hash_held(&mut self) -> bool {
        let Some((large, index)) = self.run.work.take_held() else {
            return false;
        };
        match self.read_part(&large, index) {
            Ok(cv) => {
                self.run.progress.hashed(self.body.len() as u64);
                let is_last = large.parts().know(index, cv);
                if is_last {
                    self.complete(large);
                }
            }
            Err(error) => self.end_large(&large, error),
        }
        true
    }

    fn has_room(&self) -> bool {
        // One more file, and the answer is the same whether or not it goes with others.
        let (requests, bytes) = (self.bundle.count() + 1, self.bundle.len() + MAX_BODY_LEN);
        self.wire.has_room_for(requests, bytes) && self.asked < compare::MOST
    }

    /// Whether it leaves new work to others, who are told of it then. It looks twice: the last of them may have ended between the
    /// first look and the moment from which it is woken.
    fn rests(&self) -> bool {
        let rests = || self.run.rests(self.slot);
        if rests() {
            self.run.work.rest(self.number);
        }
        rests()
    }

    fn next(&mut self) -> Option<Task> {
        let has_items = !self.batch.is_empty() || self.gathered.is_unfinished();
        if self.rests() {
            // Others take what is new.
        } else if !has_items || self.run.work.has_urgent() {
            match self.run.work.take(self.number, has_items) {
                Some(Taken::Task(task)) => return Some(task),
                Some(Taken::Batch(batch)) => self.batch = batch.into(),
                None => {}
            }
        }
        if self.must_check() {
            return Some(Task::Check);
        }
        self.batch.pop_front().map(Task::Item)
    }
}
