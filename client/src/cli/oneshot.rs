//! A few requests without a run around them, and the exit code that they come to.

use std::fmt::Display;
use std::time::Instant;

use haul_protocol::{Op, Refusal, Token};

use super::console::tell;
use super::exit::{self, Reason};
use super::options::Tries;
use super::signals::Signals;
use super::unreached;
use crate::connection::rpc::{Asking, Said};
use crate::error::ConnectionError;
use crate::net::backoff;
use crate::net::destination::Server;
use crate::net::poller::Poller;
use crate::transfer::patience::Patience;

/// Work at a server, which is done anew over each connection. It knows itself which requests are answered; the number
/// says how many connections were lost before.
pub type Work<'a> = dyn FnMut(&mut Asking<'_>, u32) -> Result<(), ConnectionError> + 'a;

/// Does the work, over a new connection if one is lost. The server lets no request of the lost connection take effect
/// once it has answered the new one. Returns the end that came before all was done, which is not told yet.
///
/// # Errors
/// If the system has no room.
pub fn at(
    server: &Server,
    tries: Tries,
    signals: &Signals,
    work: &mut Work<'_>,
) -> anyhow::Result<Option<Ended>> {
    let mut poller = Poller::new()?;
    let client = random()?.to_string();
    signals.begin();
    let over = || signals.is_set();
    let (mut patience, mut lost, mut is_reached) =
        (Patience::new(tries.retry_for, tries.retries), 0, false);
    let error = loop {
        let mut has_changed = false;
        let connected = Asking::connect(server, &client, &mut poller, tries.timeout, &over);
        let done = connected.and_then(|mut asking| {
            is_reached = true;
            let done = work(&mut asking, lost);
            has_changed = asking.has_changed();
            done
        });
        let Err(error) = done else { break None };
        if has_changed {
            patience.renew();
        }
        if over() || !is_reached || !error.is_lost() {
            break Some(error);
        }
        let Some(attempt) = patience.next(Instant::now(), None) else { break Some(error) };
        lost += 1;
        tell(&format_args!("haul: {error}; reconnecting {attempt}"));
        let until = Instant::now() + backoff::pause(attempt.number).min(attempt.left);
        while !over() && Instant::now() < until {
            poller.wait(until.saturating_duration_since(Instant::now()))?;
        }
    };
    let interrupted = signals.end();
    Ok(error.map(|error| match interrupted {
        true => Ended { reason: Reason::Interrupted, error: None },
        false => Ended { reason: Reason::of(&error, is_reached), error: Some(error) },
    }))
}

/// The end of work that is not done.
#[derive(Debug)]
pub struct Ended {
    pub(super) reason: Reason,
    /// `None`: a person has interrupted it, and knows.
    pub(super) error: Option<ConnectionError>,
}

impl Ended {
    /// Tells it, and returns the exit code.
    pub fn tell(self) -> u8 {
        if let Some(error) = &self.error {
            tell(&format_args!("haul: {}", unreached::told(error)));
        }
        self.reason.code()
    }
}

/// Sends one request after the other, each of which may be sent twice. The server may be silent for a time; one whose disk
/// is slow says so every few seconds. A refusal is told with the name that it is about.
///
/// # Errors
/// If the system has no room.
pub fn ask(
    server: &Server,
    requests: &[(String, Op)],
    tries: Tries,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let (mut code, mut next) = (exit::OK, 0);
    let ended = at(server, tries, signals, &mut |asking, _| {
        while let Some((about, op)) = requests.get(next) {
            asking.ask(op)?;
            if let Said::Refused(refusal) = asking.answer()?.1 {
                refused(about, &refusal);
                code = exit::FAILED;
            }
            next += 1;
        }
        Ok(())
    })?;
    Ok(ended.map_or(code, Ended::tell))
}

/// Tells a refusal with the name that it is about.
pub fn refused(about: &dyn Display, refusal: &Refusal) {
    tell(&format_args!("haul: {about}: refused by the server: {refusal}"));
}

/// A token that nobody else has.
///
/// # Errors
/// If the system has no random bytes.
pub fn random() -> anyhow::Result<Token> {
    let mut token = [0; 16];
    getrandom::fill(&mut token)
        .map_err(|error| anyhow::anyhow!("the system has no random bytes: {error}"))?;
    Ok(Token(token))
}
