//! Errors about the keys of servers.

use std::fmt::{self, Write as _};
use std::io;
use std::path::PathBuf;

use haul_protocol::Pin;
use thiserror::Error;

/// Nothing is sent to a server, because its key is not trusted or everybody could read along.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The server has a key that nobody has vouched for.
    #[error(
        "{server} is not known here{}; nothing was sent. If `hauld fingerprint` prints the same key on the server, trust it: \
         haul trust {server} {pin}", because(.why)
    )]
    Unknown {
        /// The server's host and port.
        server: String,
        /// Its key.
        pin: Pin,
        /// The reason why no authority vouches for it, if it has a certificate of one.
        why: Option<String>,
    },
    /// The user does not trust the key.
    #[error(
        "{server} is not trusted; nothing was sent. If `hauld fingerprint` prints the same key on the server, trust it: \
         haul trust {server} {pin}"
    )]
    Declined {
        /// The server's host and port.
        server: String,
        /// Its key.
        pin: Pin,
    },
    /// The user has typed the key of another server.
    #[error(
        "the key of {server} is {found}, and the key that was typed is {typed}: this is another server; nothing was sent. \
         `hauld fingerprint` prints the right key on the server"
    )]
    Other {
        /// The server's host and port.
        server: String,
        /// Its key.
        found: Pin,
        /// The key that was typed.
        typed: Pin,
    },
    /// The key of the server is known, and the server takes no TLS.
    #[error(
        "{server} takes no TLS 1.3, though its key is known here, so nothing was sent. Somebody may be in between, or the \
         server was started with --tls never or --insecure: ask those who run it"
    )]
    Clear {
        /// The server's host and port.
        server: String,
    },
    /// The server has another key than before.
    #[error(
        "{server} has another key than before, and nothing was sent. {}Now it is {found}. Somebody may be in between, or \
         the server has a new key: `hauld fingerprint` prints it there. If it is this one: haul trust --replace {server} \
         {found}", former(.known)
    )]
    Changed {
        /// The server's host and port.
        server: String,
        /// The keys that are trusted.
        known: Vec<Trusted>,
        /// The key that it has now.
        found: Pin,
    },
    /// A link names another key than the one that is trusted.
    #[error(
        "the link names the key {link} of {server}, and this machine trusts {}: haul has not connected. Write {login} in the \
         place of the link, and haul asks for the key that is trusted, and tells if the server has another one; or ask the \
         owner of the server for a new link", trusted(.known)
    )]
    Link {
        /// The server's host and port.
        server: String,
        /// The same with the account, as users write both.
        login: String,
        /// The keys that are trusted.
        known: Vec<Trusted>,
        /// The key of the link.
        link: Pin,
    },
    /// The server has another key than the link names.
    #[error("{0}")]
    OldLink(Box<OldLink>),
    /// The server shows a certificate, and does not have its key.
    #[error(
        "the server at {server} shows a certificate and can't prove that it has the key: {why}; nothing was sent"
    )]
    Unproved {
        /// The server's host and port.
        server: String,
        /// The reason.
        why: String,
    },
    /// The file with the keys of servers can't be used.
    #[error("{0}; nothing was sent")]
    Known(#[from] KnownError),
    /// The dialect has no encryption.
    #[error(
        "everybody on the way to {server} could read and change what is sent: the classic dialect has no encryption; \
         --insecure sends it in clear"
    )]
    Classic {
        /// The server's host and port.
        server: String,
    },
}

/// A link that names another key than the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OldLink {
    /// The server's host and port.
    pub server: String,
    /// The same with the account, as users write both.
    pub login: String,
    /// The key of the link.
    pub link: Pin,
    /// The key that the server has.
    pub found: Pin,
    /// The key of the link is trusted on this machine.
    pub is_trusted: bool,
}

impl fmt::Display for OldLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, login, link, found, is_trusted } = self;
        let (here, option) = match is_trusted {
            true => ("the key of the link is trusted here", "--replace "),
            false => ("no key of it is trusted here", ""),
        };
        write!(
            f,
            "the link names the key {link} of {server}, which has another key: {found}; {here}, and nothing was sent. Somebody \
             may be in between, or the link is an old one: `hauld fingerprint` prints the key on the server. If it is this \
             one, write {login} in the place of the link after: haul trust {option}{server} {found}"
        )
    }
}

/// A key that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The key.
    pub pin: Pin,
    /// The day from which it is trusted, if that is known.
    pub since: Option<String>,
}

/// A file of the client's own, or the directory of these files, can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KnownError {
    /// There is no directory for it.
    #[error("haul has no directory for its own files: set HAUL_CONFIG_DIR or HOME")]
    NoDirectory,
    /// The system does not let haul use it.
    #[error("could not {doing} {}: {source}", .path.display())]
    Io {
        /// The failed step, such as "read".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The key of a server can't be read, so nobody knows whether the server has it.
    #[error(
        "line {line} of {} has a key of {server} that can't be read ({why}); correct the line or remove it",
        .path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The server's host and port.
        server: String,
        /// The reason.
        why: String,
    },
}

impl KnownError {
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// The reason in the middle of a sentence.
fn because(why: &Option<String>) -> String {
    why.as_ref().map(|why| format!(", and no authority vouches for it: {why}")).unwrap_or_default()
}

/// The sentences about the keys before.
pub(crate) fn former(known: &[Trusted]) -> String {
    let mut text = String::new();
    for Trusted { pin, since } in known {
        // A string takes all that is written to it.
        let _ = match since {
            Some(since) => write!(text, "It was {pin}, since {since}. "),
            None => write!(text, "It was {pin}. "),
        };
    }
    text
}

/// The keys that are trusted, in the middle of a sentence.
fn trusted(known: &[Trusted]) -> String {
    let keys: Vec<String> = known
        .iter()
        .map(|Trusted { pin, since }| match since {
            Some(since) => format!("{pin}, since {since}"),
            None => pin.to_string(),
        })
        .collect();
    keys.join(" and ")
}
