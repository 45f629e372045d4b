//! The client behind a connection, for everything that the server keeps for each client: the account first.

use std::fmt;
use std::sync::Arc;

/// The name of an account: `[a-z0-9][a-z0-9._-]{0,31}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AccountName(Arc<str>);

impl AccountName {
    /// The names that there can be, for people.
    pub(crate) const RULE: &str =
        "a name has up to 32 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit";

    /// Letters of the longest name.
    const LONGEST: usize = 32;

    /// Checks a name. `None`: it can't be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let first = text.bytes().next()?;
        let is_name = text.len() <= Self::LONGEST
            && is_plain(first)
            && text.bytes().all(|letter| is_plain(letter) || b"._-".contains(&letter));
        is_name.then(|| Self(text.into()))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A client of one account. A client of another account is another one, whatever it calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClientId {
    /// `None`: the server has no accounts.
    pub(crate) account: Option<AccountName>,
    /// As the client calls itself.
    pub(crate) client: String,
}

/// The account behind a request; `None` if the server has no accounts.
pub(crate) type AccountOf<'a> = Option<&'a AccountName>;

impl ClientId {
    /// Its account.
    pub(crate) fn account(&self) -> AccountOf<'_> {
        self.account.as_ref()
    }

    /// A client of a server without accounts.
    #[cfg(test)]
    pub(crate) fn alone(client: &str) -> Self {
        Self { account: None, client: client.to_owned() }
    }

    /// A client of an account.
    #[cfg(test)]
    pub(crate) fn of(account: &str, client: &str) -> Self {
        Self { account: AccountName::parse(account), client: client.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_accounts_are_short_and_plain() {
        for name in ["a", "0", "alice", "a.b_c-d", &"a".repeat(32)] {
            assert_eq!(AccountName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", ".a", "-a", "_a", "Alice", "a b", "a/b", "ä", "a\n", &"a".repeat(33)] {
            assert_eq!(AccountName::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn client_of_another_account_is_another_client() {
        assert_ne!(ClientId::of("alice", "c"), ClientId::of("bob", "c"));
        assert_ne!(ClientId::of("alice", "c"), ClientId::alone("c"));
        assert_eq!(ClientId::of("alice", "c"), ClientId::of("alice", "c"));
    }
}
