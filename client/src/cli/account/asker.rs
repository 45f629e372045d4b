//! Connections of `haul login` and `haul whoami`, which ask a server for nothing but the account.

use std::fmt::Display;
use std::time::Duration;

use haul_protocol::{AccountFacts, Token};

use super::words::AccountOptions;
use crate::cli::exit::Reason;
use crate::cli::oneshot::random;
use crate::cli::signals::Signals;
use crate::cli::{access, unreached};
use crate::connection::rpc::Asking;
use crate::credentials::Login;
use crate::error::ConnectionError;
use crate::net::destination::{Destination, Server};
use crate::net::poller::Poller;
use crate::trust::{NOTHING, Route, Trust};

/// A failure of a command, for people.
pub(super) type Failed = (Reason, String);

/// The end of a connection that has told no account.
pub(super) enum Refused {
    /// By a signal.
    Interrupted,
    /// By this error.
    By(ConnectionError),
}

impl Refused {
    /// Whether the server knows no account of the token.
    pub(super) fn is_by_token(&self) -> bool {
        matches!(self, Self::By(ConnectionError::Unauthorized(_)))
    }

    /// The same for people.
    pub(super) fn into_failed(self) -> Failed {
        match self {
            Self::Interrupted => interrupted(),
            Self::By(error) => told(&error),
        }
    }
}

/// Connections to one server, which is trusted by the same answers.
pub(super) struct Asker<'a> {
    destination: &'a Destination,
    timeout: Duration,
    signals: &'a Signals,
    trust: Trust,
    poller: Poller,
    client: Token,
}

impl<'a> Asker<'a> {
    /// To the server of this destination.
    ///
    /// # Errors
    /// If the system has no room, or a link has another key than the one that the user trusts.
    pub(super) fn new(
        destination: &'a Destination,
        options: &AccountOptions,
        signals: &'a Signals,
    ) -> Result<Self, Failed> {
        let of_system = |error: &dyn Display| (Reason::System, error.to_string());
        let trust = access::trust_of_requests(destination, false, signals)
            .map_err(|error| told(&error.into()))?;
        let poller = Poller::new().map_err(|error| of_system(&error))?;
        let client = random().map_err(|error| of_system(&error))?;
        Ok(Self { destination, timeout: options.timeout, signals, trust, poller, client })
    }

    /// Sees to it that the server is trusted and asks for a login, before anybody types a token.
    ///
    /// # Errors
    /// If it is not so.
    pub(super) fn asks_for_login(&mut self) -> Result<(), Failed> {
        let Self { destination, .. } = *self;
        let server = &destination.server;
        // A server behind a Unix socket may know its client without a token, and still take one.
        if matches!(server, Server::Unix(_)) {
            return Ok(());
        }
        let nobody = Destination { account: None, ..destination.clone() };
        match self.ask(&Login::without_token(&nobody)) {
            Err(Refused::By(ConnectionError::Unauthorized(_))) => {
                let _ = self.trust.asked_for_login(server);
                Ok(())
            }
            Err(refused) => Err(refused.into_failed()),
            Ok(None) => Err(asks_nobody(server)),
            Ok(Some(facts)) => {
                let named = Login::without_token(destination);
                named.check(Some(&facts), &[]).map_err(|error| told(&error))?;
                let error = format!("{server} asks for no token, so nothing is stored");
                Err((Reason::Refused, error))
            }
        }
    }

    /// Logs in, once, and returns the account that the server tells.
    ///
    /// # Errors
    /// If the server can't be reached, or does not take the login.
    pub(super) fn ask(&mut self, login: &Login) -> Result<Option<AccountFacts>, Refused> {
        let Self { timeout, signals, ref trust, client, .. } = *self;
        let client = client.to_string();
        signals.begin();
        let (over, server) = (|| signals.is_set(), login.server());
        let route = Route { server, trust, timeout, over: &over, prepare: NOTHING, direct: None };
        let asked = Asking::connect(route, login, &[], &client, &mut self.poller)
            .map(|asking| asking.account().cloned());
        let interrupted = signals.end();
        asked.map_err(|error| if interrupted { Refused::Interrupted } else { Refused::By(error) })
    }
}

/// The error of a command that a signal has ended.
pub(super) fn interrupted() -> Failed {
    (Reason::Interrupted, String::from("interrupted"))
}

/// The error of a login at a server without accounts.
pub(super) fn asks_nobody(server: &Server) -> Failed {
    (Reason::Refused, format!("{server} asks nobody for an account, so nothing is stored"))
}

fn told(error: &ConnectionError) -> Failed {
    (Reason::of(error, false), unreached::told(error))
}
