//! A connection of HTTP: from the head of each request to the store, by the same ways as requests of the haul dialect.
//!
//! A request is looked at when its head has come: is it meant for this server, who asks, may they. A `PUT` is staged as its
//! bytes come, and so are the files of a form; all other requests are carried out when they are complete. `login` finds the
//! account of each request, `change` has changes carried out, `file` and `directory` are jobs that answer in turns, `page` is for
//! browsers;
//! `proxied` finds the client behind a proxy.

pub(super) mod asked;
mod change;
pub(super) mod dav;
pub(super) mod directory;
pub(super) mod file;
mod login;
mod own;
pub(super) mod page;
mod proxied;
pub(super) mod resumable;
mod shared;
pub(super) mod stated;

use std::time::{SystemTime, UNIX_EPOCH};

use haul_protocol::{Digest, RequestId};

use super::failed::Failed;
use super::job::Job;
use super::sink::Sink;
use super::turn::Turn;
use super::{Connection, Dialect};
use crate::accounts::ClientId;
use crate::http::address::Address;
use crate::http::cookie::SessionId;
use crate::http::forwarded::Told;
use crate::http::head::{Field, Framing, Head};
use crate::http::host::is_own;
use crate::http::method::{ALLOWED, Method};
use crate::http::response::{Length, Response};
use crate::http::status::{Status, Wrong};
use crate::metrics::Speaks;
use crate::services::Services;
use asked::{Asked, Refused};
use directory::Directory;
use page::several::Several;
use shared::is_shared;

/// Bytes of a body that is of no use, and is thrown away so that the connection can go on.
const MOST_SKIPPED: u64 = 64 * 1024;

/// The facts about a connection of HTTP that outlast a request.
#[derive(Debug, Default)]
pub(super) struct Http {
    /// The client that asks, for the store.
    client: ClientId,
    /// The digest of the token by which the connection has its login.
    token: Option<Digest>,
    /// The session by whose cookie it has it.
    session: Option<SessionId>,
    /// The last request was one of somebody who may ask.
    pub(super) has_come_in: bool,
    /// The request that is carried out once it is complete.
    asked: Option<Box<Asked<Address>>>,
    /// The request that makes several entries, until it is answered.
    several: Option<Box<Several>>,
    /// Bytes of the present body that were of no use, or are kept.
    skipped: u64,
    /// The present body, of a request that has one besides a file.
    body: Vec<u8>,
    /// The changes that have failed of the request that takes several.
    failed: Vec<Failed>,
    /// An upload whose bytes are being flushed for the present request.
    settled: Option<Box<resumable::settle::Settled>>,
    /// The facts about the present request that a proxy has told which is believed.
    told: Option<Told>,
}

impl Http {
    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.asked.as_ref().map_or(0, |asked| asked.head.held_bytes())
            + self.several.as_ref().map_or(0, |several| several.held_bytes())
            + self.settled.as_ref().map_or(0, |settled| settled.held_bytes())
            + self.body.capacity()
    }
}

impl Connection {
    /// The first bytes were a request of HTTP. Returns whether the connection goes on.
    pub(super) fn begins_http(&mut self, services: &Services) -> bool {
        let client = format!("http {}", self.id.0);
        let client = ClientId { account: None, client };
        self.dialect = Dialect::Http(Box::new(Http { client, ..Http::default() }));
        self.is_heard(Speaks::Http);
        self.tell_second();
        if !self.transport.is_refused() {
            tracing::debug!(peer = self.peer, "speaks HTTP");
            return true;
        }
        if self.may_tell(services) {
            self.tell_plain();
        }
        self.end(super::close::no_tls());
        false
    }

    /// Tells the half the time of day, for the answers of this turn.
    pub(super) fn tell_second(&mut self) {
        if let Some(half) = self.half.http() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            half.tell_second(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        }
    }

    fn http(&mut self) -> Option<&mut Http> {
        if let Dialect::Http(http) = &mut self.dialect { Some(http) } else { None }
    }

    /// The head of a request has come.
    pub(super) fn http_head(&mut self, id: RequestId, mut head: Box<Head>, turn: &mut Turn<'_>) {
        if let Some(http) = self.http() {
            (http.skipped, http.asked, http.several) = (0, None, None);
            http.body = Vec::new();
        }
        self.sink = Sink::Nothing;
        turn.share.was_asked();
        self.metrics().asked_over_http(head.method.word());
        self.seen().asks(head.method.word());
        let services = turn.services;
        let came = self.comes_by_proxy(&mut head, services);
        self.share(&mut head, services);
        let over_tls = self.came_over_tls();
        let target = match came.and_then(|()| meant(&head, over_tls, services)) {
            Ok(target) => target,
            Err(wrong) => return self.refuse_http(id, wrong.into()),
        };
        let asked = self.answer_preflight(Asked { id, head, target }, services);
        let Some(Asked { id, head, target }) = asked else { return };
        let asked = match target {
            Address::Entry(_) => Asked { id, head, target },
            Address::Own(target) => {
                let asked = self.open_to_all(Asked { id, head, target }, turn.services);
                let Some(Asked { id, head, target }) = asked else { return };
                Asked { id, head, target: Address::Own(target) }
            }
        };
        self.http_log_in(Box::new(asked), turn);
    }

    /// The account of the request is known, if it needs one: does what comes before its body.
    fn http_enters(&mut self, asked: Asked<Address>, turn: &mut Turn<'_>) {
        if let Some(http) = self.http() {
            http.has_come_in = true;
        }
        self.enter_view(turn);
        let Asked { id, head, target } = asked;
        if resumable::is_misplaced(&head, &target) {
            let why =
                "this brings a part of a file; a resumable upload begins with POST /.haul/tus/";
            return self.refuse_http(id, Wrong::bad(why).into());
        }
        match target {
            Address::Entry(target) => self.entry_enters(Box::new(Asked { id, head, target }), turn),
            Address::Own(target) => self.own_enters(Asked { id, head, target }, turn),
        }
    }

    /// The request is about an entry.
    fn entry_enters(&mut self, asked: Box<Asked>, turn: &mut Turn<'_>) {
        let needs = asked.head.method.needs(asked.target.is_directory);
        if let Err(refusal) = self.may_begin(needs, asked.head.method.changes()) {
            return match self.is_for_drop_page(&asked) {
                true => self.drop_page(&asked),
                false => self.refuse(asked.id, refusal.into()),
            };
        }
        // The page that tells how many files a form has stored has a form of its own.
        let may_have_query = !asked.head.method.changes() || asked.head.method == Method::Post;
        if let (false, Err(wrong)) = (may_have_query, asked.target.has_no_query()) {
            return self.refuse_http(asked.id, wrong.into());
        }
        if let Err(refused) = self.dav_allows(&asked, turn) {
            return self.refuse_http(asked.id, refused);
        }
        match asked.head.method {
            Method::Put => return self.http_put(asked, turn),
            Method::Post if asked.target.is_directory => return self.http_form(*asked),
            Method::Post | Method::Patch => {
                return self.refuse_http(asked.id, unserved().into());
            }
            _ => {}
        }
        let id = asked.id;
        let is_long = matches!(asked.head.framing, Framing::Length(len) if len > MOST_SKIPPED);
        if is_long {
            let wrong = Wrong::new(Status::TOO_LARGE, "such a request has no body");
            return self.refuse_http(id, wrong.into());
        }
        if let Some(half) = self.half.http() {
            half.go_on();
        }
        let Asked { id, head, target } = *asked;
        if let Some(http) = self.http() {
            http.asked = Some(Box::new(Asked { id, head, target: Address::Entry(target) }));
        }
    }

    /// Bytes of a body have come that no file gets: kept or of no use. Returns whether they are too many.
    pub(super) fn skips_too_much(&mut self, bytes: &[u8]) -> bool {
        let is_skipped = matches!(self.sink, Sink::Nothing);
        let Some(http) = self.http().filter(|_| is_skipped) else { return false };
        http.skipped = http.skipped.saturating_add(bytes.len() as u64);
        let is_kept = http.asked.as_ref().is_some_and(|asked| asked.head.method.has_document());
        if is_kept && http.skipped <= MOST_SKIPPED {
            http.body.extend_from_slice(bytes);
        }
        http.skipped > MOST_SKIPPED
    }

    /// The request is complete.
    pub(super) fn http_end(&mut self, turn: &mut Turn<'_>) {
        let Some(asked) = self.http().and_then(|http| http.asked.take()) else { return };
        let Asked { id, head, target } = *asked;
        let Address::Entry(target) = target else { return };
        let (method, asked) = (head.method, Asked { id, head, target });
        let body = self.http().map(|http| std::mem::take(&mut http.body)).unwrap_or_default();
        turn.services.store.refresh(&turn.base.parents);
        let done = match method {
            Method::Get | Method::Head => self.http_get(&asked, turn),
            Method::Delete => self.http_delete(&asked, turn),
            Method::Mkcol => self.http_mkcol(asked, turn),
            Method::Move => self.http_move(asked, turn),
            Method::Propfind => self.dav_propfind(&asked, &body, turn),
            Method::Proppatch => self.dav_proppatch(&asked, &body, turn),
            Method::Copy => self.dav_copy(&asked, turn),
            Method::Lock => self.dav_lock(&asked, &body),
            Method::Unlock => self.dav_unlock(&asked),
            Method::Options => {
                let response = Response::new(Status::NO_CONTENT).with("Allow", ALLOWED);
                // The second: Microsoft's clients ask for it.
                let response = response.with("DAV", "1, 2").with("MS-Author-Via", "DAV");
                self.begin_answer(&response, Length::Absent);
                Ok(())
            }
            // They were refused before.
            _ => Ok(()),
        };
        if let Err(refused) = done {
            self.refuse_http(id, refused);
        }
    }

    /// A file, or a directory as a page or a list.
    fn http_get(&mut self, asked: &Asked, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let client = self.http().map(|http| http.client.clone()).unwrap_or_default();
        let directory = |connection: &mut Self, turn: &mut Turn<'_>| {
            let facts = connection.facts(asked)?;
            let begun = Directory::begin(client, asked, &turn.base.view, facts)?;
            connection.job = Some(Job::Directory(Box::new(begun)));
            Ok(())
        };
        match &asked.target.name {
            Some(name) if !asked.target.is_directory => {
                let sending = self.begin_file(name, asked, turn)?;
                self.job = sending.map(Job::Send);
                Ok(())
            }
            _ => directory(self, turn),
        }
    }

    /// Begins the answer to the present request.
    fn begin_answer(&mut self, response: &Response, length: Length) {
        if let Some(half) = self.half.http() {
            half.begin(response, length);
        }
    }

    /// A request is not carried out.
    fn refuse_http(&mut self, id: RequestId, refused: Refused) {
        match refused {
            Refused::Refusal(refusal) => self.refuse(id, refusal),
            Refused::Wrong(wrong) => {
                tracing::debug!(peer = self.peer, status = wrong.status.0, wrong.why, "refused");
                if let Some(half) = self.half.http() {
                    half.refuse_wrong(wrong);
                }
            }
        }
    }
}

/// Whether a request is meant for this server, is sent by no page of another one, and asks for something that there is.
fn meant(head: &Head, over_tls: bool, services: &Services) -> Result<Address, Wrong> {
    let host = head.field(Field::Host);
    if host.is_some_and(|host| !services.hosts.knows(host)) {
        let why = "this server is not known by that name (hauld --http-host)";
        return Err(Wrong::new(Status::MISDIRECTED, why));
    }
    let is_of_another = |origin: &str| !host.is_some_and(|host| is_own(origin, host, over_tls));
    let other = head.field(Field::Origin).filter(|origin| is_of_another(origin));
    let why = "a page of another server may change nothing here (hauld --http-origin)";
    let foreign = Wrong::new(Status::FORBIDDEN, why);
    let is_named = other.is_none_or(|origin| services.origins.knows(origin));
    if head.method.changes() && !is_named {
        return Err(foreign);
    }
    match head.method {
        Method::Unserved => return Err(unserved()),
        Method::Unknown => {
            return Err(Wrong::new(Status::NOT_IMPLEMENTED, "that method is not known here"));
        }
        _ => {}
    }
    let text = match &*head.target {
        "*" if head.method == Method::Options => "/",
        text => text,
    };
    let target = Address::parse(text)?;
    if let Some(authority) = target.authority()
        && host.is_some_and(|host| !host.eq_ignore_ascii_case(authority))
    {
        return Err(Wrong::bad("the address has another authority than Host"));
    }
    if head.method.changes() && other.is_some() && !is_shared(&target) {
        return Err(foreign);
    }
    Ok(target)
}

fn unserved() -> Wrong {
    Wrong::new(Status::METHOD, "that is not served here")
}
