//! Whether one more connection is of use. A connection costs both sides a thread or its state, and the network a handshake;
//! most runs are over before a second one would be up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::report::nudge::Nudge;
use crate::report::watch::Asked;

/// Entries that wait with which a connection is busy for longer than another one takes to come up on a short line.
const MANY: usize = 96;

/// Time that anything has to wait while the connections are busy, before one more is of use.
const PATIENCE: Duration = Duration::from_millis(5);

/// The demand of a run for connections besides the first. Once there is any, it stays. The observer's thread looks at it,
/// and begins them: no thread waits for work that may never come.
#[derive(Debug, Default)]
pub struct Demand {
    /// The work looks at it without the lock before it tells anything.
    is_decided: AtomicBool,
    state: Mutex<State>,
    /// Told when the others have begun, or never will.
    changed: Condvar,
    /// Has the observer's thread look, if it begins connections on demand.
    nudge: OnceLock<Nudge>,
}

#[derive(Debug, Default)]
struct State {
    is_wanted: bool,
    is_over: bool,
    /// A connection has taken something: it is up.
    has_begun: bool,
    /// Since when something has been waiting for a connection that is up.
    since: Option<Instant>,
    /// The observer's thread looks again by then.
    looks_again: bool,
    /// The other connections have begun.
    have_begun: bool,
    /// The first connection has ended, and waits for them.
    is_waited_for: bool,
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
                if !std::mem::replace(&mut state.looks_again, true) {
                    self.nudge();
                }
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
        if state.is_waited_for {
            self.changed.notify_all();
        }
        if is_wanted {
            self.nudge();
        }
    }

    fn nudge(&self) {
        if let Some(nudge) = self.nudge.get() {
            nudge.nudge();
        }
    }

    /// From now on the observer's thread [looks](Self::look) whenever it is nudged.
    pub(crate) fn watched(&self, nudge: Nudge) {
        let _ = self.nudge.set(nudge);
    }

    /// Whether the observer's thread has to begin the other connections, or when it looks again.
    pub(crate) fn look(&self) -> Asked {
        let mut state = self.state();
        state.looks_again = false;
        if state.is_over || state.have_begun {
            return Asked::Nothing;
        }
        if state.is_wanted {
            return Asked::Leave;
        }
        let Some(since) = state.since else { return Asked::Nothing };
        let due = since + PATIENCE;
        if due > Instant::now() {
            state.looks_again = true;
            return Asked::LookAt(due);
        }
        self.decide(state, true);
        Asked::Leave
    }

    /// The observer's thread has begun the other connections, or never will.
    pub(crate) fn have_begun(&self) {
        self.state().have_begun = true;
        self.changed.notify_all();
    }

    /// The first connection has ended: waits until others have begun that go on with its work, if there is any.
    pub(crate) fn wait_for_others(&self) {
        let mut state = self.state();
        let is_watched = self.nudge.get().is_some();
        while is_watched && state.is_wanted && !state.is_over && !state.have_begun {
            state.is_waited_for = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::thread;

    use super::*;
    use crate::report::events::Event;

    /// A demand that a thread watches, and the queue in which it is nudged.
    fn watched() -> (Demand, Receiver<Event>) {
        let (events, received) = sync_channel(8);
        let demand = Demand::default();
        demand.watched(Nudge::new(events));
        (demand, received)
    }

    /// Whether it wants another connection in the end, as the observer's thread finds out.
    fn is_wanted(demand: &Demand, events: &Receiver<Event>) -> bool {
        loop {
            match demand.look() {
                Asked::Leave => return true,
                Asked::Nothing if demand.is_decided.load(Ordering::Relaxed) => return false,
                Asked::Nothing => drop(events.recv().unwrap()),
                Asked::LookAt(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    let _ = events.recv_timeout(left);
                }
            }
        }
    }

    #[test]
    fn one_connection_is_enough_for_a_little() {
        let (demand, events) = watched();
        demand.waits(1);
        demand.took(0);
        demand.waits(MANY - 1);
        demand.took(0);
        demand.end();
        assert!(!is_wanted(&demand, &events));
    }

    #[test]
    fn much_that_waits_wants_another_connection_before_the_first_is_up() {
        let (demand, events) = watched();
        demand.waits(MANY);
        demand.took(0);
        assert!(is_wanted(&demand, &events));
    }

    #[test]
    fn little_that_waits_for_long_wants_another_connection_once_the_first_is_up() {
        let (demand, events) = watched();
        thread::scope(|scope| {
            demand.waits(2);
            assert!(demand.state().since.is_none(), "nobody is up");
            scope.spawn(|| demand.took(1));
            assert!(is_wanted(&demand, &events));
        });
    }

    #[test]
    fn connection_that_is_not_needed_stays_away_when_the_run_is_over() {
        let (demand, events) = watched();
        demand.want();
        demand.end();
        assert!(!is_wanted(&demand, &events));
        demand.wait_for_others();
    }

    #[test]
    fn work_that_comes_and_goes_nudges_the_thread_once_until_it_looks() {
        let (demand, events) = watched();
        for _ in 0..3 {
            demand.took(1);
            demand.took(0);
        }
        assert_eq!(events.try_iter().count(), 1);
        assert!(matches!(demand.look(), Asked::Nothing));
        demand.took(1);
        assert_eq!(events.try_iter().count(), 1);
    }

    #[test]
    fn first_connection_waits_for_the_others_that_go_on_with_its_work() {
        let (demand, events) = watched();
        demand.want();
        thread::scope(|scope| {
            let ends = scope.spawn(|| demand.wait_for_others());
            assert!(is_wanted(&demand, &events) && !ends.is_finished());
            demand.have_begun();
            ends.join().unwrap();
        });
        // Nobody begins any in a run of one connection.
        let demand = Demand::default();
        demand.want();
        demand.wait_for_others();
    }
}
