//! A resumable upload begins: by an empty request, or by one that has its first bytes.

use std::sync::Arc;

use haul_protocol::limits::MAX_BODY_LEN;
use haul_protocol::{Code, EntryKind, OrderedHasher, RequestId, Token};

use super::answer::{limits, location};
use super::body::{Body, Told};
use super::signal::Signal;
use super::summed::Words;
use super::{Entry, MOST, places};
use crate::accounts::AccountName;
use crate::commit::notify::waker;
use crate::connection::Connection;
use crate::connection::file_body::within;
use crate::connection::http::asked::Refused;
use crate::connection::http::change::{encoded, learning};
use crate::connection::turn::Turn;
use crate::hooks::question::Question;
use crate::http::digests::{self, Stated};
use crate::http::head::{Field, Framing, Head};
use crate::http::response::Response;
use crate::http::resumable::{self, Described, Spoken};
use crate::http::status::{Status, Wrong};
use crate::refusal::Refusal;
use crate::store::{DEEP, Key, OrderedFacts, OrderedUpload, Replaces};
use crate::uploads::ordered::{Entered, Receiving};
use crate::uploads::random_token;

/// An answer before the real one that tells where the upload is.
const RESUMPTION: Status = Status(104, "Upload Resumption Supported");

impl Connection {
    /// Begins an upload, unless the hook has to be asked first. If the file may not come, that is told before its first byte.
    pub(super) fn create_ordered(
        &mut self,
        (id, head, query): (RequestId, &Head, &str),
        spoken: Spoken,
        entry: Entry,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Arc<Question>>, Refused> {
        let checksum = resumable::checksum(head)?;
        let (described, size) = self.admit_ordered(head, query, spoken, turn)?;
        let words = Words { checksum, digests: stated(head, size, spoken)? };
        if entry == Entry::Asks
            && let Some(question) = self.ask_about_upload(&described.name, size, turn)?
        {
            return Ok(Some(question));
        }
        let (services, parents) = (turn.services, &turn.base.parents);
        let store = &services.store;
        let places = places(turn)?;
        let is_draft = matches!(spoken, Spoken::Draft { .. });
        let Described { name, mtime, only_new, metadata } = described;
        let facts = OrderedFacts {
            deferred: size.is_none(),
            mtime: mtime.map(|mtime| (mtime.s, mtime.ns)),
            only_new,
            lasting: size.is_none() || is_draft,
            rights: self.rights(),
            metadata,
        };
        let account = self.account().map(AccountName::as_str);
        let shape = (size.unwrap_or(0), MAX_BODY_LEN);
        let key = Key::ordered(&name, shape, random_token()?, account, facts.clone());
        let token = Token::parse(key.id()).map_err(|_| busy())?;
        let signal = Signal::new(waker(turn.notify, self.id));
        let entered = services.uploads.ordered.enter(token, account, &signal.clone().into());
        let Entered::Begun(alone) = entered else { return Err(busy().into()) };
        let account = account.map(str::to_owned);
        let begun = store
            .promise(parents, key.id(), &name, size.unwrap_or(0))
            .and_then(|()| store.begin_ordered(parents, &key, &name));
        let partial = match begun {
            Ok(partial) => partial,
            Err(error) => {
                store.settle_promise(key.id());
                return Err(error.into());
            }
        };
        let hasher = OrderedHasher::new(MAX_BODY_LEN)
            .map_err(|error| Refusal::new(Code::BadRequest, error))?;
        let upload = OrderedUpload { name, account, size, facts };
        let receiving = Receiving::new(upload, partial, hasher, &signal.clone().into());
        let using = alone.open(receiving);
        // If the digest of the whole file is stated, all of it has to come with this request.
        let may_go_on = head.field(Field::ReprDigest).is_none();
        let is_known = may_go_on && self.tell_location(token, head, spoken, turn);
        let framing = head.framing;
        let told = Told { id, spoken, creates: true, is_known, size: None, words, framing };
        let body = Body::begin(told, using, signal, places, turn)?;
        self.receive_ordered(body);
        Ok(None)
    }

    /// The description of an upload that may begin, with its name in the store, and its size.
    fn admit_ordered(
        &self,
        head: &Head,
        query: &str,
        spoken: Spoken,
        turn: &Turn<'_>,
    ) -> Result<(Described, Option<u64>), Refused> {
        let mut described = resumable::described(head, query)?;
        if head.framing != Framing::Length(0) {
            spoken.has_type(head, true)?;
        }
        let coding = head.field(Field::ContentEncoding);
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(encoded().into());
        }
        let size = size(head, spoken)?;
        within(size.unwrap_or(0), turn.services.tuning().limits.max_file.min(MOST))?;
        if let (Framing::Length(len), Some(size)) = (head.framing, size)
            && len > size
        {
            let status = if spoken.is_draft() { Status::BAD } else { Status::TOO_LARGE };
            return Err(Wrong::new(status, "more bytes than Upload-Length").into());
        }
        described.name = turn.base.view.inward(described.name)?;
        let name = &described.name;
        if name.depth() > DEEP {
            return Err(Wrong::bad("the name is too deep for a resumable upload").into());
        }
        let (store, parents) = (&turn.services.store, &turn.base.parents);
        store.refresh(parents);
        let stands = store.kind(parents, name)?;
        if matches!(stands, Some(EntryKind::Directory)) {
            return Err(Wrong::new(Status::CONFLICT, "a directory has that name").into());
        }
        if described.only_new {
            self.may(learning())?;
            if stands.is_some() {
                return Err(Wrong::new(Status::CONFLICT, "an entry has that name").into());
            }
        }
        if self.replaces() == Replaces::Nothing {
            store.is_free(parents, name)?;
        }
        drop(store.admit(name, size.unwrap_or(0))?);
        Ok((described, size))
    }

    /// Tells a client of the draft where its upload is, before the answer: that comes only when all bytes have. Returns whether
    /// it was told.
    fn tell_location(
        &mut self,
        token: Token,
        head: &Head,
        spoken: Spoken,
        turn: &Turn<'_>,
    ) -> bool {
        // nginx before 1.29 takes an answer before the real one for the real one.
        let is_told = spoken.has_answers_in_between() && !self.is_proxied();
        let Some(half) = self.half.http().filter(|_| is_told) else { return false };
        let version = head.field(Field::UploadDraftInteropVersion).unwrap_or_default();
        let before = Response::new(RESUMPTION)
            .with("Location", location(token))
            .with("Upload-Limit", limits(turn.services))
            .with("Upload-Draft-Interop-Version", version);
        half.tell_before(&before);
        true
    }

    /// The rights of the account, as the journal of an upload keeps them.
    pub(super) fn rights(&self) -> Option<String> {
        self.login.as_ref().map(|login| login.account.rights.to_string())
    }

    pub(super) fn account(&self) -> Option<&AccountName> {
        self.login.as_ref().map(|login| &login.account.name)
    }
}

/// The size of a file, if it is known when its upload begins.
fn size(head: &Head, spoken: Spoken) -> Result<Option<u64>, Wrong> {
    match spoken {
        Spoken::Tus => resumable::size(head),
        Spoken::Draft { .. } => resumable::told_length(head, spoken, 0),
    }
}

/// The digests that the first request states. `size`: that of the file, if it is known.
fn stated(head: &Head, size: Option<u64>, spoken: Spoken) -> Result<Vec<Stated>, Wrong> {
    let is_whole = match head.framing {
        Framing::Length(len) => size == Some(len),
        Framing::Chunked => spoken.says_complete(),
    };
    digests::stated_of_part(head, is_whole)
}

fn busy() -> Refusal {
    Refusal::new(Code::Busy, "an upload can't be begun in this moment")
}
