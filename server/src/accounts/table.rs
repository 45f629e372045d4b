//! The accounts of one reading of `users.toml`, found by token.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use haul_protocol::{AccessToken, Digest};
use subtle::ConstantTimeEq;

use super::account::{Account, KnownToken, Proof, earlier, is_over};
use super::client::AccountName;

/// The digest that the secret of an unknown token is compared with, so that it costs as much as a wrong secret.
const NOBODYS: Digest = Digest([0; 32]);

/// The accounts, by name, by the ids of their tokens, and by the users of this machine who have them.
#[derive(Debug, Default)]
pub(super) struct Table {
    accounts: BTreeMap<AccountName, Arc<Account>>,
    tokens: HashMap<String, (AccountName, KnownToken)>,
    users: HashMap<u32, AccountName>,
    /// The ends of accounts and tokens, the earliest first.
    ends: Vec<i64>,
}

/// An account that somebody has proved to have.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) account: Arc<Account>,
    pub(super) proof: Proof,
    /// The end of the account, or of the token if that is earlier.
    pub(super) expires: Option<i64>,
}

impl Table {
    pub(super) fn of(accounts: Vec<Account>) -> Self {
        let ends = accounts.iter().flat_map(|account| {
            account
                .expires
                .into_iter()
                .chain(account.tokens.iter().filter_map(|token| token.expires))
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        let tokens = accounts.iter().flat_map(|account| {
            let name = &account.name;
            account.tokens.iter().map(|token| (token.id.clone(), (name.clone(), token.clone())))
        });
        let tokens = tokens.collect();
        let users = accounts.iter().flat_map(|account| {
            account.unix_users.iter().map(|user| (*user, account.name.clone()))
        });
        let users = users.collect();
        let accounts =
            accounts.into_iter().map(|account| (account.name.clone(), Arc::new(account)));
        Self { accounts: accounts.collect(), tokens, users, ends }
    }

    /// Whether there is no account.
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// All accounts.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// The second at which the last account or token ended that has ended; 0 if none has.
    pub(super) fn last_end(&self, now: i64) -> i64 {
        let ended = self.ends.partition_point(|end| is_over(Some(*end), now));
        self.ends[..ended].last().copied().unwrap_or(0)
    }

    /// The account of a token. An unknown id, a wrong secret and a token that has ended are one answer, and take the same
    /// steps: one look into the table, one digest, one comparison.
    pub(super) fn find(&self, token: &AccessToken, now: i64) -> Option<Known> {
        let found = self.tokens.get(token.id());
        let is_right = is_secret(token, found.map(|(_, known)| known));
        let (name, known) = found.filter(|_| is_right)?;
        self.known(name, Proof::Token(known.id.clone(), known.hash), now)
    }

    /// The account of a user of this machine.
    pub(super) fn of_user(&self, user: u32, now: i64) -> Option<Known> {
        self.known(self.users.get(&user)?, Proof::User(user), now)
    }

    /// The account of this name, if the proof holds for it now and it has not ended.
    pub(super) fn known(&self, name: &AccountName, proof: Proof, now: i64) -> Option<Known> {
        let account = self.accounts.get(name)?;
        let end = match &proof {
            Proof::Token(id, hash) => {
                let (of, known) = self.tokens.get(id)?;
                (of == name && known.hash == *hash).then_some(known.expires)?
            }
            Proof::User(user) => self.users.get(user).filter(|of| *of == name).map(|_| None)?,
        };
        let expires = earlier(account.expires, end);
        let known = Known { account: Arc::clone(account), proof, expires };
        (!is_over(expires, now)).then_some(known)
    }
}

/// Whether the token has the secret whose digest is known.
fn is_secret(token: &AccessToken, known: Option<&KnownToken>) -> bool {
    #[cfg(test)]
    tests::COMPARISONS.with(|made| made.set(made.get() + 1));
    let expected = known.map_or(NOBODYS, |known| known.hash);
    token.hash().0.ct_eq(&expected.0).into()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::file::parse;
    use super::*;

    thread_local! {
        /// Secrets that this thread has hashed and compared.
        pub(super) static COMPARISONS: Cell<u32> = const { Cell::new(0) };
    }

    fn table(rest: &str) -> (Table, AccessToken) {
        let token = AccessToken::new([7; 5], [9; 32]);
        let (id, hash) = (token.id(), token.hash());
        let text = format!(
            "[user.alice]\nrights = []\n[[user.alice.token]]\nid = \"{id}\"\nhash = \"b3:{hash}\"\n{rest}"
        );
        (Table::of(parse(&text).unwrap()), token)
    }

    #[test]
    fn only_the_right_secret_of_a_known_id_finds_an_account() {
        let (table, token) = table("");
        assert_eq!(table.find(&token, 0).unwrap().account.name.as_str(), "alice");
        for wrong in [
            AccessToken::new([7; 5], [8; 32]),
            AccessToken::new([6; 5], [9; 32]),
            AccessToken::nobodys(),
        ] {
            assert!(table.find(&wrong, 0).is_none(), "{wrong:?}");
        }
        assert!(Table::default().find(&token, 0).is_none() && Table::default().is_empty());
    }

    /// An unknown id is compared as well, so it takes as long as a wrong secret.
    #[test]
    fn unknown_id_is_compared_with_a_digest_that_no_secret_has() {
        let known =
            KnownToken { id: "a4dqobyh".into(), hash: NOBODYS, created: None, expires: None };
        for secret in [[0; 32], [9; 32]] {
            let token = AccessToken::new([7; 5], secret);
            assert!(!is_secret(&token, None) && !is_secret(&token, Some(&known)));
        }
    }

    /// Trap 22: no answer comes sooner because there is nothing to compare with.
    #[test]
    fn every_token_costs_one_comparison_whether_it_is_known_right_or_over() {
        let (table, right) = table("expires = 2027-01-01\n");
        let (before, after) = (0, 1_798_761_600);
        let unknown = AccessToken::new([6; 5], [9; 32]);
        let wrong = AccessToken::new([7; 5], [8; 32]);
        let nobodys = AccessToken::nobodys();
        for (token, now, is_found) in [
            (&right, before, true),
            (&right, after, false),
            (&wrong, before, false),
            (&wrong, after, false),
            (&unknown, before, false),
            (&nobodys, before, false),
        ] {
            let made = COMPARISONS.get();
            assert_eq!(table.find(token, now).is_some(), is_found, "{token:?}");
            assert_eq!(COMPARISONS.get() - made, 1, "{token:?}");
        }
    }

    #[test]
    fn token_that_has_ended_finds_no_account() {
        let (table, token) = table("expires = 2027-01-01\n");
        let end = 1_798_761_600;
        assert_eq!(table.find(&token, end - 1).unwrap().expires, Some(end));
        assert!(table.find(&token, end).is_none());
    }
}
