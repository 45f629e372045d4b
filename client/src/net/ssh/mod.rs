//! Servers that ssh leads to: the system's ssh starts `hauld --stdio` at the other machine, and the protocol goes over the
//! pipes of ssh.

pub(crate) mod child;
mod ciphers;
pub(crate) mod connect;
pub(crate) mod direct;
mod greeting;
mod install;
mod outgoing;
pub(super) mod place;
mod scan;
mod words;

use std::fmt;

use haul_protocol::{Name, ShownBytes};

pub use direct::Direct;
pub use install::Install;
pub use words::Runs;

/// A machine that ssh leads to, and the directory there that hauld serves for this one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ssh {
    /// The user there, if the destination names one.
    pub user: Option<String>,
    /// The host, as ssh knows it. Without the brackets of an IPv6 address.
    pub host: String,
    /// The port of ssh, if the destination names one.
    pub port: Option<u16>,
    /// The directory that becomes hauld's root: absolute, or relative to the home; the home itself is empty.
    pub root: Vec<u8>,
    /// The use that the run makes of the root.
    pub access: Access,
    /// The programs that are run for it.
    pub runs: Runs,
}

/// The use that a run makes of its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Nothing is changed.
    Reads,
    /// Nothing is changed; a run that is not dry would make the root.
    Foresees,
    /// Entries in it are changed.
    Changes,
    /// The root is made if it is missing, and entries in it are changed.
    Makes,
}

impl Ssh {
    /// The user and the host: the word behind ssh.
    #[must_use]
    pub fn login(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}", self.host),
            None => self.host.clone(),
        }
    }

    /// The root, deeper by a name.
    pub(super) fn below(&self, name: &[u8]) -> Vec<u8> {
        let slash: &[u8] = match self.root.last() {
            None | Some(b'/') => b"",
            Some(_) => b"/",
        };
        [&self.root, slash, name].concat()
    }
}

impl fmt::Display for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = ShownBytes(&self.root).to_string();
        let slash = if root.is_empty() || root.ends_with('/') { "" } else { "/" };
        match self.port {
            None if self.host.contains(':') => {
                let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                write!(f, "{user}[{}]:{root}{slash}", self.host)
            }
            None => write!(f, "{}:{root}{slash}", self.login()),
            Some(port) => {
                let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                let host = if self.host.contains(':') {
                    format!("[{}]", self.host)
                } else {
                    self.host.clone()
                };
                let home = if root.starts_with('/') { "" } else { "/~/" };
                write!(f, "ssh://{user}{host}:{port}{home}{root}{slash}")
            }
        }
    }
}

/// The longest row of directories that all names are in; none if one name is in no directory.
pub(super) fn common<'a>(names: impl IntoIterator<Item = &'a Name>) -> Vec<u8> {
    let mut directories = names.into_iter().map(|name| name.split().0);
    let Some(first) = directories.next() else { return Vec::new() };
    let mut common: Vec<&[u8]> = first.split(|&byte| byte == b'/').collect();
    for directory in directories {
        let same = common.iter().zip(directory.split(|&byte| byte == b'/'));
        common.truncate(same.take_while(|(one, other)| *one == other).count());
    }
    common.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deepest_directory_that_all_names_are_in() {
        for (names, expected) in [
            (&["a"][..], ""),
            (&["a/b"], "a"),
            (&["a/b/c", "a/b/d"], "a/b"),
            (&["a/b/c", "a/bc/d"], "a"),
            (&["a/b", "a/b/c"], "a"),
            (&["a/b", "c"], ""),
            (&[], ""),
        ] {
            let names: Vec<_> =
                names.iter().map(|it| Name::parse(it.as_bytes()).unwrap()).collect();
            assert_eq!(common(&names), expected.as_bytes(), "{names:?}");
        }
    }
}
