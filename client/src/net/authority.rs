//! The host and port of a destination.

use std::net::Ipv6Addr;

use crate::error::destination::DestinationError;

/// The port if none is given: that of the classic tutorial.
pub const PORT: u16 = 8080;

/// Splits `HOST[:PORT][/PATH]` into the host without brackets, the port if there is one, and the rest that begins with a slash.
///
/// # Errors
/// If the host or the port is not one; the error has the right form.
pub(super) fn split(text: &str) -> Result<(String, Option<u16>, &str), DestinationError> {
    let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => in_brackets(authority, bracketed)?,
        None if authority.matches(':').count() > 1 => without_brackets(authority, path)?,
        None => named(authority, text)?,
    };
    Ok((host, port, path))
}

/// `[V6][:PORT]`.
fn in_brackets(whole: &str, bracketed: &str) -> Result<(String, Option<u16>), DestinationError> {
    let wrong = || DestinationError::Brackets(whole.to_owned());
    let (host, rest) = bracketed.split_once(']').ok_or_else(wrong)?;
    if !is_v6(host) {
        return Err(wrong());
    }
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(number(port).ok_or_else(|| DestinationError::Port {
            port: port.to_owned(),
            host: format!("[{host}]"),
        })?),
        None if rest.is_empty() => None,
        None => return Err(wrong()),
    };
    Ok((host.to_owned(), port))
}

/// `V6[:PORT]`, if it can be read in one way only. A zone has no colon, so a port may follow it.
fn without_brackets(text: &str, path: &str) -> Result<(String, Option<u16>), DestinationError> {
    let with_port = text.rsplit_once(':').and_then(|(host, port)| {
        let port = number(port)?;
        is_v6(host).then_some((host, port))
    });
    match (is_v6(text), with_port) {
        (true, Some((host, port))) => Err(DestinationError::AmbiguousV6 {
            address: text.to_owned(),
            host: host.to_owned(),
            port,
        }),
        (true, None) => Ok((text.to_owned(), None)),
        (false, Some((host, port))) => Ok((host.to_owned(), Some(port))),
        (false, None) => Err(scp_or_daemon(text, path)),
    }
}

/// Several colons, and no address.
fn scp_or_daemon(text: &str, path: &str) -> DestinationError {
    let given = format!("{text}{path}");
    if let Some((host, rest)) = text.split_once("::")
        && is_host(host)
    {
        let module = format!("{rest}{path}");
        return DestinationError::Daemon { given, instead: below(host, &module) };
    }
    match text.split_once(':') {
        Some((host, rest)) if is_host(host) => {
            let (port, rest) = rest.split_once(':').unwrap_or((rest, ""));
            match number(port) {
                Some(_) => {
                    DestinationError::Port { port: rest.to_owned(), host: format!("{host}:{port}") }
                }
                None => {
                    DestinationError::Port { port: format!("{port}:{rest}"), host: host.to_owned() }
                }
            }
        }
        _ => DestinationError::NoHost(given),
    }
}

/// `HOST[:PORT]` with at most one colon.
fn named(text: &str, whole: &str) -> Result<(String, Option<u16>), DestinationError> {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err(match port.and_then(number) {
            Some(port) => DestinationError::PortAlone(port.to_string()),
            None => DestinationError::NoHost(whole.to_owned()),
        });
    }
    if !is_host(host) {
        return Err(DestinationError::Host(host.to_owned()));
    }
    if host.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DestinationError::PortAlone(host.to_owned()));
    }
    let Some(port) = port else { return Ok((host.to_owned(), None)) };
    match number(port) {
        Some(port) => Ok((host.to_owned(), Some(port))),
        None => Err(DestinationError::Port { port: port.to_owned(), host: host.to_owned() }),
    }
}

/// The form for a path at a host.
fn below(host: &str, path: &str) -> String {
    match path.trim_matches('/') {
        "" => host.to_owned(),
        path => format!("{host}/{path}"),
    }
}

/// A port.
pub(super) fn number(text: &str) -> Option<u16> {
    // `parse` takes a sign as well.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| is_number && port > 0)
}

/// An IPv6 address, with or without a zone.
pub(super) fn is_v6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "x"));
    let is_zone = !zone.is_empty() && !zone.contains([':', '%', '[', ']']);
    is_zone && address.parse::<Ipv6Addr>().is_ok()
}

/// Whether a host can have that name. The name may be in any script.
pub(super) fn is_host(text: &str) -> bool {
    let may = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !text.is_empty() && text.chars().all(may)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_address_needs_no_brackets_if_it_can_be_read_in_one_way() {
        for (text, host, port) in [
            ("::1", "::1", None),
            ("fe80::1%eth0", "fe80::1%eth0", None),
            ("fe80::1%eth0:99", "fe80::1%eth0", Some(99)),
            ("2001:db8:0:0:0:0:0:1", "2001:db8:0:0:0:0:0:1", None),
            ("2001:db8:0:0:0:0:0:1:99", "2001:db8:0:0:0:0:0:1", Some(99)),
            ("::1:18080", "::1", Some(18080)),
            ("2001:db8::abcd", "2001:db8::abcd", None),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", None),
            ("[fe80::1%eth0]:99", "fe80::1%eth0", Some(99)),
        ] {
            assert_eq!(split(text), Ok((host.to_owned(), port, "")), "{text}");
        }
        assert_eq!(split("::1/a"), Ok((String::from("::1"), None, "/a")));
        for text in ["::1:8080", "fe80::1:2", "2001:db8::99"] {
            let found = split(text);
            let ambiguous = matches!(found, Err(DestinationError::AmbiguousV6 { .. }));
            assert_eq!(ambiguous, text != "2001:db8::99", "{found:?}");
        }
    }

    #[test]
    fn brackets_are_around_an_ipv6_address_and_nothing_follows_them_but_a_port() {
        for text in ["[box]", "[::1", "[::1]99", "[]", "[fe80::1%]"] {
            assert!(matches!(split(text), Err(DestinationError::Brackets(_))), "{text}");
        }
        assert!(matches!(split("[::1]:x"), Err(DestinationError::Port { .. })));
    }

    #[test]
    fn port_that_is_mistyped_is_never_a_path() {
        for text in ["box:18a", "127.0.0.1:2860x", "box:0", "box:65536", "box:80:90", "box:99:in"] {
            assert!(matches!(split(text), Err(DestinationError::Port { .. })), "{text}");
        }
        for text in ["8080", ":18222", "8080/in"] {
            assert!(matches!(split(text), Err(DestinationError::PortAlone(_))), "{text}");
        }
    }
}
