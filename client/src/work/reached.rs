//! The fate of the connections of a run, in either direction.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::credentials::Login;
use crate::report::note::Note;
use crate::report::progress::Progress;

/// Time between two looks whether the run is over.
const PAUSE: Duration = Duration::from_millis(50);

/// The fate of the connections of a run.
#[derive(Debug)]
pub struct Reached {
    /// The word for how durable each counted file is, once the server was reached.
    durability: Mutex<Option<String>>,
    /// Told when the server was reached.
    changed: Condvar,
    /// Connections that are not given up.
    left: AtomicUsize,
    /// Connections that were lost.
    losses: AtomicUsize,
    /// When the server last answered any of them.
    heard: Mutex<Option<Instant>>,
    no_accounts_told: AtomicBool,
    no_congestion_told: AtomicBool,
}

impl Reached {
    /// The state of so many connections, none of which is up yet.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            durability: Mutex::new(None),
            changed: Condvar::new(),
            left: AtomicUsize::new(connections),
            losses: AtomicUsize::new(0),
            heard: Mutex::new(None),
            no_accounts_told: AtomicBool::new(false),
            no_congestion_told: AtomicBool::new(false),
        }
    }

    fn durability(&self) -> MutexGuard<'_, Option<String>> {
        self.durability.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server was reached, and files that are counted from now on are as durable as this word says.
    pub fn announce(&self, level: &str) {
        let mut durability = self.durability();
        match &*durability {
            // Started again with another level: less than both is promised for the whole run.
            Some(known) if known != level => *durability = Some(String::from("none")),
            _ => *durability = Some(level.to_owned()),
        }
        self.changed.notify_all();
    }

    /// Waits until any connection has got an answer to `hello`, or the run is over.
    pub fn wait(&self, is_over: impl Fn() -> bool) {
        let mut durability = self.durability();
        while durability.is_none() && !is_over() {
            let waited = self.changed.wait_timeout(durability, PAUSE);
            durability = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The word for what holds of each file that is counted, once the server was reached.
    #[must_use]
    pub fn promised(&self) -> Option<String> {
        self.durability().clone()
    }

    /// Whether any connection has got an answer to `hello`.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.durability().is_some()
    }

    /// The moment at which the server last answered a request of the run.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has just answered a request.
    pub fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The number of connections that were lost so far.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.losses.load(Ordering::Acquire)
    }

    /// A connection is lost.
    pub fn lose(&self) {
        self.losses.fetch_add(1, Ordering::AcqRel);
    }

    /// The run has so many connections more.
    pub fn add(&self, connections: usize) {
        self.left.fetch_add(connections, Ordering::AcqRel);
    }

    /// A connection is given up; returns whether it was the last one.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The server has told nothing of an account. If the client has brought a token, the user is told once: it protects nothing.
    pub fn is_without_account(&self, login: &Login, progress: &Progress) {
        if login.token().is_some() && !self.no_accounts_told.swap(true, Ordering::Relaxed) {
            progress.note(Note::NoAccounts { server: login.server().to_string() });
        }
    }

    /// The system refuses a congestion control. Returns whether the user is to be told, which happens once.
    #[must_use]
    pub fn tells_no_congestion(&self) -> bool {
        !self.no_congestion_told.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn first_word_for_durability_holds_until_another_one_comes() {
        let reached = Reached::new(2);
        assert_eq!((reached.is_reached(), reached.promised()), (false, None));
        reached.announce("group");
        reached.announce("group");
        assert_eq!((reached.is_reached(), reached.promised().as_deref()), (true, Some("group")));
        // A server that was started again, with less and then with more.
        reached.announce("none");
        reached.announce("group");
        assert_eq!(reached.promised().as_deref(), Some("none"));
    }

    #[test]
    fn last_connection_is_the_last_of_all_that_were_added() {
        let reached = Reached::new(1);
        reached.add(2);
        assert_eq!([(); 3].map(|()| reached.is_last()), [false, false, true]);
    }

    #[test]
    fn connections_wait_for_the_first_one_or_for_the_end_of_the_run() {
        let reached = Reached::new(2);
        // The run is over.
        reached.wait(|| true);
        assert!(!reached.is_reached());
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                reached.wait(|| false);
                reached.is_reached()
            });
            reached.announce("none");
            assert!(waits.join().unwrap());
        });
    }

    #[test]
    fn user_is_told_once() {
        let reached = Reached::new(1);
        assert_eq!([(); 2].map(|()| reached.tells_no_congestion()), [true, false]);
    }

    #[test]
    fn answers_and_losses_are_known_to_all() {
        let reached = Reached::new(1);
        assert_eq!((reached.heard(), reached.losses()), (None, 0));
        let before = Instant::now();
        reached.hear();
        reached.lose();
        assert!(reached.heard().is_some_and(|heard| heard >= before));
        assert_eq!(reached.losses(), 1);
    }
}
