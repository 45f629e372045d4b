//! The context that all threads of a run share.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Work;
use super::course::Course;
use super::more::More;
use super::on_commit::Committed;
use crate::credentials::Login;
use crate::net::congestion;
use crate::net::line::Interval;
use crate::net::rate_limit::Limit;
use crate::net::transport::Socket;
use crate::plan::namesakes::Namesakes;
use crate::plan::policy::Policy;
use crate::report::note::Note;
use crate::report::progress::Progress;
use crate::source::hashing::HashThreads;
use crate::source::sources::Sources;
use crate::trust::Trust;

/// How often one item may be lost with a connection, and blamed for that, if nobody says otherwise.
const LOSSES: u32 = 10;

/// Time between two looks whether the run is over.
const PAUSE: Duration = Duration::from_millis(50);

/// The context that all threads of a run share.
#[derive(Debug)]
pub struct Run<'a> {
    /// The server, and the account there.
    pub login: &'a Login,
    /// The rules by which the server is trusted.
    pub trust: &'a Trust,
    /// The items and tasks that are left.
    pub work: &'a Work,
    /// Counts of the work that is done.
    pub progress: &'a Progress,
    /// The mode and its rules.
    pub policy: &'a Policy,
    /// The state of the run.
    pub course: &'a Course,
    /// The steps for each file that has arrived.
    pub committed: &'a Committed,
    /// Sources that may send to the same names.
    pub namesakes: Namesakes<'a>,
    /// Where files are taken from.
    pub sources: Sources,
    /// The threads that hash large files.
    pub(crate) hash_threads: HashThreads,
    /// Bounds the bytes that are sent.
    pub limit: Option<Limit>,
    /// Random for this run.
    pub client: String,
    /// The same in all runs of this user.
    pub identity: String,
    /// Time for which the run tries to connect again, and waits for a server that is busy.
    pub retry_for: Duration,
    /// Attempts to connect again, in a row, if they are bounded; and how often one item may be lost with a connection.
    pub retries: Option<u32>,
    /// Time that the server may be silent while it owes answers.
    pub timeout: Duration,
    /// The congestion control that the user has asked for.
    pub congestion: Option<String>,
    /// Connections that may be added, if the user has given no number of them.
    pub more: Option<Mutex<More>>,
    /// Connections that the run began with.
    pub connections: usize,
    /// The fate of its connections.
    pub reached: Reached,
}

/// The fate of the connections of a run.
#[derive(Debug)]
pub struct Reached {
    /// The promise of the server's acknowledgements, once it was reached.
    durability: Mutex<Option<String>>,
    /// Told when the server was reached.
    changed: Condvar,
    /// Connections that are not given up.
    left: AtomicUsize,
    /// Connections that were lost.
    losses: AtomicUsize,
    /// The user was told that the congestion control can't be had.
    refusal_told: AtomicBool,
    /// The user knows that the server has no accounts.
    no_accounts_told: AtomicBool,
    /// When the server last answered any of them.
    heard: Mutex<Option<Instant>>,
}

impl Reached {
    /// The state of so many connections, none of which is up yet.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        let (left, losses) = (AtomicUsize::new(connections), AtomicUsize::new(0));
        Self {
            durability: Mutex::new(None),
            changed: Condvar::new(),
            left,
            losses,
            refusal_told: AtomicBool::new(false),
            no_accounts_told: AtomicBool::new(false),
            heard: Mutex::new(None),
        }
    }
}

impl Run<'_> {
    fn durability(&self) -> MutexGuard<'_, Option<String>> {
        self.reached.durability.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server was reached, and says what its acknowledgements promise.
    pub fn announced(&self, level: String) {
        let mut durability = self.durability();
        match &*durability {
            // Started again with another level: less than both is promised for the whole run.
            Some(known) if *known != level => *durability = Some(String::from("none")),
            _ => *durability = Some(level),
        }
        self.reached.changed.notify_all();
    }

    /// Waits until any connection has got an answer to `hello`, or the run is over.
    pub fn wait_until_reached(&self) {
        let mut durability = self.durability();
        while durability.is_none() && !self.is_over() {
            let waited = self.reached.changed.wait_timeout(durability, PAUSE);
            durability = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The promise of the server's acknowledgements, once it was reached.
    #[must_use]
    pub fn promised(&self) -> Option<String> {
        self.durability().clone()
    }

    /// Whether any connection has got an answer to `hello`.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.durability().is_some()
    }

    /// Whether there is nothing left to do, or nothing shall be done any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.work.is_stopped() || self.work.is_finished()
    }

    /// Number of times that one item may be lost with a connection, and blamed for that.
    #[must_use]
    pub fn most_losses(&self) -> u32 {
        self.retries.unwrap_or(LOSSES)
    }

    /// The moment at which the server last answered a request of the run.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        *self.reached.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has just answered requests.
    pub fn hear(&self) {
        let now = Some(Instant::now());
        *self.reached.heard.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// The number of connections that were lost so far.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.reached.losses.load(Ordering::Acquire)
    }

    /// A connection is lost.
    pub fn lost(&self) {
        self.reached.losses.fetch_add(1, Ordering::AcqRel);
    }

    /// A period of the line of a slot is over; returns the slots that the run has more from now on.
    #[must_use]
    pub fn look(&self, slot: usize, interval: Interval) -> Range<usize> {
        let Some(more) = &self.more else {
            return 0..0;
        };
        let added = more.lock().unwrap_or_else(PoisonError::into_inner).look(slot, interval);
        self.reached.left.fetch_add(added.len(), Ordering::AcqRel);
        added
    }

    /// Chooses the congestion control of a socket. If the one that was asked for can't be had, the user is told once.
    pub fn choose_congestion(&self, socket: &Socket) {
        let wanted = self.congestion.as_deref();
        let Err(why) = congestion::choose(socket, wanted) else { return };
        if !self.reached.refusal_told.swap(true, Ordering::Relaxed) {
            let (name, why) = (wanted.unwrap_or_default().to_owned(), why.to_string());
            self.progress.note(Note::NoCongestionControl { name, why });
        }
    }

    /// The server has told nothing of an account. If the client has brought a token, the user is told once: it protects nothing.
    pub fn is_without_account(&self) {
        if self.login.token().is_some()
            && !self.reached.no_accounts_told.swap(true, Ordering::Relaxed)
        {
            let server = self.login.server().to_string();
            self.progress.note(Note::NoAccounts { server });
        }
    }

    /// A connection is given up; returns whether it was the last one.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.reached.left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
