//! `haul login`, `haul logout` and `haul whoami`.

mod asker;
mod facts;
mod secret;
pub(super) mod words;

use super::access;
use super::ending::Ending;
use super::exit::Reason;
use super::signals::Signals;
use crate::credentials::{Login, Store};
use crate::error::credentials::CredentialsError;
use crate::net::account::is_account;
use crate::net::destination::Destination;
use asker::{Asker, Failed, Refused, asks_nobody, interrupted};
use secret::{NoSecret, Secret};
use words::{LoginCommand, LogoutCommand, WhoamiCommand};

/// Carries `haul login` out, and returns the exit code.
pub(super) fn login(words: &LoginCommand, signals: &Signals) -> u8 {
    let ending = Ending::of_requests(words.options.output, signals);
    // Nobody types a token that can't be kept then.
    access::hide();
    let mut token = Piped::Nothing;
    match log_in(words, &ending, &mut token) {
        Ok(()) => ending.asked(Reason::Done),
        Err((reason, error)) if token == Piped::Once => {
            // The last line has the first thing to do.
            ending.error(&lost(&words.destination));
            ending.error(&error);
            ending.asked(reason)
        }
        Err((reason, error)) => ending.fail(reason, &error),
    }
}

/// A token that standard input has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piped {
    /// There is none, or none that anybody needs again.
    Nothing,
    /// It can't be read once more.
    Once,
}

/// The words about a token that came through a pipe and is not stored.
fn lost(destination: &Destination) -> String {
    let account = destination.account.as_deref();
    let (name, login) = (account.unwrap_or("NAME"), destination.login());
    format!(
        "the token from standard input is stored nowhere, as told below. If it is nowhere else either, `hauld user rotate \
         {name}` prints a new one on the server; then: haul login {login}"
    )
}

/// The server's key is trusted first, and the server asks for a login; then the user is asked for the token, and the server
/// takes it; then the token is kept.
fn log_in(words: &LoginCommand, ending: &Ending<'_>, given: &mut Piped) -> Result<(), Failed> {
    let LoginCommand { destination, options } = words;
    let (server, signals) = (&destination.server, ending.signals());
    let unusable = |error: CredentialsError| (Reason::Usage, error.to_string());
    let store = Store::own().and_then(|store| store.check().map(|()| store)).map_err(unusable)?;
    let no_token = |error: NoSecret| (Reason::Usage, error.to_string());
    let piped = secret::piped().map_err(no_token)?;
    if piped.is_some() && !secret::is_file() {
        *given = Piped::Once;
    }
    let mut asker = Asker::new(destination, options, signals)?;
    asker.asks_for_login()?;
    let token = match piped.map_or_else(
        || secret::typed(&destination.login(), signals),
        |token| Ok(Secret::Token(token)),
    ) {
        Ok(Secret::Token(token)) => token,
        Ok(Secret::Interrupted) => return Err(interrupted()),
        Err(error) => return Err(no_token(error)),
    };
    let login = Login::with_token(destination, token.clone());
    let facts = asker.ask(&login).map_err(|refused| {
        if refused.is_by_token() {
            *given = Piped::Nothing;
        }
        refused.into_failed()
    })?;
    let facts = facts.ok_or_else(|| asks_nobody(server))?;
    if !is_account(&facts.name) {
        let error = format!("{server} tells an account `{}`, which is no name", facts.name);
        return Err((Reason::Refused, error));
    }
    access::keep_pin(destination).map_err(|error| (Reason::Untrusted, error.to_string()))?;
    store.add(server, &facts.name, &token).map_err(unusable)?;
    facts::tell(server, Some(&facts), ending);
    if let Some(variable) = Login::variable() {
        let path = store.path();
        ending.hint(&format_args!("{variable} is set, and comes before {}", path.display()));
    }
    Ok(())
}

/// Carries `haul logout` out, and returns the exit code.
pub(super) fn logout(words: &LogoutCommand, signals: &Signals) -> u8 {
    let LogoutCommand { destination, output } = words;
    let ending = Ending::of_requests(*output, signals);
    access::hide();
    let removed = Store::own()
        .and_then(|store| store.remove(&destination.server, destination.account.as_deref()));
    match removed {
        Ok(accounts) if accounts.is_empty() => {
            let login = destination.login();
            let error = format!("no token is stored for {login}, so there is nothing to forget");
            ending.fail(Reason::Failed, &error)
        }
        Ok(accounts) => {
            for account in accounts {
                let server = &destination.server;
                ending.result(&format_args!("{account}@{server}: the token is forgotten here"));
            }
            ending.asked(Reason::Done)
        }
        Err(error) => ending.fail(Reason::Usage, &error),
    }
}

/// Carries `haul whoami` out, and returns the exit code.
pub(super) fn whoami(words: &WhoamiCommand, signals: &Signals) -> u8 {
    let WhoamiCommand { destination, options } = words;
    let ending = Ending::of_requests(options.output, signals);
    let login = match access::login(destination) {
        Ok(login) => login,
        Err(error) => return ending.fail(Reason::of_credentials(&error), &error),
    };
    let asked = Asker::new(destination, options, signals)
        .and_then(|mut asker| asker.ask(&login).map_err(Refused::into_failed));
    match asked {
        Ok(facts) => {
            facts::tell(&destination.server, facts.as_ref(), &ending);
            ending.asked(Reason::Done)
        }
        Err((reason, error)) => ending.fail(reason, &error),
    }
}
