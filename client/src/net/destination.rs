//! Destinations of uploads: `HOST[:PORT][/PATH]` and its other forms.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use haul_protocol::Name;
use percent_encoding::percent_decode_str;

use super::authority;
use crate::error::destination::DestinationError;

/// A server, and the directory below its root that uploads go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The server.
    pub server: Server,
    /// The directory; `None` is the root itself.
    pub path: Option<Name>,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Server {
    /// A host name or address, and a port.
    Tcp {
        /// Without the brackets of an IPv6 address.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// A Unix socket on this machine.
    Unix(PathBuf),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return unix(text, rest);
        }
        let (scheme, rest) = text.split_at(text.find("//").map_or(0, |end| end + 2));
        if scheme.eq_ignore_ascii_case("haul://") {
            check_user(text, rest)?;
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            // RFC 6874 has `%25` before the zone of an IPv6 address.
            let authority = authority.replacen("%25", "%", 1);
            let (host, port, _) = authority::split(&authority)?;
            let path: Vec<u8> = percent_decode_str(path).collect();
            return Ok(Self { server: Server::Tcp { host, port }, path: directory(&path)? });
        }
        check_scheme(text)?;
        if text.starts_with("haul:") {
            return Err(DestinationError::NoHost(text.to_owned()));
        }
        if is_local(text) {
            return Err(DestinationError::LocalPath(text.to_owned()));
        }
        check_user(text, text)?;
        let (host, port, path) = authority::split(text)?;
        Ok(Self { server: Server::Tcp { host, port }, path: directory(path.as_bytes())? })
    }
}

/// Whether only a path on this machine begins so.
fn is_local(text: &str) -> bool {
    let drive = |text: &str| text.get(1..3) == Some(":\\");
    text.starts_with(['/', '.', '~', '\\']) || drive(text)
}

/// A URL of another protocol is an error, with the same for haul.
fn check_scheme(text: &str) -> Result<(), DestinationError> {
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(()) };
    if scheme.eq_ignore_ascii_case("file") {
        return Err(DestinationError::LocalPath(text.to_owned()));
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_host = !host.is_empty() && !scheme.is_empty();
    // A port belongs to its protocol, but people have hauld behind the address of a web server as well.
    let keeps_port = scheme.to_ascii_lowercase().starts_with("http");
    let host = match host.rsplit_once(':') {
        Some((name, _)) if !keeps_port && !host.ends_with(']') => name,
        _ => host,
    };
    Err(if has_host {
        let (scheme, instead) = (scheme.to_owned(), format!("haul://{host}{path}"));
        DestinationError::Scheme { scheme, instead }
    } else {
        DestinationError::NoHost(text.to_owned())
    })
}

/// A user before the host is an error: of ssh, or of a server that asks who comes.
fn check_user(whole: &str, text: &str) -> Result<(), DestinationError> {
    let authority = text.split('/').next().unwrap_or(text);
    let Some((_, host)) = authority.rsplit_once('@') else { return Ok(()) };
    let given = whole.to_owned();
    let instead = whole.replacen(authority, host, 1);
    Err(match instead.parse::<Destination>() {
        Ok(_) => DestinationError::User { given, instead },
        Err(DestinationError::Ssh { host, instead, .. }) => {
            DestinationError::Ssh { given, host, instead }
        }
        Err(DestinationError::Daemon { instead, .. }) => {
            DestinationError::Daemon { given, instead }
        }
        Err(error) => error,
    })
}

fn unix(whole: &str, rest: &str) -> Result<Destination, DestinationError> {
    let (socket, path) = rest.split_once(":/").unwrap_or((rest, ""));
    if socket.is_empty() {
        return Err(DestinationError::NoHost(whole.to_owned()));
    }
    Ok(Destination { server: Server::Unix(socket.into()), path: directory(path.as_bytes())? })
}

/// A path from the root; slashes around it mean nothing.
fn directory(path: &[u8]) -> Result<Option<Name>, DestinationError> {
    let mut path = path;
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = path {
        path = rest;
    }
    if path.is_empty() {
        return Ok(None);
    }
    Name::parse(path).map(Some).map_err(|source| DestinationError::Path {
        path: String::from_utf8_lossy(path).into_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, path: &str) -> Destination {
        Destination {
            server: Server::Tcp { host: host.to_owned(), port },
            path: Name::parse(path.as_bytes()).ok(),
        }
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("box", tcp("box", 8080, "")),
            ("box:99", tcp("box", 99, "")),
            ("box:99/a/b/", tcp("box", 99, "a/b")),
            ("box/a", tcp("box", 8080, "a")),
            ("box/a:b@c", tcp("box", 8080, "a:b@c")),
            ("::1", tcp("::1", 8080, "")),
            ("fe80::1/a", tcp("fe80::1", 8080, "a")),
            ("[::1]", tcp("::1", 8080, "")),
            ("[::1]:99/a", tcp("::1", 99, "a")),
            ("haul://box:99/a%20b", tcp("box", 99, "a b")),
            ("haul://[fe80::1%25eth0]/a", tcp("fe80::1%eth0", 8080, "a")),
            ("HAUL://box//a", tcp("box", 8080, "a")),
            ("box/a%20b", tcp("box", 8080, "a%20b")),
            ("box//a", tcp("box", 8080, "a")),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let unix: Destination = "unix:/run/h.sock:/a".parse().unwrap();
        assert_eq!(unix.server, Server::Unix("/run/h.sock".into()));
        assert_eq!(unix.path, Name::parse(b"a").ok());
    }

    #[test]
    fn path_on_this_machine_is_no_server() {
        for text in ["/tmp/x", "./x", "../x", ".", "~/x", "~me/x", "file:///x", "C:\\x"] {
            let error = text.parse::<Destination>().unwrap_err();
            assert!(matches!(error, DestinationError::LocalPath(_)), "{text}");
        }
        let error = "box/../x".parse::<Destination>().unwrap_err();
        assert!(matches!(error, DestinationError::Path { .. }));
    }

    #[test]
    fn form_of_another_program_is_told_with_the_right_one() {
        for (text, right) in [
            ("me@box:in/x", "box/in/x"),
            ("box:in/x", "box/in/x"),
            ("box:/in", "box/in"),
            ("box:", "box"),
            ("box:~/in", "box/in"),
            ("box::mod/x", "box/mod/x"),
            ("me@box::mod/x", "box/mod/x"),
            ("me@box", "box"),
            ("me@box:99/in", "box:99/in"),
            ("haul://me@box/in", "haul://box/in"),
            ("rsync://me@box:873/mod/x", "haul://box/mod/x"),
            ("http://box:8080/in", "haul://box:8080/in"),
            ("https://box/in", "haul://box/in"),
            ("ssh://me@box:22/in", "haul://box/in"),
            ("sftp://[::1]:22/in", "haul://[::1]/in"),
            ("ftp://box", "haul://box"),
        ] {
            let told = text.parse::<Destination>().unwrap_err().to_string();
            assert!(format!("{told},").contains(&format!("write {right},")), "{text}: {told}");
            assert!(right.parse::<Destination>().is_ok(), "{right}");
        }
        for text in ["http://", "://box", "haul:box", "haul:/box", "a b", "box?", ""] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
