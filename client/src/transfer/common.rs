//! The wishes for a run of either direction that have the same meaning in both.

use haul_protocol::AccessToken;

use super::error::BuildError;
use crate::credentials::Login;
use crate::error::credentials::CredentialsError;
use crate::net::destination::Destination;
use crate::source::filter::Rules;
use crate::source::links::Links;
use crate::trust::Trust;
use crate::work::interrupt::Interrupt;
use crate::work::settings::Settings;

/// The most connections of one run.
const MAX_CONNECTIONS: usize = 64;

/// The least bytes a second.
const MIN_RATE: u64 = 1000;

/// The wishes that the builders of both directions have.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) token: Option<AccessToken>,
    pub(crate) find_login: fn(&Destination) -> Result<Login, CredentialsError>,
    pub(crate) trust: Option<Trust>,
    pub(crate) rules: Rules,
    pub(crate) links: Links,
    pub(crate) settings: Settings,
    pub(crate) dry_run: bool,
    pub(crate) ignore_existing: bool,
    pub(crate) interrupt: Interrupt,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            token: None,
            find_login: Login::find,
            trust: None,
            rules: Rules::default(),
            links: Links::Copy,
            settings: Settings::default(),
            dry_run: false,
            ignore_existing: false,
            interrupt: Interrupt::default(),
        }
    }
}

impl Common {
    /// The account at a server, and its token.
    ///
    /// # Errors
    /// If the token is to be found, and can't be.
    pub(crate) fn login(&mut self, destination: &Destination) -> Result<Login, CredentialsError> {
        match self.token.take() {
            Some(token) => Ok(Login::with_token(destination, token)),
            None => (self.find_login)(destination),
        }
    }

    /// The rules by which a server is trusted. A link to it has the server's key in it.
    pub(crate) fn trust(&mut self, destination: &Destination) -> Trust {
        let of_link = || destination.pin.map_or_else(Trust::default, |pin| Trust::pins([pin]));
        self.trust.take().unwrap_or_else(of_link)
    }

    /// Whether the settings are within their bounds.
    ///
    /// # Errors
    /// If one is not.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let Settings { connections, timeout, rate, .. } = self.settings;
        if let Some(wrong) = connections.filter(|count| !(1..=MAX_CONNECTIONS).contains(count)) {
            return Err(BuildError::Connections(wrong));
        }
        if timeout.is_zero() {
            return Err(BuildError::Timeout);
        }
        if rate.is_some_and(|rate| rate < MIN_RATE) {
            return Err(BuildError::Rate);
        }
        Ok(())
    }
}
