//! The committer: one thread that makes changes durable, many at once. Workers never wait for it;
//! it leaves the results at the connection, which it wakes.
//!
//! Only with durability `group`. Changes are carried out in the order in which they were queued.

use std::sync::Arc;
use std::time::Instant;

use super::notify::{ConnectionId, Done, Notify, ReplyTo, Ticket};
use super::queue::Queue;
use crate::audit::Logs;
use crate::hooks::{self, Fate, OnCommit, fate};
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::refusal::Refusal;
use crate::store::{Change, ChangeKind, Committing, Store, StoreError};
use crate::uploads::{Publishing, Uploads};

/// [Weight](Change::weight) of changes that wait at once. Each may hold an open file; at this much,
/// connections are not read until some are done.
pub(crate) const MAX_QUEUED: usize = 4096;

/// [Cost](Change::cost) of the changes of one group: bounds how long the first waits for the last, and the open
/// directories.
const MAX_GROUP: usize = 1024;

/// A change that waits, and the connection that asked for it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) change: Change,
    pub(crate) publishing: Option<Publishing>,
    /// Nobody, for work of the server's own.
    pub(crate) ticket: Option<Ticket>,
    /// Directories above the entry that were missing when the change was queued.
    pub(crate) missing: usize,
}

/// Missing directories that cost as much as a small file.
const DIRECTORIES: usize = 2;

impl Work {
    /// The change's [cost](Change::cost), and that of the directories that it makes on the way.
    fn cost(&self) -> usize {
        self.change.cost() + self.missing / DIRECTORIES
    }

    /// The change's [weight](Change::weight), and that of the directories that it makes on the way.
    fn weight(&self) -> usize {
        self.change.weight() + self.missing / DIRECTORIES
    }
}

/// The queue of changes.
#[derive(Debug)]
pub(crate) struct Committer(Queue<Work>, Pulse);

impl Committer {
    /// With nothing to do.
    pub(crate) fn new() -> Self {
        Self(Queue::new(MAX_QUEUED), Pulse::default())
    }

    /// Queues a change.
    pub(crate) fn add(&self, work: Work) {
        let (weight, cost) = (work.weight(), work.cost());
        self.0.add(work, weight, cost);
    }

    /// Whether a connection must wait before it is read on; it is woken when there is room. One that `is_new` here has no
    /// change in the queue.
    pub(crate) fn is_full(&self, connection: ConnectionId, is_new: bool) -> bool {
        self.0.is_full(connection.0, is_new)
    }

    /// Ends [`run`](Self::run) after the group that it has; the changes that wait are dropped, none of which was acknowledged. Returns
    /// how many that are.
    pub(crate) fn abandon(&self) -> usize {
        self.0.abandon()
    }

    /// The weight of the changes that wait or are being carried out.
    pub(crate) fn unfinished(&self) -> usize {
        self.0.unfinished()
    }

    /// The pulse of the thread that runs it.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.1
    }

    /// Ends [`run`](Self::run) when everything is done.
    pub(crate) fn stop(&self) {
        self.0.stop();
    }
}

/// The connection that asked for a change.
type ToTell = (Option<Ticket>, Option<Publishing>);

/// All who are told of changes, but for the connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) logs: &'a Logs,
    pub(crate) on_commit: Option<&'a OnCommit>,
    pub(crate) metrics: &'a Metrics,
}

impl Committer {
    /// Runs until it is stopped: whenever it is idle it takes all that waits. A group is told to
    /// be done when the next one, if there is one, has been flushed with it.
    pub(crate) fn run(
        &self,
        store: &Arc<Store>,
        uploads: &Uploads,
        notify: &dyn Notify,
        told: Told<'_>,
    ) {
        let Told { on_commit, metrics, .. } = told;
        let mut committing = Committing::new(store);
        let (mut visible, mut weight) = (Vec::<ToTell>::new(), 0);
        let mut visible_kinds = Vec::new();
        loop {
            let group = if visible.is_empty() {
                self.1.rest();
                let Some(group) = self.0.take(MAX_GROUP) else { return };
                group
            } else {
                self.0.take_now(MAX_GROUP)
            };
            self.1.beat();
            let all: usize = group.iter().map(Work::weight).sum();
            let group = with_records(group, (store, uploads), notify, told);
            let next = group.iter().map(Work::weight).sum();
            if next < all {
                self.makes_room(all - next, notify);
            }
            let (changes, kinds, to_tell) = apart(group);
            if !kinds.is_empty() {
                metrics.groups.add(kinds.len() as u64);
            }
            let begun = Instant::now();
            let (results, group) = committing.flush(changes);
            metrics.flushed(begun.elapsed());
            let is_spool_safe = on_commit.is_none_or(|hook| is_flushed(hook, group.was_flushed()));
            let durable = std::mem::replace(&mut visible, to_tell);
            for (kind, result) in
                std::mem::replace(&mut visible_kinds, kinds).into_iter().zip(&results)
            {
                metrics.changed(kind, result.is_ok());
            }
            let results = results.into_iter().zip(durable).map(|(result, to_tell)| {
                let is_spooled = |ticket: &Ticket| ticket.spooled.is_some();
                let is_lost = !is_spool_safe && to_tell.0.as_ref().is_some_and(is_spooled);
                (if is_lost { result.and(Err(unsafe_spool())) } else { result }, to_tell)
            });
            tell((store, uploads, told), notify, results);
            self.makes_room(std::mem::replace(&mut weight, next), notify);
            committing.apply(group);
            if let Some(hook) = on_commit {
                let numbers = visible.iter().map(|(ticket, _)| ticket.as_ref()?.spooled);
                let fates =
                    numbers.zip(committing.visible()).filter_map(|(number, has_happened)| {
                        Some((number?, if has_happened? { Fate::Seen } else { Fate::Never }))
                    });
                hook.spool.fate(fates);
            }
        }
    }
}

impl Committer {
    /// So much is done: wakes those who need not wait any more.
    fn makes_room(&self, weight: usize, notify: &dyn Notify) {
        for connection in self.0.done(weight) {
            notify.wake(ConnectionId(connection));
        }
    }
}

/// The changes of a group, their kinds, and for each result those who are told.
fn apart(group: Vec<Work>) -> (Vec<Change>, Vec<ChangeKind>, Vec<ToTell>) {
    let mut changes = Vec::with_capacity(group.len());
    let (mut kinds, mut to_tell) = (Vec::new(), Vec::new());
    for Work { change, publishing, ticket, missing: _ } in group {
        change.kinds(&mut kinds);
        changes.push(change);
        match ticket {
            Some(Ticket { connection, reply_to: ReplyTo::Acks(ids), events, spooled, .. }) => {
                let mut events = events.into_iter();
                to_tell.extend(ids.into_iter().zip(0..).map(|(id, at)| {
                    let events = events.next().into_iter().collect();
                    let reply_to = ReplyTo::Ack(id);
                    let spooled = spooled.map(|first: u64| first + at);
                    let ticket = Ticket { connection, reply_to, events, reserved: None, spooled };
                    (Some(ticket), None)
                }));
            }
            ticket => to_tell.push((ticket, publishing)),
        }
    }
    (changes, kinds, to_tell)
}

/// Puts the records of a group into the spool of the hook that is told of changes, with the marks of the group before. If that
/// fails, the changes that have to be told are refused; returns the others.
fn with_records(
    mut group: Vec<Work>,
    (store, uploads): (&Store, &Uploads),
    notify: &dyn Notify,
    told: Told<'_>,
) -> Vec<Work> {
    let Some(hook) = told.on_commit else { return group };
    let is_told = |work: &Work| {
        work.ticket.as_ref().is_some_and(|ticket| ticket.events.iter().any(hooks::is_told))
    };
    let tickets = group.iter().filter(|work| is_told(work)).filter_map(|work| work.ticket.as_ref());
    let refusal = match hook.begin(tickets.flat_map(|ticket| &ticket.events), told.metrics) {
        Ok(first) => {
            let mut next = first;
            for work in group.iter_mut().filter(|work| is_told(work)) {
                if let Some(ticket) = &mut work.ticket {
                    (ticket.spooled, ticket.reserved) = (Some(next), None);
                    next += ticket.events.len() as u64;
                }
            }
            return group;
        }
        Err(refusal) => refusal,
    };
    let (refused, others): (Vec<Work>, Vec<Work>) = group.into_iter().partition(is_told);
    let mut kinds = Vec::new();
    for Work { change, ticket, publishing, .. } in refused {
        change.kinds(&mut kinds);
        if let Some(publishing) = publishing {
            uploads.published(store, publishing, false);
        }
        let Some(Ticket { connection, reply_to, events, .. }) = ticket else { continue };
        told.logs.over(&events, &Err(refusal.clone()), Refusal::is_uncertain);
        told.logs.flush();
        let each = match reply_to {
            ReplyTo::Acks(ids) => ids.into_iter().map(ReplyTo::Ack).collect(),
            reply_to => vec![reply_to],
        };
        for reply_to in each {
            notify.complete(connection, Done { reply_to, result: Err(refusal.clone()) });
        }
        notify.wake(connection);
    }
    for kind in kinds {
        told.metrics.changed(kind, false);
    }
    others
}

/// Makes the spool durable, unless the flush of the group has done so. Returns whether it is.
fn is_flushed(hook: &OnCommit, was_flushed: bool) -> bool {
    let synced = hook.spool.sync(was_flushed);
    if let Err(error) = &synced {
        tracing::error!(%error, "the spool of the hook on-commit can't be flushed");
    }
    synced.is_ok()
}

/// A change is visible, and a loss of power may lose its record.
fn unsafe_spool() -> StoreError {
    StoreError::Uncertain {
        directory: String::from(".haul/hooks"),
        source: std::io::ErrorKind::Other.into(),
    }
}

/// Leaves what became of changes at the connections that asked for them.
fn tell(
    (store, uploads, told): (&Store, &Uploads, Told<'_>),
    notify: &dyn Notify,
    done: impl Iterator<Item = (Result<(), StoreError>, ToTell)>,
) {
    let mut wake: Vec<ConnectionId> = Vec::new();
    let done: Vec<_> = done.collect();
    // Before any of them can be answered.
    if let Some(hook) = told.on_commit {
        let fates = done.iter().filter_map(|(result, (ticket, _))| {
            Some((ticket.as_ref()?.spooled?, fate(result, StoreError::is_uncertain)))
        });
        hook.spool.fate(fates);
    }
    for (result, (ticket, _)) in &done {
        if let Some(ticket) = ticket {
            told.logs.over(&ticket.events, result, StoreError::is_uncertain);
        }
    }
    told.logs.flush();
    for (result, (ticket, publishing)) in done {
        if let Some(publishing) = publishing {
            uploads.published(store, publishing, result.is_ok());
        }
        let Some(Ticket { connection, reply_to, .. }) = ticket else {
            if let Err(error) = result {
                tracing::warn!(%error, "a partial could not be flushed");
            }
            continue;
        };
        // If the connection is gone, nobody waits any more.
        let done = Done { reply_to, result: result.map_err(|error| store.or_gone(error).into()) };
        if notify.complete(connection, done) && wake.last() != Some(&connection) {
            wake.push(connection);
        }
    }
    for connection in wake {
        notify.wake(connection);
    }
}
