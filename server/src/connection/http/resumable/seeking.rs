//! A request about an upload that was begun before, whose files are being found.

use std::sync::Arc;

use haul_protocol::{RequestId, Token};

use super::Places;
use super::signal::Signal;
use crate::http::digests::Stated;
use crate::http::head::Framing;
use crate::http::resumable::{Checksum, Spoken};
use crate::http::status::Wrong;
use crate::store::{JournalReading, OrderedUpload, Restoring};
use crate::uploads::ordered::{Busy, Waiting};

/// A request whose upload is being found.
#[derive(Debug)]
pub(in crate::connection) struct Seeking {
    pub(in crate::connection) id: RequestId,
    pub(super) token: Token,
    pub(super) spoken: Spoken,
    pub(super) wanted: Wanted,
    pub(super) signal: Arc<Signal>,
    pub(super) stage: Stage,
    pub(super) places: Option<Places>,
}

/// The purpose of a request.
#[derive(Debug)]
pub(super) enum Wanted {
    Progress,
    Removal,
    Bytes(Append),
}

/// Bytes that are to be appended.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) offset: u64,
    /// The size of the file, if it is told only now.
    pub(super) size: Option<u64>,
    pub(super) checksum: Option<Checksum>,
    /// The digests that it states, if it has a part of the file and if it has all of it.
    pub(super) digests: [Result<Vec<Stated>, Wrong>; 2],
    pub(super) framing: Framing,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Other requests have it just now. Without a place, the request has not come so far.
    Waiting {
        _place: Option<Waiting>,
    },
    Journal(Busy, Box<JournalReading>),
    Bytes(Busy, Box<OrderedUpload>, Box<Restoring>),
}

impl Seeking {
    /// Whether it waits until another request is done with the upload.
    pub(in crate::connection) fn waits(&self) -> bool {
        matches!(self.stage, Stage::Waiting { .. }) && !self.signal.was_given()
    }

    pub(in crate::connection) fn has_place(&self) -> bool {
        self.places.is_some()
    }

    /// Bytes of memory that it takes.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        match &self.stage {
            Stage::Waiting { .. } => 0,
            Stage::Journal(_, reading) => reading.held_bytes(),
            Stage::Bytes(.., restoring) => restoring.held_bytes(),
        }
    }
}
