//! A file for a client of HTTP: read a little whenever the client has taken all that was read before.

use haul_protocol::{Code, EntryKind, Name};

use super::asked::{Asked, Refused};
use super::stated::context;
use crate::audit::access::Reading;
use crate::connection::Connection;
use crate::connection::turn::Turn;
use crate::http::digests;
use crate::http::head::{Field, Head};
use crate::http::media::Media;
use crate::http::method::Method;
use crate::http::range::{Wanted, wanted};
use crate::http::response::{Length, Response};
use crate::http::status::{Status, Wrong};
use crate::http::target::address;
use crate::http::validators::{Condition, Validators, date};
use crate::refusal::Refusal;
use crate::services::places::Place;
use crate::store::Readable;

/// A file on its way to the client.
#[derive(Debug)]
pub(in crate::connection) struct Sending {
    file: Readable,
    /// The offset of the next byte.
    at: u64,
    end: u64,
    /// Tells the access log of it.
    reading: Option<Box<Reading>>,
    _place: Place,
}

/// Bytes of the largest file that is read for its digest before the answer begins.
const SUMMED: u64 = 1024 * 1024;

/// Bytes of it that are read at once.
const PIECE: usize = 64 * 1024;

impl Sending {
    /// Bytes of memory that it takes.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        self.file.held_bytes()
    }
}

impl Connection {
    /// Begins the answer to a question for a file; returns the file if its bytes are to follow.
    pub(super) fn begin_file(
        &mut self,
        name: &Name,
        asked: &Asked,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Box<Sending>>, Refused> {
        let head = &asked.head;
        let inward = turn.base.view.inward(name.clone())?;
        let (store, parents) = (&turn.services.store, &turn.base.parents);
        match store.kind(parents, &inward)? {
            None => return Err(Wrong::new(Status::NOT_FOUND, "no entry has that name").into()),
            Some(EntryKind::Directory) => {
                // Links in its page lead below it only if its address ends with a slash.
                let mut there = address(asked.target.is_drive, Some(name), true);
                if !asked.target.query.is_empty() {
                    there.push('?');
                    there.push_str(&asked.target.query);
                }
                let response = Response::new(Status::MOVED).with("Location", there);
                self.begin_answer(&response, Length::Known(0));
                return Ok(None);
            }
            Some(_) => {}
        }
        let busy = || Refusal::new(Code::Busy, "too many files are open at once");
        let place = turn.place().ok_or_else(busy)?;
        let file = store.open_for_client(parents, &inward)?;
        let modified = file.attributes().mtime.map(|mtime| mtime.s);
        let digest = file.kept_digest(store);
        let validators = Validators::new(digest, file.state(), modified);
        let marked = |status| {
            let response = Response::new(status).with("ETag", &*validators.etag);
            match validators.modified.and_then(date) {
                Some(date) => response.with("Last-Modified", date),
                None => response,
            }
        };
        match validators.of_get(head) {
            Condition::Holds => {}
            Condition::NotModified => {
                self.begin_answer(&marked(Status::NOT_MODIFIED), Length::Absent);
                return Ok(None);
            }
            Condition::Fails => {
                let why = "the file is not as the condition has it";
                return Err(Wrong::new(Status::PRECONDITION, why).into());
            }
        }
        let size = file.size();
        let range = head.field(Field::Range).filter(|_| head.method == Method::Get);
        let range = range.filter(|_| validators.may_range(head));
        let (response, range) = match range.map_or(Wanted::Whole, |range| wanted(range, size)) {
            Wanted::Whole => (marked(Status::OK), 0..size),
            Wanted::Part(range) => {
                let told = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                (marked(Status::PARTIAL).with("Content-Range", told), range)
            }
            Wanted::Beyond => {
                let response = Response::new(Status::RANGE);
                let response = response.with("Content-Range", format!("bytes */{size}"));
                self.begin_answer(&response, Length::Known(0));
                return Ok(None);
            }
        };
        let response = match file_digest(&file, head, turn) {
            Some(digest) => response.with("Repr-Digest", digest),
            None => response,
        };
        let media = Media::of(name.split().1);
        let response = response.with("Accept-Ranges", "bytes").with("Content-Type", media.name);
        let response = match media.is_saved {
            true => response
                .with("Content-Disposition", "attachment")
                .with("Content-Security-Policy", "sandbox; default-src 'none'"),
            false => response,
        };
        self.begin_answer(&response, Length::Known(range.end - range.start));
        if head.method != Method::Get {
            return Ok(None);
        }
        let (at, end) = (range.start, range.end);
        let reading = self.reading(&inward, digest, end - at);
        let sending = Sending { file, at, end, reading, _place: place };
        Ok((at < end).then(|| Box::new(sending)))
    }

    /// Reads a little; returns it if it is to go on. A file that changes, or can't be read, breaks the answer off.
    pub(in crate::connection) fn go_on_sending(
        &mut self,
        mut sending: Box<Sending>,
        turn: &mut Turn<'_>,
    ) -> Option<Box<Sending>> {
        let room = turn.buffer.room(sending.at);
        let left = usize::try_from(sending.end - sending.at).unwrap_or(usize::MAX);
        let most = room.len().min(left);
        let read = sending.file.read(sending.at, &mut room[..most]);
        let read = read.and_then(|read| sending.file.check_unchanged().map(|()| read));
        let half = self.half.http()?;
        match read {
            Ok(read) => {
                half.append(&room[..read]);
                turn.share.took(read);
                sending.at += read as u64;
                if let Some(reading) = &mut sending.reading {
                    reading.moved(read as u64);
                }
                (sending.at < sending.end).then_some(sending)
            }
            Err(error) => {
                half.break_off();
                let refusal = Refusal::from(error);
                tracing::debug!(peer = self.peer, %refusal, "broke an answer off");
                self.tell_refusal(&refusal);
                None
            }
        }
    }
}

/// The digest of a file in an algorithm that the client wants, if the file is small; of a large one it would have to be read whole
/// before the first byte of the answer.
fn file_digest(file: &Readable, head: &Head, turn: &mut Turn<'_>) -> Option<String> {
    let algorithm = digests::wanted(head).filter(|_| file.size() <= SUMMED)?;
    let (mut context, mut at) = (context(algorithm), 0);
    let mut room = vec![0; usize::try_from(file.size()).ok()?.min(PIECE)];
    while at < file.size() {
        let most =
            usize::try_from(file.size() - at).map_or(room.len(), |left| left.min(room.len()));
        let read = file.read(at, &mut room[..most]).ok()?;
        context.update(&room[..read]);
        turn.share.took(read);
        at += read as u64;
    }
    file.check_unchanged().ok()?;
    Some(digests::value(algorithm, context.finish().as_ref()))
}
