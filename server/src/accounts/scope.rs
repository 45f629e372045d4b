//! The scope of a token of an upload: the connections on which it holds.

use std::sync::Arc;

use haul_protocol::Token;

use super::account::Account;

/// The account of a connection as it was when its client logged in, and the draft that the connection is about. An upload is
/// put below the root of that account, or into that draft, when it is opened. So its token is unknown to a connection of
/// another scope: the name of the upload would mean another file there, or other rights hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// `None`: the server has no accounts.
    account: Option<Arc<Account>>,
    /// `None`: the connection is about no draft.
    draft: Option<Token>,
}

impl Scope {
    /// Of a connection of this account that is about this draft.
    pub(crate) fn of(account: Option<&Arc<Account>>, draft: Option<Token>) -> Self {
        Self { account: account.cloned(), draft }
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        let is_same_account = match (&self.account, &other.account) {
            (Some(one), Some(other)) => one.name == other.name && one.serves_as(other),
            (None, None) => true,
            _ => false,
        };
        is_same_account && self.draft == other.draft
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::*;

    fn account(text: &str) -> Option<Arc<Account>> {
        parse(text).unwrap().pop().map(Arc::new)
    }

    #[test]
    fn scope_is_another_with_another_account_root_right_or_draft() {
        let alice = account("[user.alice]\nroot = \"a\"\nrights = [\"put\", \"list\"]\n");
        let own = Scope::of(alice.as_ref(), None);
        assert_eq!(own, Scope::of(alice.as_ref(), None));
        let limited =
            account("[user.alice]\nroot = \"a\"\nrights = [\"put\", \"list\"]\nquota_files = 1\n");
        assert!(limited.is_some());
        assert_eq!(own, Scope::of(limited.as_ref(), None), "a limit changes no scope");
        for other in [
            "[user.bob]\nroot = \"a\"\nrights = [\"put\", \"list\"]\n",
            "[user.alice]\nroot = \"b\"\nrights = [\"put\", \"list\"]\n",
            "[user.alice]\nroot = \"a\"\nrights = [\"put\"]\n",
        ] {
            assert_ne!(own, Scope::of(account(other).as_ref(), None), "{other}");
        }
        assert_ne!(own, Scope::default());
        let draft = Scope::of(alice.as_ref(), Some(Token([1; 16])));
        assert_eq!(draft, draft.clone());
        assert!(draft != own && draft != Scope::of(alice.as_ref(), Some(Token([2; 16]))));
    }
}
