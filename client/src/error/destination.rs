//! Destinations that are not understood, and the right form of each.

use thiserror::Error;

/// The right form, for messages.
const FORMS: &str = "[ACCOUNT@]HOST[:PORT][/PATH], [V6][:PORT][/PATH], haul://HOST[:PORT][/PATH], \
                     unix:SOCKET[:/PATH], or over ssh [USER@]HOST:PATH";

/// A destination can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// A local path.
    #[error(
        "`{0}` is a path on this machine, but the last word is a server, which hauld runs on: {FORMS}"
    )]
    LocalPath(String),
    /// A host that ssh would take for an option or a command, or none at all.
    #[error("`{0}` is not a name of a host for ssh")]
    SshHost(String),
    /// The same of a user.
    #[error("`{0}` is not a name of a user for ssh")]
    SshUser(String),
    /// Not a port.
    #[error("`{port}` is not a port of ssh from 1 to 65535: ssh://{host}:PORT/PATH")]
    SshPort {
        /// The text in the port's place.
        port: String,
        /// The host before it.
        host: String,
    },
    /// The home of another user, which only a shell finds.
    #[error(
        "`{path}`: haul finds no homes of other users; write the whole path, as in {host}:/home/NAME"
    )]
    OtherHome {
        /// The path as given.
        path: String,
        /// The host.
        host: String,
    },
    /// A password before the host, which is not repeated.
    #[error(
        "a secret does not belong into a command line, where others can read it: write {0}, and ssh asks for it"
    )]
    SshSecret(String),
    /// The form of a module of an rsync daemon.
    #[error("`{given}` is an rsync daemon's, and haul sends to hauld: write {instead}")]
    Daemon {
        /// The destination as given.
        given: String,
        /// The same for a hauld there.
        instead: String,
    },
    /// A URL of another protocol.
    #[error(
        "haul can't use {scheme}://: run hauld there, and write {instead}, with its port if that is not \
         8080"
    )]
    Scheme {
        /// The scheme of the URL.
        scheme: String,
        /// The same for a hauld there.
        instead: String,
    },
    /// A name that no account has, before the host.
    #[error(
        "`{account}` is no name of an account: it has up to 32 small letters, digits, `.`, `_` and `-`, and begins with a \
         letter or digit; without an account, write {instead}"
    )]
    Account {
        /// The text before the `@`.
        account: String,
        /// The same destination without it.
        instead: String,
    },
    /// A password or token before the host, which is not repeated.
    #[error(
        "a secret does not belong into a command line, where others can read it: write {0}, and `haul login` reads the \
         secret from the terminal"
    )]
    Secret(String),
    /// A mistyped pin behind a link.
    #[error("behind `#`: {0}; copy the whole link again")]
    Pin(haul_protocol::PinError),
    /// An IPv6 address without brackets, which may end with a port.
    #[error(
        "`{address}` can be an address, or an address and a port: write [{address}], or [{host}]:{port}"
    )]
    AmbiguousV6 {
        /// All of it as an address.
        address: String,
        /// All of it but the last number.
        host: String,
        /// The last number.
        port: u16,
    },
    /// Brackets around anything but an IPv6 address, or a word behind them.
    #[error("`{0}` is not an IPv6 address in brackets: the right form is [V6][:PORT][/PATH]")]
    Brackets(String),
    /// Not a port.
    #[error(
        "`{port}` is not a port from 1 to 65535; a path comes after a slash: {host}/PATH; over ssh: {host}:./{port}"
    )]
    Port {
        /// The text in the port's place.
        port: String,
        /// The host before it.
        host: String,
    },
    /// A port without a host.
    #[error("`{0}` is a port without a host: write localhost:{0} for this machine, or HOST:{0}")]
    PortAlone(String),
    /// The host is missing.
    #[error("`{0}` names no server; the right form is {FORMS}")]
    NoHost(String),
    /// The host has characters that no name of a host has.
    #[error("`{0}` is not a name of a host; the right form is {FORMS}")]
    Host(String),
    /// The path is not a name.
    #[error("path `{path}`: {source}")]
    Path {
        /// The path as given.
        path: String,
        /// The error.
        source: haul_protocol::NameError,
    },
}
