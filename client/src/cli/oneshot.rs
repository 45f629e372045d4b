//! A few requests without a run around them, over one connection after the other.

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use haul_protocol::Token;

use super::access;
use super::ending::Ending;
use super::exit::Reason;
use super::options::Reaching;
use super::unreached;
use crate::connection::rpc::Asking;
use crate::credentials::Need;
use crate::error::ConnectionError;
use crate::error::credentials::CredentialsError;
use crate::net::backoff;
use crate::net::destination::Destination;
use crate::net::poller::Poller;
use crate::transfer::patience::Patience;
use crate::trust::{NOTHING, Route};

/// Work at a server, which is done anew over each connection. It knows itself which requests are answered; the number
/// says how many connections were lost before.
pub type Work<'a> = dyn FnMut(&mut Asking<'_>, u32) -> Result<(), ConnectionError> + 'a;

/// Does the work at the server of a destination, with the rights that it needs, over a new connection if one is lost. The
/// server lets no request of the lost connection take effect once it has answered the new one.
///
/// # Errors
/// The end that came before all was done, which is not told yet.
pub(super) fn at(
    destination: &Destination,
    needs: &[Need],
    reaching: Reaching,
    ending: &Ending<'_>,
    work: &mut Work<'_>,
) -> Result<(), Ended> {
    let login = access::login(destination).map_err(|error| Ended::of_credentials(&error))?;
    let mut poller = Poller::new().map_err(|error| Ended::of_system(&error))?;
    let client = random().map_err(|error| Ended::of_system(&error))?.to_string();
    let signals = ending.signals();
    signals.begin();
    let over = || signals.is_set();
    let Reaching { tries, security } = reaching;
    let trust = access::trust_of_requests(destination, security.insecure, signals)
        .map_err(|error| Ended::of(&error.into(), false))?;
    let (server, trust, timeout) = (&destination.server, &trust, tries.timeout);
    let route = Route { server, trust, timeout, over: &over, prepare: NOTHING, direct: None };
    let (mut patience, mut lost, mut is_reached) =
        (Patience::new(tries.retry_for, tries.retries), 0, false);
    let error = loop {
        let mut has_changed = false;
        let connected = Asking::connect(route, &login, needs, &client, &mut poller)
            .map_err(|error| error.later(is_reached));
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
        if over() || !is_reached || !error.is_lost() || !server.reconnects() {
            break Some(error);
        }
        let Some(attempt) = patience.next(Instant::now(), None) else { break Some(error) };
        lost += 1;
        ending.reconnecting(&attempt, &error);
        if let Err(error) =
            pause(&mut poller, backoff::pause(attempt.number).min(attempt.left), &over)
        {
            break Some(ConnectionError::Poller(error));
        }
    };
    let interrupted = signals.end();
    match error {
        None => Ok(()),
        Some(_) if interrupted => {
            let error = String::from("interrupted");
            Err(Ended { reason: Reason::Interrupted, error, is_lost: false, is_missing: false })
        }
        Some(error) => Err(Ended::of(&error, is_reached)),
    }
}

/// Waits for a time, or until it is over.
fn pause(poller: &mut Poller, time: Duration, over: &dyn Fn() -> bool) -> io::Result<()> {
    let until = Instant::now() + time;
    while !over() && Instant::now() < until {
        poller.wait(until.saturating_duration_since(Instant::now()))?;
    }
    Ok(())
}

/// The end of work that is not done.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) reason: Reason,
    pub(super) error: String,
    /// The connection is lost, and so may be an answer.
    pub(super) is_lost: bool,
    /// The directory is missing that ssh leads to.
    pub(super) is_missing: bool,
}

impl Ended {
    /// The system has no room.
    fn of_system(error: &dyn Display) -> Self {
        Self { reason: Reason::System, error: error.to_string(), is_lost: false, is_missing: false }
    }

    /// The error of the last connection. `is_reached`: the server has answered the client before.
    fn of(error: &ConnectionError, is_reached: bool) -> Self {
        let (reason, is_lost) = (Reason::of(error, is_reached), error.is_lost());
        let is_missing = matches!(error, ConnectionError::Ssh(error) if error.is_missing());
        Self { reason, error: unreached::told(error), is_lost, is_missing }
    }

    /// There is no token, or none that can be used.
    fn of_credentials(error: &CredentialsError) -> Self {
        let reason = Reason::of_credentials(error);
        Self { reason, error: error.to_string(), is_lost: false, is_missing: false }
    }

    /// Tells it as the end of the command, and returns the exit code.
    pub(super) fn tell(&self, ending: &Ending<'_>) -> u8 {
        ending.fail(self.reason, &self.error)
    }
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
