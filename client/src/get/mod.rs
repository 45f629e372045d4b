//! Reading back: files and whole directories of a server come to this machine.
//!
//! All threads of a run share a [queue](queue::Queue) of tasks: directories to be listed, and files to be fetched. Each
//! connection takes tasks, asks the server, and carries out the answers on this machine ([`target`](crate::target)): an
//! answer about a directory makes entries here and puts new tasks into the queue, an answer about files writes them.
//! Nothing that is read changes the server, so a task whose connection is lost is simply done again.
//!
//! Memory is bounded by the depth of the tree and the length of an answer, not by the number of files: the newest task
//! goes first, and no more directories are listed while many files wait.

mod answers;
pub mod builder;
mod claims;
mod coming;
mod compare;
mod comparing;
mod connection;
mod decide;
mod delete;
mod ends;
mod entry;
mod item;
mod large;
mod leads;
mod listed;
mod lost;
mod named;
mod namesakes;
mod node;
mod only;
mod parts;
mod pending;
mod queue;
mod receipt;
mod run;
mod slot;
mod small;
pub mod source;
mod task;
mod top;
mod wishes;

use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::credentials::Login;
use crate::error::ConnectionError;
use crate::net::ssh::Direct;
use crate::report::events::Event;
use crate::report::observer::Observer;
use crate::report::progress::Progress;
use crate::source::file_list::Names;
use crate::transfer::error::TransferError;
use crate::transfer::guards::{self, client, connections};
use crate::transfer::outcome::Report;
use crate::transfer::pool;
use crate::trust::Trust;
use crate::work::interrupt::Interrupt;
use crate::work::reached::Reached;
use builder::Builder;
use ends::Ends;
use namesakes::Namesakes;
use only::Only;
use queue::Queue;
use receipt::Lines;
use run::Run;
use source::{Source, Top};
use task::Task;
use wishes::Wishes;

/// One run that brings entries of a server to this machine, ready to begin: nothing is connected or written yet.
#[derive(Debug)]
pub struct Get {
    sources: Vec<Source>,
    target: std::path::PathBuf,
    login: Login,
    trust: Trust,
    wishes: Wishes,
    /// Only these names below the one source.
    names: Option<Mutex<Names>>,
    receipt: Option<Lines>,
    interrupt: Interrupt,
}

impl Get {
    /// A run that gets these sources, all of them at one server, into a directory of this machine.
    pub fn builder(
        sources: impl IntoIterator<Item = Source>,
        target: impl Into<std::path::PathBuf>,
    ) -> Builder {
        Builder::new(sources.into_iter().collect(), target.into())
    }

    /// The handle that stops this run from another thread, or from the observer.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Carries it out, to the end or until it is stopped. The observer is told on this thread, which waits meanwhile.
    ///
    /// Single entries that fail are no error: the observer is told each, and the report counts them.
    ///
    /// # Errors
    /// If the server can't be reached or is lost for good, or this machine has no room for the run's threads, or the
    /// target can't be opened. If a list of names can't be read, that is no error, but a failure.
    pub fn run(self, observer: &mut impl Observer) -> Result<Report, TransferError> {
        let (progress, events) = Progress::new(observer);
        observer.begun();
        let Ended { error, durability, kept_promise } = self.get(&progress, events, observer)?;
        // If no server was reached, an earlier receipt stays.
        let receipt = self.receipt.as_ref().filter(|_| durability.is_some());
        let receipt_error = receipt.and_then(|receipt| receipt.finish(kept_promise).err());
        let report = Report {
            counts: progress.counts(),
            elapsed: progress.elapsed(),
            sending: progress.sending(),
            durability,
            interrupted: self.interrupt.is_set(),
            published: false,
            publish_unanswered: false,
            reread: false,
            receipt_error,
        };
        match error {
            None => Ok(report),
            Some(source) => Err(TransferError::Connection { source, report: Box::new(report) }),
        }
    }

    /// All sources as they are asked for first.
    fn tops(&self, list: Option<Only>) -> Vec<Top> {
        let sources = self.sources.iter().enumerate();
        sources.map(|(number, source)| source.top(number, list.clone())).collect()
    }

    /// Everything but the report.
    fn get(
        &self,
        progress: &Progress,
        events: Receiver<Event>,
        observer: &mut dyn Observer,
    ) -> io::Result<Ended> {
        let connections = match self.login.server().reconnects() {
            true => self.wishes.settings.connections.unwrap_or_else(connections),
            // A second one would be a second login.
            false => 1,
        };
        let may_be_direct = !self.wishes.dry_run && self.login.server().may_be_direct();
        let direct = may_be_direct.then(|| {
            let wanted = self.wishes.settings.connections;
            Direct::new(wanted.unwrap_or_else(guards::connections))
        });
        let queue = Arc::new(Queue::default());
        self.interrupt.attach(&queue);
        let run = Run {
            login: &self.login,
            trust: &self.trust,
            queue: &queue,
            progress,
            wishes: &self.wishes,
            interrupt: &self.interrupt,
            limit: self.wishes.settings.limit(),
            client: client()?,
            unlisted: AtomicUsize::new(if self.wishes.merges { 1 } else { self.sources.len() }),
            namesakes: self.wishes.merges.then(|| Namesakes::new(self.tops(None))),
            place: Arc::new(run::Place::new(self.target.clone())),
            reached: Reached::new(connections),
            connections,
            direct,
            leads: leads::Leads::default(),
            listed: Mutex::default(),
            hasher: std::hash::RandomState::new(),
            ends: Ends::new(progress, &self.wishes, self.target.clone()),
            receipt: self.receipt.as_ref(),
        };
        let kept_promise = OnceLock::new();
        let readers = self.wishes.by_digest.then(compare::readers).transpose()?;
        // Open until the sources are in the queue.
        queue.expect(1);
        let beside = || {
            let list = self.names.as_ref().map(|names| {
                let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
                let source = self.sources.first().and_then(|source| source.place.path.as_ref());
                named::read(&mut names, source, &run)
            });
            let tops = match &run.namesakes {
                Some(namesakes) => namesakes.next().into_iter().collect(),
                None => self.tops(list),
            };
            queue.push_tops(tops.into_iter().map(Task::Top).collect());
            queue.settle(1);
            if let Some(readers) = &readers {
                compare::read_files(&run, readers);
            }
        };
        let after = || {
            delete::delete(&run);
            let _ = kept_promise.set(run.make_durable());
        };
        pool::carry_out(&run, events, observer, pool::Beside::Thread(beside), after)?;
        let (error, durability) = (queue.take_error(), run.reached.promised());
        let kept_promise = kept_promise.into_inner().unwrap_or(Err(run::NOT_DURABLE));
        Ok(Ended { error, durability, kept_promise })
    }
}

/// The end of a run.
#[derive(Debug)]
struct Ended {
    /// The error that has ended it early.
    error: Option<ConnectionError>,
    /// The word for what holds of each file that is counted, if the server was reached.
    durability: Option<String>,
    /// The entries that have come are where they belong, and as durable as the user wants them; or the reason why not.
    kept_promise: Result<(), &'static str>,
}
