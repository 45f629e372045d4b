//! The login of a client at a server: the account, its token, and the meaning of a server's words about both.

use haul_protocol::{AccessToken, AccountFacts, Code, Refusal, Right};

use super::store::Store;
use super::variables;
use crate::error::ConnectionError;
use crate::error::account::{Lacking, OtherAccount, TokenPlace, Unauthorized};
use crate::error::credentials::CredentialsError;
use crate::net::destination::{Destination, Server};

/// A server, and the account and token with which connections log in there.
#[derive(Debug, Clone)]
pub struct Login {
    server: Server,
    /// The account that the user has named, or whose token is stored.
    account: Option<String>,
    /// The user has named the account.
    is_named: bool,
    token: Option<AccessToken>,
    place: TokenPlace,
}

/// A right that a command can't do without, and the word for the part of the command that needs it.
pub(crate) type Need = (Right, &'static str);

impl Login {
    /// Finds the token for a destination: that of the environment, or else the one that `haul login` has stored.
    ///
    /// # Errors
    /// If a token is there and can't be used; if the destination names an account of which no token is there; or if it names
    /// none, and tokens of several are there.
    pub(crate) fn find(destination: &Destination) -> Result<Self, CredentialsError> {
        let Destination { server, account, .. } = destination;
        // Over ssh there are no accounts.
        if destination.is_over_ssh() {
            return Ok(Self::without_token(destination));
        }
        if let Some((token, place)) = variables::find()? {
            return Ok(Self { place, ..Self::with_token(destination, token) });
        }
        let mut found = match Store::own() {
            Ok(store) => store.find(server, account.as_deref())?,
            Err(_) => Vec::new(),
        };
        if found.len() > 1 && account.is_none() {
            let accounts = found.into_iter().map(|(account, _)| account).collect();
            return Err(CredentialsError::Several { accounts, server: server.to_string() });
        }
        let login = match (found.pop(), account) {
            (Some((account, token)), _) => Self {
                account: Some(account),
                place: TokenPlace::Stored,
                ..Self::with_token(destination, token)
            },
            (None, Some(account)) if matches!(server, Server::Tcp { .. }) => {
                let (account, server) = (account.clone(), server.to_string());
                return Err(CredentialsError::Missing { account, server });
            }
            (None, _) => Self::without_token(destination),
        };
        Ok(login)
    }

    /// The variable of the environment that comes before stored tokens, if one is set.
    pub(crate) fn variable() -> Option<&'static str> {
        variables::is_set()
    }

    /// A login with this token.
    pub(crate) fn with_token(destination: &Destination, token: AccessToken) -> Self {
        let place = TokenPlace::Caller;
        Self { token: Some(token), place, ..Self::without_token(destination) }
    }

    /// No login: the server may know who comes, or ask nobody.
    pub(crate) fn without_token(destination: &Destination) -> Self {
        let Destination { server, account, .. } = destination;
        Self {
            server: server.clone(),
            account: account.clone(),
            is_named: account.is_some(),
            token: None,
            place: TokenPlace::None,
        }
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The token.
    pub(crate) fn token(&self) -> Option<&AccessToken> {
        self.token.as_ref()
    }

    /// The error of a server that has ended the connection. `is_sent`: it has got the token; `was_taken`: it had taken the
    /// login before.
    pub(crate) fn ended(
        &self,
        refusal: Refusal,
        is_sent: bool,
        was_taken: bool,
    ) -> ConnectionError {
        if refusal.code != Code::Unauthorized {
            return ConnectionError::Ended(refusal);
        }
        ConnectionError::Unauthorized(Box::new(Unauthorized {
            server: self.server.to_string(),
            account: self.account.clone(),
            place: self.place.clone(),
            is_sent,
            was_taken,
            has_large: false,
            message: refusal.message,
        }))
    }

    /// Looks at the account that the server has told: it must be the one that the user has named, and have the rights that
    /// the command needs.
    ///
    /// # Errors
    /// If it is another one, or lacks a right.
    pub(crate) fn check(
        &self,
        facts: Option<&AccountFacts>,
        needs: &[Need],
    ) -> Result<(), ConnectionError> {
        let found = facts.map(|facts| facts.name.clone());
        if let (true, Some(wanted)) = (self.is_named, &self.account)
            && found.as_ref() != Some(wanted)
        {
            let (server, wanted) = (self.server.to_string(), wanted.clone());
            let other = OtherAccount { server, wanted, found };
            return Err(ConnectionError::OtherAccount(Box::new(other)));
        }
        let Some(facts) = facts else { return Ok(()) };
        match lacked(facts, needs) {
            Some(need) => Err(self.lacking(Some(facts), need)),
            None => Ok(()),
        }
    }

    /// The error of an account that lacks a right which the command needs.
    pub(crate) fn lacking(
        &self,
        facts: Option<&AccountFacts>,
        (right, need): Need,
    ) -> ConnectionError {
        let account = facts.map(|facts| facts.name.clone()).or_else(|| self.account.clone());
        let server = self.server.to_string();
        ConnectionError::Lacking(Box::new(Lacking { server, account, right, need }))
    }

    /// The refusal that a run with these needs would get.
    pub(crate) fn foreseen(&self, facts: &AccountFacts, needs: &[Need]) -> Option<String> {
        let (right, need) = lacked(facts, needs)?;
        let (server, account) = (self.server.to_string(), Some(facts.name.clone()));
        Some(Lacking { server, account, right, need }.foreseen())
    }
}

/// The first of these needs that an account does not meet.
fn lacked(facts: &AccountFacts, needs: &[Need]) -> Option<Need> {
    needs.iter().find(|(right, _)| !facts.rights.contains(*right)).copied()
}
