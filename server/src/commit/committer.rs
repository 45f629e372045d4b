//! The committer: one thread that makes changes durable, many at once. Workers never wait for it;
//! it leaves the results at the connection, which it wakes.
//!
//! Only with durability `group`. Changes are carried out in the order in which they were queued.

use std::sync::Arc;
use std::time::Instant;

use super::notify::{ConnectionId, Done, Notify, ReplyTo, Ticket};
use super::queue::Queue;
use crate::audit::Logs;
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::store::{Change, Committing, Store, StoreError};
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

impl Committer {
    /// Runs until it is stopped: whenever it is idle it takes all that waits. A group is told to
    /// be done when the next one, if there is one, has been flushed with it.
    pub(crate) fn run(
        &self,
        store: &Arc<Store>,
        uploads: &Uploads,
        notify: &dyn Notify,
        (logs, metrics): (&Logs, &Metrics),
    ) {
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
            let (mut changes, mut to_tell) = (Vec::with_capacity(group.len()), Vec::new());
            let mut kinds = Vec::new();
            let next = group.iter().map(Work::weight).sum();
            for Work { change, publishing, ticket, missing: _ } in group {
                change.kinds(&mut kinds);
                changes.push(change);
                match ticket {
                    Some(Ticket { connection, reply_to: ReplyTo::Acks(ids), events }) => {
                        let mut events = events.into_iter();
                        to_tell.extend(ids.into_iter().map(|id| {
                            let events = events.next().into_iter().collect();
                            let reply_to = ReplyTo::Ack(id);
                            (Some(Ticket { connection, reply_to, events }), None)
                        }));
                    }
                    ticket => to_tell.push((ticket, publishing)),
                }
            }
            if !kinds.is_empty() {
                metrics.groups.add(kinds.len() as u64);
            }
            let begun = Instant::now();
            let (results, group) = committing.flush(changes);
            metrics.flushed(begun.elapsed());
            let durable = std::mem::replace(&mut visible, to_tell);
            for (kind, result) in
                std::mem::replace(&mut visible_kinds, kinds).into_iter().zip(&results)
            {
                metrics.changed(kind, result.is_ok());
            }
            tell((store, uploads, logs), notify, results.into_iter().zip(durable));
            for connection in self.0.done(std::mem::replace(&mut weight, next)) {
                notify.wake(ConnectionId(connection));
            }
            committing.apply(group);
        }
    }
}

/// Leaves what became of changes at the connections that asked for them.
fn tell(
    (store, uploads, logs): (&Store, &Uploads, &Logs),
    notify: &dyn Notify,
    done: impl Iterator<Item = (Result<(), StoreError>, ToTell)>,
) {
    let mut wake: Vec<ConnectionId> = Vec::new();
    let done: Vec<_> = done.collect();
    // Before any of them can be answered.
    for (result, (ticket, _)) in &done {
        if let Some(ticket) = ticket {
            logs.over(&ticket.events, result, StoreError::is_uncertain);
        }
    }
    logs.flush();
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
