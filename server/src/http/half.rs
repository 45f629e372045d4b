//! The server's half of a connection of HTTP, without I/O and without a clock: takes bytes and moments, gives bytes, events and
//! the peer's debt. The twin of `haul_protocol::ServerConnection`.

use haul_protocol::{Owed, Refusal, RequestId, Time};

use super::exchange::{Exchange, Next, Now};
use super::head::Head;
use super::machine::{self, Machine};
use super::outbox::Outbox;
use super::page::shell::{self, Nonce};
use super::response::{Length, Response};
use super::status::{Status, Wrong};
use super::validators;

/// Bytes of answers that wait for the peer at which nothing more is taken.
const FULL: usize = 64 * 1024;

/// Bytes that are read and thrown away after an answer that ends the connection: an end before the peer has sent all that it was
/// about to send would take the answer from it.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;

/// An event, from the client's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A request begins. It must be answered once.
    Head(RequestId, Box<Head>),
    /// The next bytes of its body; never empty.
    Body(&'a [u8]),
    /// The request is complete.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are read.
    Open,
    /// The peer sends no more; the answer still goes out.
    InputEnded,
    /// Over: flush, shut the sending side, read and drop all further bytes, close.
    Draining { left: usize, shut: bool, since: Time },
}

/// A server's half of one connection of HTTP.
///
/// Invariants: requests are answered one after the other, each once. Behind bytes that could be understood in two ways nothing
/// is read. Memory is bounded by one head and by the bytes that the caller appends while [`is_full`](Self::is_full) is false.
#[derive(Debug)]
pub(crate) struct Half {
    machine: Machine,
    exchange: Option<Exchange>,
    last_id: RequestId,
    outbox: Outbox,
    phase: Phase,
    /// When the peer last took or gave a byte.
    progress: Time,
    /// When the first byte of an unfinished head came.
    head_since: Option<Time>,
    /// The last answer, once changes that are under way have been told.
    last_word: Option<(Response, String)>,
    /// The second since 1970, for the field `Date`.
    second: Option<i64>,
}

impl Half {
    /// A connection whose first bytes were a method's.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            machine: Machine::default(),
            exchange: None,
            last_id: RequestId::CONNECTION,
            outbox: Outbox::default(),
            phase: Phase::Open,
            progress: now,
            head_since: None,
            last_word: None,
            second: None,
        }
    }

    /// The second since 1970 that answers tell from now on.
    pub(crate) fn tell_second(&mut self, second: i64) {
        self.second = Some(second);
    }

    // Input.

    /// Takes bytes from the front of `input` up to the next event. `None`: all of it is taken, or the present request has to be
    /// answered first ([`is_answering`](Self::is_answering)). After the end, bytes are thrown away.
    ///
    /// # Errors
    /// If the bytes are no request. The connection must be ended then, by [`fail`](Self::fail).
    pub(crate) fn receive<'a>(
        &mut self,
        input: &mut &'a [u8],
        now: Time,
    ) -> Result<Option<Event<'a>>, Wrong> {
        if !input.is_empty() {
            self.progress = now;
        }
        match &mut self.phase {
            Phase::Open => {}
            Phase::InputEnded => return Ok(None),
            Phase::Draining { left, .. } => {
                *left = left.saturating_sub(input.len());
                *input = &[];
                return Ok(None);
            }
        }
        if self.is_answering() {
            return Ok(None);
        }
        let event = self.machine.receive(input)?;
        let in_head = event.is_none() && self.machine.is_in_head();
        self.head_since = if in_head { self.head_since.or(Some(now)) } else { None };
        Ok(match event {
            None => None,
            Some(machine::Event::Body(bytes)) => Some(Event::Body(bytes)),
            Some(machine::Event::Head(head)) => {
                self.last_id = self.last_id.plus(1);
                self.exchange = Some(Exchange::of(self.last_id, &head));
                Some(Event::Head(self.last_id, head))
            }
            Some(machine::Event::End) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.is_whole = true;
                }
                self.settle();
                Some(Event::End)
            }
        })
    }

    /// Ends the input: the peer sends no more bytes. Returns whether it ended within a request.
    pub(crate) fn input_ended(&mut self) -> bool {
        let is_cut = self.phase == Phase::Open && !self.machine.is_between();
        self.phase = Phase::InputEnded;
        if is_cut {
            // There is nothing to answer.
            self.exchange = None;
        }
        is_cut
    }

    /// Whether the next byte belongs to a body.
    pub(crate) fn is_in_body(&self) -> bool {
        self.machine.is_in_body()
    }

    /// Whether no request is under way, and no byte of the next has come.
    pub(crate) fn is_between(&self) -> bool {
        self.exchange.is_none() && self.machine.is_between()
    }

    /// Whether the head of the next request is not whole.
    pub(crate) fn is_before_head(&self) -> bool {
        self.exchange.is_none()
    }

    /// Whether a whole request waits for its answer, before which nothing more is read.
    pub(crate) fn is_answering(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.is_whole)
    }

    /// Bytes of the present body that are still to come, if that is known.
    pub(crate) fn body_left(&self) -> Option<u64> {
        self.machine.body_left()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(crate) fn has_input_ended(&self) -> bool {
        self.phase == Phase::InputEnded
    }

    // Answers.

    /// Tells a client that waits to send its body that it may.
    pub(crate) fn go_on(&mut self) {
        if let Some(exchange) = &mut self.exchange
            && std::mem::take(&mut exchange.expects)
        {
            self.outbox.end().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// The status with which [`done`](Self::done) answers the present request.
    pub(crate) fn will_be(&mut self, success: Status) {
        self.will_answer(Response::new(success), String::new());
    }

    /// Each answer to the present request has this field.
    pub(crate) fn always(&mut self, name: &'static str, value: impl Into<String>) {
        if let Some(exchange) = &mut self.exchange {
            exchange.always(name, value.into());
        }
    }

    /// An answer before the real one to the present request, whose client understands it.
    pub(crate) fn tell_before(&mut self, response: &Response) {
        if self.exchange.as_ref().is_some_and(|exchange| !exchange.is_old) {
            response.write_before(self.outbox.end());
        }
    }

    /// The answer with which [`done`](Self::done) answers the present request.
    pub(crate) fn will_answer(&mut self, success: Response, text: String) {
        if let Some(exchange) = &mut self.exchange {
            (exchange.success, exchange.success_text) = (success, text);
        }
    }

    /// Begins the answer to the present request, which is not answered yet.
    pub(crate) fn begin(&mut self, response: &Response, length: Length) {
        let now = Now {
            is_open: self.is_open(),
            body_left: self.machine.body_left(),
            date: self.second.and_then(validators::date),
        };
        if let Some(exchange) = &mut self.exchange {
            exchange.begin(response, length, now, self.outbox.end());
            self.settle();
        }
    }

    /// The next bytes of the answer's body; no more than its head has told.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if let Some(exchange) = &mut self.exchange {
            exchange.append(bytes, self.outbox.end());
            self.settle();
        }
    }

    /// The answer is complete.
    pub(crate) fn finish(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.finish(self.outbox.end());
            self.settle();
        }
    }

    /// A whole answer at once.
    pub(crate) fn answer(&mut self, response: &Response, body: &[u8]) {
        self.begin(response, Length::Known(body.len() as u64));
        self.append(body);
    }

    /// The rest of the answer can't be had: the connection ends in its midst, which shows the client that it is not whole.
    pub(crate) fn break_off(&mut self) {
        self.exchange = None;
        self.drain();
    }

    /// An answer without a body.
    pub(crate) fn answer_empty(&mut self, response: &Response) {
        let has_none = response.status == Status::NO_CONTENT;
        self.begin(response, if has_none { Length::Absent } else { Length::Known(0) });
    }

    /// An answer with a text, or without a body if that is empty.
    pub(crate) fn answer_text(&mut self, response: &Response, text: &str) {
        match text {
            "" => self.answer_empty(response),
            text => self.answer(response, text.as_bytes()),
        }
    }

    /// A change is done.
    pub(crate) fn done(&mut self, id: RequestId) {
        let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.id == id) else {
            return;
        };
        let text = std::mem::take(&mut exchange.success_text);
        let success = exchange.success.clone();
        self.answer_text(&success, &text);
    }

    /// A request is not carried out.
    pub(crate) fn refuse(&mut self, id: RequestId, refusal: &Refusal) {
        if self.exchange.as_ref().is_some_and(|exchange| exchange.id == id) {
            self.answer_error(Response::refusal(refusal));
        }
    }

    /// The present request is wrong in itself.
    pub(crate) fn refuse_wrong(&mut self, wrong: Wrong) {
        self.answer_error(Response::wrong(wrong));
    }

    /// The present request has failed: a text tells why, or a page.
    fn answer_error(&mut self, (response, why): (Response, String)) {
        if self.exchange.as_ref().is_some_and(|exchange| exchange.wants_page) {
            let page = shell::failed(response.status, &why);
            let response = shell::as_page(response, &Nonce::default());
            return self.answer(&response, page.as_bytes());
        }
        self.answer(&response, why.as_bytes());
    }

    /// Goes on to what follows, if the present request is answered.
    fn settle(&mut self) {
        match self.exchange.as_ref().map_or(Next::Waits, Exchange::next) {
            Next::Waits => {}
            Next::Request => self.exchange = None,
            Next::End => {
                self.exchange = None;
                self.drain();
            }
        }
    }

    /// Ends the connection: nothing more is read from now on. If a request has no answer yet, it is told why, as soon as
    /// [`conclude`](Self::conclude) says that its change has been told.
    pub(crate) fn end(&mut self, refusal: &Refusal) {
        self.end_with(Response::refusal(refusal));
    }

    /// The same for bytes that are no request.
    pub(crate) fn fail(&mut self, wrong: Wrong) {
        self.end_with(Response::wrong(wrong));
    }

    fn end_with(&mut self, last: (Response, String)) {
        let is_due = match &self.exchange {
            Some(exchange) => exchange.is_due(),
            // Nothing was asked; what has come of a head waits for an answer, were it whole.
            None => !self.machine.is_between(),
        };
        // A connection that only drains holds no head.
        self.machine = Machine::default();
        self.head_since = None;
        if !is_due {
            self.exchange = None;
        } else if self.exchange.is_none() {
            self.last_id = self.last_id.plus(1);
            self.exchange = Some(Exchange::unread(self.last_id));
        }
        self.last_word = is_due.then_some(last);
        self.drain();
    }

    fn drain(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining { left: DRAIN_BYTES, shut: false, since: self.progress };
        }
    }

    /// All changes that were under way have been told: tells why the connection ends, if it does.
    pub(crate) fn conclude(&mut self) {
        if let Some(last) = self.last_word.take() {
            self.answer_error(last);
        }
    }

    /// Gives up on a peer that reads nothing: throws its answers away.
    pub(crate) fn abandon(&mut self) {
        self.outbox = Outbox::default();
        self.exchange = None;
        self.last_word = None;
        self.phase = Phase::InputEnded;
    }

    // Output.

    /// Bytes that are to be sent next.
    pub(crate) fn output(&self) -> &[u8] {
        self.outbox.as_slice()
    }

    /// So many bytes of the output are sent.
    pub(crate) fn sent(&mut self, len: usize, now: Time) {
        self.outbox.take(len);
        self.progress = now;
    }

    /// Whether so many bytes wait for the peer that nothing more should be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.output().len() >= FULL
    }

    /// Whether the sending side is to be shut now, which is asked for once: all is said.
    pub(crate) fn shuts(&mut self, now: Time) -> bool {
        match &mut self.phase {
            Phase::Draining { shut, since, .. }
                if !*shut && self.outbox.is_empty() && self.last_word.is_none() =>
            {
                (*shut, *since) = (true, now);
                true
            }
            _ => false,
        }
    }

    /// Whether nothing is left to do but to close. `owes`: whether the server still works on the request.
    pub(crate) fn is_over(&self, owes: bool) -> bool {
        match self.phase {
            Phase::Open => false,
            Phase::InputEnded => self.outbox.is_empty() && self.last_word.is_none() && !owes,
            Phase::Draining { left, .. } => left == 0,
        }
    }

    // Debts.

    /// The peer's debt. `works`: the server works, and reads nothing; `owes`: the server owes an answer.
    pub(crate) fn owed(&self, works: bool, owes: bool) -> Owed {
        if !self.outbox.is_empty() {
            return Owed::Reading(self.progress);
        }
        match (self.phase, self.head_since) {
            // The peer owes no more.
            (Phase::InputEnded, _) => Owed::Nothing,
            (Phase::Draining { .. }, _) if self.last_word.is_some() => Owed::Nothing,
            (Phase::Draining { since, .. }, _) => Owed::Close(since),
            (Phase::Open, _) if works => Owed::Nothing,
            (Phase::Open, Some(since)) => Owed::Header(since),
            (Phase::Open, None) if !self.machine.is_between() => Owed::Body(self.progress),
            (Phase::Open, None) if owes => Owed::Nothing,
            (Phase::Open, None) => Owed::Request(self.progress),
        }
    }

    /// Bytes of memory that the peer has made it hold.
    pub(crate) fn held_bytes(&self) -> usize {
        self.machine.held_bytes() + self.outbox.held_bytes()
    }
}
