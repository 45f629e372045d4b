//! Servers of the local network, and the addresses of names that end with `.local`, by multicast DNS (RFC 6762, RFC 6763).
//!
//! Everybody in the network may answer, and may say anything. So an answer leads to a server, and is never a reason to trust
//! it; and no more is kept of all answers than some hundred entries.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use haul_protocol::Pin;
use mdns_sd::{
    HostnameResolutionEvent, RecvTimeoutError, ResolvedService, ScopedIp, ServiceDaemon,
    ServiceEvent,
};

use super::authority::is_host;

/// The service of haul.
const SERVICE: &str = "_haul._tcp.local.";

/// The end of the names that multicast DNS is for.
const LOCAL: &str = ".local";

/// Time in which a server of the network answers.
pub const USUAL: Duration = Duration::from_millis(1500);

/// Time in which other addresses of a host come behind the first one.
const OTHERS: Duration = Duration::from_millis(100);

/// Time between two looks whether the user has had enough.
const TICK: Duration = Duration::from_millis(50);

/// Servers that are kept.
pub const MOST: usize = 256;

/// Addresses that are kept of each.
const MOST_ADDRESSES: usize = 16;

/// The streams that a server takes, as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS and nothing else.
    Only,
    /// TLS, and streams in clear.
    Also,
    /// Streams in clear only.
    No,
}

/// A port of a server, as somebody in the network has announced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name for people, which may be any text.
    pub instance: String,
    /// The name of the machine, which ends with `.local`, if it has one that may stand on a command line.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// The addresses, those of IPv4 first, with the interface behind those that need one.
    pub addresses: Vec<String>,
    /// The streams that it takes; `None` if it does not say.
    pub encryption: Option<Encryption>,
    /// The pin that it says its key has.
    pub pin: Option<Pin>,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services {
    /// In the order of their names.
    pub found: Vec<Service>,
    /// There are more than [`MOST`].
    pub is_cut: bool,
}

impl Service {
    /// The server as a word of the command line, `HOST:PORT`.
    #[must_use]
    pub fn server(&self) -> String {
        let address = self.addresses.first().map_or("", String::as_str);
        match &self.host {
            Some(host) => format!("{host}:{}", self.port),
            None if address.contains(':') => format!("[{address}]:{}", self.port),
            None => format!("{address}:{}", self.port),
        }
    }

    /// Of an answer, if any part of it leads to a server.
    fn read(answer: &ResolvedService) -> Option<Self> {
        let instance = answer.fullname.strip_suffix(SERVICE).unwrap_or(&answer.fullname);
        let instance = unescaped(instance.strip_suffix('.').unwrap_or(instance));
        let mut usable: Vec<_> = answer.addresses.iter().filter(|it| leads_away(it)).collect();
        usable.sort_by_key(|address| (address.is_ipv6(), address.to_ip_addr()));
        let addresses: Vec<_> =
            usable.into_iter().take(MOST_ADDRESSES).map(ToString::to_string).collect();
        let host = answer.host.trim_end_matches('.').to_lowercase();
        let text = |key| answer.txt_properties.get_property_val_str(key);
        let encryption = match text("tls") {
            Some("only") => Some(Encryption::Only),
            Some("also") => Some(Encryption::Also),
            Some("no") => Some(Encryption::No),
            _ => None,
        };
        let is_usable = answer.port > 0 && !addresses.is_empty();
        is_usable.then(|| Self {
            instance,
            host: Some(host).filter(|host| is_local(host) && is_host(host)),
            port: answer.port,
            addresses,
            encryption,
            pin: text("pin").and_then(|pin| pin.parse().ok()),
        })
    }
}

/// Whether multicast DNS is for this name.
#[must_use]
pub fn is_local(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let start = host.len().checked_sub(LOCAL.len()).filter(|start| *start > 0);
    start.and_then(|start| host.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(LOCAL))
}

/// Whether an address may be that of another machine. Whoever answers `127.0.0.1` would have us speak to somebody else here.
fn leads_away(address: &ScopedIp) -> bool {
    let ip = address.to_ip_addr().to_canonical();
    !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
}

/// A label without the backslashes that keep its dots apart from those between labels.
fn unescaped(label: &str) -> String {
    let (mut text, mut characters) = (String::with_capacity(label.len()), label.chars());
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        });
    }
    text
}

/// The library's thread, which ends with this.
struct Asking(ServiceDaemon);

impl Asking {
    fn begin() -> io::Result<Self> {
        ServiceDaemon::new().map(Self).map_err(io::Error::other)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // A thread that has no time for it is flooded, and ends with the process.
        let _ = self.0.shutdown();
    }
}

/// Servers that answer within this time; fewer if `over` says that nobody waits any more, or one of them is `enough`.
///
/// # Errors
/// If there is no thread or socket to ask with.
pub fn browse(
    time: Duration,
    over: &dyn Fn() -> bool,
    enough: &dyn Fn(&Service) -> bool,
) -> io::Result<Services> {
    let asking = Asking::begin()?;
    let events = asking.0.browse(SERVICE).map_err(io::Error::other)?;
    let deadline = Instant::now() + time;
    // The library repeats itself: the full name tells whether it speaks of the same one.
    let (mut found, mut is_cut) = (BTreeMap::new(), false);
    while !over() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match events.recv_timeout(left.min(TICK)) {
            Ok(ServiceEvent::ServiceResolved(answer)) => {
                let name = answer.fullname.to_lowercase();
                let Some(service) = Service::read(&answer) else { continue };
                if found.len() >= MOST && !found.contains_key(&name) {
                    is_cut = true;
                    continue;
                }
                let is_enough = enough(&service);
                found.insert(name, service);
                if is_enough {
                    break;
                }
            }
            Ok(ServiceEvent::ServiceRemoved(_, name)) => {
                found.remove(&name.to_lowercase());
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            // More was said than the library has room for.
            Err(RecvTimeoutError::Disconnected) => {
                is_cut = true;
                break;
            }
        }
    }
    Ok(Services { found: found.into_values().collect(), is_cut })
}

/// The addresses of a name that ends with `.local`; none if nobody answers.
///
/// # Errors
/// If there is no thread or socket to ask with.
pub(super) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let asking = Asking::begin()?;
    let name = format!("{}.", host.trim_end_matches('.'));
    let time = u64::try_from(USUAL.as_millis()).ok();
    let events = asking.0.resolve_hostname(&name, time).map_err(io::Error::other)?;
    let mut deadline = Instant::now() + USUAL;
    let mut found = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(HostnameResolutionEvent::AddressesFound(_, addresses)) => {
                let mut addresses: Vec<_> = addresses.iter().filter(|it| leads_away(it)).collect();
                addresses.sort_by_key(|address| (address.is_ipv6(), address.to_ip_addr()));
                found = addresses.into_iter().map(|it| socket_address(it, port)).collect();
                found.truncate(MOST_ADDRESSES);
                if !found.is_empty() {
                    deadline = deadline.min(Instant::now() + OTHERS);
                }
            }
            Ok(
                HostnameResolutionEvent::SearchTimeout(_)
                | HostnameResolutionEvent::SearchStopped(_),
            )
            | Err(_) => return Ok(found),
            Ok(_) => {}
        }
    }
}

/// An address with its interface, if it needs one.
fn socket_address(address: &ScopedIp, port: u16) -> SocketAddr {
    match (address.to_ip_addr(), address) {
        (IpAddr::V6(ip), ScopedIp::V6(scoped)) if ip.is_unicast_link_local() => {
            SocketAddrV6::new(ip, port, 0, scoped.scope_id().index).into()
        }
        (ip, _) => SocketAddr::new(ip, port),
    }
}

#[cfg(test)]
mod tests {
    use mdns_sd::ServiceInfo;

    use super::*;

    fn answer(instance: &str, host: &str, ip: &str, txt: &[(&str, &str)]) -> Option<Service> {
        let info = ServiceInfo::new(SERVICE, instance, host, ip, 8080, txt).unwrap();
        Service::read(&info.as_resolved_service())
    }

    #[test]
    fn answer_leads_to_a_server_by_its_host_and_otherwise_by_an_address() {
        let pin = Pin::of_spki(b"key");
        let txt = [("tls", "only"), ("pin", &pin.to_string()), ("more", "\u{1b}[2J")];
        let found = answer("My.Box\\", "Box.local.", "fe80::1,10.0.0.1", &txt).unwrap();
        assert_eq!(found.instance, "My.Box\\");
        assert_eq!((found.encryption, found.pin), (Some(Encryption::Only), Some(pin)));
        assert_eq!(found.addresses, ["10.0.0.1", "fe80::1"]);
        assert_eq!(found.server(), "box.local:8080");
        for host in
            ["evil;rm.local.", "a\u{1b}[31m.local.", "bank.example.", "local.", "x y.local."]
        {
            let found = answer("x", host, "10.0.0.1", &[]).unwrap();
            assert_eq!((found.server().as_str(), found.host), ("10.0.0.1:8080", None), "{host}");
        }
        assert_eq!(answer("x", "h", "2001:db8::1", &[]).unwrap().server(), "[2001:db8::1]:8080");
    }

    #[test]
    fn record_that_is_no_pin_or_word_says_nothing() {
        for txt in [&[("tls", "maybe"), ("pin", "haul1-x")][..], &[("TLS", ""), ("pin", "\n")], &[]]
        {
            let found = answer("x", "h.local.", "10.0.0.1", txt).unwrap();
            assert_eq!((found.encryption, found.pin), (None, None), "{txt:?}");
        }
    }

    #[test]
    fn addresses_of_this_machine_and_of_groups_lead_nowhere() {
        for ip in
            ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.251", "ff02::fb", "::ffff:127.1.1.1"]
        {
            assert_eq!(answer("x", "h.local.", ip, &[]), None, "{ip}");
        }
        let found = answer("x", "h.local.", "127.0.0.1,10.0.0.1", &[]).unwrap();
        assert_eq!(found.addresses, ["10.0.0.1"]);
        let many: Vec<_> = (1..90).map(|last| format!("10.0.0.{last}")).collect();
        let found = answer("x", "h.local.", &many.join(","), &[]).unwrap();
        assert_eq!(found.addresses.len(), MOST_ADDRESSES);
    }

    #[test]
    fn only_names_that_end_so_are_local() {
        for name in ["box.local", "Box.LOCAL.", "a.b.local"] {
            assert!(is_local(name), "{name}");
        }
        for name in ["local", ".local", "box", "box.localdomain", "box.local.example", "ä"] {
            assert!(!is_local(name), "{name}");
        }
    }
}
