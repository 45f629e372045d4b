//! Hooks: programs of the owner of the server, or a URL, that are told of changes, or asked before them.
//!
//! `on-commit` is told of each change once it has happened and lasts as long as was promised, at least once: the
//! [`spool`] survives the server. `before-put` is asked before the bytes of a file are taken ([`before_put`]). docs/operations.md, "Hooks", says what its owner has to know.

pub(crate) mod before_put;
mod deliver;
mod fate;
mod fates;
pub(crate) mod host;
mod last;
mod output;
mod portion;
pub(crate) mod post;
pub(crate) mod program;
pub(crate) mod question;
mod questions;
mod reader;
mod record;
mod recovered;
mod room;
mod segment;
pub(crate) mod spool;

use std::sync::Arc;
use std::time::Duration;

use haul_protocol::Code;

use crate::audit::Event;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::store::Store;
pub(crate) use fate::Fate;
pub(crate) use last::Failure;
use last::Last;
use program::Host;
use recovered::recover;
pub(crate) use room::Reserved;
use segment::Directory;
use spool::{Bounds, Names, Spool};

/// The option of the hook that is told of changes.
pub(crate) const ON_COMMIT: &str = "on-commit";

/// The option of the hook that is asked before a file comes.
pub(crate) const BEFORE_PUT: &str = "before-put";

/// The hook that is told of changes.
#[derive(Debug)]
pub(crate) struct OnCommit {
    pub(crate) spool: Spool,
    program: Program,
    last: Last,
}

/// The program of a hook.
#[derive(Debug)]
pub(crate) struct Program {
    /// The process that starts it.
    pub(crate) host: Arc<Host>,
    /// Its place among the programs.
    pub(crate) number: u8,
    /// Time that it has: for a run, or for an answer.
    pub(crate) time: Duration,
    /// It is hauld itself, which posts to a URL.
    pub(crate) is_post: bool,
}

impl OnCommit {
    /// Opens its spool in the store, of at most so many bytes, and decides the rests of an earlier run.
    ///
    /// # Errors
    /// If the spool can't be had.
    pub(crate) fn open(store: &Store, program: Program, most: u64) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("could not open its spool: {error}");
        let directory = store.hooks_directory().map_err(|error| error.to_string())?;
        let directory = Directory::new(directory);
        let boot = store.boot().to_owned();
        let recovered = recover(&directory, store, &boot).map_err(failed)?;
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(|error| format!("no random number: {error}"))?;
        let run = format!("{:016x}", u64::from_be_bytes(run));
        let bounds = Bounds { most, is_durable: store.is_durable() };
        let spool = Spool::new(directory, recovered, bounds, Names { boot, run });
        let last = Last::new(ON_COMMIT);
        Ok(Self { spool: spool.map_err(failed)?, program, last })
    }

    /// Reserves room in the spool for the records of these changes.
    ///
    /// # Errors
    /// If there is none, because the hook is so far behind.
    pub(crate) fn reserve(&self, events: &[Event]) -> Result<Reserved, Refusal> {
        let message = "too many changes wait for the server's hook on-commit";
        self.spool.reserve(events).ok_or_else(|| Refusal::new(Code::Busy, message))
    }

    /// Writes the records of changes that are about to take effect. Returns the number of the first record; the others follow.
    ///
    /// # Errors
    /// If they can't be written: then none of the changes may take effect.
    pub(crate) fn begin<'a>(
        &self,
        events: impl Iterator<Item = &'a Event> + Clone,
        metrics: &Metrics,
    ) -> Result<u64, Refusal> {
        self.spool.begin(events.clone()).map_err(|error| {
            metrics.hooks.refused.add(events.count() as u64);
            tracing::error!(%error, "the spool of the hook on-commit can't be written");
            let message = format!("the spool of the server's hook on-commit: {error}");
            Refusal::new(Code::NoSpace, message)
        })
    }

    /// The last failure, if the hook has not worked since.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.last.get()
    }
}

/// Whether the hook is told of a change: not of one in a draft, which nobody sees before it is published.
pub(crate) fn is_told(event: &Event) -> bool {
    !event.in_draft
}

/// The fate of a change with this result.
pub(crate) fn fate<E>(result: &Result<(), E>, is_uncertain: impl Fn(&E) -> bool) -> Fate {
    match result {
        Ok(()) => Fate::Done,
        Err(error) if is_uncertain(error) => Fate::Uncertain,
        Err(_) => Fate::Never,
    }
}
