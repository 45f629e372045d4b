//! Tells a connection, known by its key only, the result of a change that it has asked for.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use haul_protocol::{Name, RequestId};

use crate::audit::Event;
use crate::hooks::Reserved;
use crate::refusal::Refusal;
use crate::store::Facts;

/// Names a connection for as long as the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// All connections. The runtime implements it.
pub(crate) trait Notify: fmt::Debug + Send + Sync {
    /// Has a worker run a connection soon, whatever its peer does. If the connection is gone, nothing happens.
    fn wake(&self, connection: ConnectionId);

    /// Leaves a change that is over at the connection that asked for it, which has to be woken then. Returns whether the
    /// connection still is.
    fn complete(&self, connection: ConnectionId, completion: Done) -> bool;

    /// Has that one of the first connections give its place for an open file back that has had it for longest without using it; if
    /// all of them use theirs, that one of the others that has used it least lately. Returns the connection.
    fn free_a_place(
        &self,
        if_idle: &[ConnectionId],
        in_any_case: &[ConnectionId],
    ) -> Option<ConnectionId>;

    /// Ends that one of these connections for whose peer the server has waited longest, so that another one may have its seat,
    /// and returns it; one that is gone already first of all.
    fn free_a_seat(&self, connections: &[ConnectionId]) -> Option<ConnectionId>;
}

/// Wakes a connection, for code that knows none.
pub(crate) fn waker(notify: &Arc<dyn Notify>, connection: ConnectionId) -> Waker {
    Waker::from(Arc::new(Wakes { notify: Arc::clone(notify), connection }))
}

struct Wakes {
    notify: Arc<dyn Notify>,
    connection: ConnectionId,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.notify.wake(self.connection);
    }
}

/// A connection that waits for a change.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Its key in the table of connections.
    pub(crate) connection: ConnectionId,
    pub(crate) reply_to: ReplyTo,
    /// The changes that they ask for, each for its result, if there is a log or a hook that is told of changes.
    pub(crate) events: Vec<Event>,
    /// Room for them in the spool of that hook, until they are there.
    pub(crate) reserved: Option<Reserved>,
    /// The number of the first of them in the spool, once it is there.
    pub(crate) spooled: Option<u64>,
}

/// The request or requests that asked for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReplyTo {
    /// A request that is acknowledged with others.
    Ack(RequestId),
    /// So many of them, each of which has its result.
    Acks(Vec<RequestId>),
    /// A commit, answered by its id.
    Answer(RequestId),
    /// A publish, answered by its id.
    Published(RequestId),
    /// A rollback, answered by its id with the facts about the version that is present then.
    RolledBack(RequestId, Arc<OnceLock<Facts>>),
    /// One of the changes that a request of HTTP takes, of this name.
    Step(RequestId, Box<Name>),
    /// One entry of a request that makes several, by its index.
    One(RequestId, u32),
    /// A classic put of this name, never answered.
    Classic(Box<Name>),
}

/// A change that is over.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) reply_to: ReplyTo,
    pub(crate) result: Result<(), Refusal>,
}
