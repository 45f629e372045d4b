//! The bytes of a resumable upload that come with one request.

use std::sync::Arc;

use haul_protocol::{Code, RequestId};

use super::signal::Signal;
use super::summed::{Summed, Words};
use super::{MOST, Places};
use crate::connection::file_body::{ADVANCE, AHEAD};
use crate::connection::http::asked::Refused;
use crate::connection::turn::Turn;
use crate::http::head::Framing;
use crate::http::resumable::Spoken;
use crate::refusal::Refusal;
use crate::store::{Change, Reserved};
use crate::uploads::ordered::Using;

/// The words of a request that brings bytes.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: RequestId,
    pub(super) spoken: Spoken,
    /// It begins the upload.
    pub(super) creates: bool,
    /// Its client knows where the upload is.
    pub(super) is_known: bool,
    /// The length of the file, which the client tells only now.
    pub(super) size: Option<u64>,
    /// The sums that it states of its bytes.
    pub(super) words: Words,
    pub(super) framing: Framing,
}

/// The bytes of one request, as they come.
#[derive(Debug)]
pub(in crate::connection) struct Body {
    pub(in crate::connection) id: RequestId,
    pub(super) spoken: Spoken,
    pub(super) creates: bool,
    is_known: bool,
    pub(super) using: Using,
    /// Given when a newer request has the upload.
    pub(super) signal: Arc<Signal>,
    pub(super) summed: Option<Summed>,
    room: Reserved,
    /// The quota has so much for the file.
    promised: u64,
    /// The offset that no byte may pass.
    most: u64,
    /// More bytes have come than the file has, of a client of the draft: the upload is not valid any more.
    is_invalid: bool,
    /// When the last [`ADVANCE`] bytes were complete, in milliseconds of the server's clock.
    pub(in crate::connection) advanced: u64,
    pub(super) places: Places,
}

impl Body {
    /// Bytes that may come: they are not too many, and there is room.
    pub(super) fn begin(
        told: Told,
        using: Using,
        signal: Arc<Signal>,
        places: Places,
        turn: &Turn<'_>,
    ) -> Result<Self, Refused> {
        let (most, promised, room) = match Self::admit(&told, &using, turn) {
            Ok(admitted) => admitted,
            // Its client is not told of it, and could not discard it.
            Err(refused) if told.creates => {
                using.discard()?;
                return Err(refused);
            }
            Err(refused) => return Err(refused),
        };
        let Told { id, spoken, creates, is_known, size, words, .. } = told;
        // Only now: a request that is refused tells no length.
        if let Some(size) = size {
            using.receiving().set_size(using.turn(), size)?;
        }
        let summed = (!words.is_empty()).then(|| Summed::begin(words));
        let advanced = turn.services.now();
        Ok(Self {
            id,
            spoken,
            creates,
            is_known,
            using,
            signal,
            summed,
            room,
            promised,
            most,
            is_invalid: false,
            advanced,
            places,
        })
    }

    /// The offset that no byte may pass, the bytes that the quota has for the file, and the room on the disk.
    fn admit(told: &Told, using: &Using, turn: &Turn<'_>) -> Result<(u64, u64, Reserved), Refused> {
        let (offset, known) = using.progress()?;
        let services = turn.services;
        let size = known.or(told.size);
        let most = size.unwrap_or(MOST).min(services.tuning().limits.max_file);
        let len = if let Framing::Length(len) = told.framing { len } else { 0 };
        let end = offset.saturating_add(len);
        if told.spoken.is_draft() && size.is_some_and(|size| end > size) {
            return Err(longer().into());
        }
        if end > most {
            return Err(too_many().into());
        }
        let name = &using.upload().name;
        let (store, parents) = (&services.store, &turn.base.parents);
        let promised = size.unwrap_or(end);
        if let Some(size) = told.size {
            drop(store.admit(name, size.saturating_sub(offset))?);
        }
        store.promise(parents, &using.token().to_string(), name, promised)?;
        let room = store.admit(name, len)?;
        // A head keeps no room from others before its body comes.
        room.used(room.left().saturating_sub(ADVANCE));
        if !told.words.is_empty() {
            using.receiving().begin_check(using.turn())?;
        }
        Ok((most, promised, room))
    }

    /// The request is refused within its bytes. Those that came count, unless the client does not know of the upload, which it
    /// could neither go on with nor discard, or the draft ends the upload.
    pub(in crate::connection) fn end_refused(self) {
        if !self.is_known || self.is_invalid {
            // It fails only if a newer request has the upload, and no other client knows of it.
            let _ = self.using.discard();
        }
    }

    /// Where in the file the next byte goes, if the request has the upload still.
    pub(in crate::connection) fn offset(&self) -> u64 {
        self.using.progress().map_or(0, |(offset, _)| offset)
    }

    /// Bytes of memory that it takes.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        self.using.receiving().held_bytes()
    }

    /// Takes the next bytes.
    pub(in crate::connection) fn append(
        &mut self,
        bytes: &[u8],
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let (name, store) = (&self.using.upload().name, &turn.services.store);
        let ((offset, size), next) = (self.using.progress()?, bytes.len() as u64);
        let end = offset.saturating_add(next);
        if self.spoken.is_draft() && size.is_some_and(|size| end > size) {
            self.is_invalid = true;
            return Err(longer());
        }
        if end > self.most {
            return Err(too_many());
        }
        if end > self.promised {
            let promised = end.saturating_add(AHEAD).min(self.most);
            store.promise(&turn.base.parents, &self.using.token().to_string(), name, promised)?;
            self.promised = promised;
        }
        if self.room.left() < next {
            self.room.grow(name, next.max(AHEAD).min(self.most - offset))?;
        }
        if let Some(summed) = &mut self.summed {
            summed.update(bytes);
        }
        let flush = self.using.receiving().write(self.using.turn(), bytes)?;
        if let Some(flush) = flush {
            turn.services.start_own(Change::Flush(Box::new(flush)));
        }
        if end / ADVANCE > offset / ADVANCE {
            self.advanced = turn.services.now();
        }
        self.room.used(next);
        Ok(())
    }
}

/// The same, as the draft has it: not only this request is wrong.
fn longer() -> Refusal {
    Refusal::new(Code::BadRequest, "more bytes than Upload-Length has told")
}

fn too_many() -> Refusal {
    Refusal::new(Code::TooLarge, "more bytes than the file has, or than a file may have here")
}
