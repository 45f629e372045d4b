//! Destinations of uploads: `HOST[:PORT][/PATH]` and its other forms.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use haul_protocol::Name;
use percent_encoding::percent_decode_str;
use thiserror::Error;

/// The port if none is given: that of the classic tutorial.
pub const PORT: u16 = 8080;

/// The right form, for messages.
const FORMS: &str = "HOST[:PORT][/PATH], [V6][:PORT][/PATH], haul://HOST[:PORT][/PATH] or \
                     unix:SOCKET[:/PATH]";

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

/// A destination can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// A local path.
    #[error("`{0}` looks like a path on this machine; the destination is a server: {FORMS}")]
    LocalPath(String),
    /// An IPv6 address without brackets.
    #[error("write an IPv6 address in brackets: [{0}]")]
    BareV6(String),
    /// Not a port.
    #[error("`{0}` is not a port from 1 to 65535")]
    Port(String),
    /// The host is missing.
    #[error("`{0}` names no server; the right form is {FORMS}")]
    NoHost(String),
    /// The path is not a name.
    #[error("path `{path}`: {source}")]
    Path {
        /// The path as given.
        path: String,
        /// The error.
        source: haul_protocol::NameError,
    },
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
        if let Some(rest) = text.strip_prefix("haul://") {
            let (server, path) = split(text, rest)?;
            let path: Vec<u8> = percent_decode_str(path).collect();
            return Ok(Self { server, path: directory(&path)? });
        }
        if text.starts_with(['/', '.', '~']) {
            return Err(DestinationError::LocalPath(text.to_owned()));
        }
        let (server, path) = split(text, text)?;
        Ok(Self { server, path: directory(path.as_bytes())? })
    }
}

fn unix(whole: &str, rest: &str) -> Result<Destination, DestinationError> {
    let (socket, path) = rest.split_once(":/").unwrap_or((rest, ""));
    if socket.is_empty() {
        return Err(DestinationError::NoHost(whole.to_owned()));
    }
    Ok(Destination { server: Server::Unix(socket.into()), path: directory(path.as_bytes())? })
}

/// Splits the text behind a scheme into the server and the path.
fn split<'a>(whole: &str, text: &'a str) -> Result<(Server, &'a str), DestinationError> {
    let authority = text.split('/').next().unwrap_or(text);
    if !text.starts_with('[') && authority.matches(':').count() > 1 {
        return Err(DestinationError::BareV6(authority.to_owned()));
    }
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            bracketed.split_once(']').ok_or_else(|| DestinationError::NoHost(whole.to_owned()))?
        }
        None => {
            let end = text.find([':', '/']).unwrap_or(text.len());
            text.split_at(end)
        }
    };
    if host.is_empty() {
        return Err(DestinationError::NoHost(whole.to_owned()));
    }
    let (port, path) = match rest.strip_prefix(':') {
        None => (PORT, rest),
        Some(rest) => {
            let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            match port.parse() {
                Ok(0) => return Err(DestinationError::Port(port.to_owned())),
                Ok(port) => (port, path),
                Err(_) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                    return Err(DestinationError::Port(port.to_owned()));
                }
                // The habit from scp: HOST:PATH.
                Err(_) => (PORT, rest),
            }
        }
    };
    Ok((Server::Tcp { host: host.to_owned(), port }, path))
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
            ("box:a/b", tcp("box", 8080, "a/b")),
            ("box:/a", tcp("box", 8080, "a")),
            ("box:2024x", tcp("box", 8080, "2024x")),
            ("[::1]", tcp("::1", 8080, "")),
            ("[::1]:99/a", tcp("::1", 99, "a")),
            ("haul://box:99/a%20b", tcp("box", 99, "a b")),
            ("box/a%20b", tcp("box", 8080, "a%20b")),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let unix: Destination = "unix:/run/h.sock:/a".parse().unwrap();
        assert_eq!(unix.server, Server::Unix("/run/h.sock".into()));
        assert_eq!(unix.path, Name::parse(b"a").ok());
    }

    #[test]
    fn every_mistake_is_named() {
        for text in ["/tmp/x", "./x", "../x", "~/x"] {
            let error = text.parse::<Destination>().unwrap_err();
            assert!(matches!(error, DestinationError::LocalPath(_)), "{text}");
        }
        assert_eq!(
            "::1".parse::<Destination>(),
            Err(DestinationError::BareV6(String::from("::1")))
        );
        assert_eq!(
            "fe80::1/a".parse::<Destination>(),
            Err(DestinationError::BareV6(String::from("fe80::1")))
        );
        for text in ["box:0", "box:65536"] {
            let error = text.parse::<Destination>().unwrap_err();
            assert!(matches!(error, DestinationError::Port(_)), "{text}");
        }
        let error = "box/../x".parse::<Destination>().unwrap_err();
        assert!(matches!(error, DestinationError::Path { .. }));
    }
}
