//! `haul login`, `haul logout` and `haul whoami`.

mod facts;
mod secret;
pub(super) mod words;

use std::thread;
use std::time::{Duration, Instant};

use haul_protocol::AccountFacts;

use super::ending::Ending;
use super::exit::Reason;
use super::oneshot::random;
use super::signals::Signals;
use super::{access, unreached};
use crate::connection::rpc::Asking;
use crate::credentials::{Login, Store};
use crate::error::ConnectionError;
use crate::net::account::is_account;
use crate::net::destination::Destination;
use crate::net::poller::Poller;
use crate::trust::{NOTHING, Route};
use secret::Secret;
use words::{AccountOptions, LoginCommand, LogoutCommand, WhoamiCommand};

/// How often `haul login` shows its token to a server that does not know it: a server reads its accounts when they have
/// changed, a moment later, and the account may be newer than that.
const LOGINS: u32 = 3;

/// The time between two of these logins.
const BETWEEN: Duration = Duration::from_millis(500);

/// The longest time in which a signal is not noticed between them.
const STEP: Duration = Duration::from_millis(50);

/// Carries `haul login` out, and returns the exit code.
pub(super) fn login(words: &LoginCommand, signals: &Signals) -> u8 {
    let LoginCommand { destination, options } = words;
    let ending = Ending::of_requests(options.output, signals);
    // Nobody types a token that can't be kept then.
    access::hide();
    let store = match Store::own().and_then(|store| store.check().map(|()| store)) {
        Ok(store) => store,
        Err(error) => return ending.fail(Reason::Usage, &error),
    };
    let token = match secret::read(&destination.login(), signals) {
        Ok(Secret::Token(token)) => token,
        Ok(Secret::Interrupted) => return ending.fail(Reason::Interrupted, &"interrupted"),
        Err(error) => return ending.fail(Reason::Usage, &error),
    };
    let login = Login::with_token(destination, token.clone());
    let facts = match ask(destination, &login, LOGINS, options, signals) {
        Ok(facts) => facts,
        Err((reason, error)) => return ending.fail(reason, &error),
    };
    let server = &destination.server;
    let Some(facts) = facts else {
        let error = format!("{server} asks nobody for an account, so nothing is stored");
        return ending.fail(Reason::Refused, &error);
    };
    if !is_account(&facts.name) {
        let error = format!("{server} tells an account `{}`, which is no name", facts.name);
        return ending.fail(Reason::Refused, &error);
    }
    if let Err(error) = access::keep_pin(destination) {
        return ending.fail(Reason::Untrusted, &error);
    }
    if let Err(error) = store.add(server, &facts.name, &token) {
        return ending.fail(Reason::Usage, &error);
    }
    facts::tell(server, Some(&facts), &ending);
    if let Some(variable) = Login::variable() {
        let path = store.path();
        ending.hint(&format_args!("{variable} is set, and comes before {}", path.display()));
    }
    ending.asked(Reason::Done)
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
            let error = format!("no token is stored for {}", destination.login());
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
    match ask(destination, &login, 1, options, signals) {
        Ok(facts) => {
            facts::tell(&destination.server, facts.as_ref(), &ending);
            ending.asked(Reason::Done)
        }
        Err((reason, error)) => ending.fail(reason, &error),
    }
}

/// Logs in, and returns the account that the server tells. A server that does not take the token is asked `most` times.
fn ask(
    destination: &Destination,
    login: &Login,
    most: u32,
    options: &AccountOptions,
    signals: &Signals,
) -> Result<Option<AccountFacts>, (Reason, String)> {
    let of_system = |error: &dyn std::fmt::Display| (Reason::System, error.to_string());
    let told = |error: &ConnectionError| (Reason::of(error, false), unreached::told(error));
    let mut poller = Poller::new().map_err(|error| of_system(&error))?;
    let client = random().map_err(|error| of_system(&error))?.to_string();
    let trust = access::trust_of_requests(destination, false, signals)
        .map_err(|error| told(&error.into()))?;
    signals.begin();
    let (over, timeout) = (|| signals.is_set(), options.timeout);
    let (server, trust) = (login.server(), &trust);
    let mut number = 1;
    let asked = loop {
        let route = Route { server, trust, timeout, over: &over, prepare: NOTHING };
        let asked = Asking::connect(route, login, &[], &client, &mut poller)
            .map(|asking| asking.account().cloned());
        let is_unknown = matches!(asked, Err(ConnectionError::Unauthorized(_)));
        if !is_unknown || number == most || signals.is_set() {
            break asked;
        }
        number += 1;
        pause(signals);
    };
    let interrupted = signals.end();
    asked.map_err(|error| match error {
        _ if interrupted => (Reason::Interrupted, String::from("interrupted")),
        error => told(&error),
    })
}

/// Lets time pass between two logins, unless a signal comes.
fn pause(signals: &Signals) {
    let begun = Instant::now();
    while begun.elapsed() < BETWEEN && !signals.is_set() {
        thread::sleep(STEP);
    }
}
