//! Large files that were committed not long ago: if a client commits one again because the answer was lost, the server
//! answers it the same.

use std::collections::VecDeque;

use haul_protocol::{Digest, Token};

use super::REMEMBERED;
use crate::accounts::Scope;

/// The last of them, the oldest first. The journal of each is kept as long as it is remembered here.
#[derive(Debug, Default)]
pub(super) struct Published(VecDeque<(Token, Scope, Digest, String)>);

impl Published {
    /// The digest that an upload was committed with.
    pub(super) fn digest(&self, scope: &Scope, token: &Token) -> Option<Digest> {
        let is_it = |(published, of, ..): &&(Token, Scope, Digest, String)| {
            published == token && of == scope
        };
        self.0.iter().find(is_it).map(|(_, _, digest, _)| *digest)
    }

    /// Remembers a commit, and forgets the oldest one if there are too many; returns its key if nothing here needs
    /// its journal any more: the same file may have been committed again since.
    pub(super) fn remember(
        &mut self,
        (token, scope): (Token, Scope),
        digest: Digest,
        key: String,
    ) -> Option<String> {
        self.0.push_back((token, scope, digest, key));
        if self.0.len() <= REMEMBERED {
            return None;
        }
        let (.., key) = self.0.pop_front()?;
        self.0.iter().all(|(.., other)| *other != key).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> Token {
        Token((number as u128).to_le_bytes())
    }

    fn numbered(number: usize) -> (Token, Scope) {
        (token(number), Scope::default())
    }

    #[test]
    fn journal_that_a_newer_commit_needs_is_not_forgotten_with_an_older_one() {
        let mut published = Published::default();
        let digest = Digest([1; 32]);
        assert_eq!(published.remember(numbered(0), digest, String::from("same")), None);
        for number in 1..REMEMBERED {
            assert_eq!(published.remember(numbered(number), digest, format!("{number}")), None);
        }
        // The first one leaves, but the same file is the newest as well.
        assert_eq!(published.remember(numbered(1000), digest, String::from("same")), None);
        assert_eq!(published.digest(&Scope::default(), &token(0)), None);
        assert_eq!(published.digest(&Scope::default(), &token(1000)), Some(digest));
        for number in 1..REMEMBERED {
            let forgotten =
                published.remember(numbered(2000 + number), digest, format!("x{number}"));
            assert_eq!(forgotten, Some(number.to_string()));
        }
        let last = published.remember(numbered(9999), digest, String::from("y"));
        assert_eq!(last, Some(String::from("same")));
    }
}
