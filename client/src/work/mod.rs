//! The work of a run: the walk puts items in, connections take them out, and a thread that can't go on waits here for the
//! other.
//!
//! Bounded: the walk waits while enough is queued. An item is *open* from when it is put in until it
//! is settled (committed or given up), also while it is tried again.

pub mod context;
pub mod course;
pub mod decide;
pub mod demand;
pub mod earlier;
pub mod foreseen;
pub mod interrupt;
mod item;
pub mod known;
pub mod more;
pub mod multipart;
pub mod on_commit;
pub mod part_tracker;
pub mod pending_delete;
pub mod private;
pub mod reached;
pub mod settings;
mod state;
mod task;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::Waker;

use crate::error::ConnectionError;
use demand::Demand;
use interrupt::Stop;
pub use item::{Item, Kind, Lacking, Listing, Removal, Stated};
use multipart::Large;
use state::State;
pub use task::{Abort, Task};

/// Items that wait for each connection, but for one batch.
const QUEUED: usize = 1024;

/// Items handed to a connection at once.
pub const BATCH: usize = 32;

/// Large files under way at once: an open file here, and one of the server's 256 uploads there.
const LARGE: usize = 32;

/// The run is over, or was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// The work of one run.
#[derive(Debug)]
pub struct Work {
    state: Mutex<State>,
    /// Told when the queue has room, nothing is open, or the run stops.
    changed: Condvar,
    demand: Demand,
    /// Tasks that go before new items; looked at without the lock.
    urgent: AtomicUsize,
    /// Large files with parts to hash; looked at without the lock.
    held: AtomicUsize,
    stopped: AtomicBool,
    /// Items at which the walk waits.
    capacity: usize,
}

/// The next work of a connection.
#[derive(Debug)]
pub enum Taken {
    /// Something that goes before new items.
    Task(Task),
    /// New items, all its own.
    Batch(Vec<Item>),
}

impl Work {
    /// For this many connections.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            demand: Demand::default(),
            urgent: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            capacity: QUEUED * connections,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.sleepers += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.sleepers -= 1;
        state
    }

    /// Something has changed. Mostly nobody waits for it, and the system need not be asked to wake anybody.
    fn tell(&self, state: &State) {
        if state.sleepers > 0 {
            self.changed.notify_all();
        }
    }

    // For the walk.

    /// Puts items in; waits while enough is queued.
    ///
    /// # Errors
    /// If the run was stopped.
    pub fn push(&self, batch: Vec<Item>) -> Result<(), Stopped> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        while state.queued >= self.capacity && !self.is_stopped() {
            state = self.wait(state);
        }
        if self.is_stopped() {
            return Err(Stopped);
        }
        state.open += batch.len();
        state.queued += batch.len();
        state.batches.push_back(batch);
        self.demand.waits(state.waiting());
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

    /// Waits for so long.
    ///
    /// # Errors
    /// If the run was stopped.
    pub fn pause(&self, pause: Duration) -> Result<(), Stopped> {
        let until = Instant::now() + pause;
        let mut state = self.state();
        while !self.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            state.sleepers += 1;
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.sleepers -= 1;
        }
        Err(Stopped)
    }

    /// Nothing more will be put in.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.end_if_finished(&state);
        state.wake(true);
    }

    // For connections.

    /// The demand for connections besides the first.
    pub(crate) fn demand(&self) -> &Demand {
        &self.demand
    }

    fn end_if_finished(&self, state: &State) {
        if state.is_finished() {
            self.demand.end();
        }
    }

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

    /// The next thing to do for connection `number`, which has items of its own or has none. `None`:
    /// nothing now; a connection without items is woken when there is.
    pub fn take(&self, number: usize, has_items: bool) -> Option<Taken> {
        let mut state = self.state();
        state.resting.take_if(|resting| *resting == number);
        let task = state.take_urgent().or_else(|| state.take_part(number, false));
        let taken = match task {
            Some(task) => Some(Taken::Task(task)),
            None if has_items => None,
            None => state
                .take_batch()
                .map(Taken::Batch)
                .or_else(|| state.take_part(number, true).map(Taken::Task)),
        };
        if let Some(Taken::Batch(_)) = taken {
            self.tell(&state);
        }
        if taken.is_some() {
            self.demand.took(state.waiting());
        }
        if let Some((_, idle)) = state.wakers.get_mut(number) {
            *idle = taken.is_none() && !has_items;
        }
        self.hint(&state);
        taken
    }

    /// Connection `number` leaves work to others. It is woken when the run is over, or with all others.
    pub fn rest(&self, number: usize) {
        self.state().resting = Some(number);
    }

    /// Wakes all connections that have nothing to do.
    pub fn wake_all(&self) {
        self.state().wake(true);
    }

    /// A part to hash, for when nothing can be sent: what that gives is needed only in the end.
    pub fn take_held(&self) -> Option<(Arc<Large>, usize)> {
        if self.held.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut state = self.state();
        let mut found = None;
        while let Some(large) = state.held.first() {
            let index = large.parts().take_held();
            if let Some(index) = index {
                found = Some((Arc::clone(large), index));
                break;
            }
            state.held.remove(0);
        }
        self.hint(&state);
        found
    }

    /// Time that an idle connection may sleep before an item is due.
    pub fn due_in(&self) -> Option<Duration> {
        let state = self.state();
        let due = state.delayed.iter().map(|(due, _)| *due).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    fn hint(&self, state: &State) {
        self.urgent.store(state.urgent.len() + state.large.len(), Ordering::Release);
        self.held.store(state.held.len(), Ordering::Release);
    }

    /// Lets a large file begin. `false`: too many are open, and the item comes again when one has ended. Bounds open
    /// files here and uploads at the server.
    pub fn begin_large(&self, item: &Item) -> bool {
        let mut state = self.state();
        if state.large_open >= LARGE {
            state.large_later.push_back(item.clone());
            return false;
        }
        state.large_open += 1;
        true
    }

    /// A large file has ended, committed or not: the next one may begin.
    pub fn end_large(&self) {
        let mut state = self.state();
        state.large_open -= 1;
        // It may be waiting for somebody with time to hash, and keeps its source open.
        state.held.retain(|large| !large.parts().is_over());
        if let Some(item) = state.large_later.pop_front() {
            state.urgent.push_back(Task::Item(item));
            self.hint(&state);
            state.wake(false);
        }
    }

    /// A large file has been opened, or has parts to send again, by any connection.
    pub fn add_large(&self, large: Arc<Large>) {
        let mut state = self.state();
        let same = |known: &Arc<Large>| Arc::ptr_eq(known, &large);
        if !state.large.iter().any(|(known, _)| same(known)) {
            state.large.push((Arc::clone(&large), None));
        }
        self.demand.want();
        let has_held = large.parts().has_held();
        if has_held && !state.held.iter().any(same) {
            state.held.push(Arc::clone(&large));
        }
        self.hint(&state);
        state.wake(true);
    }

    /// Something goes before new items.
    pub fn add_urgent(&self, task: Task) {
        let mut state = self.state();
        state.urgent.push_back(task);
        self.demand.waits(state.waiting());
        self.hint(&state);
        state.wake(false);
    }

    /// So many items more are to be settled, whatever becomes of them.
    pub fn found(&self, items: usize) {
        self.state().open += items;
    }

    /// An item that was [found](Self::found) goes before everything else: trees are gone through depth
    /// first, so that what waits is bounded by their depth and not by their size.
    pub fn add_next(&self, item: Item) {
        let mut state = self.state();
        state.urgent.push_front(Task::Item(item));
        self.demand.waits(state.waiting());
        self.hint(&state);
        state.wake(false);
    }

    /// An item is tried again when everything else is settled.
    pub fn add_last(&self, item: Item) {
        let mut state = self.state();
        state.last.push(item);
        state.release_last();
        self.hint(&state);
        state.wake(true);
    }

    /// An item is tried again in a while.
    pub fn add_delayed(&self, item: Item, pause: Duration) {
        let mut state = self.state();
        state.delayed.push((Instant::now() + pause, item));
        // An idle connection must know when to wake.
        state.wake(false);
    }

    /// Connection `number` is lost, or back: what it has for others to send goes before everything
    /// that waits, and all others look for work, since it may have been the one that was woken for it.
    pub fn put_back(&self, number: usize, items: Vec<Item>) {
        let mut state = self.state();
        for batch in items.chunks(BATCH).rev() {
            state.batches.push_front(batch.to_vec());
            state.queued += batch.len();
        }
        if let Some((_, idle)) = state.wakers.get_mut(number) {
            *idle = false;
        }
        for (_, sender) in &mut state.large {
            sender.take_if(|sender| *sender == number);
        }
        self.demand.waits(state.waiting());
        self.hint(&state);
        state.wake_but(Some(number), true);
    }

    /// Items are committed or given up.
    pub fn settle(&self, items: usize) {
        let mut state = self.state();
        state.open -= items;
        state.release_last();
        // A large file that was let in may have failed before it began.
        if state.large_open < LARGE
            && let Some(item) = state.large_later.pop_front()
        {
            state.urgent.push_back(Task::Item(item));
        }
        self.hint(&state);
        if state.open == 0 {
            self.tell(&state);
        }
        self.end_if_finished(&state);
        if state.open == 0 || !state.urgent.is_empty() {
            state.wake(true);
        }
    }

    /// Whether there will never be anything to do again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state().is_finished()
    }

    // For code that ends the run early.

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
        self.tell(&state);
        self.demand.end();
        state.closed = true;
        state.wake(true);
    }

    /// The error that ended the run early.
    pub fn take_error(&self) -> Option<ConnectionError> {
        self.state().error.take()
    }
}

impl Stop for Work {
    fn stop(&self, error: ConnectionError) {
        self.stop(error);
    }
}
