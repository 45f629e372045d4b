//! The connections of a run that sends, as [`reconnect`](super::reconnect) sees them.

use std::sync::Arc;

use mio::Waker;

use super::reconnect::{Connected, Connecting, Left, Place, Shared};
use crate::connection::Connection;
use crate::error::ConnectionError;
use crate::net::poller::Poller;
use crate::work::Item;
use crate::work::context::Run;
use crate::work::demand::Demand;

impl Connecting for Run<'_> {
    type Connection<'c>
        = Connection<'c>
    where
        Self: 'c;
    /// Items that the server may still read from the lost connection.
    type Unfenced = Vec<Item>;

    fn shared(&self) -> Shared<'_> {
        let Self { login, settings, reached, progress, connections, .. } = self;
        // A token that the server does not take is one login that has failed, and not one for each connection.
        let one_first = login.token().is_some();
        let reconnects = login.server().reconnects();
        let on_demand = settings.connections.is_none();
        let connections = *connections;
        Shared { settings, reached, progress, connections, on_demand, one_first, reconnects }
    }

    fn register(&self, waker: Arc<Waker>) -> usize {
        self.work.register(waker)
    }

    fn demand(&self) -> &Demand {
        self.work.demand()
    }

    fn is_finished(&self) -> bool {
        self.work.is_finished()
    }

    fn is_stopped(&self) -> bool {
        self.work.is_stopped()
    }

    fn stop(&self, error: ConnectionError) {
        self.work.stop(error);
    }

    fn greet<'c>(
        &'c self,
        Place { number, slot }: Place,
        poller: &'c mut Poller,
    ) -> Result<Connection<'c>, ConnectionError> {
        Connection::greet(self, number, slot, poller)
    }

    fn put_back(&self, number: usize, unfenced: Vec<Item>) {
        self.work.put_back(number, unfenced);
    }
}

impl Connected for Connection<'_> {
    type Unfenced = Vec<Item>;

    fn work(&mut self, add: &dyn Fn(usize)) -> Result<(), ConnectionError> {
        self.work(add)
    }

    fn has_progress(&self) -> bool {
        self.has_progress()
    }

    fn is_idle(&self) -> bool {
        self.is_idle()
    }

    fn leave(mut self, error: Option<&ConnectionError>) -> Left<Vec<Item>> {
        self.tell_line();
        self.leaves_the_way();
        // After any other error the run ends.
        let Some(error) = error.filter(|error| error.is_lost()) else { return Left::default() };
        let left = Self::leave(&mut self, error);
        Left { unfenced: left.items, culprit_gone: left.culprit_gone }
    }
}
