//! Resumable uploads of HTTP, below `/.haul/tus/`: tus 1.0, and the draft of the IETF. Both are about the same uploads, whose
//! bytes come in order.
//!
//! `create` begins one, `seek` finds one by its id, `body` takes its bytes, `answer` says how far it is. It becomes a file by
//! the same way as all other changes, and only then its client is told that it is whole.

mod answer;
pub(in crate::connection) mod body;
mod create;
mod seek;
pub(in crate::connection) mod seeking;
pub(super) mod settle;
mod signal;
mod summed;

use std::sync::Arc;

use answer::limits;
use haul_protocol::limits::MAX_PARTED_SIZE;
use haul_protocol::{Code, Right, Rights, Token};

use super::asked::{Asked, Refused};
use crate::connection::Connection;
use crate::connection::turn::Turn;
use crate::hooks::question::Question;
use crate::http::address::{Address, Own};
use crate::http::head::{Field, Head};
use crate::http::method::Method;
use crate::http::response::{Length, Response};
use crate::http::resumable::{self, ALGORITHMS, EXTENSIONS, PATCHES, Spoken, TUS};
use crate::http::status::{Status, Wrong};
use crate::refusal::Refusal;
use crate::services::places::Place;

/// Bytes of the largest file that comes in parts.
const MOST: u64 = MAX_PARTED_SIZE;

/// Places for the bytes and the journal of an upload.
type Places = [Place; 2];

/// Methods of addresses of uploads.
const ALLOWED: &str = "POST, HEAD, PATCH, DELETE, OPTIONS";

/// The way in which an upload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// The hook is asked first, if there is one.
    Asks,
    /// The hook has allowed it, or there is none.
    Allowed,
}

impl Connection {
    /// The account of a request for resumable uploads is known, if it needs one.
    pub(super) fn resumable_enters(&mut self, asked: Asked<Own>, turn: &mut Turn<'_>) {
        match self.begin_resumable(&asked, Entry::Asks, turn) {
            Ok(None) => {}
            Ok(Some(question)) => self.upload_waits(asked, question),
            Err(refused) => self.refuse_http(asked.id, refused),
        }
    }

    /// The hook allows the file of the upload that a request begins.
    pub(in crate::connection) fn upload_is_allowed(
        &mut self,
        asked: Asked<Own>,
        turn: &mut Turn<'_>,
    ) {
        if let Err(refused) = self.begin_resumable(&asked, Entry::Allowed, turn) {
            self.refuse_http(asked.id, refused);
        }
    }

    /// Returns the question that has to be answered before the request is begun.
    fn begin_resumable(
        &mut self,
        asked: &Asked<Own>,
        entry: Entry,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Arc<Question>>, Refused> {
        let Asked { id, head, target } = asked;
        let method = method(head)?;
        if method == Method::Options {
            let most = turn.services.tuning().limits.max_file.min(MOST);
            let response = Response::new(Status::NO_CONTENT)
                .with("Allow", ALLOWED)
                .with("Accept-Patch", PATCHES)
                .with("Tus-Resumable", TUS)
                .with("Tus-Version", TUS)
                .with("Tus-Extension", EXTENSIONS)
                .with("Tus-Max-Size", most.to_string())
                .with("Tus-Checksum-Algorithm", ALGORITHMS)
                .with("Upload-Limit", limits(turn.services));
            self.begin_answer(&response, Length::Absent);
            return Ok(None);
        }
        let spoken = resumable::spoken(head);
        if let Some(half) = self.half.http() {
            match spoken {
                Ok(Spoken::Tus) => half.always("Tus-Resumable", TUS),
                // Also one that refuses a request because of a limit.
                Ok(Spoken::Draft { .. }) => half.always("Upload-Limit", limits(turn.services)),
                Err(_) => half.always("Tus-Version", TUS),
            }
        }
        let spoken = spoken?;
        self.may_begin(putting(), true)?;
        if head.field(Field::UploadConcat).is_some() {
            // Not 501: there are clients that try again without end then.
            return Err(Wrong::bad("uploads are not put together here").into());
        }
        let brings = matches!(method, Method::Post | Method::Patch);
        if brings && matches!(spoken, Spoken::Draft { completes: None, .. }) {
            if let Some(half) = self.half.http() {
                half.always("Tus-Version", TUS);
            }
            let why = "neither Tus-Resumable nor Upload-Complete is told";
            return Err(Wrong::new(Status::PRECONDITION, why).into());
        }
        match (method, target.split().1) {
            (Method::Post, "") => {
                self.create_ordered((*id, head, &target.query), spoken, entry, turn)
            }
            (Method::Head | Method::Patch | Method::Delete, rest) if !rest.is_empty() => {
                let token = Token::parse(rest).map_err(|_| unknown())?;
                self.seek_ordered(*id, head, method, (token, spoken), turn)?;
                Ok(None)
            }
            _ => Err(Wrong::only(ALLOWED).into()),
        }
    }
}

/// Whether a request brings the first part of a file to an address where the rest can't follow. Another server might begin a
/// resumable upload there.
pub(super) fn is_misplaced(head: &Head, target: &Address) -> bool {
    let takes_uploads = matches!(target, Address::Own(own) if own.split().0 == "tus");
    !takes_uploads && head.method.changes() && resumable::is_first_part(head)
}

/// The method of a request: a client that can't send all of them may put it into a field.
fn method(head: &Head) -> Result<Method, Wrong> {
    match head.field(Field::MethodOverride) {
        None => Ok(head.method),
        // A page of another server may send a method of another kind, and must not turn it into this one.
        Some(_) if head.method != Method::Post => {
            Err(Wrong::bad("X-HTTP-Method-Override comes with POST"))
        }
        Some("PATCH") => Ok(Method::Patch),
        Some("DELETE") => Ok(Method::Delete),
        Some("HEAD") => Ok(Method::Head),
        Some("POST") => Ok(Method::Post),
        Some(_) => Err(Wrong::bad("X-HTTP-Method-Override has a method that is not served here")),
    }
}

/// The rights that an upload needs: those of a `put`.
fn putting() -> Rights {
    [Right::Put].into_iter().collect()
}

/// There is no such upload, or it is another account's: nobody learns which.
fn unknown() -> Wrong {
    Wrong::new(Status::NOT_FOUND, "there is no such upload; it may have ended, or expired")
}

/// Places for the two files of an upload.
fn places(turn: &Turn<'_>) -> Result<Places, Refusal> {
    turn.places().ok_or_else(|| Refusal::new(Code::Busy, "too many files are half written at once"))
}
