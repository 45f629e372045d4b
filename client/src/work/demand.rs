//! Whether one more connection is of use. A connection costs both sides a thread or its state, and the network a handshake;
//! most runs are over before a second one would be up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries that wait with which a connection is busy for longer than another one takes to come up on a short line.
const MANY: usize = 96;

/// Time that anything has to wait while the connections are busy, before one more is of use.
const PATIENCE: Duration = Duration::from_millis(5);

/// The demand of a run for connections besides the first. Once there is any, it stays.
#[derive(Debug, Default)]
pub struct Demand {
    /// The work looks at it without the lock before it tells anything.
    is_decided: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_wanted: bool,
    is_over: bool,
    /// A connection has taken something: it is up.
    has_begun: bool,
    /// Since when something has been waiting for a connection that is up.
    since: Option<Instant>,
}

impl Demand {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection has taken something, and so much waits now.
    pub fn took(&self, waiting: usize) {
        self.tell(waiting, true);
    }

    /// The work has put something in, and so much waits now.
    pub fn waits(&self, waiting: usize) {
        self.tell(waiting, false);
    }

    fn tell(&self, waiting: usize, begins: bool) {
        if self.is_decided.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        state.has_begun |= begins;
        if waiting >= MANY {
            return self.decide(state, true);
        }
        match waiting > 0 && state.has_begun {
            false => state.since = None,
            true if state.since.is_some() => {}
            true => {
                state.since = Some(Instant::now());
                self.changed.notify_all();
            }
        }
    }

    /// There is work for all connections.
    pub fn want(&self) {
        if !self.is_decided.load(Ordering::Relaxed) {
            self.decide(self.state(), true);
        }
    }

    /// There will never be anything to do again.
    pub fn end(&self) {
        self.decide(self.state(), false);
    }

    fn decide(&self, mut state: MutexGuard<'_, State>, is_wanted: bool) {
        state.is_wanted |= is_wanted;
        state.is_over |= !is_wanted;
        self.is_decided.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Waits until one more connection is of use. `false`: none will be.
    pub fn wait(&self) -> bool {
        let mut state = self.state();
        loop {
            if state.is_over || state.is_wanted {
                return !state.is_over;
            }
            state = match state.since {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(since) => {
                    let left = PATIENCE.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        self.decide(state, true);
                        return true;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_connection_is_enough_for_a_little() {
        let demand = Demand::default();
        demand.waits(1);
        demand.took(0);
        demand.waits(MANY - 1);
        demand.took(0);
        demand.end();
        assert!(!demand.wait());
    }

    #[test]
    fn much_that_waits_wants_another_connection_before_the_first_is_up() {
        let demand = Demand::default();
        demand.waits(MANY);
        demand.took(0);
        assert!(demand.wait());
    }

    #[test]
    fn little_that_waits_for_long_wants_another_connection_once_the_first_is_up() {
        let demand = Demand::default();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| demand.wait());
            demand.waits(2);
            assert!(demand.state().since.is_none(), "nobody is up");
            demand.took(1);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn connection_that_is_not_needed_stays_away_when_the_run_is_over() {
        let demand = Demand::default();
        demand.want();
        demand.end();
        assert!(!demand.wait());
    }
}
