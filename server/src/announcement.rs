//! The announcement of a server by multicast DNS (RFC 6762, RFC 6763): the name, and for each port the addresses, whether it
//! takes TLS, and the pin of the key. Everybody in the network may know all of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use haul_protocol::is_plain;
use haul_protocol::limits::VERSION;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The service of which each port of a server is an instance.
pub(crate) const SERVICE: &str = "_haul._tcp.local.";

/// Most bytes of a label of DNS (RFC 1035, 2.3.4).
const MOST: usize = 63;

/// The name of a machine that has none.
const NAMELESS: &str = "hauld";

/// `--discoverable[=NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Discoverable {
    /// Nobody is told anything.
    #[default]
    No,
    /// Under the name of this machine.
    AsMachine,
    /// Under this name.
    As(ServiceName),
}

/// A name that people see in a list of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(String);

/// A text is no name of a server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceNameError {
    /// It has no character.
    #[error("a name has at least one character")]
    Empty,
    /// It is too long.
    #[error("a name has at most {MOST} bytes")]
    Long,
    /// It would not show as itself.
    #[error("a name has no control characters")]
    Control,
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        match text {
            _ if text.trim().is_empty() => Err(ServiceNameError::Empty),
            _ if text.len() > MOST => Err(ServiceNameError::Long),
            _ if !text.chars().all(is_plain) => Err(ServiceNameError::Control),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl FromStr for Discoverable {
    type Err = ServiceNameError;

    /// A switch that takes a name as well, so the words for on and off are no names.
    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(Self::AsMachine),
            "false" | "no" | "off" => Ok(Self::No),
            _ => text.parse().map(Self::As),
        }
    }
}

impl Discoverable {
    /// Whether anybody is told anything.
    #[must_use]
    pub fn is_on(&self) -> bool {
        *self != Self::No
    }

    /// The name, of a machine that calls itself so; `None` if nobody is told anything.
    #[must_use]
    pub(crate) fn name(&self, machine: &str) -> Option<String> {
        match self {
            Self::No => None,
            Self::AsMachine => Some(host_label(machine)),
            Self::As(name) => Some(name.0.clone()),
        }
    }
}

/// The name of a machine as one label of a host name: letters, digits and hyphens of what stands before its first dot.
#[must_use]
pub(crate) fn host_label(machine: &str) -> String {
    let first = machine.split('.').next().unwrap_or_default();
    let kept = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(MOST);
    let kept: String = kept.collect();
    match kept.trim_matches('-') {
        "" => NAMELESS.to_owned(),
        label => label.to_owned(),
    }
}

/// The streams that an address takes, as clients of haul need to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encryption {
    /// TLS and nothing else.
    Only,
    /// TLS, and streams in clear.
    Also,
    /// Streams in clear only.
    No,
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Only => "only",
            Self::Also => "also",
            Self::No => "no",
        })
    }
}

/// An address that other machines reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// As it is listened on; the unspecified address means all of its kind.
    pub(crate) address: SocketAddr,
    pub(crate) tls: Encryption,
}

/// All that is told of a server. The process that listens hands it, as a line of JSON, to the one that answers strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    /// The name of the server; `None`: nobody is told of it any more.
    pub(crate) name: Option<String>,
    /// The name of this machine, a label.
    pub(crate) host: String,
    pub(crate) offers: Vec<Offer>,
    /// The text of the key's pin.
    pub(crate) pin: Option<String>,
}

/// One port of a server: an instance of the service has only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) addresses: Vec<IpAddr>,
    /// The strings of its TXT record.
    pub(crate) txt: Vec<(&'static str, String)>,
}

impl Announcement {
    /// The instances that are to be seen, the first port under the name alone.
    #[must_use]
    pub(crate) fn instances(&self) -> Vec<Instance> {
        let Some(name) = &self.name else { return Vec::new() };
        let mut instances: Vec<Instance> = Vec::new();
        for offer in &self.offers {
            let (address, port) = (offer.address.ip(), offer.address.port());
            if let Some(known) = instances.iter_mut().find(|known| known.port == port) {
                known.addresses.push(address);
                continue;
            }
            let name = match instances.is_empty() {
                true => name.clone(),
                false => with_port(name, port),
            };
            let txt = txt(offer.tls, self.pin.as_deref());
            instances.push(Instance { name, port, addresses: vec![address], txt });
        }
        instances
    }

    /// As a line for the other process.
    pub(crate) fn line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// The strings of a TXT record (RFC 6763, 6): its own version first.
fn txt(tls: Encryption, pin: Option<&str>) -> Vec<(&'static str, String)> {
    let mut txt = vec![
        ("txtvers", String::from("1")),
        ("protovers", VERSION.to_string()),
        ("tls", tls.to_string()),
    ];
    if let Some(pin) = pin.filter(|_| tls != Encryption::No) {
        txt.push(("pin", pin.to_owned()));
    }
    txt
}

/// The name of another port of a server.
fn with_port(name: &str, port: u16) -> String {
    let end = format!(" port {port}");
    let mut most = name.len().min(MOST - end.len());
    while !name.is_char_boundary(most) {
        most -= 1;
    }
    format!("{}{end}", &name[..most])
}

/// Reads a line of the other process.
pub(crate) fn read(line: &str) -> Result<Announcement, serde_json::Error> {
    serde_json::from_str(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_machine_becomes_one_label() {
        for (machine, label) in [
            ("box", "box"),
            ("Box.example.org", "Box"),
            ("my_box\u{1b}[31m", "mybox31m"),
            ("-x-", "x"),
            ("", "hauld"),
            ("ä.b", "hauld"),
        ] {
            assert_eq!(host_label(machine), label);
        }
        assert_eq!(host_label(&"x".repeat(90)).len(), MOST);
    }

    #[test]
    fn words_for_on_and_off_are_no_names() {
        for (word, meant) in [
            ("on", Discoverable::AsMachine),
            ("TRUE", Discoverable::AsMachine),
            ("no", Discoverable::No),
            ("false", Discoverable::No),
            ("Box on 2nd floor", Discoverable::As(ServiceName(String::from("Box on 2nd floor")))),
        ] {
            assert_eq!(word.parse(), Ok(meant), "{word}");
        }
        for (word, error) in [
            // A variable that is set to nothing asks for nothing.
            ("", ServiceNameError::Empty),
            (" ", ServiceNameError::Empty),
            ("a\nb", ServiceNameError::Control),
            ("a\u{202e}b", ServiceNameError::Control),
            (&"x".repeat(64), ServiceNameError::Long),
        ] {
            assert_eq!(word.parse::<Discoverable>(), Err(error), "{word:?}");
        }
        assert_eq!(Discoverable::No.name("box"), None);
        assert_eq!(Discoverable::AsMachine.name("box.lan").as_deref(), Some("box"));
    }

    fn announcement(offers: &[(&str, Encryption)]) -> Announcement {
        let offers = offers
            .iter()
            .map(|(address, tls)| Offer { address: address.parse().unwrap(), tls: *tls });
        let (name, host) = (Some(String::from("Box")), String::from("box"));
        Announcement { name, host, offers: offers.collect(), pin: Some(String::from("haul1-x")) }
    }

    #[test]
    fn each_port_is_an_instance_with_its_addresses() {
        let mut announced = announcement(&[
            ("10.0.0.1:8080", Encryption::Only),
            ("[fe80::1]:8080", Encryption::Only),
            ("0.0.0.0:9090", Encryption::No),
        ]);
        let found = announced.instances();
        let brief: Vec<_> =
            found.iter().map(|it| (it.name.as_str(), it.port, it.addresses.len())).collect();
        assert_eq!(brief, [("Box", 8080, 2), ("Box port 9090", 9090, 1)]);
        let text = |index: usize| {
            let strings = found[index].txt.iter().map(|(key, value)| format!("{key}={value}"));
            strings.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(0), "txtvers=1 protovers=1 tls=only pin=haul1-x");
        // The pin means nothing to a client that comes in clear.
        assert_eq!(text(1), "txtvers=1 protovers=1 tls=no");
        let line = String::from_utf8(announced.line().unwrap()).unwrap();
        assert_eq!(read(line.trim_end()).unwrap(), announced);
        announced.name = None;
        assert_eq!(announced.instances(), []);
    }

    #[test]
    fn long_name_is_cut_where_a_character_ends() {
        let name = with_port(&"ä".repeat(31), 65535);
        assert!(name.len() <= MOST && name.ends_with("ä port 65535"), "{name}");
    }

    #[test]
    fn pin_fits_into_one_string_of_a_record() {
        let pin = haul_protocol::Pin::of_spki(b"key").to_string();
        let strings = txt(Encryption::Only, Some(&pin));
        assert!(strings.iter().all(|(key, value)| key.len() + 1 + value.len() <= 255));
    }
}
