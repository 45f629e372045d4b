//! A directory for a client of HTTP, as a page or as JSON: some entries whenever the client has taken all before them.

use std::cell::Cell;

use haul_protocol::{Code, Name, RequestId, Right, Rights};

use super::asked::{Asked, Refused};
use super::dav::told::{self, Told};
use crate::accounts::{ClientId, View};
use crate::connection::turn::Turn;
use crate::connection::{Connection, Dialect};
use crate::http::dav::properties;
use crate::http::method::Method;
use crate::http::page::shell::{self, Nonce};
use crate::http::page::{self, Facts};
use crate::http::response::{Length, Response};
use crate::http::status::Status;
use crate::refusal::Refusal;
use crate::services::places::Place;
use crate::store::{Enough, Listed, Listing, Replaces};

/// Bytes of entries that are written at once; one more entry always fits.
const AT_ONCE: usize = 64 * 1024;

/// A directory on its way to the client.
#[derive(Debug)]
pub(in crate::connection) struct Directory {
    id: RequestId,
    client: ClientId,
    /// The directory in the store; `None`: its root.
    name: Option<Name>,
    /// As the client sees it; empty is the root.
    seen: Vec<u8>,
    form: Form,
    is_head: bool,
    listing: Listing,
    /// The last entry that was looked at, in the store.
    last: Option<Name>,
    /// Entries that are not written yet.
    text: String,
    has_begun: bool,
    has_entry: bool,
    /// Entries that no request can name.
    left_out: u64,
    /// For the open directory, once it is open for more than a turn.
    place: Option<Place>,
}

#[derive(Debug)]
enum Form {
    Page(Box<Facts>),
    Json,
    /// The properties of each entry.
    Properties(Box<Told>),
}

impl Directory {
    /// Before its first entry.
    pub(super) fn begin(
        client: ClientId,
        asked: &Asked,
        view: &View,
        facts: Facts,
    ) -> Result<Self, Refused> {
        let is_list = asked.target.asks_for("json");
        let form = if is_list { Form::Json } else { Form::Page(Box::new(facts)) };
        Self::begin_as(form, client, asked, view)
    }

    /// The same, with the properties of each entry.
    pub(super) fn of_properties(
        told: Told,
        client: ClientId,
        asked: &Asked,
        view: &View,
    ) -> Result<Self, Refused> {
        Self::begin_as(Form::Properties(Box::new(told)), client, asked, view)
    }

    fn begin_as(form: Form, client: ClientId, asked: &Asked, view: &View) -> Result<Self, Refused> {
        let seen = asked.target.name.as_ref().map_or(Vec::new(), |name| name.as_bytes().to_vec());
        let name = view.directory(asked.target.name.clone())?;
        Ok(Self {
            id: asked.id,
            listing: Listing::new(&client, name.clone(), None),
            client,
            name,
            seen,
            form,
            is_head: asked.head.method == Method::Head,
            last: None,
            text: String::new(),
            has_begun: false,
            has_entry: false,
            left_out: 0,
            place: None,
        })
    }

    /// Bytes of memory that it takes.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        let form = if let Form::Properties(told) = &self.form { told.held_bytes() } else { 0 };
        self.text.capacity() + self.listing.held_bytes() + self.seen.len() + form
    }

    pub(in crate::connection) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    /// Whether the answer has begun, and the next entry comes when the names are sorted. The text may have a space here.
    pub(in crate::connection) fn is_sorting(&self) -> bool {
        self.has_begun && self.listing.is_reading()
    }

    fn head(&self) -> Response {
        match &self.form {
            Form::Properties(_) => told::head(Status::MULTI),
            Form::Json => Response::new(Status::OK).with("Content-Type", "application/json"),
            Form::Page(facts) => shell::head(Status::OK, &facts.nonce),
        }
    }

    /// Looks at some entries.
    fn advance(&mut self, turn: &Turn<'_>) -> Result<Listed, Refusal> {
        let share = turn.share;
        // The head of the answer shows whether the peer is gone, so it leaves before much is read for nobody.
        let (is_for_nobody, has_looked) = (!self.has_begun && turn.may_be_gone(), Cell::new(false));
        let is_over = || (is_for_nobody && !has_looked.get()) || share.is_over(false);
        let view = &turn.base.view;
        let Self { listing, last, text, has_entry, form, .. } = self;
        let listed =
            listing.advance(&turn.services.store, &turn.base.parents, &is_over, |entry| {
                has_looked.set(true);
                *last = Some(entry.name.clone());
                let write = |entry: &haul_protocol::Entry| -> Result<(), std::convert::Infallible> {
                    match form {
                        Form::Page(_) => page::row(entry, text),
                        Form::Json => page::json(entry, !*has_entry, text),
                        Form::Properties(told) => {
                            told.entry((turn, last.as_ref()), entry, text);
                        }
                    }
                    *has_entry = true;
                    Ok(())
                };
                let Ok(()) = view.shown(entry, write);
                if text.len() >= AT_ONCE { Enough::Yes } else { Enough::No }
            })?;
        if let Listed::Over { left_out, .. } = listed {
            self.left_out += left_out;
        }
        let is_open = self.listing.is_reading();
        self.place = match (listed, is_open) {
            (Listed::NotYet, true) => self.place.take().or_else(|| turn.place()),
            _ => None,
        };
        match listed == Listed::NotYet && is_open && self.place.is_none() {
            true => Err(Refusal::new(Code::Busy, "too many files are open at once")),
            false => Ok(listed),
        }
    }
}

impl Connection {
    /// The facts that a page of the asker depends on.
    pub(super) fn facts(&self, asked: &Asked) -> Result<Facts, Refusal> {
        let puts: Rights = [Right::Put].into_iter().collect();
        let no_word = |_| Refusal::new(Code::Busy, "the system has no random bytes");
        let query = asked.target.query.split('&');
        let stored = query.filter_map(|part| part.strip_prefix("stored=")).next();
        Ok(Facts {
            nonce: Nonce::draw().map_err(no_word)?,
            may_put: self.may_change && self.may(puts).is_ok(),
            is_drop: false,
            has_session: matches!(&self.dialect, Dialect::Http(http) if http.session.is_some()),
            stored: stored.and_then(|stored| stored.parse().ok()),
        })
    }

    /// Whether somebody who may put and not list asks for a page: they get the place for uploads alone.
    pub(super) fn is_for_drop_page(&self, asked: &Asked) -> bool {
        let puts: Rights = [Right::Put].into_iter().collect();
        let is_page = asked.target.is_directory && !asked.target.asks_for("json");
        // Otherwise files would be replaced that the page doesn't show.
        let replaces = self.replaces() != Replaces::Nothing && !self.is_in_drop_box();
        let may_put = self.may_change && self.may(puts).is_ok() && !replaces;
        is_page && asked.head.wants_page() && may_put
    }

    /// The place for uploads, which tells nothing of the entries that are there.
    pub(super) fn drop_page(&mut self, asked: &Asked) {
        let facts = match self.facts(asked) {
            Ok(facts) => Facts { is_drop: true, ..facts },
            Err(refusal) => return self.refuse(asked.id, refusal),
        };
        let text = page::begin(b"", &facts) + &page::end(&facts, true, 0);
        if let Some(half) = self.half.http() {
            half.answer(&shell::head(Status::OK, &facts.nonce), text.as_bytes());
        }
    }

    /// Looks at some entries and writes them; returns it if it is to go on.
    pub(in crate::connection) fn go_on_with_directory(
        &mut self,
        mut directory: Box<Directory>,
        turn: &mut Turn<'_>,
    ) -> Option<Box<Directory>> {
        let listed = directory.advance(turn);
        let half = self.half.http()?;
        let listed = match listed {
            Ok(listed) => listed,
            Err(refusal) if directory.has_begun => {
                half.break_off();
                self.tell_refusal(&refusal);
                return None;
            }
            Err(refusal) => {
                self.refuse(directory.id, refusal);
                return None;
            }
        };
        if !std::mem::replace(&mut directory.has_begun, true) {
            half.begin(&directory.head(), Length::Unknown);
            if directory.is_head {
                return None;
            }
            let begin = match &mut directory.form {
                Form::Json => page::JSON_BEGIN.to_owned(),
                Form::Page(facts) => page::begin(&directory.seen, facts),
                Form::Properties(told) => told.take_begin(),
            };
            half.append(begin.as_bytes());
        }
        if directory.text.len() >= AT_ONCE || listed != Listed::NotYet {
            half.append(std::mem::take(&mut directory.text).as_bytes());
        }
        match listed {
            Listed::NotYet => Some(directory),
            Listed::Over { more: true, .. } => {
                let (name, after) = (directory.name.clone(), directory.last.as_ref());
                directory.listing = Listing::new(&directory.client, name, after);
                Some(directory)
            }
            Listed::Over { more: false, .. } => {
                let end = match directory.form {
                    Form::Json => page::json_end(directory.left_out),
                    Form::Page(facts) => {
                        page::end(&facts, !directory.has_entry, directory.left_out)
                    }
                    Form::Properties(_) => properties::end(directory.left_out),
                };
                half.append(end.as_bytes());
                half.finish();
                None
            }
        }
    }
}
