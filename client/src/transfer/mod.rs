//! One run: a plan, and the threads that carry it out.

pub mod identity;
pub mod reconnect;
pub mod walk;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use haul_protocol::Token;

use crate::error::ConnectionError;
use crate::net::destination::Server;
use crate::net::rate_limit::Limit;
use crate::plan::Plan;
use crate::plan::namesakes::Namesakes;
use crate::plan::policy::Policy;
use crate::report::progress::Progress;
use crate::source::sources::Sources;
use crate::work::context::{Reached, Run};
use crate::work::course::Course;
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

/// Carries a plan out, to the end or until it is stopped.
///
/// # Errors
/// If threads can't be had.
pub fn run(
    plan: &Plan,
    server: &Server,
    options: Options,
    policy: &Policy,
    committed: &Committed,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<Outcome> {
    let Options { connections, retries, timeout, rate } = options;
    // Where a directory can't be made, a dry run tells the same of all that is in it, so it must come to the directory first.
    let connections =
        if policy.dry_run && policy.may_block_directories() { 1 } else { connections };
    let work = Arc::new(Work::new(connections));
    interrupt.begin(Arc::downgrade(&work));
    let mut client = [0; 16];
    getrandom::fill(&mut client)?;
    let client = Token(client).to_string();
    let course = Course::default();
    let run = Run {
        server,
        work: &work,
        progress,
        policy,
        course: &course,
        committed,
        namesakes: Namesakes::new(plan),
        sources: Sources::default(),
        limit: rate.map(Limit::new),
        client,
        identity: identity(),
        retries,
        timeout,
        reached: Reached::new(connections),
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
            let _ = walk::walk(plan, &run);
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
        durability: run.promised(),
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
