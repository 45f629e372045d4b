//! One run: a plan, and the threads that carry it out.

pub mod identity;
pub mod reconnect;
pub mod walk;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use haul_protocol::Token;

use crate::error::ConnectionError;
use crate::net::destination::Server;
use crate::net::rate_limit::Limit;
use crate::plan::Plan;
use crate::plan::policy::Sync;
use crate::report::progress::Progress;
use crate::source::sources::Sources;
use crate::work::interrupt::Interrupt;
use crate::work::on_commit::Committed;
use identity::identity;

use crate::work::Work;

/// How a run goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections at once.
    pub connections: usize,
    /// Attempts to connect again, in a row.
    pub retries: u32,
    /// How long the server may be silent while it owes answers.
    pub timeout: Duration,
    /// Bytes a second that are sent at most.
    pub rate: Option<u64>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended early, if it did.
    pub error: Option<ConnectionError>,
    /// It ended early because the user asked for it.
    pub interrupted: bool,
    /// What the server's acknowledgements promise.
    pub durability: Option<String>,
}

/// What all threads of a run share.
#[derive(Debug)]
pub struct Run<'a> {
    /// Where to.
    pub server: &'a Server,
    /// What to do.
    pub work: &'a Work,
    /// What has been done.
    pub progress: &'a Progress,
    /// What is compared and removed.
    pub sync: &'a Sync,
    /// What is done for each file that has arrived.
    pub committed: &'a Committed,
    /// Where files are taken from.
    pub sources: Sources,
    /// Bounds what is sent.
    pub limit: Option<Limit>,
    /// Random for this run.
    pub client: String,
    /// The same in all runs of this user.
    pub identity: String,
    /// Attempts to connect again, in a row; and how often one item may be lost with a connection.
    pub retries: u32,
    /// How long the server may be silent while it owes answers.
    pub timeout: Duration,
    /// What the server's acknowledgements promise, once it was reached.
    durability: Mutex<Option<String>>,
    /// Connections that are not given up.
    left: AtomicUsize,
    /// Connections that were lost.
    losses: AtomicUsize,
}

impl Run<'_> {
    fn durability(&self) -> MutexGuard<'_, Option<String>> {
        self.durability.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server was reached, and says what its acknowledgements promise.
    pub fn announced(&self, level: String) {
        let mut durability = self.durability();
        match &*durability {
            // Started again with another level: less than both is promised for the whole run.
            Some(known) if *known != level => *durability = Some(String::from("none")),
            _ => *durability = Some(level),
        }
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

    /// How many connections were lost so far.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.losses.load(Ordering::Acquire)
    }

    /// A connection is lost.
    pub fn lost(&self) {
        self.losses.fetch_add(1, Ordering::AcqRel);
    }

    /// A connection is given up; returns whether it was the last one.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// Carries a plan out, to the end or until it is stopped.
///
/// # Errors
/// If threads can't be had.
pub fn run(
    plan: &Plan,
    server: &Server,
    options: Options,
    sync: &Sync,
    committed: &Committed,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<Outcome> {
    let Options { connections, retries, timeout, rate } = options;
    let work = Arc::new(Work::new(connections));
    interrupt.begin(Arc::downgrade(&work));
    let mut client = [0; 16];
    getrandom::fill(&mut client)?;
    let client = Token(client).to_string();
    let run = Run {
        server,
        work: &work,
        progress,
        sync,
        committed,
        sources: Sources::default(),
        limit: rate.map(Limit::new),
        client,
        identity: identity(),
        retries,
        timeout,
        durability: Mutex::new(None),
        left: AtomicUsize::new(connections),
        losses: AtomicUsize::new(0),
    };
    // A pool of its own: its threads block, and rayon's global pool must never.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(connections)
        .thread_name(|index| format!("connection-{index}"))
        .build()?;
    thread::scope(|scope| {
        scope.spawn(|| progress.run());
        scope.spawn(|| {
            let _guard = StopOnPanic(&work);
            // Stopped: whoever stopped it has told why.
            let _ = walk::walk(plan, &work, progress, sync, committed, &run.sources);
        });
        pool.broadcast(|context| {
            let _guard = StopOnPanic(&work);
            if let Err(error) = reconnect::run(&run, context.index()) {
                work.stop(error);
            }
        });
        progress.end();
    });
    Ok(Outcome {
        error: work.take_error(),
        interrupted: interrupt.end(),
        durability: run.durability().clone(),
    })
}

/// A bug in one thread must not leave the others waiting for it.
struct StopOnPanic<'a>(&'a Work);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop(ConnectionError::Stopped);
        }
    }
}
