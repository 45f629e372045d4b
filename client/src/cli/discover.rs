//! `haul discover`: the servers of the local network that announce themselves; and the port of a server that a destination
//! names by `HOST.local` alone.

use std::cell::Cell;
use std::time::{Duration, Instant};

use clap::Args;
use haul_protocol::Pin;

use super::ending::Ending;
use super::events::{Event, Found, Standing};
use super::exit::Reason;
use super::options::{BasicOutput, nonzero_duration};
use super::signals::Signals;
use crate::error::trust::KnownError;
use crate::net::destination::{Destination, Server};
use crate::net::mdns::{self, Encryption, Service, Services};
use crate::trust::directory::Directory;
use crate::trust::host::Host;
use crate::trust::known::{Key, Known};

/// The longest time for answers.
const LONGEST: Duration = Duration::from_secs(600);

/// Time in which a server's other ports come behind the first one.
const OTHERS: Duration = Duration::from_millis(200);

/// `haul discover`.
#[derive(Debug, Args)]
pub(crate) struct DiscoverCommand {
    /// Time for answers, such as 1.5s or 10s.
    #[arg(long, value_name = "TIME", value_parser = nonzero_duration, default_value = "1.5s")]
    pub timeout: Duration,

    /// Options of the output.
    #[command(flatten)]
    pub output: BasicOutput,
}

/// Carries it out, and returns the exit code.
pub(super) fn run(words: &DiscoverCommand, signals: &Signals) -> u8 {
    let ending = Ending::of_requests(words.output, signals);
    let known = match Directory::of_user().and_then(|directory| Known::load(&directory)) {
        Ok(known) => Some(known),
        Err(KnownError::NoDirectory) => None,
        Err(error) => return ending.fail(Reason::Failed, &error),
    };
    signals.begin();
    let found = mdns::browse(words.timeout.min(LONGEST), &|| signals.is_set(), &|_| false);
    if signals.end() {
        return ending.fail(Reason::Interrupted, &"interrupted");
    }
    let Services { mut found, is_cut } = match found {
        Ok(found) => found,
        Err(error) => {
            let error = format!("could not ask the network: {error}");
            return ending.fail(Reason::System, &error);
        }
    };
    if found.is_empty() {
        let error = "no server has announced itself in this network; `hauld --discoverable` does, and a firewall or a network \
                     without multicast keeps it from being heard (UDP, port 5353)";
        return ending.fail(Reason::Unreachable, &error);
    }
    found.sort_by_key(|service| (service.instance.to_lowercase(), service.server()));
    for service in &found {
        let (standing, lines) = told(service, known.as_ref());
        ending.event_or(&event(service, standing), &lines);
    }
    if is_cut {
        ending.hint(&"more has been announced than is shown here");
    }
    ending.asked(Reason::Done)
}

/// The standing of an announced key among the user's trusted ones, and the lines about its server.
fn told(service: &Service, known: Option<&Known>) -> (Option<Standing>, Vec<String>) {
    let Service { instance, addresses, .. } = service;
    let server = service.server();
    let first = format!("{instance}: {server}, at {}", addresses.join(", "));
    let Some(pin) = service.pin else {
        let second = match service.encryption {
            Some(Encryption::No) => {
                "it takes no TLS, so haul sends it nothing unless --insecure is given"
            }
            _ => "it does not say which key it has",
        };
        return (None, vec![first, format!("  {second}")]);
    };
    let keys: Vec<_> = known.iter().flat_map(|known| known.all()).collect();
    let (standing, about) = standing(&server, pin, &keys);
    (Some(standing), vec![first, format!("  it says that its key is {pin}, {about}")])
}

/// How an announced key stands to the keys that are trusted here.
fn standing(server: &str, pin: Pin, keys: &[&Key]) -> (Standing, String) {
    let host = Host::parse(server);
    let of_host = || keys.iter().filter(|key| Some(&key.host) == host.as_ref());
    if of_host().any(|key| key.pin == pin) {
        return (Standing::Trusted, String::from("which is trusted here"));
    }
    if of_host().next().is_some() {
        let about = format!("and ANOTHER one is trusted here as that of {server}");
        return (Standing::Different, about);
    }
    match keys.iter().find(|key| key.pin == pin) {
        Some(key) => {
            (Standing::Elsewhere, format!("which is trusted here as that of {}", key.host))
        }
        None => (Standing::Unknown, String::from("which is not known here")),
    }
}

fn event(service: &Service, key: Option<Standing>) -> Event<'static> {
    let Service { instance, addresses, encryption, pin, .. } = service.clone();
    let tls = encryption.map(|encryption| match encryption {
        Encryption::Only => "only",
        Encryption::Also => "also",
        Encryption::No => "no",
    });
    let (server, pin) = (service.server(), pin.map(|pin| pin.to_string()));
    Event::Found(Found { server, instance, addresses, tls, pin, key })
}

/// Gives each place at a `HOST.local` for which nobody has named a port the port that this host announces. If it announces
/// none, the usual one stays. Whether the server there is trusted is asked as ever.
pub(super) fn locate<'a>(places: impl Iterator<Item = &'a mut Destination>) {
    let mut last: Option<(String, Option<u16>)> = None;
    for place in places.filter(|place| place.is_usual_port) {
        let Server::Tcp { host, port } = &mut place.server else { continue };
        if !mdns::is_local(host) {
            continue;
        }
        let announced = match &last {
            Some((name, announced)) if name == host => *announced,
            _ => announced(host, *port),
        };
        last = Some((host.clone(), announced));
        if let Some(announced) = announced {
            *port = announced;
        }
    }
}

/// The port that a host announces: the usual one if that is among them, and otherwise the lowest.
fn announced(host: &str, usual: u16) -> Option<u16> {
    let first: Cell<Option<Instant>> = Cell::new(None);
    let host = host.trim_end_matches('.').to_lowercase();
    let is_meant = |service: &Service| service.host.as_ref() == Some(&host);
    let over = || first.get().is_some_and(|at| at.elapsed() >= OTHERS);
    let enough = |service: &Service| {
        if is_meant(service) && first.get().is_none() {
            first.set(Some(Instant::now()));
        }
        is_meant(service) && service.port == usual
    };
    // If nobody can be asked, the connection fails and says why.
    let found = mdns::browse(mdns::USUAL, &over, &enough).unwrap_or_default().found;
    let ports = found.iter().filter(|service| is_meant(service)).map(|service| service.port);
    ports.min_by_key(|port| (*port != usual, *port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(host: &str, pin: Pin) -> Key {
        Key { host: Host::parse(host).unwrap(), pin, since: None, of: None }
    }

    #[test]
    fn announced_key_is_told_beside_those_that_are_trusted() {
        let (one, other) = (Pin::of_spki(b"one"), Pin::of_spki(b"other"));
        let keys = [key("box.local:9", one), key("elsewhere:8080", other)];
        let keys: Vec<_> = keys.iter().collect();
        for (server, pin, expected) in [
            ("Box.local:9", one, Standing::Trusted),
            ("box.local:9", other, Standing::Different),
            ("new.local:9", one, Standing::Elsewhere),
            ("new.local:9", Pin::of_spki(b"third"), Standing::Unknown),
        ] {
            assert_eq!(standing(server, pin, &keys).0, expected, "{server}");
        }
    }
}
