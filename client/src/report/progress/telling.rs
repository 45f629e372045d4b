//! The events of a run that the observer is told one by one.

use std::fmt::Display;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use haul_protocol::Name;

use super::Progress;
use crate::error::Failure;
use crate::net::ssh::Direct;
use crate::net::transport::Transport;
use crate::report::events::Event;
use crate::report::note::Note;
use crate::report::status::Attempt;

impl Progress {
    /// A lost connection is tried again; told while no other one is up.
    pub fn reconnecting(&self, attempt: Attempt, error: &dyn Display) {
        if !self.connections().reconnecting(attempt, Instant::now()) {
            return;
        }
        self.tell(Event::Reconnecting(attempt, error.to_string()));
    }

    /// Source and server differ in a name.
    pub fn differs(&self, finding: &'static str, name: &Name, why: Option<&'static str>) {
        self.different.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Differs { finding, name: name.clone(), why });
    }

    /// An entry that the source lacks stays, because enough has been removed; told once.
    pub fn kept(&self, name: &Name) {
        if !self.limit_told.swap(true, Ordering::Relaxed) {
            let told = format!("the server keeps {name}, and all else that the source lacks");
            self.failed(Path::new("--max-delete"), told);
        }
    }

    /// An entry here that the server lacks stays, because enough has been removed; told once.
    pub fn kept_here(&self, name: &Name) {
        if !self.limit_told.swap(true, Ordering::Relaxed) {
            let told = format!("{name} stays here, and all else that the server lacks");
            self.failed(Path::new("--max-delete"), told);
        }
    }

    /// In a dry run: a change that would be made of a name, and the reason.
    pub fn would(&self, action: &'static str, name: &Name, why: &'static str, bytes: Option<u64>) {
        self.tell(Event::Would { action, name: name.clone(), why, bytes });
    }

    /// An entry failed for good. The same failure of the same path counts once.
    pub fn failed(&self, path: &Path, error: impl Failure) {
        let error = error.into_error();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = told.is_new(path, &error.to_string());
        drop(told);
        if is_new {
            self.failed.fetch_add(1, Ordering::Relaxed);
            self.tell(Event::Failed(path.to_owned(), error));
        }
    }

    /// An entry is gone since it was found.
    pub fn vanished(&self, path: &Path) {
        self.vanished.fetch_add(1, Ordering::Relaxed);
        self.skipped(path, "gone since it was found");
    }

    /// An entry is left out because the user said so.
    pub fn left_out(&self, path: &Path, why: &'static str) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.tell_name(|| Event::LeftOut(path.to_owned(), why));
    }

    /// An entry is of a kind that is not carried.
    pub fn skipped(&self, path: &Path, why: &'static str) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Skipped(path.to_owned(), why));
    }

    /// A line of a file of rules leaves nothing out.
    pub fn flawed(&self, path: &Path, line: usize, flaw: &dyn Display) {
        self.note(Note::FitsNothing { path: path.to_owned(), line, flaw: flaw.to_string() });
    }

    /// A user may want to know this.
    pub fn note(&self, note: Note) {
        self.tell(Event::Note(note));
    }

    /// A server has answered; if ssh leads there, the user may want to know how.
    pub fn reached_by(&self, transport: &Transport, direct: Option<&Direct>) {
        if let Some(address) = direct.and_then(|direct| direct.first_to(transport.invitation())) {
            self.note(Note::Direct { address });
        }
        if let Some(path) = transport.copied() {
            self.note(Note::Copied { path: path.to_owned() });
        }
        if let Some((remote, command)) = transport.remote() {
            self.note(Note::OverSsh {
                command: command.to_owned(),
                version: remote.version.clone(),
                root: remote.root.clone(),
                joined: remote.joined,
            });
        }
    }

    /// The same of a note for a user who wants names.
    pub fn detail(&self, note: Note) {
        if self.wants_names {
            self.tell(Event::Note(note));
        }
    }

    /// The run is over: nothing more is told.
    pub fn end(&self) {
        self.tell(Event::End);
    }

    pub(super) fn tell_name(&self, event: impl FnOnce() -> Event) {
        if self.wants_names {
            self.tell(event());
        }
    }

    /// Queues an event, and waits while the queue is full.
    fn tell(&self, event: Event) {
        // Nobody is told any more if the observer has panicked.
        let _ = self.events.send(event);
    }
}
