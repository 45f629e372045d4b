//! A connection tells the audit log: its login, the changes that its client asks for, and refusals.

use std::sync::Arc;

use haul_protocol::{Code, RequestId};

use super::Connection;
use super::file_body::Incoming;
use crate::accounts::Login;
use crate::audit::{Audit, Changed, Event, What, Who};
use crate::refusal::Refusal;
use crate::store::Change;
use crate::uploads::Publishing;

/// Tells the audit log in the name of one client.
#[derive(Debug)]
pub(super) struct Teller {
    audit: Arc<Audit>,
    who: Arc<Who>,
}

impl Teller {
    /// For a client that has not logged in. `None`: there is no log.
    pub(super) fn new(audit: Option<&Arc<Audit>>, peer: &str) -> Option<Self> {
        let who = || Who { account: None, token: None, address: peer.to_owned() };
        audit.map(|audit| Self { audit: Arc::clone(audit), who: Arc::new(who()) })
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
        let Some(Teller { audit, who }) = &mut self.teller else { return };
        *who = Arc::new(Who {
            account: Some(login.account.name.clone()),
            token: Some(login.proof().to_string()),
            address: who.address.clone(),
        });
        audit.login(who);
    }

    /// A login is refused. `token`: the id of its token.
    pub(super) fn tell_refused_login(&self, token: &str) {
        self.metrics().failed_logins.add(1);
        if let Some(Teller { audit, who }) = &self.teller {
            audit.login_refused(&who.address, token);
        }
    }

    /// A request is refused.
    pub(super) fn tell_refusal(&self, refusal: &Refusal) {
        self.metrics().refused(refusal.code());
        if let Some(Teller { audit, who }) = &self.teller {
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

    /// A change of an entry of the staged tree is over.
    pub(super) fn tell_over(&self, event: &Event, result: &Result<(), Refusal>) {
        if let Some(Teller { audit, .. }) = &self.teller {
            audit.over(std::slice::from_ref(event), result, Refusal::is_uncertain);
        }
    }

    /// A change that is to be told when it is over; `None` if there is no log. Its names are those of the connection.
    pub(super) fn event(&self, what: impl FnOnce() -> What) -> Option<Event> {
        let who = Arc::clone(&self.teller.as_ref()?.who);
        Some(match self.version() {
            Some(version) => Event { who, what: what().below(&version.name), in_draft: true },
            None => Event { who, what: what(), in_draft: false },
        })
    }

    /// The same for a file whose bytes are here.
    pub(super) fn event_of_file(&self, file: &Incoming) -> Option<Event> {
        let Incoming { name, size, digest, .. } = file;
        self.event(|| What::File { name: name.clone(), size: *size, digest: *digest })
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
                let (digest, size) = publishing?.file();
                let digest = Some(digest);
                What::File { name: change.name()?.clone(), size, digest }
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
    fn event_of_versions(&self, name: haul_protocol::Name, changed: Changed) -> Option<Event> {
        let who = Arc::clone(&self.teller.as_ref()?.who);
        Some(Event { who, what: What::Versions { name, changed }, in_draft: false })
    }

    /// A request waits until the staged tree is visible.
    pub(super) fn wait_for_fresh(&mut self, id: RequestId, event: Option<Event>) {
        self.fresh.push(id);
        self.fresh_events.extend(event);
        self.pending += 1;
    }
}
