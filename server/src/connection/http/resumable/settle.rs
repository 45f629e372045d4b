//! A request whose bytes have come: it is answered once its file is visible, or once its bytes are flushed if they have to last.

use haul_protocol::RequestId;

use super::Places;
use super::answer::{Progress, created, taken};
use super::body::Body;
use super::summed::Summed;
use crate::commit::notify::ReplyTo;
use crate::connection::Connection;
use crate::connection::file_body::past;
use crate::connection::http::asked::Refused;
use crate::connection::sink::Sink;
use crate::connection::turn::Turn;
use crate::http::response::Response;
use crate::http::status::Wrong;
use crate::store::{Change, Flush};
use crate::uploads::ordered::{Using, overtaken};

/// An upload whose file becomes visible, or whose bytes are being flushed, for a request that is answered then.
#[derive(Debug)]
pub(in crate::connection::http) struct Settled {
    pub(super) id: RequestId,
    pub(super) using: Using,
    pub(super) response: Response,
    /// The text of that answer; empty if there is none.
    pub(super) text: String,
    pub(super) is_whole: bool,
    pub(super) flush: Option<Flush>,
    /// Held as long as the upload is open.
    pub(super) _places: Option<Places>,
}

impl Settled {
    /// Bytes of memory that it takes.
    pub(in crate::connection::http) fn held_bytes(&self) -> usize {
        self.using.receiving().held_bytes()
    }
}

impl Connection {
    /// The bytes of an upload may come.
    pub(super) fn receive_ordered(&mut self, body: Body) {
        self.sink = Sink::Ordered(Box::new(body));
        if let Some(half) = self.half.http() {
            half.go_on();
        }
    }

    /// Ends the request whose upload a newer request has taken.
    pub(in crate::connection) fn end_if_overtaken(&mut self) {
        let is_overtaken = matches!(&self.sink, Sink::Ordered(body) if body.signal.was_given());
        if !is_overtaken {
            return;
        }
        if let Sink::Ordered(body) = std::mem::replace(&mut self.sink, Sink::Nothing) {
            self.refuse(body.id, overtaken());
        }
    }

    /// All bytes of the request have come.
    pub(in crate::connection) fn ordered_complete(&mut self, body: Body, turn: &mut Turn<'_>) {
        let id = body.id;
        if let Err(refused) = self.settle_body(body, turn) {
            self.refuse_http(id, refused);
        }
    }

    fn settle_body(&mut self, body: Body, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let Body { id, spoken, creates, using, summed, places, .. } = body;
        let (receiving, own) = (using.receiving(), using.turn());
        if let Some(Err(wrong)) = summed.map(Summed::check) {
            receiving.roll_back(own);
            if creates {
                // Its client is not told of it, and could not discard it.
                using.discard()?;
            }
            return Err(wrong.into());
        }
        let flush = receiving.settle(own)?;
        let (offset, mut size) = using.progress()?;
        if spoken.says_complete() && size != Some(offset) {
            if size.is_some() {
                return Err(Wrong::bad("the file has fewer bytes than Upload-Length").into());
            }
            receiving.set_size(own, offset)?;
            size = Some(offset);
        }
        let is_whole =
            size == Some(offset) && (spoken.says_complete() || spoken.is_whole_at_its_length());
        let progress = Progress { offset, size, is_whole };
        let services = turn.services;
        if let Some(half) = self.half.http().filter(|_| is_whole && spoken.is_draft()) {
            // So a client of the draft knows that an error is one of the file, and not of its bytes.
            half.always("Upload-Complete", "?1");
        }
        let response = match creates {
            true => created(services, using.token(), spoken, progress),
            false => taken(services, spoken, progress),
        };
        let (text, places) = (String::new(), Some(places));
        let settled = Settled { id, using, response, text, is_whole, flush, _places: places };
        self.answer_settled(settled, turn)
    }

    /// Makes the file visible if it is whole, or flushes its bytes if they have to last, and answers then.
    pub(super) fn answer_settled(
        &mut self,
        mut settled: Settled,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        let id = settled.id;
        let Some(half) = self.half.http() else { return Ok(()) };
        if settled.is_whole {
            half.will_answer(settled.response, settled.text);
            let (change, publishing) = settled.using.commit(past())?;
            self.submit(ReplyTo::Ack(id), change, Some(publishing), turn);
            return Ok(());
        }
        let Some(flush) = settled.flush.take() else {
            half.answer_text(&settled.response, &settled.text);
            return Ok(());
        };
        half.will_answer(settled.response.clone(), settled.text.clone());
        // Its journal must be open until the flush is noted there.
        if let Some(http) = self.http() {
            http.settled = Some(Box::new(settled));
        }
        self.submit(ReplyTo::Ack(id), Change::Flush(Box::new(flush)), None, turn);
        self.release_settled();
        Ok(())
    }

    /// Lets an upload go whose flush is over.
    pub(in crate::connection) fn release_settled(&mut self) {
        if self.pending == 0
            && let Some(http) = self.http()
        {
            http.settled = None;
        }
    }
}
