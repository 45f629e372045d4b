//! Requests about an upload that was begun before: its files are found by its id, a little in each turn.

use haul_protocol::{Name, RequestId, Token};

use super::answer::{Progress, asked, elsewhere, taken};
use super::body::{Body, Told};
use super::seeking::{Append, Seeking, Stage, Wanted};
use super::settle::Settled;
use super::signal::Signal;
use super::summed::Words;
use super::{MOST, places, unknown};
use crate::accounts::AccountName;
use crate::commit::notify::waker;
use crate::connection::Connection;
use crate::connection::file_body::within;
use crate::connection::http::asked::Refused;
use crate::connection::job::Job;
use crate::connection::turn::Turn;
use crate::http::digests;
use crate::http::head::{Field, Framing, Head};
use crate::http::method::Method;
use crate::http::response::Response;
use crate::http::resumable::{self, Spoken};
use crate::http::status::{Status, Wrong};
use crate::store::{FoundOrdered, OrderedUpload, StoreError};
use crate::uploads::ordered::{Entered, Receiving, Using};

impl Connection {
    /// Begins to look for an upload.
    pub(super) fn seek_ordered(
        &mut self,
        id: RequestId,
        head: &Head,
        method: Method,
        (token, spoken): (Token, Spoken),
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        let wanted = match method {
            Method::Patch => Wanted::Bytes(append(head, spoken)?),
            _ if head.framing != Framing::Length(0) => {
                return Err(Wrong::bad("such a request has no body").into());
            }
            Method::Delete => Wanted::Removal,
            _ => Wanted::Progress,
        };
        let signal = Signal::new(waker(turn.notify, self.id));
        let seeking = Seeking {
            id,
            token,
            spoken,
            wanted,
            signal,
            stage: Stage::Waiting { _place: None },
            places: None,
        };
        self.enter_ordered(Box::new(seeking), turn)
    }

    /// Goes on looking for an upload.
    pub(in crate::connection) fn go_on_seeking(
        &mut self,
        seeking: Box<Seeking>,
        turn: &mut Turn<'_>,
    ) {
        let id = seeking.id;
        if let Err(refused) = self.seek(seeking, turn) {
            self.refuse_http(id, refused);
        }
    }

    fn seek(&mut self, mut seeking: Box<Seeking>, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let store = &turn.services.store;
        seeking.stage = match std::mem::replace(&mut seeking.stage, Stage::Waiting { _place: None })
        {
            Stage::Waiting { .. } => return self.enter_ordered(seeking, turn),
            Stage::Journal(busy, mut reading) => {
                let name = named(seeking.token)?;
                let read = reading.advance(&name, turn.buffer.room(0))?;
                turn.share.took(read);
                if read > 0 {
                    Stage::Journal(busy, reading)
                } else {
                    let found = store.ordered(&turn.base.parents, &name, *reading)?;
                    match found.ok_or_else(unknown)? {
                        FoundOrdered::Published(upload) => {
                            self.is_own(&upload, turn)?;
                            return self.ordered_is_whole(&seeking, &upload, turn);
                        }
                        FoundOrdered::Partial(upload, restoring) => {
                            self.is_own(&upload, turn)?;
                            Stage::Bytes(busy, Box::new(upload), restoring)
                        }
                    }
                }
            }
            Stage::Bytes(busy, upload, restoring) => {
                match restoring.advance(turn.buffer.room(0))? {
                    Ok((restoring, read)) => {
                        turn.share.took(read);
                        Stage::Bytes(busy, upload, restoring)
                    }
                    Err((partial, hasher)) => {
                        let waker = seeking.signal.clone().into();
                        let using = busy.open(Receiving::new(*upload, partial, hasher, &waker));
                        return self.ordered_found(*seeking, using, turn);
                    }
                }
            }
        };
        self.job = Some(Job::Ordered(seeking));
        Ok(())
    }

    /// Takes the upload over if it is open, or begins to read its journal if it is not.
    fn enter_ordered(
        &mut self,
        mut seeking: Box<Seeking>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        seeking.signal = Signal::new(waker(turn.notify, self.id));
        // Places first: an upload that is taken from an older request is not given back.
        let places = places(turn)?;
        let account = self.account().map(AccountName::as_str);
        let waker = seeking.signal.clone().into();
        match turn.services.uploads.ordered.enter(seeking.token, account, &waker) {
            Entered::Open(using) => {
                self.is_own(using.upload(), turn)?;
                seeking.places = Some(places);
                return self.ordered_found(*seeking, using, turn);
            }
            Entered::Begun(busy) => {
                let name = named(seeking.token)?;
                let reading = turn.services.store.ordered_journal(&name)?.ok_or_else(unknown)?;
                seeking.places = Some(places);
                seeking.stage = Stage::Journal(busy, Box::new(reading));
            }
            Entered::Waits(place) => seeking.stage = Stage::Waiting { _place: Some(place) },
            Entered::Unknown => return Err(unknown().into()),
        }
        self.job = Some(Job::Ordered(seeking));
        Ok(())
    }

    /// Whether an upload is one of this account, below the root that its clients see now, and was begun by the rights that the
    /// account has now: by others its file may have had to replace nothing.
    fn is_own(&self, upload: &OrderedUpload, turn: &Turn<'_>) -> Result<(), Wrong> {
        let account = self.account().map(AccountName::as_str);
        let view = match &self.login {
            Some(login) => &login.account.view,
            None => &turn.services.whole,
        };
        let is_own = upload.account.as_deref() == account
            && upload.facts.rights == self.rights()
            && view.outward(&upload.name).is_some();
        if is_own { Ok(()) } else { Err(unknown()) }
    }

    /// The upload has become a file, which stands there unchanged.
    fn ordered_is_whole(
        &mut self,
        seeking: &Seeking,
        upload: &OrderedUpload,
        turn: &Turn<'_>,
    ) -> Result<(), Refused> {
        let size = upload.size.unwrap_or(0);
        let progress = Progress { offset: size, size: Some(size), is_whole: true };
        let Some(half) = self.half.http() else { return Ok(()) };
        match &seeking.wanted {
            Wanted::Progress => {
                half.answer_empty(&asked(turn.services, upload, seeking.spoken, progress));
            }
            Wanted::Removal => {
                turn.services
                    .store
                    .forget_published(&seeking.token.to_string())
                    .map_err(|errno| StoreError::new("forget", &upload.name, errno))?;
                half.answer_empty(&Response::new(Status::NO_CONTENT));
            }
            Wanted::Bytes(append) if append.offset != size => {
                let (response, text) = elsewhere(Some(size));
                half.answer(&response, text.as_bytes());
            }
            // The last word of a client of the early draft, which has no bytes.
            Wanted::Bytes(Append { framing: Framing::Length(0), .. })
                if seeking.spoken.is_whole_at_its_length() =>
            {
                half.answer_empty(&taken(turn.services, seeking.spoken, progress));
            }
            Wanted::Bytes(_) => {
                return Err(Wrong::bad("the upload is complete: nothing can be appended").into());
            }
        }
        Ok(())
    }

    /// The upload is open, and this request has it.
    fn ordered_found(
        &mut self,
        seeking: Seeking,
        using: Using,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        let Seeking { id, spoken, wanted, signal, places, .. } = seeking;
        let receiving = using.receiving();
        let (offset, size) = using.progress()?;
        match wanted {
            Wanted::Removal => {
                using.discard()?;
                if let Some(half) = self.half.http() {
                    half.answer_empty(&Response::new(Status::NO_CONTENT));
                }
                Ok(())
            }
            Wanted::Progress => {
                let flush = receiving.settle(using.turn())?;
                // All bytes are here, but the file is not, because the change was refused, or the server has crashed.
                let is_whole = size == Some(offset) && spoken.is_whole_at_its_length();
                let progress = Progress { offset, size, is_whole };
                let response = asked(turn.services, using.upload(), spoken, progress);
                let text = String::new();
                self.answer_settled(
                    Settled { id, using, response, text, is_whole, flush, _places: places },
                    turn,
                )
            }
            Wanted::Bytes(Append { offset: wanted, .. }) if wanted != offset => {
                let flush = receiving.settle(using.turn())?;
                // A client of tus takes the end of the file for the file, which is not there: only `HEAD` tells.
                let is_end = size == Some(offset) && !spoken.is_draft();
                let (response, text) = elsewhere((!is_end).then_some(offset));
                let (flush, is_whole) = (flush.filter(|_| !is_end), false);
                self.answer_settled(
                    Settled { id, using, response, text, is_whole, flush, _places: places },
                    turn,
                )
            }
            Wanted::Bytes(append) => {
                let told = append.size;
                if let Some(told) = told {
                    if size.is_some_and(|size| size != told) || told < offset {
                        let why = "the length is another one than that of the upload";
                        return Err(Wrong::bad(why).into());
                    }
                    within(told, turn.services.tuning().limits.max_file.min(MOST))?;
                }
                let framing = append.framing;
                let words = append.words(size.or(told))?;
                let (creates, is_known, size) = (false, true, told);
                let told = Told { id, spoken, creates, is_known, size, words, framing };
                let places = places.map_or_else(|| super::places(turn), Ok)?;
                let body = Body::begin(told, using, signal, places, turn)?;
                self.receive_ordered(body);
                Ok(())
            }
        }
    }
}

/// The bytes that a `PATCH` announces.
fn append(head: &Head, spoken: Spoken) -> Result<Append, Wrong> {
    spoken.has_type(head, false)?;
    let why = "Upload-Offset is no number";
    let offset = resumable::number(head, spoken, Field::UploadOffset, why)?;
    let offset = offset.ok_or(Wrong::bad("no Upload-Offset"))?;
    let size = resumable::told_length(head, spoken, offset)?;
    let checksum = resumable::checksum(head)?;
    let digests = [false, true].map(|is_whole| digests::stated_of_part(head, is_whole));
    Ok(Append { offset, size, checksum, digests, framing: head.framing })
}

impl Append {
    /// The sums that it states. `size`: that of the file, if it is known.
    fn words(self, size: Option<u64>) -> Result<Words, Wrong> {
        let len = if let Framing::Length(len) = self.framing { Some(len) } else { None };
        let is_whole = self.offset == 0 && len.is_some() && len == size;
        let [of_part, of_whole] = self.digests;
        let digests = if is_whole { of_whole? } else { of_part? };
        Ok(Words { checksum: self.checksum, digests })
    }
}

/// The name of an upload's files.
fn named(token: Token) -> Result<Name, Wrong> {
    Name::parse(token.to_string().as_bytes()).map_err(|_| unknown())
}
