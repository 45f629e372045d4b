//! The bytes of a resumable upload that come with one request.

use std::sync::Arc;

use haul_protocol::{Code, RequestId};

use super::signal::Signal;
use super::summed::Summed;
use super::{MOST, Places};
use crate::connection::file_body::{ADVANCE, AHEAD};
use crate::connection::http::asked::Refused;
use crate::connection::turn::Turn;
use crate::http::head::Framing;
use crate::http::resumable::{Checksum, Spoken};
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
    pub(super) checksum: Option<Checksum>,
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
        let Told { id, spoken, creates, is_known, size, checksum, .. } = told;
        // Only now: a request that is refused tells no length.
        if let Some(size) = size {
            using.receiving().set_size(using.turn(), size)?;
        }
        let summed = checksum.map(Summed::begin);
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
        let end = offset.checked_add(len).filter(|end| *end <= most).ok_or_else(too_many)?;
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
        if told.checksum.is_some() {
            using.receiving().begin_check(using.turn())?;
        }
        Ok((most, promised, room))
    }

    /// The request is refused within its bytes. Those that came count, unless the client does not know of the upload: it could
    /// neither go on with it nor discard it.
    pub(in crate::connection) fn end_refused(self) {
        if !self.is_known {
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
        let ((offset, _), next) = (self.using.progress()?, bytes.len() as u64);
        let end = offset.saturating_add(next);
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

fn too_many() -> Refusal {
    Refusal::new(Code::TooLarge, "more bytes than the file has, or than a file may have here")
}
