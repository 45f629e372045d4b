//! The invitation of a client that `hauld --stdio` serves: a token that it has got over ssh, and shows at a port of this machine.
//!
//! Only the token's hash stays here.

use haul_protocol::{AccessToken, Digest};

/// A token that lets connections of one client in.
#[derive(Debug)]
pub(crate) struct Invitation {
    hash: Digest,
}

impl Invitation {
    /// By this token.
    pub(crate) fn new(token: &AccessToken) -> Self {
        Self { hash: token.hash() }
    }

    /// Whether a peer has shown that token. The time of the comparison tells only of the hash.
    pub(crate) fn is_shown(&self, token: &AccessToken) -> bool {
        self.hash == token.hash()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_an_invitation() {
        let invitation = Invitation::new(&AccessToken::new([1; 5], [2; 32]));
        assert!(invitation.is_shown(&AccessToken::new([1; 5], [2; 32])));
        assert!(!invitation.is_shown(&AccessToken::new([1; 5], [3; 32])));
        assert!(!invitation.is_shown(&AccessToken::nobodys()));
    }
}
