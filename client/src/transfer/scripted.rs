//! A run that follows a script, for the tests of slots and of the pool.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use haul_protocol::{Code, Refusal};
use mio::Waker;

use super::reconnect::{self, Connected, Connecting, Left, Place, Shared};
use crate::error::ConnectionError;
use crate::net::poller::Poller;
use crate::report::events::Event;
use crate::report::progress::Progress;
use crate::work::demand::Demand;
use crate::work::reached::Reached;
use crate::work::settings::Settings;

pub(super) const LOST: ConnectionError = ConnectionError::Closed;

/// An error that another connection can't mend.
pub(super) const SENSELESS: ConnectionError = ConnectionError::VersionGone;

/// One attempt to connect, and what comes of it.
pub(super) enum Step {
    /// No answer to `hello`.
    Refused(ConnectionError),
    /// The server answers `hello`, and the connection ends in this way.
    Greeted(Course),
}

/// The course of a connection.
pub(super) struct Course {
    pub(super) result: Result<(), ConnectionError>,
    pub(super) has_progress: bool,
    pub(super) culprit_gone: bool,
    /// Everything is answered by then.
    pub(super) finishes: bool,
}

/// A run that follows a script.
pub(super) struct Scripted {
    pub(super) settings: Settings,
    pub(super) reached: Reached,
    pub(super) demand: Demand,
    pub(super) progress: Progress,
    pub(super) events: Mutex<Receiver<Event>>,
    pub(super) connections: usize,
    pub(super) on_demand: bool,
    pub(super) one_first: bool,
    pub(super) steps: Mutex<VecDeque<Step>>,
    pub(super) finished: AtomicBool,
    /// Unfenced work that was given back, and how many attempts were left in the script then.
    pub(super) given_back: Mutex<Vec<(&'static str, usize)>>,
}

pub(super) struct Connection<'c> {
    run: &'c Scripted,
    course: Course,
}

/// One connection that ends like this.
pub(super) fn ends(result: Result<(), ConnectionError>) -> Step {
    Step::Greeted(Course { result, has_progress: false, culprit_gone: false, finishes: false })
}

/// One that the server was busy for.
pub(super) fn busy(retry: bool) -> ConnectionError {
    ConnectionError::Ended(Refusal { retry, ..Refusal::new(Code::Busy, "busy") })
}

impl Scripted {
    /// With so many connections, of which one follows these steps.
    pub(super) fn new(connections: usize, steps: impl IntoIterator<Item = Step>) -> Self {
        let (progress, events) = Progress::new(&());
        Self {
            settings: Settings { retries: Some(2), ..Settings::default() },
            reached: Reached::new(connections),
            progress,
            events: Mutex::new(events),
            connections,
            demand: Demand::default(),
            on_demand: false,
            one_first: true,
            steps: Mutex::new(steps.into_iter().collect()),
            finished: AtomicBool::new(false),
            given_back: Mutex::default(),
        }
    }

    /// The life of one slot.
    pub(super) fn live(&self, slot: usize) -> Result<(), ConnectionError> {
        reconnect::run(self, slot, &|_| {})
    }

    /// Attempts that nobody has made.
    pub(super) fn left(&self) -> usize {
        self.steps.lock().unwrap().len()
    }

    /// The queue of events, for somebody who tells the observer.
    pub(super) fn take_events(&self) -> Receiver<Event> {
        std::mem::replace(&mut self.events.lock().unwrap(), sync_channel(0).1)
    }

    pub(super) fn notes(&self) -> usize {
        let is_note = |event: &Event| matches!(event, Event::Note(_));
        self.events.lock().unwrap().try_iter().filter(is_note).count()
    }
}

impl Connecting for Scripted {
    type Connection<'c> = Connection<'c>;
    type Unfenced = Option<&'static str>;

    fn shared(&self) -> Shared<'_> {
        let Self { settings, reached, progress, .. } = self;
        let Self { connections, on_demand, one_first, .. } = *self;
        let reconnects = true;
        Shared { settings, reached, progress, connections, on_demand, one_first, reconnects }
    }

    fn register(&self, _: Arc<Waker>) -> usize {
        0
    }

    fn demand(&self) -> &Demand {
        &self.demand
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn stop(&self, _: ConnectionError) {}

    fn greet<'c>(&'c self, _: Place, _: &'c mut Poller) -> Result<Connection<'c>, ConnectionError> {
        match self.steps.lock().unwrap().pop_front().unwrap() {
            Step::Refused(error) => Err(error),
            Step::Greeted(course) => {
                self.reached.announce("group");
                Ok(Connection { run: self, course })
            }
        }
    }

    fn put_back(&self, _: usize, unfenced: Option<&'static str>) {
        let left = self.left();
        self.given_back.lock().unwrap().extend(unfenced.map(|work| (work, left)));
    }
}

impl Connected for Connection<'_> {
    type Unfenced = Option<&'static str>;

    fn work(&mut self, _: &dyn Fn(usize)) -> Result<(), ConnectionError> {
        self.run.finished.store(self.course.finishes, Ordering::Relaxed);
        std::mem::replace(&mut self.course.result, Ok(()))
    }

    fn has_progress(&self) -> bool {
        self.course.has_progress
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn leave(self, error: Option<&ConnectionError>) -> Left<Option<&'static str>> {
        Left { unfenced: error.map(|_| "work"), culprit_gone: self.course.culprit_gone }
    }
}
