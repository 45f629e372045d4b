//! The addresses of a host, in the order in which they are tried.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::Duration;

use super::mdns;
use super::poller::Poller;

/// Longer than any wait here; the waker ends it earlier.
const LONG: Duration = Duration::from_secs(3600);

/// The addresses of a host; `None` if the run is over. Asking for a name blocks, so a thread of its own asks; when nobody
/// waits for the thread any more, it ends by itself.
///
/// # Errors
/// If the name has no address.
pub(super) fn resolve(
    host: &str,
    port: u16,
    poller: &mut Poller,
    over: &dyn Fn() -> bool,
) -> io::Result<Option<Vec<SocketAddr>>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Some(vec![SocketAddr::new(address, port)]));
    }
    if let Some((address, zone)) = host.split_once('%')
        && let Ok(address) = address.parse::<Ipv6Addr>()
    {
        let address = SocketAddrV6::new(address, port, 0, interface(zone)?);
        return Ok(Some(vec![address.into()]));
    }
    let (sender, receiver) = mpsc::channel();
    let (host, waker) = (host.to_owned(), poller.waker());
    thread::Builder::new().name(String::from("resolve")).spawn(move || {
        let addresses = lookup(&host, port);
        // The thread that asked may have gone.
        let _ = sender.send(addresses);
        let _ = waker.wake();
    })?;
    loop {
        if over() {
            return Ok(None);
        }
        match receiver.try_recv() {
            Ok(addresses) => return addresses.map(|all| Some(interleaved(all))),
            Err(TryRecvError::Disconnected) => {
                return Err(io::Error::other("the name could not be looked up"));
            }
            Err(TryRecvError::Empty) => poller.wait(LONG)?,
        }
    }
}

/// Asks the system, and the local network for a name of the local network that the system does not know.
fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let unknown = match (host, port).to_socket_addrs() {
        Err(error) if mdns::is_local(host) => error,
        found => return found.map(Iterator::collect),
    };
    match mdns::addresses(host, port)? {
        none if none.is_empty() => Err(io::Error::new(
            unknown.kind(),
            format!("{unknown}, and nobody in the local network has that name (multicast DNS)"),
        )),
        found => Ok(found),
    }
}

/// The number of an interface, which may be given as a number.
fn interface(zone: &str) -> io::Result<u32> {
    zone.parse().or_else(|_| platform::interface(zone)).map_err(|error| {
        io::Error::new(error.kind(), format!("this machine has no interface `{zone}`"))
    })
}

/// IPv6 and IPv4 addresses in turn, beginning with the kind of the first one (RFC 8305, section 4): if one of the two
/// networks leads nowhere, the second attempt goes over the other one.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_v6);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [same.next(), other.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod platform {
    use std::io;
    use std::net::UdpSocket;

    /// The number of the interface of a name.
    pub(super) fn interface(name: &str) -> io::Result<u32> {
        let socket = UdpSocket::bind("[::1]:0").or_else(|_| UdpSocket::bind("127.0.0.1:0"))?;
        Ok(rustix::net::netdevice::name_to_index(&socket, name)?)
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
mod platform {
    use std::io;
    use std::net::{SocketAddr, ToSocketAddrs};

    /// The number of the interface of a name, which getaddrinfo(3) knows.
    pub(super) fn interface(name: &str) -> io::Result<u32> {
        let found = (format!("fe80::1%{name}"), 0).to_socket_addrs()?;
        let zone = |address| match address {
            SocketAddr::V6(address) => Some(address.scope_id()),
            SocketAddr::V4(_) => None,
        };
        found.into_iter().find_map(zone).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(not(unix))]
mod platform {
    use std::io;

    /// Zones are numbers here.
    pub(super) fn interface(_: &str) -> io::Result<u32> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_addresses_take_turns() {
        let addresses = |words: &[&str]| -> Vec<SocketAddr> {
            words.iter().map(|word| word.parse().unwrap()).collect()
        };
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]);
        let expected = addresses(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]);
        assert_eq!(interleaved(given), expected);
        assert_eq!(interleaved(Vec::new()), []);
    }

    #[test]
    fn interface_that_is_not_there_is_named() {
        assert_eq!(interface("7").unwrap(), 7);
        let error = interface("none").unwrap_err();
        assert_eq!(error.to_string(), "this machine has no interface `none`");
    }
}
