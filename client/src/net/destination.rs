//! Destinations of uploads: `[ACCOUNT@]HOST[:PORT][/PATH]`, `[USER@]HOST:PATH` over ssh, and other forms.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use haul_protocol::{Name, Pin};
use percent_encoding::percent_decode_str;

use super::account::{self, is_account};
use super::authority;
use super::ssh::place::{self, Parts};
use super::ssh::{Runs, Ssh};
use crate::error::destination::DestinationError;

/// A server, the account there, and the directory below the account's root that uploads go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The server.
    pub server: Server,
    /// The account, if the destination names one.
    pub account: Option<String>,
    /// The pin of the server's key, if the destination is a link that has one.
    pub pin: Option<Pin>,
    /// The directory; `None` is the root itself.
    pub path: Option<Name>,
    /// Nobody has named a port, and the server's is the usual one.
    pub is_usual_port: bool,
}

impl Destination {
    /// The same account at the same server, with another directory.
    #[must_use]
    pub fn with_path(&self, path: Option<Name>) -> Self {
        Self { path, ..self.clone() }
    }

    /// The server with the account, if one is named: the word behind `haul login`.
    #[must_use]
    pub fn login(&self) -> String {
        match &self.account {
            Some(account) => format!("{account}@{}", self.server),
            None => self.server.to_string(),
        }
    }

    /// The same, reached over ssh with these programs if ssh leads there.
    #[must_use]
    pub fn by(mut self, runs: &Runs) -> Self {
        if let Server::Ssh(ssh) = &mut self.server {
            ssh.runs = runs.clone();
        }
        self
    }

    /// The same in a dry run, in which no hauld is copied to where ssh leads.
    pub(crate) fn dry(&mut self) {
        if let Server::Ssh(ssh) = &mut self.server {
            ssh.runs.dry();
        }
    }

    /// Whether ssh leads there.
    #[must_use]
    pub fn is_over_ssh(&self) -> bool {
        matches!(self.server, Server::Ssh(_))
    }

    /// Whether both are below one root: that of one account at one server, as it is written.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        (&self.server, &self.account) == (&other.server, &other.account)
    }
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
    /// A machine on which ssh starts a server for each connection.
    Ssh(Box<Ssh>),
}

impl Server {
    /// Whether a run may have connections that go past ssh.
    #[must_use]
    pub(crate) fn may_be_direct(&self) -> bool {
        matches!(self, Self::Ssh(ssh) if ssh.runs.is_direct())
    }

    /// Whether a lost connection is made again by itself. ssh could ask for a password once more.
    #[must_use]
    pub(crate) fn reconnects(&self) -> bool {
        !matches!(self, Self::Ssh(_))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Ssh(ssh) => ssh.fmt(f),
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
            return url(scheme, rest);
        }
        if scheme.eq_ignore_ascii_case("ssh://") {
            return over_ssh(place::uri(rest)?);
        }
        check_scheme(text)?;
        if text.starts_with("haul:") {
            return Err(DestinationError::NoHost(text.to_owned()));
        }
        if is_local(text) {
            return Err(DestinationError::LocalPath(text.to_owned()));
        }
        if let Some(parts) = Parts::of(text) {
            return over_ssh(parts.read()?);
        }
        let (account, rest) = account("", text)?;
        let (host, port, path) = authority::split(rest)?;
        let path = directory(path.as_bytes())?;
        Ok(Self { account, ..at(host, port, path) })
    }
}

/// A place that ssh leads to. Accounts and pins are for servers that listen.
#[expect(clippy::unnecessary_wraps, reason = "the end of a function that fails otherwise")]
fn over_ssh((ssh, path): (Ssh, Option<Name>)) -> Result<Destination, DestinationError> {
    let server = Server::Ssh(Box::new(ssh));
    Ok(Destination { server, account: None, pin: None, path, is_usual_port: false })
}

/// A place at a server that listens, which has the usual port if none is named.
fn at(host: String, port: Option<u16>, path: Option<Name>) -> Destination {
    let server = Server::Tcp { host, port: port.unwrap_or(authority::PORT) };
    Destination { server, account: None, pin: None, path, is_usual_port: port.is_none() }
}

/// Whether a word that may be either is a place at a server, and no path on this machine: it has a scheme, brackets, or a
/// colon before its first slash, as rsync and scp read it. So `box/www` and `./box:www` are paths; `box:www`,
/// `box:8080/www` and `haul://box/www` are not.
pub(crate) fn is_remote(text: &str) -> bool {
    if is_local(text) {
        return false;
    }
    let authority = text.split('/').next().unwrap_or(text);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let is_server = text.contains("://") || text.starts_with("unix:") || host.starts_with('[');
    is_server || has_port || Parts::of(text).is_some()
}

/// Splits `[ACCOUNT@]HOST…` into the account and the rest. `scheme` stood before it.
///
/// # Errors
/// If the rest is the form of another program, or no account has that name.
fn account<'a>(scheme: &str, text: &'a str) -> Result<(Option<String>, &'a str), DestinationError> {
    let Some((account, rest)) = account::split(text) else { return Ok((None, text)) };
    if let Some((account, _)) = account.split_once(':') {
        let account = if is_account(account) { account } else { "ACCOUNT" };
        return Err(DestinationError::Secret(format!("{scheme}{account}@{rest}")));
    }
    let (given, instead) = (format!("{scheme}{text}"), format!("{scheme}{rest}"));
    match instead.parse::<Destination>() {
        Ok(_) if is_account(account) => Ok((Some(account.to_owned()), rest)),
        Ok(_) => Err(DestinationError::Account { account: account.to_owned(), instead }),
        Err(DestinationError::Daemon { instead, .. }) => {
            Err(DestinationError::Daemon { given, instead })
        }
        Err(error) => Err(error),
    }
}

/// The form of a URL: `rest` follows its scheme. A link of `hauld user add` has the pin of the server's key behind it.
fn url(scheme: &str, rest: &str) -> Result<Destination, DestinationError> {
    let (rest, pin) = match rest.split_once('#') {
        Some((rest, pin)) if is_pin(pin) => {
            (rest, Some(pin.parse().map_err(DestinationError::Pin)?))
        }
        _ => (rest, None),
    };
    let (account, rest) = account(scheme, rest)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // RFC 6874 has `%25` before the zone of an IPv6 address.
    let authority = authority.replacen("%25", "%", 1);
    let (host, port, _) = authority::split(&authority)?;
    let path: Vec<u8> = percent_decode_str(path).collect();
    Ok(Destination { account, pin, ..at(host, port, directory(&path)?) })
}

/// Whether a text behind a `#` is meant as a pin: in a path a `#` is a character as any other.
fn is_pin(text: &str) -> bool {
    let letters: String = text.chars().filter(char::is_ascii_alphanumeric).take(5).collect();
    letters.eq_ignore_ascii_case("haul1")
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

fn unix(whole: &str, rest: &str) -> Result<Destination, DestinationError> {
    let (socket, path) = rest.split_once(":/").unwrap_or((rest, ""));
    if socket.is_empty() {
        return Err(DestinationError::NoHost(whole.to_owned()));
    }
    let (server, path) = (Server::Unix(socket.into()), directory(path.as_bytes())?);
    Ok(Destination { server, account: None, pin: None, path, is_usual_port: false })
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
            account: None,
            pin: None,
            path: Name::parse(path.as_bytes()).ok(),
            is_usual_port: port == 8080,
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
    fn account_stands_before_the_host_and_a_pin_behind_a_url() {
        let pin = Pin::of_spki(b"key");
        let link = format!("haul://alice@box:99#{pin}");
        for (text, host, port, path, pin) in [
            ("alice@box", "box", 8080, "", None),
            ("alice@box:99/a", "box", 99, "a", None),
            ("alice@[::1]:99/a@b", "::1", 99, "a@b", None),
            ("alice@::1", "::1", 8080, "", None),
            ("haul://alice@box/a#b", "box", 8080, "a#b", None),
            (&link, "box", 99, "", Some(pin)),
            (&link.replace('#', "/a#"), "box", 99, "a", Some(pin)),
            (&link.replace("haul1-", "HAUL1\u{200b} "), "box", 99, "", Some(pin)),
        ] {
            let account = Some(String::from("alice"));
            let expected = Destination { account, pin, ..tcp(host, port, path) };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let wrong = link[..link.len() - 1].parse::<Destination>();
        assert!(matches!(wrong, Err(DestinationError::Pin(_))), "{wrong:?}");
    }

    #[test]
    fn name_that_no_account_has_is_told() {
        for text in ["Me@box", "@box", "haul://m e@box/in", "-a@box:1", "a@b@box"] {
            let error = text.parse::<Destination>().unwrap_err();
            assert!(matches!(error, DestinationError::Account { .. }), "{text}: {error}");
            assert!(error.to_string().contains("write "), "{error}");
        }
    }

    #[test]
    fn secret_in_a_destination_is_told_and_not_repeated() {
        for (text, right) in [
            ("haul://alice:hunter2@box/in", "haul://alice@box/in"),
            ("alice:hunter2@box", "alice@box"),
            (":hunter2@box:1/in", "ACCOUNT@box:1/in"),
            ("A:hunter2:x@box", "ACCOUNT@box"),
            ("alice:hunter2@box:in", "alice@box:in"),
        ] {
            let told = text.parse::<Destination>().unwrap_err().to_string();
            assert!(told.contains(&format!("write {right}, and `haul login`")), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn scheme_port_or_brackets_tell_a_server_from_a_path() {
        for text in [
            "haul://box/www",
            "box:8080/www",
            "a@box:1",
            "[::1]/www",
            "unix:/s:/www",
            "box:www",
            "box:",
            "me@box:/www",
            "[::1]:www",
            "ssh://box/www",
        ] {
            assert!(is_remote(text), "{text}");
        }
        for text in [
            "box/www",
            "box",
            "./box:1",
            "./box:www",
            "a@box/www",
            "/x/haul:1/y",
            ":80",
            "~/a:b",
            "../a:b",
            "./ssh://x",
            "a/b:c",
        ] {
            assert!(!is_remote(text), "{text}");
        }
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
            ("box::mod/x", "box/mod/x"),
            ("me@box::mod/x", "box/mod/x"),
            ("rsync://me@box:873/mod/x", "haul://box/mod/x"),
            ("http://box:8080/in", "haul://box:8080/in"),
            ("https://box/in", "haul://box/in"),
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
