//! A server's host and port, written in one way.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use rustls::pki_types::ServerName;

use crate::net::destination::{Destination, Server};

/// A host and a port, as `known_servers` has them: names in lower case, addresses in their shortest form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    host: String,
    port: u16,
}

impl Host {
    /// Of a server that has them.
    #[must_use]
    pub fn of(server: &Server) -> Option<Self> {
        let Server::Tcp { host, port } = server else { return None };
        let (address, zone) = host.split_once('%').unwrap_or((host, ""));
        let plain = match address.parse::<IpAddr>() {
            Ok(address) if zone.is_empty() => address.to_canonical().to_string(),
            Ok(address) => format!("{address}%{zone}"),
            // The dot at the end says that the name is whole.
            Err(_) => host.strip_suffix('.').unwrap_or(host).to_lowercase(),
        };
        Some(Self { host: plain, port: *port })
    }

    /// Of a text such as `box:8080`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let destination: Destination = text.parse().ok()?;
        Self::of(&destination.server).filter(|_| destination.path.is_none())
    }

    /// The port.
    #[must_use]
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it means this machine wherever it is read: `localhost`, or an address of loopback. Any other name may lead to
    /// loopback today and elsewhere tomorrow.
    #[must_use]
    pub(super) fn is_this_machine(&self) -> bool {
        let address = self.host.split('%').next().unwrap_or_default().parse::<IpAddr>();
        self.host == "localhost"
            || address.is_ok_and(|address| address.to_canonical().is_loopback())
    }

    /// The name that the server's certificate is for. A name that no certificate can have is given up for the address.
    #[must_use]
    pub(super) fn server_name(&self, address: IpAddr) -> ServerName<'static> {
        let host = self.host.split('%').next().unwrap_or_default();
        ServerName::try_from(host.to_owned()).unwrap_or_else(|_| ServerName::from(address))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        let address = host.split('%').next().unwrap_or_default();
        match address.parse::<Ipv6Addr>() {
            Ok(_) => write!(f, "[{host}]:{port}"),
            Err(_) => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_name_however_it_is_written() {
        for (text, name) in [
            ("Box.Example", "box.example:8080"),
            ("box.example.:99", "box.example:99"),
            ("haul://BOX:99", "box:99"),
            ("[::1]", "[::1]:8080"),
            ("2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:8080"),
            ("[::ffff:127.0.0.1]:5", "127.0.0.1:5"),
            ("[fe80::1%eth0]:5", "[fe80::1%eth0]:5"),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!(host.to_string(), name, "{text}");
            assert_eq!(Host::parse(name), Some(host), "{text}");
        }
        for text in ["box/a", "unix:/x", "", "a b"] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_localhost_and_addresses_of_loopback_mean_this_machine() {
        let here = |text| Host::parse(text).unwrap().is_this_machine();
        for text in ["localhost", "LocalHost.:9", "127.0.0.1", "127.9.9.9:1", "[::1]:8080"] {
            assert!(here(text), "{text}");
        }
        assert!(here("[::ffff:127.0.0.1]"));
        for text in [
            "box",
            "localhost.localdomain",
            "x.localhost",
            "localhost.evil.example",
            "0.0.0.0",
            "128.0.0.1",
            "[::]",
            "[::2]",
            "127.1",
            "localhosts",
        ] {
            assert!(!here(text), "{text}");
        }
    }

    #[test]
    fn name_that_no_certificate_has_is_given_up_for_the_address() {
        let address = IpAddr::from([127, 0, 0, 1]);
        let name = |text| Host::parse(text).unwrap().server_name(address);
        assert_eq!(name("box"), ServerName::try_from("box").unwrap());
        assert_eq!(name("[fe80::1%eth0]"), ServerName::try_from("fe80::1").unwrap());
        assert_eq!(name("schachtel-ä"), ServerName::from(address));
    }
}
