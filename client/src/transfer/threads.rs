//! The threads of a run.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread;

use super::guards::{EndOnDrop, StopOnPanic, client, connections};
use super::identity::identity;
use super::{Transfer, reconnect, walk};
use crate::connection::classic;
use crate::error::ConnectionError;
use crate::net::destination::Server;
use crate::net::rate_limit::Limit;
use crate::plan::namesakes::Namesakes;
use crate::report::events::Event;
use crate::report::observer::Observer;
use crate::report::progress::Progress;
use crate::report::watch::watch;
use crate::source::hashing::HashThreads;
use crate::source::sources::Sources;
use crate::work::Work;
use crate::work::context::{Reached, Run};
use crate::work::course::Course;
use crate::work::more::{MOST, More};

/// The end of a run's threads.
#[derive(Debug)]
pub(super) struct Ended {
    /// The error that ended them early, if one did.
    pub(super) error: Option<ConnectionError>,
    /// The promise of the server's acknowledgements.
    pub(super) durability: Option<String>,
}

impl Transfer {
    /// Sends everything, to the end or until it is stopped.
    ///
    /// # Errors
    /// If threads or random numbers can't be had.
    pub(super) fn send(
        &self,
        progress: &Progress,
        events: Receiver<Event>,
        observer: &mut dyn Observer,
    ) -> io::Result<Ended> {
        // Where a directory can't be made, a dry run tells the same of all that is in it, so it must come to the directory
        // first. A list may name the directory later, or not at all.
        let may_block = self.policy.may_block_directories() || self.plan.named.is_some();
        let connections = match self.policy.dry_run && may_block {
            true => 1,
            false => self.options.connections.unwrap_or_else(connections),
        };
        let most = if self.may_add() { connections.max(MOST) } else { connections };
        let work = Arc::new(Work::new(connections));
        self.interrupt.attach(Arc::downgrade(&work));
        let course = Course::default();
        let run = Run {
            login: &self.login,
            trust: &self.trust,
            work: &work,
            progress,
            policy: &self.policy,
            course: &course,
            committed: &self.committed,
            namesakes: Namesakes::new(&self.plan),
            sources: Sources::default(),
            hash_threads: HashThreads::default(),
            limit: self.options.rate.map(Limit::new),
            client: client()?,
            identity: identity(),
            retry_for: self.options.retry_for,
            retries: self.options.retries,
            timeout: self.options.timeout,
            congestion: self.congestion.clone(),
            more: self.may_add().then(|| Mutex::new(More::new(connections))),
            connections,
            reached: Reached::new(connections),
        };
        // A pool of its own: its threads block, and rayon's global pool must never.
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(most)
            .thread_name(|index| format!("connection-{index}"))
            .build()
            .map_err(io::Error::other)?;
        thread::scope(|scope| {
            scope.spawn(|| {
                let _end = EndOnDrop(progress);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let _guard = StopOnPanic(|| work.stop(ConnectionError::Stopped));
                        // Stopped: whoever stopped it has told why.
                        let _ = walk::walk(&self.plan, &self.anchors, &run);
                    });
                    pool.scope(|scope| {
                        (0..connections).for_each(|slot| begin(scope, &run, slot));
                    });
                });
            });
            let _guard = StopOnPanic(|| work.stop(ConnectionError::Stopped));
            watch(progress, events, observer);
        });
        Ok(Ended { error: work.take_error(), durability: run.promised() })
    }

    /// Whether connections may be added while it runs.
    fn may_add(&self) -> bool {
        self.options.connections.is_none()
            && matches!(self.login.server(), Server::Tcp { .. })
            && !self.policy.dry_run
    }

    /// Sends everything in the classic dialect.
    pub(super) fn send_classic(
        &self,
        progress: &Progress,
        events: Receiver<Event>,
        observer: &mut dyn Observer,
    ) -> Ended {
        let error = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let _end = EndOnDrop(progress);
                classic::run(
                    &self.plan,
                    self.login.server(),
                    &self.trust,
                    progress,
                    &self.interrupt,
                )
            });
            watch(progress, events, observer);
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).err()
        });
        Ended { error, durability: None }
    }
}

/// Begins the connection of a slot on a thread of the pool. There are as many threads as a run may have slots, since
/// each has its thread to the end.
fn begin<'a>(scope: &rayon::Scope<'a>, run: &'a Run<'a>, slot: usize) {
    scope.spawn(move |scope| {
        let _guard = StopOnPanic(|| run.work.stop(ConnectionError::Stopped));
        if let Err(error) = reconnect::run(run, slot, &|slot| begin(scope, run, slot)) {
            run.work.stop(error);
        }
    });
}
