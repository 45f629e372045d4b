//! The account of a request of HTTP. Each request brings its own proof, and over one connection of a proxy may come those of
//! several accounts.

use std::sync::Arc;

use haul_protocol::AccessToken;

use super::Http;
use super::asked::{Asked, Waiting};
use crate::accounts::{ClientId, Denied, Login};
use crate::commit::notify::waker;
use crate::connection::job::Job;
use crate::connection::login::{unknown_token, without_account};
use crate::connection::turn::Turn;
use crate::connection::{Connection, Dialect};
use crate::http::address::Address;
use crate::http::credentials::Credentials;
use crate::http::head::Field;
use crate::http::response::Response;
use crate::http::status::Status;
use crate::refusal::Refusal;
use crate::services::Services;
use crate::services::sessions::Session;
use crate::uploads::random_token;

impl Connection {
    /// Finds the account of a request, if the server has accounts.
    pub(super) fn http_log_in(&mut self, mut asked: Box<Asked<Address>>, turn: &mut Turn<'_>) {
        let services = turn.services;
        // Without accounts a token has no meaning.
        if !self.needs_account(services) {
            return self.http_enters(*asked, turn);
        }
        let credentials = std::mem::take(&mut asked.head.credentials);
        if self.has_login_of(&credentials, services) {
            self.pay_for_login();
            return self.http_enters(*asked, turn);
        }
        self.log_out(services);
        let waker = waker(turn.notify, self.id);
        match credentials {
            Credentials::None => {
                let user = self.user.and_then(|user| services.accounts.log_in_user(user, &waker));
                // The client has shown nothing that could be wrong: a browser asks its user for a token now.
                let Some(login) = user else { return self.ask_for_login(&asked, false) };
                self.http_logged_in(login, None, asked, turn);
            }
            Credentials::Session(id) => {
                let session = services.sessions.find(&id, services.now());
                let login = session.and_then(|session| {
                    let Session { account, proof, client, .. } = session;
                    let login = services.accounts.log_in_again(&account, proof, waker)?;
                    Some((login, client))
                });
                // A cookie of before is no failed login: the browser keeps it longer than the server does.
                let Some((login, client)) = login else { return self.ask_for_login(&asked, true) };
                if let Some(http) = self.http() {
                    http.session = Some(id);
                }
                self.http_logged_in(login, Some(client), asked, turn);
            }
            Credentials::Token { token, user } => match self.login_of(&token, turn) {
                // The token alone says who it is; a name besides must be the same one, or the user means somebody else.
                Ok(login) if user.is_none_or(|user| is_of(&login, &user)) => {
                    if let Some(http) = self.http() {
                        http.token = Some(token.hash());
                    }
                    self.http_logged_in(login, None, asked, turn);
                }
                Ok(_) | Err(Denied::Told) => self.refuse_login(&asked, unknown_token()),
                Err(Denied::Silently) => self.half.abandon(),
            },
        }
    }

    /// The account of a token. A token that nobody has is told to the logs.
    pub(super) fn login_of(
        &mut self,
        token: &AccessToken,
        turn: &Turn<'_>,
    ) -> Result<Arc<Login>, Denied> {
        let services = turn.services;
        if !services.accounts.knows(token) {
            services.catch_up_with_accounts();
        }
        let waker = waker(turn.notify, self.id);
        let login = services.accounts.log_in(token, || self.origin, services.now(), waker);
        if login.is_err() {
            if self.may_tell(services) {
                tracing::warn!(peer = self.peer, token = token.id(), "refused a login");
            }
            self.tell_refused_login(token.id());
        }
        login
    }

    /// Nobody has logged in yet. `had_cookie`: a browser asks, whose login has ended.
    fn ask_for_login(&mut self, asked: &Asked<Address>, had_cookie: bool) {
        let head = &asked.head;
        if head.wants_page() {
            let why = had_cookie.then_some("The login has ended.");
            return self.login_page(Status::UNAUTHORIZED, why, &head.target);
        }
        // A page's own requests: with a challenge for Basic the browser would show a dialog of its own.
        if had_cookie || head.field(Field::Origin).is_some() {
            let response = Response::new(Status::UNAUTHORIZED)
                .with("Content-Type", "text/plain; charset=utf-8")
                .with("WWW-Authenticate", "Bearer realm=\"haul\"");
            let text = format!("{}\n", without_account().message());
            if let Some(half) = self.half.http() {
                half.answer(&response, text.as_bytes());
            }
            return;
        }
        self.refuse_login(asked, without_account());
    }

    /// Not as a refusal of the store: the audit log has its own line for a login.
    fn refuse_login(&mut self, asked: &Asked<Address>, refusal: Refusal) {
        let told = self.told(refusal);
        let said = self.half.refuse(asked.id, told);
        self.note_unsaid(said);
    }

    /// Whether the connection has the login that a request with this proof would get.
    fn has_login_of(&self, credentials: &Credentials, services: &Services) -> bool {
        let Dialect::Http(http) = &self.dialect else { return false };
        let is_alive = self.login.as_ref().is_some_and(|login| !login.is_over());
        is_alive
            && match (credentials, &http.token) {
                (Credentials::Session(id), _) => {
                    http.session.as_ref() == Some(id)
                        && services.sessions.find(id, services.now()).is_some()
                }
                (Credentials::Token { token, user }, Some(known)) => {
                    let login = self.login.as_ref();
                    let is_user = |user: &str| login.is_some_and(|login| is_of(login, user));
                    token.hash() == *known && user.as_deref().is_none_or(is_user)
                }
                (Credentials::None, None) => http.session.is_none(),
                _ => false,
            }
    }

    /// The connection is nobody's again.
    pub(super) fn log_out(&mut self, services: &Services) {
        (self.login, self.seat, self.meter) = (None, None, None);
        self.seen().is_of(None);
        self.view = services.whole.clone();
        if let Some(Http { token, session, has_come_in, .. }) = self.http() {
            (*token, *session, *has_come_in) = (None, None, false);
        }
    }

    fn http_logged_in(
        &mut self,
        login: Arc<Login>,
        browser: Option<String>,
        asked: Box<Asked<Address>>,
        turn: &mut Turn<'_>,
    ) {
        let account = Arc::clone(&login.account);
        tracing::info!(peer = self.peer, account = %account.name, token = %login.proof(), "logged in");
        self.tell_login(&login);
        // Another client than any before: nobody guesses the directory of a drop account.
        let client = match random_token() {
            Ok(token) => format!("http {token}"),
            Err(refusal) => return self.refuse(asked.id, refusal),
        };
        let mut view = account.view.clone();
        if account.is_drop_box() {
            // All connections of one browser put into the same.
            let name = browser.as_deref().unwrap_or(&client);
            match turn.services.drop_directory(&account, name) {
                Ok(own) => view = own,
                Err(refusal) => return self.refuse(asked.id, refusal),
            }
        }
        (self.login, self.view) = (Some(login), view);
        // The look before this request was one for nobody's root.
        if !self.has_own_root(turn) {
            return;
        }
        let client = ClientId { account: Some(account.name.clone()), client };
        if let Some(http) = self.http() {
            http.client = client.clone();
        }
        let Some(seat) = self.take_seat(&client, 0, turn) else { return };
        if seat.is_taken() {
            return self.http_enters(*asked, turn);
        }
        tracing::info!(peer = self.peer, "waits until another connection ends");
        let since = turn.services.now();
        self.job = Some(Job::Seat(Box::new(Waiting { seat, since, asked })));
    }

    /// The connection has its seat.
    pub(in crate::connection) fn http_has_seat(&mut self, waiting: Waiting, turn: &mut Turn<'_>) {
        self.http_enters(*waiting.asked, turn);
    }
}

/// Whether a login is that of the account with this name. A client that knows none may send an empty one.
fn is_of(login: &Login, user: &str) -> bool {
    user.is_empty() || login.account.name.as_str() == user
}
