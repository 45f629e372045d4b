//! The committer's queue: jobs in order, taken by one thread, many at once; and who waits while it is
//! full.

use crate::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, Rank};

/// A queue of jobs `J`, and of keys of those who wait for room in it.
#[derive(Debug)]
pub(crate) struct Queue<J> {
    state: Mutex<State<J>>,
    filled: Condvar,
    /// How much waits or is being done, for a look without the lock.
    unfinished: AtomicUsize,
    /// At so many it is full.
    max: usize,
}

#[derive(Debug)]
struct State<J> {
    jobs: Vec<J>,
    waiting: Vec<u64>,
    stopped: bool,
}

impl<J> State<J> {
    fn take(&mut self, most: usize) -> Vec<J> {
        let len = self.jobs.len().min(most);
        let rest = self.jobs.split_off(len);
        std::mem::replace(&mut self.jobs, rest)
    }
}

impl<J> Queue<J> {
    /// Full at an unfinished weight of `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            state: Mutex::new(
                Rank::Queue,
                State { jobs: Vec::new(), waiting: Vec::new(), stopped: false },
            ),
            filled: Condvar::new(),
            unfinished: AtomicUsize::new(0),
            max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock()
    }

    /// Adds a job of this weight, also if the queue is full.
    pub(crate) fn add(&self, job: J, weight: usize) {
        let mut state = self.state();
        self.unfinished.fetch_add(weight, Ordering::Relaxed);
        state.jobs.push(job);
        if state.jobs.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Whether someone must wait before adding more; [`done`](Self::done) then gives the key back.
    pub(crate) fn is_full(&self, key: u64) -> bool {
        if self.unfinished.load(Ordering::Relaxed) < self.max {
            return false;
        }
        let mut state = self.state();
        // Under the lock that `done` takes: either it has made room, or it will see who waits.
        let full = self.unfinished.load(Ordering::Relaxed) >= self.max;
        if full && state.waiting.last() != Some(&key) {
            state.waiting.push(key);
        }
        full
    }

    /// The next jobs, at most so many, in order. Waits for one; `None` when stopped and empty.
    pub(crate) fn take(&self, most: usize) -> Option<Vec<J>> {
        let mut state = self.state();
        loop {
            if !state.jobs.is_empty() {
                return Some(state.take(most));
            }
            if state.stopped {
                return None;
            }
            state = self.filled.wait(state);
        }
    }

    /// As [`take`](Self::take), with none if there are none now.
    pub(crate) fn take_now(&self, most: usize) -> Vec<J> {
        self.state().take(most)
    }

    /// So much is done; returns the keys of those who need not wait any more.
    pub(crate) fn done(&self, weight: usize) -> Vec<u64> {
        let mut state = self.state();
        let before = self.unfinished.fetch_sub(weight, Ordering::Relaxed);
        if before - weight < self.max { std::mem::take(&mut state.waiting) } else { Vec::new() }
    }

    /// Ends [`take`](Self::take) when everything has been taken.
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
        self.filled.notify_one();
    }
}
