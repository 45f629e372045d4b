//! One account, as `users.toml` has it.

use std::fmt;

use haul_protocol::{AccountFacts, Digest, Rights};

use super::client::AccountName;
use super::view::View;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: AccountName,
    /// The root that its clients see.
    pub(crate) view: View,
    pub(crate) rights: Rights,
    /// The second since 1970 at which it ends.
    pub(crate) expires: Option<i64>,
    /// The most bytes of its files.
    pub(crate) quota_bytes: Option<u64>,
    /// The most files.
    pub(crate) quota_files: Option<u64>,
    /// The most connections at once.
    pub(crate) connections: Option<u32>,
    /// The most bytes of bodies a second, of all its connections.
    pub(crate) rate: Option<u64>,
    /// Users of this machine, by number, who need no token on a Unix socket.
    pub(crate) unix_users: Vec<u32>,
    pub(crate) tokens: Vec<KnownToken>,
}

/// The proof by which a connection has its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The token with this id, and the digest of its secret.
    Token(String, Digest),
    /// The user at the other end of the Unix socket, as the kernel tells (unix(7), `SO_PEERCRED`).
    User(u32),
}

/// As the log tells it: the id of a token, or `user:1000`.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id, _) => f.write_str(id),
            Self::User(id) => write!(f, "user:{id}"),
        }
    }
}

/// The facts about a token that a server keeps: all but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownToken {
    pub(crate) id: String,
    /// The digest of the secret.
    pub(crate) hash: Digest,
    /// The day on which it was made, for people.
    pub(crate) created: Option<String>,
    /// The second since 1970 at which it ends.
    pub(crate) expires: Option<i64>,
}

impl Account {
    /// One without limits and without a token.
    pub(crate) fn new(name: AccountName, view: View, rights: Rights) -> Self {
        Self {
            name,
            view,
            rights,
            expires: None,
            quota_bytes: None,
            quota_files: None,
            connections: None,
            rate: None,
            unix_users: Vec::new(),
            tokens: Vec::new(),
        }
    }

    /// Whether its clients may only put, and learn nothing: each gets a directory of its own.
    pub(crate) fn is_drop_box(&self) -> bool {
        self.rights == Rights::drop_box()
    }

    /// Whether a change of the account from `self` to `other` leaves connections as they are.
    pub(super) fn serves_as(&self, other: &Self) -> bool {
        (&self.view, self.rights) == (&other.view, other.rights)
    }

    /// The facts that its clients are told; `expires`: the end of the account, or of the token if that is earlier.
    pub(crate) fn facts(&self, expires: Option<i64>) -> AccountFacts {
        let name = self.name.as_str().to_owned();
        AccountFacts { name, rights: self.rights, expires, bytes: None, files: None }
    }
}

/// Whether the end has come.
pub(super) fn is_over(expires: Option<i64>, now: i64) -> bool {
    expires.is_some_and(|end| end <= now)
}

/// The earlier of two ends.
pub(super) fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_end_counts_and_no_end_is_the_latest() {
        assert_eq!(earlier(Some(3), Some(2)), Some(2));
        assert_eq!(
            (earlier(None, Some(2)), earlier(Some(3), None), earlier(None, None)),
            (Some(2), Some(3), None)
        );
        assert!(
            is_over(Some(2), 2)
                && is_over(Some(2), 3)
                && !is_over(Some(2), 1)
                && !is_over(None, i64::MAX)
        );
    }
}
