//! The proof that a request brings: an access token, as Bearer or as the password of Basic, or the cookie of a login.

use std::fmt;

use data_encoding::BASE64;
use haul_protocol::AccessToken;
use zeroize::{Zeroize, Zeroizing};

use super::cookie::{self, SessionId};

/// The proof that a request brings.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// None.
    #[default]
    None,
    /// An access token; nobody's if it was none. `user`: the name that came with it, of Basic.
    Token { token: AccessToken, user: Option<String> },
    /// A login of before, whose cookie the browser sends.
    Session(SessionId),
}

/// Shows no secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Token { token, .. } => token.fmt(f),
            Self::Session(_) => f.write_str("Session"),
        }
    }
}

impl Credentials {
    /// Reads the value of the field, which is overwritten. A value that can't be read is a token that nobody has: it is refused
    /// like any other, and counts as a failed login.
    pub(super) fn parse(mut value: String) -> Self {
        let (scheme, rest) = value.split_once(' ').unwrap_or((&value, ""));
        let rest = rest.trim_matches(' ');
        let (token, user) = if scheme.eq_ignore_ascii_case("bearer") {
            (token(rest), None)
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic(rest)
        } else {
            (AccessToken::nobodys(), None)
        };
        value.zeroize();
        Self::Token { token, user }
    }
}

/// The value of the field `Cookie`, which is overwritten in the end.
#[derive(PartialEq, Eq)]
pub(super) struct Cookies(Zeroizing<String>);

/// Shows no secret.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies")
    }
}

impl Cookies {
    pub(super) fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The proof in them for a server that is asked by this `Host`. A cookie that was set for nothing here is no proof, and no
    /// failed login either.
    pub(super) fn credentials(&self, host: &str) -> Credentials {
        cookie::session(&self.0, host).map_or(Credentials::None, Credentials::Session)
    }

    /// Bytes of memory that they take.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.capacity()
    }
}

/// A token in words; nobody's if it is none.
pub(crate) fn token(text: &str) -> AccessToken {
    text.parse().unwrap_or_else(|_| AccessToken::nobodys())
}

fn basic(text: &str) -> (AccessToken, Option<String>) {
    let decoded = Zeroizing::new(BASE64.decode(text.as_bytes()).unwrap_or_default());
    let pair = std::str::from_utf8(&decoded).ok().and_then(|text| text.split_once(':'));
    match pair {
        Some((user, password)) => (token(password), Some(user.to_owned())),
        None => (AccessToken::nobodys(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_comes_as_bearer_or_as_the_password_of_basic() {
        let token = AccessToken::new([7; 5], [9; 32]);
        let text = token.expose();
        let read = |value: String| match Credentials::parse(value) {
            Credentials::Token { token, user } => (token, user),
            other => panic!("a value is a token, and not {other:?}"),
        };
        assert_eq!(read(format!("Bearer {text}")), (token.clone(), None));
        assert_eq!(read(format!("bearer   {text} ")), (token.clone(), None));
        let basic = |pair: &str| read(format!("Basic {}", BASE64.encode(pair.as_bytes())));
        assert_eq!(basic(&format!("alice:{text}")), (token.clone(), Some("alice".into())));
        assert_eq!(basic(&format!(":{text}")), (token, Some(String::new())));
        for other in ["", "Bearer", "Digest x", "Basic !", "Basic YWxpY2U=", &text] {
            assert_eq!(read(other.to_owned()), (AccessToken::nobodys(), None), "{other}");
        }
        assert!(
            !format!("{:?}", Credentials::parse(format!("Bearer {text}"))).contains(&text[20..])
        );
    }
}
