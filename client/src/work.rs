//! What is to be done, and who does it: the walk puts items in, connections take them out, and
//! whoever can't go on waits here for the other.
//!
//! Bounded: the walk waits while enough is queued. An item is *open* from when it is put in until it
//! is settled (committed or given up), also while it is tried again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use haul_protocol::{Attributes, Name, Token};
use mio::Waker;

use crate::error::ConnectionError;
use crate::transfer::Large;

/// Batches that wait for each connection at most.
const BATCHES: usize = 4;

/// One thing to make on the server.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it is on this machine.
    pub path: PathBuf,
    /// What it is called there.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// How often it has been tried.
    pub attempts: u32,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A directory, with the mode that it has until everything is in it.
    Directory(Option<u32>),
    /// The final mode and mtime of a directory.
    Attributes(Attributes),
}

/// What a connection is to do next.
#[derive(Debug)]
pub enum Task {
    /// Send an item.
    Item(Item),
    /// Send one part of a large file.
    Part(Arc<Large>, usize),
    /// All parts of a large file are there.
    Commit(Arc<Large>),
    /// Discard what was sent of a large file.
    Abort(Token),
}

/// The run is over, or was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// The work of one run.
#[derive(Debug)]
pub struct Work {
    state: Mutex<State>,
    /// Told when the queue has room, nothing is open, or the run stops.
    changed: Condvar,
    /// Tasks that go before new items; looked at without the lock.
    urgent: AtomicUsize,
    stopped: AtomicBool,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Vec<Item>>,
    urgent: VecDeque<Task>,
    /// Large files that may have parts left to send.
    large: Vec<Arc<Large>>,
    open: usize,
    closed: bool,
    wakers: Vec<(Arc<Waker>, bool)>,
    error: Option<ConnectionError>,
}

impl State {
    fn wake(&mut self, all: bool) {
        for (waker, idle) in &mut self.wakers {
            if *idle || self.closed {
                *idle = false;
                // A poller that is gone belongs to a connection that needs no waking.
                let _ = waker.wake();
                if !all {
                    return;
                }
            }
        }
    }
}

impl Work {
    /// For this many connections.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            urgent: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            capacity: BATCHES * connections,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    // For the walk.

    /// Puts items in; waits while enough is queued.
    ///
    /// # Errors
    /// If the run was stopped.
    pub fn push(&self, batch: Vec<Item>) -> Result<(), Stopped> {
        let mut state = self.state();
        while state.batches.len() >= self.capacity && !self.is_stopped() {
            state = self.wait(state);
        }
        if self.is_stopped() {
            return Err(Stopped);
        }
        state.open += batch.len();
        state.batches.push_back(batch);
        state.wake(false);
        Ok(())
    }

    /// Waits until everything that was put in is settled.
    ///
    /// # Errors
    /// If the run was stopped.
    pub fn drain(&self) -> Result<(), Stopped> {
        let mut state = self.state();
        while state.open > 0 && !self.is_stopped() {
            state = self.wait(state);
        }
        if self.is_stopped() { Err(Stopped) } else { Ok(()) }
    }

    /// Nothing more will be put in.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.wake(true);
    }

    // For connections.

    /// Makes a connection known, to be woken when there is work; returns its number here.
    pub fn register(&self, waker: Arc<Waker>) -> usize {
        let mut state = self.state();
        state.wakers.push((waker, false));
        state.wakers.len() - 1
    }

    /// Whether something goes before a connection's own batch. A hint, without the lock.
    #[must_use]
    pub fn has_urgent(&self) -> bool {
        self.urgent.load(Ordering::Acquire) > 0
    }

    /// The next task that goes before new items.
    pub fn take_urgent(&self) -> Option<Task> {
        let mut state = self.state();
        let task = Self::next_urgent(&mut state);
        self.urgent.store(state.urgent.len() + state.large.len(), Ordering::Release);
        task
    }

    fn next_urgent(state: &mut State) -> Option<Task> {
        if let Some(task) = state.urgent.pop_front() {
            return Some(task);
        }
        while let Some(large) = state.large.first() {
            if let Some(index) = large.take() {
                return Some(Task::Part(Arc::clone(large), index));
            }
            state.large.remove(0);
        }
        None
    }

    /// The next items. `None`: none now; `number` is woken when there may be some.
    pub fn take_batch(&self, number: usize) -> Option<Vec<Item>> {
        let mut state = self.state();
        let batch = state.batches.pop_front();
        match &batch {
            Some(_) => self.changed.notify_all(),
            None => {
                if let Some((_, idle)) = state.wakers.get_mut(number) {
                    *idle = true;
                }
            }
        }
        batch
    }

    /// A large file has been opened: its parts can be sent, by everyone.
    pub fn add_large(&self, large: Arc<Large>) {
        let mut state = self.state();
        state.large.push(large);
        self.urgent.store(state.urgent.len() + state.large.len(), Ordering::Release);
        state.wake(true);
    }

    /// Something goes before new items.
    pub fn add_urgent(&self, task: Task) {
        let mut state = self.state();
        state.urgent.push_back(task);
        self.urgent.store(state.urgent.len() + state.large.len(), Ordering::Release);
        state.wake(true);
    }

    /// An item is committed or given up.
    pub fn settle(&self, items: usize) {
        let mut state = self.state();
        state.open -= items;
        if state.open == 0 {
            self.changed.notify_all();
            state.wake(true);
        }
    }

    /// Whether there will never be anything to do again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let state = self.state();
        state.closed && state.open == 0 && state.urgent.is_empty()
    }

    // For whoever ends the run early.

    /// Whether the run was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends the run early; the first error is kept.
    pub fn stop(&self, error: ConnectionError) {
        let mut state = self.state();
        self.stopped.store(true, Ordering::Release);
        if state.error.is_none() && !matches!(error, ConnectionError::Stopped) {
            state.error = Some(error);
        }
        self.changed.notify_all();
        state.closed = true;
        state.wake(true);
    }

    /// Why the run ended early.
    pub fn take_error(&self) -> Option<ConnectionError> {
        self.state().error.take()
    }
}
