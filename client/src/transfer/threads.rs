//! The threads of a run that sends.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use super::guards::{self, EndOnDrop, client, connections};
use super::identity::identity;
use super::pool::Beside;
use super::{Transfer, pool, walk};
use crate::connection::classic;
use crate::error::ConnectionError;
use crate::net::destination::Server;
use crate::net::ssh::Direct;
use crate::plan::given::Given;
use crate::plan::namesakes::Namesakes;
use crate::report::events::Event;
use crate::report::observer::Observer;
use crate::report::progress::Progress;
use crate::report::watch::Watch;
use crate::source::hashing::HashThreads;
use crate::source::sources::Sources;
use crate::work::Work;
use crate::work::context::Run;
use crate::work::course::Course;
use crate::work::more::More;
use crate::work::reached::Reached;

/// Bytes of a file that one connection has sent before another would be up.
const SMALL: u64 = 1024 * 1024;

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
        let is_one = self.policy.dry_run && may_block || !self.login.server().reconnects();
        let is_small = self.is_one_small_file();
        let connections = match self.settings.connections {
            _ if is_one => 1,
            Some(connections) => connections,
            None if is_small => 1,
            None => connections(),
        };
        let may_be_direct = !self.policy.dry_run && self.login.server().may_be_direct();
        let direct = may_be_direct
            .then(|| Direct::new(self.settings.connections.unwrap_or_else(guards::connections)));
        let work = Arc::new(Work::new(connections));
        self.interrupt.attach(&work);
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
            limit: self.settings.limit(),
            client: client()?,
            identity: identity(),
            settings: self.settings,
            congestion: self.congestion.clone(),
            more: self.may_add().then(|| Mutex::new(More::new(connections))),
            connections,
            direct,
            reached: Reached::new(connections),
        };
        // Stopped: whoever stopped it has told why.
        if is_small && !self.policy.compares() {
            let anchors = OnceLock::new();
            let walk = || {
                let _ = walk::alone(&self.plan, &self.anchors, &run).map(|all| anchors.set(all));
            };
            let after = || {
                if let Some(anchors) = anchors.get() {
                    walk::alone_ended(&self.plan, anchors, &run);
                }
            };
            pool::carry_out(&run, events, observer, Beside::First(walk), after)?;
        } else {
            let walk = || {
                let _ = walk::walk(&self.plan, &self.anchors, &run);
            };
            pool::carry_out(&run, events, observer, Beside::Thread(walk), || {})?;
        }
        Ok(Ended { error: work.take_error(), durability: run.reached.promised() })
    }

    /// Whether it sends one file that is too small for a second connection to be of use. If the file grows meanwhile, it
    /// only comes more slowly.
    fn is_one_small_file(&self) -> bool {
        let ([root], [anchor]) = (&*self.plan.roots, &*self.anchors) else { return false };
        let is_path = matches!(root.given, Given::Path) && !root.contents;
        let is_small = anchor.file_size().is_some_and(|size| size < SMALL);
        is_path && is_small && self.plan.named.is_none()
    }

    /// Whether connections may be added while it runs.
    fn may_add(&self) -> bool {
        self.settings.connections.is_none()
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
        let watch = Watch::new(progress, events, observer);
        let error = thread::scope(move |scope| {
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
            watch.finish();
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).err()
        });
        Ended { error, durability: None }
    }
}
