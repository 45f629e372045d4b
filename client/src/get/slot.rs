//! The connections of a run that reads back, as [`reconnect`](crate::transfer::reconnect) sees them.

use std::sync::Arc;

use mio::Waker;

use super::connection::Connection;
use super::run::Run;
use crate::error::ConnectionError;
use crate::net::poller::Poller;
use crate::transfer::reconnect::{Connected, Connecting, Left, Place, Shared};
use crate::work::demand::Demand;

impl Connecting for Run<'_> {
    type Connection<'c>
        = Connection<'c>
    where
        Self: 'c;
    /// Nothing that is read changes the server, so any connection may do any task again at once.
    type Unfenced = ();

    fn shared(&self) -> Shared<'_> {
        let Self { login, wishes, reached, progress, connections, .. } = self;
        let settings = &wishes.settings;
        // A server that gives nothing back says so once.
        let (one_first, reconnects) = (true, login.server().reconnects());
        let on_demand = settings.connections.is_none();
        let connections = *connections;
        Shared { settings, reached, progress, connections, on_demand, one_first, reconnects }
    }

    fn register(&self, waker: Arc<Waker>) -> usize {
        self.queue.register(waker)
    }

    fn demand(&self) -> &Demand {
        self.queue.demand()
    }

    fn is_finished(&self) -> bool {
        self.queue.is_finished()
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped()
    }

    fn stop(&self, error: ConnectionError) {
        self.queue.stop(error);
    }

    fn greet<'c>(
        &'c self,
        Place { number, slot }: Place,
        poller: &'c mut Poller,
    ) -> Result<Connection<'c>, ConnectionError> {
        let connection = Connection::greet(self, number, slot, poller)?;
        self.reached.announce(self.wishes.durability());
        Ok(connection)
    }

    fn put_back(&self, _: usize, (): ()) {}
}

impl Connected for Connection<'_> {
    type Unfenced = ();

    fn work(&mut self, add: &dyn Fn(usize)) -> Result<(), ConnectionError> {
        self.work(add)
    }

    fn has_progress(&self) -> bool {
        self.wire.has_progress()
    }

    fn is_idle(&self) -> bool {
        self.wire.unanswered() == 0
    }

    fn leave(self, error: Option<&ConnectionError>) -> Left<()> {
        self.leaves_the_way();
        Left { unfenced: (), culprit_gone: Self::leave(self, error) }
    }
}
