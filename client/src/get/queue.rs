//! The tasks of a run that wait for a connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::Waker;

use super::comparing::Comparing;
use super::large::Large;
use super::task::Task;
use crate::error::ConnectionError;
use crate::work::demand::Demand;
use crate::work::interrupt::Stop;

/// Files that wait at which no more directories are listed.
const ENOUGH: usize = 20_000;

/// Time between two looks whether the run was stopped.
const LOOK: Duration = Duration::from_millis(100);

/// Large files under way at once: an open file each.
const LARGE: usize = 8;

/// The tasks of a run that wait for a connection, and the count of all that are not over.
///
/// A task is *open* from when it is pushed until it is settled, also while it is tried again.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Told when files are to be read here, and at the end.
    has_unread: Condvar,
    demand: Demand,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Files and sources, the newest last.
    files: Vec<Task>,
    /// The number of files in those.
    waiting: usize,
    /// Pages of directories, the newest last.
    lists: Vec<Task>,
    /// Files that are to be read here, the newest last.
    unread: Vec<Comparing>,
    /// Large files of which parts are to be asked for.
    large: Vec<Arc<Large>>,
    /// Large files that have begun and are not over.
    begun: usize,
    /// Large files that may not begin yet.
    later: Vec<Task>,
    /// Tasks that are tried again, and when.
    delayed: Vec<(Instant, Task)>,
    open: usize,
    /// Connections, and whether each sleeps for want of a task.
    wakers: Vec<(Arc<Waker>, bool)>,
    error: Option<ConnectionError>,
}

impl State {
    fn put(&mut self, task: Task) {
        match task {
            Task::List(_) => self.lists.push(task),
            Task::Unread(comparing) => {
                self.waiting += comparing.files.len();
                self.unread.push(comparing);
            }
            task => {
                self.waiting += files(&task);
                self.files.push(task);
            }
        }
    }

    /// Files and pages that a connection could take.
    fn tasks(&self) -> usize {
        self.waiting + self.lists.len()
    }

    fn wake(&mut self) {
        for (waker, sleeps) in &mut self.wakers {
            if std::mem::take(sleeps) {
                // A connection that is not woken looks again soon.
                let _ = waker.wake();
            }
        }
    }

    fn take(&mut self, lists: bool) -> Option<Task> {
        while let Some(large) = self.large.last() {
            if let Some(index) = large.next() {
                return Some(Task::Part(Arc::clone(large), index));
            }
            self.large.pop();
        }
        let now = Instant::now();
        if let Some(due) = self.delayed.iter().position(|(due, _)| *due <= now) {
            let task = self.delayed.swap_remove(due).1;
            self.waiting -= files(&task);
            self.put(task);
        }
        while let Some(task) = self.files.pop() {
            if matches!(task, Task::First(_)) {
                if self.begun >= LARGE {
                    self.later.push(task);
                    continue;
                }
                self.begun += 1;
            }
            self.waiting -= files(&task);
            return Some(task);
        }
        if lists && self.waiting < ENOUGH { self.lists.pop() } else { None }
    }
}

/// The number of files that a task is about.
fn files(task: &Task) -> usize {
    match task {
        Task::Small(batch) => batch.files.len(),
        Task::Check(comparing) | Task::Unread(comparing) => comparing.files.len(),
        _ => 1,
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connection known, to be woken when there is a task; returns its number.
    pub(super) fn register(&self, waker: Arc<Waker>) -> usize {
        let mut state = self.state();
        state.wakers.push((waker, false));
        state.wakers.len() - 1
    }

    /// Puts the sources of a run in, of which the first goes first.
    pub(super) fn push_tops(&self, mut tasks: Vec<Task>) {
        tasks.reverse();
        self.push(tasks);
    }

    /// So many more tasks are open, which nobody has put in yet.
    pub(super) fn expect(&self, tasks: usize) {
        self.state().open += tasks;
    }

    /// Puts tasks in, of which the last goes first.
    pub(super) fn push(&self, tasks: Vec<Task>) {
        if tasks.is_empty() {
            return;
        }
        let mut state = self.state();
        state.open += tasks.len();
        tasks.into_iter().for_each(|task| state.put(task));
        self.demand.waits(state.tasks());
        if !state.unread.is_empty() {
            self.has_unread.notify_all();
        }
        state.wake();
    }

    /// Puts tasks in again that are open.
    pub(super) fn put_back(&self, tasks: Vec<Task>) {
        let mut state = self.state();
        for task in tasks {
            match task {
                Task::Part(large, index) => {
                    large.put_back(index);
                    if !state.large.iter().any(|known| Arc::ptr_eq(known, &large)) {
                        state.large.push(large);
                    }
                }
                task => {
                    state.begun -= usize::from(matches!(task, Task::First(_)));
                    state.put(task);
                }
            }
        }
        self.demand.waits(state.tasks());
        state.wake();
    }

    /// Puts a task in again that is open, after a pause. A large file counts as not begun meanwhile.
    pub(super) fn put_back_later(&self, task: Task, pause: Duration) {
        let mut state = self.state();
        state.begun -= usize::from(matches!(task, Task::First(_)));
        state.waiting += files(&task);
        state.delayed.push((Instant::now() + pause, task));
        state.wake();
    }

    /// Parts of a large file are to be asked for. The file is open as the task was that has begun it.
    pub(super) fn add_large(&self, large: Arc<Large>) {
        let mut state = self.state();
        state.large.push(large);
        self.demand.want();
        state.wake();
    }

    /// A large file that had begun is over: another one may begin.
    pub(super) fn end_large(&self) {
        let mut state = self.state();
        state.begun -= 1;
        if let Some(task) = state.later.pop() {
            state.waiting -= files(&task);
            state.put(task);
        }
        state.wake();
    }

    /// So many tasks are over.
    pub(super) fn settle(&self, tasks: usize) {
        let mut state = self.state();
        state.open -= tasks;
        if state.open == 0 {
            self.has_unread.notify_all();
            self.demand.end();
            state.wake();
        }
    }

    /// The next task for connection `number`; `lists`: it may be a directory that is to be listed. `None`: nothing now, and
    /// the connection is woken when there is.
    pub(super) fn take(&self, number: usize, lists: bool) -> Option<Task> {
        let mut state = self.state();
        let task = state.take(lists);
        if task.is_some() {
            self.demand.took(state.tasks());
        }
        if let Some((_, sleeps)) = state.wakers.get_mut(number) {
            *sleeps = task.is_none();
        }
        task
    }

    /// Connection `number` leaves work to others, and is woken with them.
    pub(super) fn rest(&self, number: usize) -> Option<Task> {
        if let Some((_, sleeps)) = self.state().wakers.get_mut(number) {
            *sleeps = true;
        }
        None
    }

    /// Wakes all connections that sleep.
    pub(super) fn wake_all(&self) {
        self.state().wake();
    }

    /// Time until a task is due, if one waits for its time.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let due = self.state().delayed.iter().map(|(due, _)| *due).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// The demand for connections besides the first.
    pub(super) fn demand(&self) -> &Demand {
        &self.demand
    }

    /// Whether there will never be anything to do again.
    pub(super) fn is_finished(&self) -> bool {
        self.state().open == 0
    }

    /// Whether the run was stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends the run early; the first error is kept.
    pub(super) fn stop(&self, error: ConnectionError) {
        let mut state = self.state();
        self.stopped.store(true, Ordering::Release);
        if state.error.is_none() && !matches!(error, ConnectionError::Stopped) {
            state.error = Some(error);
        }
        self.has_unread.notify_all();
        self.demand.end();
        for (waker, _) in &state.wakers {
            let _ = waker.wake();
        }
    }

    /// Files that are to be read here; waits until there are some. `None`: there will be none, or nothing shall be done any
    /// more, as `is_stopped` says.
    pub(super) fn take_unread(&self, is_stopped: &dyn Fn() -> bool) -> Option<Comparing> {
        let mut state = self.state();
        while !is_stopped() {
            if state.open == 0 {
                return None;
            }
            if let Some(comparing) = state.unread.pop() {
                state.waiting -= comparing.files.len();
                return Some(comparing);
            }
            let waited = self.has_unread.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    /// The error that ended the run early.
    pub(super) fn take_error(&self) -> Option<ConnectionError> {
        self.state().error.take()
    }
}

impl Stop for Queue {
    fn stop(&self, error: ConnectionError) {
        self.stop(error);
    }
}
