//! Starting the work that a request asks of the store.
//!
//! A worker gives the work a [`Ticket`], and learns the result by a [`Done`] with it: at once, or later from the committer, by
//! way of its connection. The worker never waits. A store that takes its time can answer by the same way.

use super::Services;
use crate::audit::Event;
use crate::commit::committer::Work;
use crate::commit::notify::{Done, Ticket};
use crate::hooks::{self, fate};
use crate::refusal::Refusal;
use crate::store::{Change, Parents, Version};
use crate::uploads::Publishing;

/// The names that a change is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Names<'a> {
    /// Those that all clients see.
    Seen(&'a Parents),
    /// Those of a draft. The change needs no flush of its own, because all of the draft is flushed before it is seen.
    Draft(&'a Parents, &'a Version),
}

/// The state of work that was started.
#[derive(Debug)]
pub(crate) enum Started {
    /// The work is over.
    Now(Done),
    /// The committer has it. The connection gets so many results, each by a [`Done`], and is woken.
    Later { results: usize },
}

impl Services {
    /// Starts a change. `publishing`: what the change makes of an upload.
    pub(crate) fn start(
        &self,
        ticket: Ticket,
        change: Change,
        publishing: Option<Publishing>,
        names: Names<'_>,
    ) -> Started {
        if let (Some(committer), Names::Seen(parents)) = (&self.committer, names) {
            let results = change.results();
            let missing = change.below_parents().map_or(0, |name| parents.missing(name));
            committer.add(Work { change, publishing, ticket: Some(ticket), missing });
            return Started::Later { results };
        }
        let mut kinds = Vec::with_capacity(1);
        change.kinds(&mut kinds);
        let result = self.begin_told(&ticket.events).and_then(|spooled| {
            let result = self.apply(change, names);
            self.end_told(spooled, std::slice::from_ref(&result));
            result
        });
        kinds.into_iter().for_each(|kind| self.metrics.changed(kind, result.is_ok()));
        Started::Now(self.over(ticket, publishing, result))
    }

    /// Before changes take effect: their records go to the spool of the hook that is told of changes, if there is one. Returns
    /// the number of the first one, for [`end_told`](Self::end_told).
    pub(crate) fn begin_told(&self, events: &[Event]) -> Result<Option<u64>, Refusal> {
        match &self.on_commit {
            Some(hook) if events.iter().any(hooks::is_told) => {
                let told = events.iter().filter(|event| hooks::is_told(event));
                hook.begin(told, &self.metrics).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// These are the results of the changes.
    pub(crate) fn end_told(&self, first: Option<u64>, results: &[Result<(), Refusal>]) {
        if let (Some(hook), Some(first)) = (&self.on_commit, first) {
            let fates = results.iter().map(|result| fate(result, Refusal::is_uncertain));
            hook.spool.fate((first..).zip(fates));
        }
    }

    /// Work that never began, or has ended: an upload that it is about learns that.
    pub(crate) fn over(
        &self,
        ticket: Ticket,
        publishing: Option<Publishing>,
        result: Result<(), Refusal>,
    ) -> Done {
        self.logs.over(&ticket.events, &result, Refusal::is_uncertain);
        if let Some(publishing) = publishing {
            self.uploads.published(&self.store, publishing, result.is_ok());
        }
        Done { reply_to: ticket.reply_to, result }
    }

    /// Starts work of the server's own, which only makes things durable: there is none without a committer.
    pub(crate) fn start_own(&self, change: Change) {
        if let Some(committer) = &self.committer {
            committer.add(Work { change, publishing: None, ticket: None, missing: 0 });
        }
    }

    fn apply(&self, change: Change, names: Names<'_>) -> Result<(), Refusal> {
        match names {
            Names::Seen(parents) => Ok(self.store.apply(parents, change)?),
            Names::Draft(parents, version) => {
                let _leave = version.enter()?;
                Ok(self.store.apply_unseen(parents, change)?)
            }
        }
    }
}
