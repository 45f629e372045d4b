//! `haul trust`: the keys of servers that the user trusts.

use clap::Args;
use haul_protocol::Pin;

use super::ending::Ending;
use super::exit::Reason;
use super::options::{BasicOutput, nonzero_duration};
use super::signals::Signals;
use super::usage::server;
use super::{ask, unreached};
use crate::error::ConnectionError;
use crate::error::trust::{KnownError, TrustError, former};
use crate::net::destination::{Destination, Server};
use crate::net::poller::Poller;
use crate::trust::directory::Directory;
use crate::trust::host::Host;
use crate::trust::known::{Key, Known};
use crate::trust::{Answer, Look, NOTHING, Route, Trust};
use crate::work::settings::TIMEOUT;

/// `haul trust`.
#[derive(Debug, Args)]
pub(crate) struct TrustCommand {
    /// The server: `HOST[:PORT]`.
    #[arg(value_name = "HOST", required_unless_present = "list", value_parser = server)]
    pub server: Option<Destination>,

    /// The server's key, `haul1-…`, as `hauld fingerprint` prints it there. Case, white space, hyphens and invisible
    /// characters mean nothing.
    #[arg(value_name = "PIN")]
    pub pin: Vec<String>,

    /// Trust this key in the place of all others of the server.
    #[arg(long, conflicts_with = "add")]
    pub replace: bool,

    /// Trust this key besides the others of the server.
    #[arg(long)]
    pub add: bool,

    /// Trust this key no more; without PIN, no key of the server.
    #[arg(long, conflicts_with_all = ["replace", "add"])]
    pub remove: bool,

    /// List the keys of all servers.
    #[arg(long, conflicts_with_all = ["server", "pin", "replace", "add", "remove"])]
    pub list: bool,

    /// How long the server may be silent, such as 90s or 2m.
    #[arg(long, value_name = "TIME", value_parser = nonzero_duration)]
    pub timeout: Option<std::time::Duration>,

    /// Options of the output.
    #[command(flatten)]
    pub output: BasicOutput,
}

/// Carries it out, and returns the exit code.
///
/// # Errors
/// If the system has no room.
pub(super) fn run(words: &TrustCommand, signals: &Signals) -> anyhow::Result<u8> {
    let ending = Ending::of_requests(words.output, signals);
    let result = match &words.server {
        None => list(&ending),
        Some(destination) => of_server(words, destination, &ending),
    };
    Ok(match result {
        Ok(()) => ending.asked(Reason::Done),
        Err(Failure::Wrong(reason, text)) => ending.fail(reason, &text),
        Err(Failure::Known(error)) => ending.fail(Reason::Failed, &error),
        Err(Failure::Connection(_)) if signals.is_set() => {
            ending.fail(Reason::Interrupted, &"interrupted")
        }
        Err(Failure::Connection(error)) => {
            ending.fail(Reason::of(&error, false), &unreached::told(&error))
        }
    })
}

enum Failure {
    Wrong(Reason, String),
    Known(KnownError),
    Connection(ConnectionError),
}

impl From<KnownError> for Failure {
    fn from(error: KnownError) -> Self {
        Self::Known(error)
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        Self::Connection(error.into())
    }
}

fn list(ending: &Ending<'_>) -> Result<(), Failure> {
    for Key { host, pin, since, of } in Known::load(&Directory::of_user()?)?.all() {
        let since = since.as_ref().map(|day| format!(" since {day}")).unwrap_or_default();
        let next = if of.is_some() { " (announced as the next key)" } else { "" };
        ending.result(&format_args!("{host} {pin}{since}{next}"));
    }
    Ok(())
}

fn of_server(
    words: &TrustCommand,
    destination: &Destination,
    ending: &Ending<'_>,
) -> Result<(), Failure> {
    let wrong = |text: &str| Failure::Wrong(Reason::Usage, text.to_owned());
    let host = Host::of(&destination.server).ok_or_else(|| {
        wrong("a Unix socket is reached without leaving this machine: no key is needed")
    })?;
    if destination.path.is_some() {
        return Err(wrong("a server is trusted as a whole, without a path: HOST[:PORT]"));
    }
    let given = match words.pin.concat() {
        text if text.is_empty() => None,
        text => Some(text.parse::<Pin>().map_err(|error| wrong(&format!("{text}: {error}")))?),
    };
    let directory = Directory::of_user()?;
    if words.remove {
        let text = match Known::change(&directory, |known| known.remove(&host, given))? {
            0 => {
                let text = match given {
                    Some(_) => format!("this key of {host} is not trusted here"),
                    None => format!("no key of {host} is trusted here"),
                };
                return Err(Failure::Wrong(Reason::Failed, text));
            }
            1 => format!("one key of {host} is trusted no more"),
            keys => format!("{keys} keys of {host} are trusted no more"),
        };
        ending.result(&text);
        return Ok(());
    }
    let keys = match Known::load(&directory)?.keys(&host) {
        Err(KnownError::Line { .. }) if words.replace => Vec::new(),
        keys => keys?,
    };
    let is_new = words.replace || words.add || keys.is_empty();
    let pin = match given {
        Some(pin) => pin,
        None => {
            let look = look(words, &destination.server, ending.signals())?;
            if !keys.iter().any(|key| key.pin == look.pin) {
                if !is_new {
                    let known = keys.iter().map(Key::trusted).collect();
                    let (server, found) = (host.to_string(), look.pin);
                    return Err(TrustError::Changed { server, known, found }.into());
                }
                match keys.is_empty() {
                    true => ask(&host, &look, ending.signals())?,
                    false => ask_about_another(words, &host, &keys, &look, ending.signals())?,
                }
            }
            look.pin
        }
    };
    match keys.iter().find(|key| key.pin == pin && key.of.is_none()) {
        Some(key) if !words.replace => {
            let since = key.since.as_ref().map(|day| format!(" since {day}")).unwrap_or_default();
            ending.result(&format_args!("{host} is trusted{since}, by its key {pin}"));
            return Ok(());
        }
        None if !is_new => {
            let text = format!(
                "{host} has another key here, {}: --replace puts this one in its place, --add trusts both",
                keys[0].pin
            );
            return Err(Failure::Wrong(Reason::Failed, text));
        }
        _ => {}
    }
    Known::change(&directory, |known| match words.replace {
        true => known.replace(&host, pin),
        false => known.add(&host, pin),
    })?;
    ending.result(&format_args!("{host} is trusted from now on, by its key {pin}"));
    Ok(())
}

/// The key that a server has.
fn look(words: &TrustCommand, server: &Server, signals: &Signals) -> Result<Look, ConnectionError> {
    let mut poller = Poller::new().map_err(ConnectionError::Poller)?;
    let (timeout, trust) = (words.timeout.unwrap_or(TIMEOUT), Trust::pins([]));
    signals.begin();
    let over = || signals.is_set();
    let route =
        Route { server, trust: &trust, timeout, over: &over, prepare: NOTHING, direct: None };
    let look = route.look(&mut poller);
    signals.end();
    look
}

/// Asks whether a key is to be trusted.
fn ask(host: &Host, look: &Look, signals: &Signals) -> Result<(), TrustError> {
    let (server, pin, why) = (host.to_string(), look.pin, look.why.clone());
    let first = match look.is_vouched {
        true => format!("{host} is not known here, but a public authority vouches for it."),
        false => ask::nobody_vouches(&server, why.as_deref()),
    };
    match answer(&first, pin, signals) {
        Answer::Yes => Ok(()),
        Answer::Key(typed) if typed == pin => Ok(()),
        Answer::Key(typed) => Err(TrustError::Other { server, found: pin, typed }),
        Answer::No => Err(TrustError::Declined { server, pin }),
        Answer::Nobody => Err(TrustError::Unknown { server, pin, why }),
    }
}

/// The same of a host that has other keys here.
fn ask_about_another(
    words: &TrustCommand,
    host: &Host,
    keys: &[Key],
    look: &Look,
    signals: &Signals,
) -> Result<(), Failure> {
    let (pin, known) = (look.pin, keys.iter().map(Key::trusted).collect::<Vec<_>>());
    let (begin, former) = (format!("{host} has another key than before"), former(&known));
    match answer(format!("{begin}. {former}").trim_end(), pin, signals) {
        Answer::Yes => Ok(()),
        Answer::Key(typed) if typed == pin => Ok(()),
        Answer::Key(typed) => {
            Err(TrustError::Other { server: host.to_string(), found: pin, typed }.into())
        }
        Answer::No | Answer::Nobody => {
            let option = if words.replace { "--replace" } else { "--add" };
            let text = format!(
                "{begin}, and nothing was sent. {former}Now it is {pin}. Somebody may be in between, or the server has a new \
                 key: `hauld fingerprint` prints it there. If it is this one: haul trust {option} {host} {pin}"
            );
            Err(Failure::Wrong(Reason::Untrusted, text))
        }
    }
}

/// The answer of the user to the question whether this key is to be trusted.
fn answer(first: &str, pin: Pin, signals: &Signals) -> Answer {
    signals.begin();
    let answer = ask::ask(first, pin, signals);
    signals.end();
    answer.unwrap_or(Answer::Nobody)
}
