//! The cookie of a login: a random word, and not the token.
//!
//! Browsers send the cookies of a host to all of its ports, so the name has the port, and two servers of one host don't take each
//! other's. Over TLS the name begins with `__Host-`: no other host, and no page in clear, can have set such a cookie.

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroize;

/// Seconds for which a browser keeps the cookie: the longest life of a login ([`crate::services::sessions`]).
pub(crate) const MAX_AGE: u64 = 7 * 24 * 60 * 60;

const SAFE: &str = "__Host-";

/// The random word of one login.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionId([u8; 32]);

impl Drop for SessionId {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Shows no secret.
impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId")
    }
}

impl SessionId {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// The session in a field `Cookie` of a request with this `Host`.
pub(super) fn session(cookies: &str, host: &str) -> Option<SessionId> {
    let name = name(host);
    let find = |is_safe: bool| {
        let pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find_map(|(found, value)| {
            let found = if is_safe { found.strip_prefix(SAFE)? } else { found };
            (found == name).then(|| SessionId::parse(value)).flatten()
        })
    };
    find(true).or_else(|| find(false))
}

/// The value of `Set-Cookie` for a session; `None`: the browser forgets it.
pub(crate) fn set(session: Option<&SessionId>, host: &str, is_safe: bool) -> String {
    let (safe, secure) = if is_safe { (SAFE, "; Secure") } else { ("", "") };
    let value = session.map_or(String::new(), |session| BASE64URL_NOPAD.encode(session.as_bytes()));
    let age = if session.is_some() { MAX_AGE } else { 0 };
    let name = name(host);
    format!("{safe}{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

fn name(host: &str) -> String {
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    match port.bytes().all(|byte| byte.is_ascii_digit()) {
        true => format!("haul{port}"),
        false => String::from("haul"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_of_a_login_comes_back_to_the_same_port_only() {
        let id = SessionId([7; 32]);
        for is_safe in [false, true] {
            let set = set(Some(&id), "box:8080", is_safe);
            assert_eq!(set.starts_with("__Host-"), is_safe);
            assert_eq!(set.ends_with("; Secure"), is_safe);
            assert!(set.contains("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"), "{set}");
            let pair = set.split(';').next().unwrap();
            let all = format!("a=b; {pair}; c");
            assert_eq!(session(&all, "box:8080"), Some(id.clone()), "{all}");
            for other in ["box:8081", "box", "[::1]", "box:x"] {
                assert_eq!(session(&all, other), None, "{other}");
            }
        }
        assert!(set(None, "box", true).starts_with("__Host-haul=; Path=/; Max-Age=0;"));
        for odd in ["", "haul8080", "haul8080=", "haul8080=AAAA", "haul8080=!", "=", "haul8080 = x"]
        {
            assert_eq!(session(odd, "box:8080"), None, "{odd}");
        }
    }

    /// A stranger who sets cookies in clear for the host can't have a browser use another login over TLS.
    #[test]
    fn cookie_that_only_this_server_can_have_set_goes_first() {
        let (mine, other) = (SessionId([1; 32]), SessionId([2; 32]));
        let pair =
            |id, is_safe| set(Some(id), "box:1", is_safe).split(';').next().unwrap().to_owned();
        let both = format!("{}; {}", pair(&other, false), pair(&mine, true));
        assert_eq!(session(&both, "box:1"), Some(mine));
    }
}
