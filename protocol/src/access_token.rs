//! The token by which a server knows an account, and whose secret nobody else may see.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::base32;
use crate::digest::Digest;

/// The context of the hash: no digest of the same bytes for another purpose is the same.
const CONTEXT: &str = "haul 2026 hash of a token's secret";

/// Every access token begins with it.
const PREFIX: &str = "haul_";

/// Letters of the id: 5 bytes in base32.
const ID_LETTERS: usize = 8;

/// Letters of the secret: 32 bytes in base64url without padding.
const SECRET_LETTERS: usize = 43;

/// Bytes of the whole text, which is ASCII.
const TEXT_LEN: usize = PREFIX.len() + ID_LETTERS + 1 + SECRET_LETTERS;

/// An account's token: an id, which a server may show and log, and a secret of 32 random bytes.
///
/// Its text is `haul_<id>_<secret>`. Only [`expose`](Self::expose) writes the secret; the bytes are overwritten when the token
/// is dropped.
///
/// ```
/// use haul_protocol::AccessToken;
/// let token = AccessToken::new([7; 5], [9; 32]);
/// assert_eq!(token.id(), "a4dqobyh");
/// let text = token.expose();
/// assert_eq!(text, "haul_a4dqobyh_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk");
/// assert_eq!(text.parse(), Ok(token.clone()));
/// assert_eq!(format!("{token:?}"), "AccessToken(a4dqobyh)");
/// ```
#[derive(Clone)]
pub struct AccessToken {
    id: String,
    /// In one place of memory: whoever moves the token copies no secret.
    secret: Box<Zeroizing<[u8; 32]>>,
}

impl AccessToken {
    /// A token of random bytes, which the caller draws.
    #[must_use]
    pub fn new(id: [u8; 5], secret: [u8; 32]) -> Self {
        Self { id: base32::encode(&id), secret: Box::new(Zeroizing::new(secret)) }
    }

    /// The token of nobody, whose id is empty. A `hello` whose `token` is no access token brings it, so that a server
    /// treats such a `hello` like one with an unknown id.
    #[must_use]
    pub fn nobodys() -> Self {
        Self { id: String::new(), secret: Box::default() }
    }

    /// The part that is no secret: eight letters, or none for [`nobodys`](Self::nobodys) token.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The digest of the secret, which a server keeps in the secret's place. The secret is random and long: no slow hash is
    /// needed.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest(blake3::derive_key(CONTEXT, &**self.secret))
    }

    /// The text with the secret. The caller overwrites it after use.
    #[must_use]
    pub fn expose(&self) -> String {
        // With all its room from the start, so that no copy of the secret is left where the text was too short.
        let mut text = String::with_capacity(TEXT_LEN);
        text.push_str(PREFIX);
        text.push_str(&self.id);
        text.push('_');
        BASE64URL_NOPAD.encode_append(&**self.secret, &mut text);
        text
    }
}

/// Shows the id only.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken({})", self.id)
    }
}

/// Compares digests of the secrets, so that the time of the comparison tells nothing about a secret.
impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.hash() == other.hash()
    }
}

impl Eq for AccessToken {}

/// A text is no access token. The error has nothing of the text in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AccessTokenError {
    /// It does not begin with `haul_`.
    #[error("an access token begins with `{PREFIX}`")]
    Prefix,
    /// It has another number of bytes.
    #[error("an access token has {TEXT_LEN} characters, not {0}")]
    Length(usize),
    /// The id or the secret has a character that it can't have, or no `_` is between them.
    #[error("an access token is `{PREFIX}`, {ID_LETTERS} letters, `_`, {SECRET_LETTERS} letters")]
    Letter,
}

impl FromStr for AccessToken {
    type Err = AccessTokenError;

    /// Reads a token. White space around it has no meaning; everything else has.
    fn from_str(text: &str) -> Result<Self, AccessTokenError> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).ok_or(AccessTokenError::Prefix)?;
        if text.len() != TEXT_LEN {
            return Err(AccessTokenError::Length(text.chars().count()));
        }
        let (id, secret) = rest.split_at_checked(ID_LETTERS).ok_or(AccessTokenError::Letter)?;
        let secret = secret.strip_prefix('_').ok_or(AccessTokenError::Letter)?;
        let mut token = Self { id: String::from(id), secret: Box::default() };
        let is_sound = id.bytes().all(base32::is_letter)
            && BASE64URL_NOPAD.decode_mut(secret.as_bytes(), &mut **token.secret) == Ok(32);
        is_sound.then_some(token).ok_or(AccessTokenError::Letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    fn token() -> AccessToken {
        AccessToken::new([0xab; 5], [0xfb; 32])
    }

    #[test]
    fn a_token_reads_back_with_white_space_around_it() {
        let text = token().expose();
        assert_eq!((text.len(), text.capacity()), (TEXT_LEN, TEXT_LEN));
        assert_eq!(format!(" \t{text}\r\n").parse(), Ok(token()));
        assert_ne!(token(), AccessToken::new([0xab; 5], [0xfc; 32]));
        assert_ne!(token(), AccessToken::new([0xac; 5], [0xfb; 32]));
    }

    #[test]
    fn nothing_but_expose_shows_the_secret() {
        let (token, text) = (token(), token().expose());
        let secret = &text[PREFIX.len() + ID_LETTERS + 1..];
        assert!(!format!("{token:?} {token:#?} {}", token.hash()).contains(secret));
        assert_ne!(token.hash(), Digest::of(&[0xfb; 32]));
    }

    #[test]
    fn a_text_that_is_no_token_is_told_why_and_not_repeated() {
        let text = token().expose();
        let parse = |text: &str| text.parse::<AccessToken>().map(|token| token.id().to_string());
        for other in ["", "haul", "HAUL_", "hunter2", &text[1..]] {
            assert_eq!(parse(other), Err(AccessTokenError::Prefix), "{other:?}");
        }
        assert_eq!(parse("haul_"), Err(AccessTokenError::Length(5)));
        assert_eq!(parse(&format!("{text}A")), Err(AccessTokenError::Length(TEXT_LEN + 1)));
        // Upper case in the id; a letter that base32 lacks; padding; the other base64; bits behind the last byte.
        for (at, letter) in [(5, "A"), (5, "1"), (13, "-"), (56, "="), (20, "+"), (56, "_")] {
            let other = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
            assert_eq!(parse(&other), Err(AccessTokenError::Letter), "{other:?}");
        }
        let inside = format!("{} {}", &text[..20], &text[21..]);
        assert_eq!(parse(&inside), Err(AccessTokenError::Letter));
        // A character of several bytes where the id ends.
        let split = format!("haul_aaaaaaa\u{e4}{}", &text[14..]);
        assert_eq!((split.len(), parse(&split)), (TEXT_LEN, Err(AccessTokenError::Letter)));
    }

    #[test]
    fn nobody_has_nobodys_token() {
        let text = AccessToken::nobodys().expose();
        assert!(text.parse::<AccessToken>().is_err());
        assert_eq!(AccessToken::nobodys().id(), "");
    }
}
