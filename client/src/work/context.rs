//! The context that all threads of a run share.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::Work;
use super::course::Course;
use super::more::More;
use super::on_commit::Committed;
use super::reached::Reached;
use super::settings::Settings;
use crate::credentials::Login;
use crate::net::congestion;
use crate::net::line::Interval;
use crate::net::rate_limit::Limit;
use crate::net::ssh::Direct;
use crate::net::transport::Socket;
use crate::plan::namesakes::Namesakes;
use crate::plan::policy::Policy;
use crate::report::note::Note;
use crate::report::progress::Progress;
use crate::source::hashing::HashThreads;
use crate::source::sources::Sources;
use crate::trust::Trust;

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
    /// The settings of its connections.
    pub settings: Settings,
    /// The congestion control that the user has asked for.
    pub congestion: Option<String>,
    /// Connections that may be added, if the user has given no number of them.
    pub more: Option<Mutex<More>>,
    /// Connections that the run began with.
    pub connections: usize,
    /// The direct way, if the run is over ssh and may go past it.
    pub direct: Option<Direct>,
    /// The fate of its connections.
    pub reached: Reached,
}

impl Run<'_> {
    /// Whether there is nothing left to do, or nothing shall be done any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.work.is_stopped() || self.work.is_finished()
    }

    /// Whether a slot leaves new work to others.
    #[must_use]
    pub fn rests(&self, slot: usize) -> bool {
        self.direct.as_ref().is_some_and(|direct| direct.rests(slot))
    }

    /// A period of the line of a slot is over; returns the slots that the run has more from now on.
    #[must_use]
    pub fn look(&self, slot: usize, interval: Interval) -> Range<usize> {
        let Some(more) = &self.more else {
            return 0..0;
        };
        let added = more.lock().unwrap_or_else(PoisonError::into_inner).look(slot, interval);
        self.reached.add(added.len());
        added
    }

    /// Chooses the congestion control of a socket. If the one that was asked for can't be had, the user is told once.
    pub fn choose_congestion(&self, socket: &Socket) {
        let wanted = self.congestion.as_deref();
        let Err(why) = congestion::choose(socket, wanted) else { return };
        if self.reached.tells_no_congestion() {
            let (name, why) = (wanted.unwrap_or_default().to_owned(), why.to_string());
            self.progress.note(Note::NoCongestionControl { name, why });
        }
    }
}
