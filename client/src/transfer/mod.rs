//! One run, from what is wished for to what came of it.

mod build;
pub mod builder;
pub(crate) mod common;
pub mod error;
pub(crate) mod guards;
mod identity;
pub mod outcome;
pub(crate) mod patience;
pub(crate) mod pool;
pub(crate) mod reconnect;
mod slot;
mod threads;
mod unfit;
mod walk;

use std::sync::Arc;

use crate::credentials::Login;
use crate::net::destination::Destination;
use crate::plan::given::Given;
use crate::plan::policy::Policy;
use crate::plan::{Plan, given};
use crate::report::note::Note;
use crate::report::observer::Observer;
use crate::report::progress::Progress;
use crate::source::anchor::Anchor;
use crate::trust::Trust;
use crate::work::interrupt::Interrupt;
use crate::work::on_commit::Committed;
use crate::work::settings::Settings;
use builder::{Builder, Dialect};
use error::TransferError;
use outcome::Report;
use threads::Ended;

/// One run, ready to begin: everything that it needs is decided and checked, and nothing is connected.
#[derive(Debug)]
pub struct Transfer {
    plan: Plan,
    /// The sources as they were before anything was waited for.
    anchors: Vec<Arc<Anchor>>,
    login: Login,
    policy: Policy,
    /// Notes about its wishes.
    notes: Vec<Note>,
    committed: Committed,
    settings: Settings,
    congestion: Option<String>,
    trust: Trust,
    dialect: Dialect,
    interrupt: Interrupt,
}

impl Transfer {
    /// A transfer to a destination, which still has to be told what to do.
    pub fn builder(destination: Destination) -> Builder {
        Builder::new(destination)
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
    /// If the server can't be reached or is lost for good, if it was stopped before it had read what is sent, or if
    /// this machine has no room for its threads.
    pub fn run(mut self, observer: &mut impl Observer) -> Result<Report, TransferError> {
        if !given::take(&mut self.plan, self.policy.links, &|| self.interrupt.is_set()) {
            return Err(TransferError::Stopped);
        }
        let (progress, events) = Progress::new(observer);
        if self.committed.remove_source {
            let why = "--remove-source removes neither streams nor descriptors";
            let streams = self.plan.roots.iter();
            for root in streams.filter(|root| matches!(root.given, Given::Opened(_))) {
                observer.note(&Note::Stays(root.source.clone(), why));
            }
        }
        self.notes.iter().for_each(|note| observer.note(note));
        observer.begun();
        let ended = match self.dialect {
            Dialect::Haul => self.send(&progress, events, observer)?,
            Dialect::Classic => self.send_classic(&progress, events, observer),
        };
        self.finish(&progress, ended)
    }

    fn finish(&self, progress: &Progress, ended: Ended) -> Result<Report, TransferError> {
        let receipt = self.committed.receipt.as_ref();
        // If no server was reached, an earlier receipt stays.
        let is_reached = ended.error.is_none() || ended.durability.is_some();
        let receipt_error =
            receipt.filter(|_| is_reached).and_then(|receipt| receipt.finish().err());
        let report = Report {
            counts: progress.counts(),
            elapsed: progress.elapsed(),
            sending: progress.sending(),
            durability: ended.durability,
            interrupted: self.interrupt.is_set(),
            published: progress.is_published(),
            publish_unanswered: progress.is_publishing(),
            reread: self.policy.rereads,
            receipt_error,
        };
        match ended.error {
            None => Ok(report),
            Some(source) => Err(TransferError::Connection { source, report: Box::new(report) }),
        }
    }
}

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;
