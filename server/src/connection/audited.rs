//! A connection tells the audit log of its login, the changes that its client asks for, and refusals; the access log of the
//! files that its client stores and reads; and the hook `on-commit` of the changes.

use std::sync::Arc;
use std::time::Instant;

use haul_protocol::{Code, Digest, Name, RequestId};

use super::file_body::Incoming;
use super::{Connection, Dialect};
use crate::accounts::Login;
use crate::audit::access::Reading;
use crate::audit::{Changed, Event, Logs, What, Who};
use crate::hooks::Reserved;
use crate::metrics::Speaks;
use crate::refusal::Refusal;
use crate::services::Services;
use crate::store::Change;
use crate::uploads::Publishing;

/// The dialect of an upload whose bytes come in order: tus, or the draft of the IETF.
pub(super) const TUS: &str = "tus";

/// Tells the logs and the hooks in the name of one client.
#[derive(Debug)]
pub(super) struct Teller {
    logs: Logs,
    pub(super) who: Arc<Who>,
}

impl Teller {
    /// For a client that has not logged in. `None`: nobody is told, or asked.
    pub(super) fn new(services: &Services, peer: &str) -> Option<Self> {
        let who = || Who { account: None, token: None, address: peer.to_owned() };
        let is_needed = services.tells_changes() || services.before_put.is_some();
        is_needed.then(|| Self { logs: services.logs.clone(), who: Arc::new(who()) })
    }

    /// The client is another one, which has not logged in.
    pub(super) fn is_from(&mut self, peer: &str) {
        self.who = Arc::new(Who { account: None, token: None, address: peer.to_owned() });
    }
}

impl Connection {
    /// The client has logged in.
    pub(super) fn tell_login(&mut self, login: &Login) {
        self.metrics().logins.add(1);
        self.seen().is_of(Some(login.account.name.to_string()));
        let Some(Teller { logs, who }) = &mut self.teller else { return };
        *who = Arc::new(Who {
            account: Some(login.account.name.clone()),
            token: Some(login.proof().to_string()),
            address: who.address.clone(),
        });
        if let Some(audit) = &logs.audit {
            audit.login(who);
        }
    }

    /// A login is refused. `token`: the id of its token.
    pub(super) fn tell_refused_login(&self, token: &str) {
        self.metrics().failed_logins.add(1);
        if let Some(Teller { logs: Logs { audit: Some(audit), .. }, who }) = &self.teller {
            audit.login_refused(&who.address, token);
        }
    }

    /// A request is refused.
    pub(super) fn tell_refusal(&self, refusal: &Refusal) {
        self.metrics().refused(refusal.code());
        if let Some(Teller { logs: Logs { audit: Some(audit), .. }, who }) = &self.teller {
            audit.refused(who, refusal.code().as_str(), refusal.message());
        }
    }

    /// The connection of an account ends: because the account has ended, or may not do what it asks for.
    pub(super) fn tell_end(&self, refusal: &Refusal) {
        let is_denied = matches!(refusal.code(), Code::Unauthorized | Code::Forbidden | Code::Busy);
        if self.login.is_some() && is_denied {
            self.tell_refusal(refusal);
        } else {
            self.metrics().refused(refusal.code());
        }
    }

    /// A change that is to be told when it is over; `None` if nobody is told. Its names are those of the connection.
    pub(super) fn event(&self, what: impl FnOnce() -> What) -> Option<Event> {
        let who = Arc::clone(&self.teller.as_ref()?.who);
        let (what, in_draft) = match self.version() {
            Some(version) => (what().below(&version.name), true),
            None => (what(), false),
        };
        Some(Event { who, what, in_draft, begun: Instant::now(), dialect: self.speaks() })
    }

    /// The word of its dialect.
    pub(super) fn speaks(&self) -> &'static str {
        let speaks = match &self.dialect {
            Dialect::Haul(_) => Speaks::Haul,
            Dialect::Classic | Dialect::Unknown => Speaks::Classic,
            Dialect::Http(_) => Speaks::Http,
        };
        speaks.as_str()
    }

    /// Tells the access log, when it is dropped, that bytes of a file have gone to the client, who was to get `wanted` of them.
    /// `None`: there is no access log.
    pub(super) fn reading(
        &self,
        name: &Name,
        digest: Option<Digest>,
        wanted: u64,
    ) -> Option<Box<Reading>> {
        let Teller { logs, who } = self.teller.as_ref()?;
        let log = Arc::clone(logs.access.as_ref()?);
        let (who, dialect, name) = (Arc::clone(who), self.speaks(), name.clone());
        let (begun, gone) = (Instant::now(), 0);
        Some(Box::new(Reading { log, who, dialect, name, digest, begun, wanted, gone }))
    }

    /// Bytes of a file are read, and part of an answer.
    pub(super) fn is_read(&self, name: &Name, digest: Option<Digest>, bytes: usize) {
        let bytes = bytes as u64;
        if let Some(mut reading) = self.reading(name, digest, bytes) {
            reading.moved(bytes);
        }
    }

    /// A change of a file whose bytes are here, as [`event`](Self::event).
    pub(super) fn event_of_file(&self, file: &Incoming) -> Option<Event> {
        let Incoming { name, size, digest, begun, .. } = file;
        let event =
            self.event(|| What::File { name: name.clone(), size: *size, digest: *digest })?;
        Some(Event { begun: *begun, ..event })
    }

    /// The same for a change of one entry, or of versions.
    pub(super) fn event_of(
        &self,
        change: &Change,
        publishing: Option<&Publishing>,
    ) -> Option<Event> {
        let what = match change {
            Change::Link { name, target, .. } => {
                let (name, target) = (name.clone(), target.clone());
                return self.event(|| What::Symlink { name, target });
            }
            Change::Directory { name, .. } => What::Directory { name: name.clone() },
            Change::Remove { name } => What::Removal { name: name.clone() },
            Change::Rename { name, to, .. } => What::Rename { name: name.clone(), to: to.clone() },
            Change::Upload(_) | Change::Confirm(_) => {
                let publishing = publishing?;
                let ((digest, size), name) = (publishing.file(), change.name()?.clone());
                let event = self.event(|| What::File { name, size, digest: Some(digest) })?;
                let begun = publishing.begun();
                let dialect = if publishing.is_ordered() { TUS } else { event.dialect };
                return Some(Event { begun, dialect, ..event });
            }
            Change::Version(_) => {
                let name = self.version()?.name.clone();
                return self.event_of_versions(name, Changed::Publish);
            }
            Change::Rollback { wanted, .. } => {
                return self.event_of_versions(wanted.name.clone(), Changed::Rollback);
            }
            Change::File { .. }
            | Change::Tree(_)
            | Change::Attributes { .. }
            | Change::Properties { .. }
            | Change::Flush(_) => {
                return None;
            }
        };
        self.event(|| what)
    }

    /// Versions of a directory change places, which everybody sees.
    fn event_of_versions(&self, name: Name, changed: Changed) -> Option<Event> {
        let event = self.event(|| What::Versions { name: name.clone(), changed })?;
        Some(Event { what: What::Versions { name, changed }, in_draft: false, ..event })
    }

    /// A request waits until the staged tree is visible. `event`: its change, and the room for it in the spool of the hook.
    pub(super) fn wait_for_fresh(
        &mut self,
        id: RequestId,
        (event, reserved): (Option<Event>, Option<Reserved>),
    ) {
        self.fresh.push(id);
        self.fresh_events.extend(event);
        match (&mut self.fresh_reserved, reserved) {
            (Some(all), Some(more)) => all.join(more),
            (all, more) => *all = all.take().or(more),
        }
        self.pending += 1;
    }
}
