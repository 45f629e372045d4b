//! The account of a connection: found when `hello` comes, and lost when it ends.

use std::net::SocketAddr;
use std::sync::Arc;

use haul_protocol::{Code, Hello};

use super::turn::Turn;
use super::{Connection, Dialect};
use crate::accounts::{ClientId, Denied, Login, Origin};
use crate::commit::notify::waker;
use crate::refusal::Refusal;
use crate::services::Services;
use crate::services::budget::Full;

impl Connection {
    /// Finds the account of a client, if the server has accounts, and puts the name that is to be published below the account's
    /// root. `false`: the connection ends.
    pub(super) fn log_in(&mut self, hello: &mut Hello, turn: &mut Turn<'_>) -> bool {
        let services = turn.services;
        // Without accounts a token has no meaning.
        if !services.accounts.are_needed() {
            return true;
        }
        let waker = waker(turn.notify, self.id);
        let Some(token) = hello.token.take() else {
            let user = self.user.and_then(|user| services.accounts.log_in_user(user, &waker));
            let Some(login) = user else {
                self.tell_refused_login(None);
                self.end(without_account());
                return false;
            };
            return self.logged_in(login, hello, turn);
        };
        let origin = || Origin::from(self.address());
        match services.accounts.log_in(&token, origin, services.now(), waker) {
            Ok(login) => self.logged_in(login, hello, turn),
            Err(denied) => {
                if self.may_tell(services) {
                    tracing::warn!(peer = self.peer, token = token.id(), "refused a login");
                }
                self.tell_refused_login(Some(token.id()));
                match denied {
                    Denied::Told => drop(self.end(unknown_token())),
                    Denied::Silently => self.half.abandon(),
                }
                false
            }
        }
    }

    fn logged_in(&mut self, login: Arc<Login>, hello: &mut Hello, turn: &mut Turn<'_>) -> bool {
        let (account, needs) = (Arc::clone(&login.account), hello.needs());
        tracing::info!(peer = self.peer, account = %account.name, token = %login.proof(), "logged in");
        self.tell_login(&login);
        self.login = Some(login);
        self.view = account.view.clone();
        if let Err(refusal) = self.may(needs) {
            self.end(refusal);
            return false;
        }
        if account.is_drop_box() {
            match turn.services.drop_directory(&account, &hello.client) {
                Ok(view) => self.view = view,
                Err(refusal) => {
                    self.end(refusal);
                    return false;
                }
            }
        }
        if let Some(publish) = &mut hello.publish {
            match self.view.inward(publish.name.clone()) {
                Ok(name) => publish.name = name,
                Err(refusal) => {
                    self.end(refusal);
                    return false;
                }
            }
        }
        self.enter_view(turn);
        true
    }

    /// Takes one of the places that the account has for connections. If all are taken, the connection ends.
    pub(super) fn take_seat(&mut self, client: &ClientId, slot: u64, turn: &Turn<'_>) -> bool {
        let (Some(login), services) = (&self.login, turn.services) else { return true };
        let entered = services.budgets.enter(&login.account, client.clone(), slot, services.now());
        match entered {
            Ok(seat) => self.seat = Some(seat),
            Err(Full(most)) => {
                let name = &login.account.name;
                let message =
                    format!("account `{name}` has {most} connections, and may not have more");
                self.refuse_connection(Code::Busy, &message);
            }
        }
        self.seat.is_some()
    }

    /// The bytes that may be read now; `None` if the account has sent as much as it may for the moment.
    pub(super) fn may_read(&mut self, now: u64) -> Option<usize> {
        let Some(seat) = &mut self.seat else { return Some(usize::MAX) };
        match seat.may_read(now) {
            Ok(most) => {
                if self.throttled.take().is_some() {
                    self.freed = now;
                }
                Some(most.unwrap_or(usize::MAX))
            }
            Err(at) => {
                self.throttled = Some(at);
                None
            }
        }
    }

    /// Whether the account's root is there now. If it is gone, the connection ends.
    pub(super) fn has_own_root(&mut self, turn: &Turn<'_>) -> bool {
        let Some(login) = self.login.clone() else { return true };
        let Some(root) = login.account.view.root() else { return true };
        if turn.services.store.has_root(root) {
            return true;
        }
        tracing::error!(peer = self.peer, %root, "the root of an account is gone");
        let message =
            "the root of this account is not there, or no directory of the server's file system";
        self.refuse_connection(Code::RootGone, message);
        false
    }

    /// The refusal of a connection that has no account any more, and needs one.
    pub(super) fn lost_account(&self, services: &Services) -> Option<Refusal> {
        match (&self.login, &self.dialect) {
            (Some(login), _) => login.is_over().then(unknown_token),
            (None, Dialect::Unknown) => None,
            (None, _) => services.accounts.are_needed().then(without_account),
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        rustix::net::getpeername(&*self.socket)
            .ok()?
            .and_then(|peer| SocketAddr::try_from(peer).ok())
    }
}

/// One answer for an unknown account, a wrong secret, an account or token that has ended or was removed.
fn unknown_token() -> Refusal {
    Refusal::new(Code::Unauthorized, "no account has this token")
}

fn without_account() -> Refusal {
    Refusal::new(Code::Unauthorized, "this server asks for an account: haul login")
}
