//! `Host` and `Origin`: whether a request was meant for this server, and whether a page of another server has sent it.
//!
//! A page of a stranger can have its own name lead to this server's address (DNS rebinding), so a name counts only if the
//! server's owner has given it. An address needs no name.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The names by which clients may call this server, besides addresses and `localhost`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// Those that the owner has given.
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.to_vec())
    }

    /// Whether a request with this `Host` is meant for this server.
    pub(crate) fn knows(&self, host: &str) -> bool {
        let Some(name) = name(host) else { return false };
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<Ipv4Addr>().is_ok()
            || self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
            || name
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
    }
}

/// The name or address in a `Host`, without its port; `None`: it is none.
fn name(host: &str) -> Option<&str> {
    let end = match host.starts_with('[') {
        true => host.find(']')? + 1,
        false => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (is_whole && !name.is_empty() && name.bytes().all(is_letter)).then_some(name)
}

/// Whether this is a name or an address, perhaps with a port.
pub(super) fn is_authority(text: &str) -> bool {
    name(text).is_some()
}

/// Whether an `Origin` is the server that `host` is the `Host` of. Over TLS a page in clear is not: anybody on the way may have made
/// it. In clear a page over TLS may be, from a proxy in front of this server.
pub(crate) fn is_own(origin: &str, host: &str, over_tls: bool) -> bool {
    let schemes = [("https://", ":443"), ("http://", ":80")];
    let schemes = if over_tls { &schemes[..1] } else { &schemes[..] };
    schemes.iter().any(|(scheme, port)| {
        let authority = match origin.split_at_checked(scheme.len()) {
            Some((begin, rest)) if begin.eq_ignore_ascii_case(scheme) => rest,
            _ => return false,
        };
        let without = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
        name(authority).is_some() && without(authority) == without(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_given_names_are_known_and_nothing_else() {
        let hosts = Hosts::new(&[String::from("Box.example")]);
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.168.1.7:80",
            "[::1]",
            "[::1]:8080",
            "[fe80::1]:1",
            "localhost",
            "LOCALHOST:8080",
            "box.example",
            "BOX.example:8443",
            "box.example:",
        ] {
            assert!(hosts.knows(host), "{host}");
        }
        for host in [
            "",
            ":8080",
            "evil.example",
            "127.0.0.1.evil.example",
            "box.example.evil",
            "localhost.",
            "box.example:80x",
            "box.example:123456",
            "::1",
            "[::1",
            "[::1]x",
            "[box.example]",
            "[]",
            "a@localhost",
            "localhost:80:80",
            "127.1",
            "0x7f000001",
        ] {
            assert!(!hosts.knows(host), "{host}");
        }
    }

    #[test]
    fn origin_is_own_if_its_authority_is_the_host() {
        for (origin, host, own) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("https://box.example", "box.example", true),
            ("https://box.example", "box.example:443", true),
            ("http://Box.example:80", "box.example", true),
            ("http://box.example:8080", "box.example", false),
            ("https://box.example:80", "box.example", false),
            ("http://evil.example", "box.example", false),
            ("null", "box.example", false),
            ("", "box.example", false),
            ("ftp://box.example", "box.example", false),
            ("http://box.example/", "box.example/", false),
            ("http://", "", false),
            ("box.example", "box.example", false),
        ] {
            assert_eq!(is_own(origin, host, false), own, "{origin} {host}");
            let over_tls = own && origin.to_ascii_lowercase().starts_with("https");
            assert_eq!(is_own(origin, host, true), over_tls, "{origin} {host}");
        }
    }
}
