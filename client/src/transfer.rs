//! One run: a plan, the threads that carry it out, and the large files that they share.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use haul_protocol::{Cv, Digest, Geometry, Token, merge};

use crate::connection;
use crate::destination::Server;
use crate::error::ConnectionError;
use crate::interrupt::Interrupt;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::source::Source;
use crate::walk;
use crate::work::{Item, Work};

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
    /// Random for this run.
    pub client: String,
    /// The server's word.
    pub durability: OnceLock<String>,
}

/// Carries a plan out, to the end or until it is stopped.
///
/// # Errors
/// If threads can't be had.
pub fn run(
    plan: &Plan,
    server: &Server,
    connections: usize,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<Outcome> {
    let work = Arc::new(Work::new(connections));
    interrupt.begin(Arc::downgrade(&work));
    let mut client = [0; 16];
    getrandom::fill(&mut client)?;
    let client = Token(client).to_string();
    let run = Run { server, work: &work, progress, client, durability: OnceLock::new() };
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
            let _ = walk::walk(plan, &work, progress, progress.wants_sizes());
        });
        pool.broadcast(|context| {
            let _guard = StopOnPanic(&work);
            if let Err(error) = connection::run(&run, context.index()) {
                work.stop(error);
            }
        });
        progress.end();
    });
    Ok(Outcome {
        error: work.take_error(),
        interrupted: interrupt.end(),
        durability: run.durability.into_inner(),
    })
}

/// A large file that is sent in parts, by all connections.
#[derive(Debug)]
pub struct Large {
    /// What it is.
    pub item: Item,
    /// The open file.
    pub source: Source,
    /// What the server calls it.
    pub upload: Token,
    /// How it is cut.
    pub geometry: Geometry,
    state: Mutex<Parts>,
}

#[derive(Debug)]
struct Parts {
    /// The next part that nobody has taken.
    next: usize,
    /// Parts that must be sent again.
    again: Vec<usize>,
    /// How often a part may still be sent again.
    resends: u32,
    cvs: Vec<Option<Cv>>,
    missing: usize,
    over: bool,
}

impl Large {
    /// Nothing has been sent yet.
    #[must_use]
    pub fn new(item: Item, source: Source, upload: Token, geometry: Geometry) -> Self {
        let missing = geometry.parts();
        let cvs = vec![None; missing];
        let state = Parts { next: 0, again: Vec::new(), resends: 16, cvs, missing, over: false };
        Self { item, source, upload, geometry, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, Parts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next part to send, if there is one that nobody has.
    pub fn take(&self) -> Option<usize> {
        let mut state = self.state();
        if state.over {
            return None;
        }
        if let Some(index) = state.again.pop() {
            return Some(index);
        }
        (state.next < state.cvs.len()).then(|| {
            state.next += 1;
            state.next - 1
        })
    }

    /// A part is acknowledged; returns whether it was the last one missing.
    pub fn done(&self, index: usize, cv: Cv) -> bool {
        let mut state = self.state();
        let first = state.cvs[index].replace(cv).is_none();
        state.missing -= usize::from(first);
        first && state.missing == 0 && !state.over
    }

    /// A part was refused; returns whether it is worth sending again.
    pub fn again(&self, index: usize) -> bool {
        let mut state = self.state();
        if state.over || state.resends == 0 {
            return false;
        }
        state.resends -= 1;
        state.again.push(index);
        true
    }

    /// The file is given up or committed; returns whether this is the first word of it.
    pub fn end(&self) -> bool {
        !std::mem::replace(&mut self.state().over, true)
    }

    /// The digest of the whole file, when all parts are done.
    pub fn digest(&self) -> Option<Digest> {
        let cvs: Option<Vec<Cv>> = self.state().cvs.iter().copied().collect();
        merge(&cvs?)
    }
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
