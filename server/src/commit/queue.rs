//! The committer's queue: jobs in order, taken by one thread, many at once; and who waits while it is
//! full.

use std::collections::VecDeque;

use crate::locks::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, Rank};

/// A queue of jobs `J`, and of keys of those who wait for room in it.
#[derive(Debug)]
pub(crate) struct Queue<J> {
    state: Mutex<State<J>>,
    filled: Condvar,
    /// Weight of the jobs that wait or are being done, for a look without the lock.
    unfinished: AtomicUsize,
    /// At so many it is full.
    max: usize,
}

#[derive(Debug)]
struct State<J> {
    /// Each with its cost.
    jobs: VecDeque<(J, usize)>,
    waiting: Vec<u64>,
    /// Waiting keys that had nothing in the queue.
    new: Vec<u64>,
    stopped: bool,
}

impl<J> State<J> {
    fn take(&mut self, most: usize) -> Vec<J> {
        let mut taken = Vec::with_capacity(self.jobs.len().min(most));
        let mut left = most;
        while left > 0
            && let Some((job, cost)) = self.jobs.pop_front()
        {
            left = left.saturating_sub(cost);
            taken.push(job);
        }
        taken
    }
}

impl<J> Queue<J> {
    /// Full at an unfinished weight of `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            state: Mutex::new(
                Rank::Queue,
                State {
                    jobs: VecDeque::new(),
                    waiting: Vec::new(),
                    new: Vec::new(),
                    stopped: false,
                },
            ),
            filled: Condvar::new(),
            unfinished: AtomicUsize::new(0),
            max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock()
    }

    /// Adds a job of this weight and cost, also if the queue is full. The weights bound what waits, the costs what is
    /// taken at once.
    pub(crate) fn add(&self, job: J, weight: usize, cost: usize) {
        let mut state = self.state();
        self.unfinished.fetch_add(weight, Ordering::Relaxed);
        state.jobs.push_back((job, cost));
        if state.jobs.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// The weight of the jobs that wait or are being done.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Whether someone must wait before adding more; [`done`](Self::done) then gives the key back. A key that `is_new`, with
    /// no job in the queue, may add jobs also while the queue is full, up to twice as much: otherwise a few that fill the
    /// queue again and again would keep all others out.
    pub(crate) fn is_full(&self, key: u64, is_new: bool) -> bool {
        let max = if is_new { 2 * self.max } else { self.max };
        if self.unfinished.load(Ordering::Relaxed) < max {
            return false;
        }
        let mut state = self.state();
        // Under the lock that `done` takes: either it has made room, or it will see who waits.
        let full = self.unfinished.load(Ordering::Relaxed) >= max;
        let waiting = if is_new { &mut state.new } else { &mut state.waiting };
        if full && waiting.last() != Some(&key) {
            waiting.push(key);
        }
        full
    }

    /// The next jobs in order, until they cost so much. Waits for one; `None` when stopped and empty.
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
        let left = before - weight;
        let mut woken =
            if left < 2 * self.max { std::mem::take(&mut state.new) } else { Vec::new() };
        if left < self.max {
            woken.append(&mut state.waiting);
        }
        woken
    }

    /// Ends [`take`](Self::take) at once; the jobs that have not been taken are dropped.
    pub(crate) fn abandon(&self) -> usize {
        let mut state = self.state();
        state.stopped = true;
        let left = std::mem::take(&mut state.jobs);
        drop(state);
        self.filled.notify_one();
        left.len()
    }

    /// Ends [`take`](Self::take) when everything has been taken.
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
        self.filled.notify_one();
    }
}
