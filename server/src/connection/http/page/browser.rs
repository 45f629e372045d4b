//! Logging in with a browser: the page that asks for a token, and the cookie that stands for it from then on.

use haul_protocol::RequestId;
use zeroize::Zeroizing;

use crate::accounts::Denied;
use crate::connection::Connection;
use crate::connection::http::asked::Asked;
use crate::connection::login::unknown_token;
use crate::connection::sink::Sink;
use crate::connection::turn::Turn;
use crate::http::address::{Address, Own};
use crate::http::body::pairs;
use crate::http::cookie;
use crate::http::credentials::{Credentials, token};
use crate::http::head::{Field, Framing, Head};
use crate::http::method::Method;
use crate::http::page::shell::{self, Nonce};
use crate::http::response::{Length, Response};
use crate::http::status::{Status, Wrong};
use crate::services::Services;

/// Bytes of the longest form of a login.
const MAX_FORM: u64 = 4096;

impl Connection {
    /// The addresses that are open to those who have no login yet. Returns the request if it is for none of them.
    pub(in crate::connection::http) fn open_to_all(
        &mut self,
        asked: Asked<Own>,
        services: &Services,
    ) -> Option<Asked<Own>> {
        let (first, rest) = asked.target.split();
        match (first, rest, asked.head.method) {
            ("page", name, _) => self.page_part(asked.id, &asked.head, name),
            ("login" | "logout", "", _) if !self.needs_account(services) => {
                self.see_other("/", None);
            }
            ("login", "", Method::Get | Method::Head) => {
                self.login_page(Status::OK, None, "/");
            }
            ("login", "", Method::Post) => self.login_comes(asked),
            ("logout", "", Method::Post) => self.http_log_out(&asked.head, services),
            ("login" | "logout", "", _) => {
                let methods = if first == "login" { "GET, HEAD, POST" } else { "POST" };
                self.refuse_http(asked.id, Wrong::only(methods).into());
            }
            _ => return Some(asked),
        }
        None
    }

    /// The page that asks for a token. `why`: the reason why there is no login yet; `to`: the address to go on to.
    pub(in crate::connection::http) fn login_page(
        &mut self,
        status: Status,
        why: Option<&str>,
        to: &str,
    ) {
        let Some(half) = self.half.http() else { return };
        let Ok(nonce) = Nonce::draw() else {
            return half.refuse_wrong(Wrong::new(Status::BUSY, "the system has no random bytes"));
        };
        // Without a challenge that a browser would show a dialog of its own for.
        let head = match status {
            Status::UNAUTHORIZED => {
                shell::head(status, &nonce).with("WWW-Authenticate", "Bearer realm=\"haul\"")
            }
            _ => shell::head(status, &nonce),
        };
        half.answer(&head, shell::login(&nonce, why, to).as_bytes());
    }

    fn see_other(&mut self, to: &str, cookie: Option<String>) {
        let response = Response::new(Status::SEE_OTHER).with("Location", to);
        let response = match cookie {
            Some(cookie) => response.with("Set-Cookie", cookie),
            None => response,
        };
        if let Some(half) = self.half.http() {
            half.begin(&response, Length::Known(0));
        }
    }

    /// A form with a token is on its way.
    fn login_comes(&mut self, asked: Asked<Own>) {
        let Asked { id, head, target } = asked;
        let Framing::Length(len @ 1..=MAX_FORM) = head.framing else {
            let wrong = Wrong::new(Status::TOO_LARGE, "a login is a form of up to 4096 bytes");
            return self.refuse_http(id, wrong.into());
        };
        if let Some(half) = self.half.http() {
            half.go_on();
        }
        if let Some(http) = self.http() {
            http.asked = Some(Box::new(Asked { id, head, target: Address::Own(target) }));
        }
        // All of it fits: a form that grew would leave copies of the token.
        let form = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        self.sink = Sink::Login(Zeroizing::new(form));
    }

    /// The form has come.
    pub(in crate::connection) fn login_has_come(&mut self, form: &[u8], turn: &Turn<'_>) {
        let Some(asked) = self.http().and_then(|http| http.asked.take()) else { return };
        let services = turn.services;
        let to = pairs::value(form, "to").filter(|to| is_here(to));
        let to = to.as_ref().map_or("/", |to| to);
        let text = pairs::value(form, "token").unwrap_or_default();
        let token = token(text.trim());
        let login = match self.login_of(&token, turn) {
            Ok(login) => login,
            Err(Denied::Silently) => return self.half.abandon(),
            Err(Denied::Told) => {
                let why = unknown_token().message().to_owned();
                return self.login_page(Status::FORBIDDEN, Some(&why), to);
            }
        };
        let (account, proof) = (login.account.name.clone(), login.proof().clone());
        let is_safe = self.is_safe(&asked.head);
        match services.sessions.begin(account, proof, services.now()) {
            Ok(session) => {
                let cookie = cookie::set(Some(&session), host(&asked.head), is_safe);
                self.see_other(to, Some(cookie));
            }
            Err(_) => self.no_random_bytes(asked.id),
        }
    }

    fn no_random_bytes(&mut self, id: RequestId) {
        let wrong = Wrong::new(Status::BUSY, "the system has no random bytes");
        self.refuse_http(id, wrong.into());
    }

    fn http_log_out(&mut self, head: &Head, services: &Services) {
        if let Credentials::Session(session) = &head.credentials {
            services.sessions.end(session);
        }
        let cookie = cookie::set(None, host(head), self.is_safe(head));
        self.see_other("/.haul/login", Some(cookie));
    }

    /// Whether the browser reached the server over TLS, perhaps by a proxy.
    fn is_safe(&mut self, head: &Head) -> bool {
        let is_https = |origin: &str| origin.to_ascii_lowercase().starts_with("https://");
        self.came_over_tls() || head.field(Field::Origin).is_some_and(is_https)
    }
}

fn host(head: &Head) -> &str {
    head.field(Field::Host).unwrap_or_default()
}

/// Whether a page may go on to this address: one of this server, whatever a browser makes of its letters.
fn is_here(to: &str) -> bool {
    let is_plain = to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_plain
        && to.starts_with('/')
        && Address::parse(to).is_ok_and(|address| address.authority().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_goes_on_to_addresses_of_this_server_only() {
        for here in ["/", "/a/", "/a%20b/?json"] {
            assert!(is_here(here), "{here}");
        }
        let others =
            ["", "//evil/", "/\\evil", "http://evil/", "a", "/a b", "/\r\nx", "/..", "/\t/evil"];
        for other in others {
            assert!(!is_here(other), "{other}");
        }
    }
}
