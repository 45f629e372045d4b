//! The account of a connection: found when `hello` comes, and lost when it ends.

use std::sync::Arc;

use haul_protocol::{Code, Hello};

use super::turn::Turn;
use super::{Connection, Dialect};
use crate::accounts::{ClientId, Denied, Login};
use crate::commit::notify::waker;
use crate::refusal::Refusal;
use crate::services::Services;
use crate::services::budget::Meter;
use crate::services::seats::{Newcomer, NoSeat, Seat};

impl Connection {
    /// Finds the account of a client, if the server has accounts, and puts the name that is to be published below the account's
    /// root. `false`: the connection ends.
    pub(super) fn log_in(&mut self, hello: &mut Hello, turn: &mut Turn<'_>) -> bool {
        let services = turn.services;
        if self.is_uninvited {
            return self.show_invitation(hello, services);
        }
        // Without accounts a token has no meaning.
        if !self.needs_account(services) {
            return true;
        }
        let waker = waker(turn.notify, self.id);
        let Some(token) = hello.token.take() else {
            let user = self.user.and_then(|user| services.accounts.log_in_user(user, &waker));
            // The client has shown nothing that could be wrong: it may only ask whether it needs an account.
            let Some(login) = user else {
                self.end(without_account());
                return false;
            };
            return self.logged_in(login, hello, turn);
        };
        if !services.accounts.knows(&token) {
            services.catch_up_with_accounts();
        }
        let origin = || self.origin;
        match services.accounts.log_in(&token, origin, services.now(), waker) {
            Ok(login) => self.logged_in(login, hello, turn),
            Err(denied) => {
                if self.may_tell(services) {
                    tracing::warn!(peer = self.peer, token = token.id(), "refused a login");
                }
                self.tell_refused_login(token.id());
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

    /// Takes a seat among the connections that the server serves, or waits for one. If there is none, the connection ends, and
    /// this is `None`.
    pub(super) fn take_seat(
        &mut self,
        client: &ClientId,
        slot: u64,
        turn: &Turn<'_>,
    ) -> Option<Arc<Seat>> {
        let (login, services) = (self.login.as_ref()?, turn.services);
        let budget = services.budgets.of(&login.account, services.now());
        let newcomer = Newcomer {
            connection: self.id,
            account: login.account.name.clone(),
            client: client.clone(),
            slot,
            most: budget.connections(),
            waker: waker(turn.notify, self.id),
        };
        let taken = services.seats.take(newcomer, |others| turn.notify.free_a_seat(others));
        match taken {
            Ok(seat) => {
                let seat = Arc::new(seat);
                self.meter = Some(Meter::new(budget));
                self.pay_for_login();
                self.seat = Some(Arc::clone(&seat));
                Some(seat)
            }
            Err(NoSeat::OfAccount(most)) => {
                let name = &login.account.name;
                let connections = if most == 1 { "connection" } else { "connections" };
                let message =
                    format!("account `{name}` has {most} {connections}, and may not have more");
                self.refuse_connection(Code::Busy, &message);
                None
            }
            Err(NoSeat::OfServer) => {
                self.refuse_without_seat();
                None
            }
        }
    }

    /// Ends the connection because other connections have all seats.
    pub(super) fn refuse_without_seat(&mut self) {
        let message =
            "all connections of this server are taken, and no account has more than this one";
        self.refuse_connection(Code::Busy, message);
    }

    /// Whether the account's root is there now. If it is gone, the connection ends.
    pub(super) fn has_own_root(&mut self, turn: &Turn<'_>) -> bool {
        let Some(login) = self.login.clone() else { return true };
        let Some(root) = login.account.view.root() else { return true };
        if turn.services.store.has_root(root) {
            return true;
        }
        tracing::error!(peer = self.peer, root = root.as_bytes(), "the root of an account is gone");
        let message =
            "the root of this account is not there, or no directory of the server's file system";
        self.refuse_connection(Code::RootGone, message);
        false
    }

    /// Whether the peer may do nothing without an account.
    pub(super) fn needs_account(&self, services: &Services) -> bool {
        self.is_uninvited || services.accounts.are_needed() && !self.is_owner
    }

    /// Looks at the token of a peer that needs an invitation. `false`: the connection ends.
    fn show_invitation(&mut self, hello: &mut Hello, services: &Services) -> bool {
        let token = hello.token.take();
        let invited = token.zip(services.invitation.as_ref());
        if !invited.is_some_and(|(token, invitation)| invitation.is_shown(&token)) {
            if services.lines.may_tell(services.now()) {
                tracing::info!(peer = self.peer, "came without the invitation of this run");
            }
            self.end(unknown_token());
            return false;
        }
        // It is the client at standard input, who could change the root itself.
        (self.is_uninvited, self.is_owner) = (false, true);
        true
    }

    /// The refusal of a connection that has no account any more, and needs one.
    pub(super) fn lost_account(&self, services: &Services) -> Option<Refusal> {
        match (&self.login, &self.dialect) {
            (Some(login), _) => login.is_over().then(login_has_ended),
            // Each request of HTTP is asked for its own.
            (None, Dialect::Unknown | Dialect::Http(_)) => None,
            (None, _) => self.needs_account(services).then(without_account),
        }
    }
}

/// One answer for an unknown account, a wrong secret, an account or token that has ended or was removed.
pub(super) fn unknown_token() -> Refusal {
    Refusal::new(Code::Unauthorized, "no account has this token")
}

/// The peer had logged in: so it may know more.
fn login_has_ended() -> Refusal {
    let message =
        "this login has ended: the account or the token was changed or removed, or has ended";
    Refusal::new(Code::Unauthorized, message)
}

pub(super) fn without_account() -> Refusal {
    Refusal::new(Code::Unauthorized, "this server asks for an account: haul login")
}
