//! The server's half of a connection of HTTP, without I/O and without a clock: takes bytes and moments, gives bytes, events and
//! the peer's debt. The twin of `haul_protocol::ServerConnection`.

use haul_protocol::{Owed, Refusal, RequestId, Time};

use super::head::Head;
use super::machine::{self, Machine};
use super::method::Method;
use super::outbox::Outbox;
use super::response::{Length, Response, Shape};
use super::status::{Status, Wrong};
use super::validators;

/// Bytes of answers that wait for the peer at which nothing more is taken.
const FULL: usize = 64 * 1024;

/// The rest of a body that is read and thrown away, so that the connection can go on after the request was answered.
const SWALLOWED: u64 = 64 * 1024;

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

/// A request, from its head until it is complete and answered. There is one at most: the next one is not read before.
#[derive(Debug)]
struct Exchange {
    id: RequestId,
    is_head: bool,
    is_old: bool,
    keeps: bool,
    /// The client waits for a word before it sends the body.
    expects: bool,
    /// All of the request has come.
    is_whole: bool,
    /// The status that tells that it was carried out.
    success: Status,
    answer: Answer,
}

/// The state of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Due,
    /// Its head is written. `closes`: the connection is over behind it.
    Body {
        left: Left,
        closes: bool,
    },
    Over {
        closes: bool,
    },
}

/// The rest of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Bytes(u64),
    Chunks,
    /// All until the connection ends.
    Rest,
    /// None of the bytes is sent: the answer is one to HEAD.
    Unsent,
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
                self.exchange = Some(Exchange {
                    id: self.last_id,
                    is_head: head.method == Method::Head,
                    is_old: head.is_old,
                    keeps: head.keeps,
                    expects: head.expects,
                    is_whole: false,
                    success: Status::NO_CONTENT,
                    answer: Answer::Due,
                });
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

    /// Whether no request is under way, and no byte of the next has come.
    pub(crate) fn is_between(&self) -> bool {
        self.exchange.is_none() && self.machine.is_between()
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
        if let Some(exchange) = &mut self.exchange {
            exchange.success = success;
        }
    }

    /// Begins the answer to the present request, which is not answered yet.
    pub(crate) fn begin(&mut self, response: &Response, length: Length) {
        let is_open = self.is_open();
        let rest = self.machine.body_left();
        let Some(exchange) = &mut self.exchange else { return };
        if exchange.answer != Answer::Due {
            return;
        }
        // The rest of a body is read if it is short, and the client has begun to send it.
        let is_short = !exchange.expects && rest.is_some_and(|rest| rest <= SWALLOWED);
        let goes_on = exchange.is_whole || is_short;
        let is_endless = length == Length::Unknown && exchange.is_old && !exchange.is_head;
        let closes = !exchange.keeps || !goes_on || is_endless || !is_open;
        let date = self.second.and_then(validators::date);
        let is_old = exchange.is_old;
        response.write(Shape { length, is_old, closes, date }, self.outbox.end());
        let left = match length {
            _ if exchange.is_head => Left::Unsent,
            Length::Absent => Left::Bytes(0),
            Length::Known(len) => Left::Bytes(len),
            Length::Unknown if is_old => Left::Rest,
            Length::Unknown => Left::Chunks,
        };
        exchange.answer = Answer::Body { left, closes };
        if matches!(left, Left::Bytes(0) | Left::Unsent) {
            self.finish();
        }
    }

    /// The next bytes of the answer's body; no more than its head has told.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let Some(Exchange { answer: Answer::Body { left, .. }, .. }) = &mut self.exchange else {
            return;
        };
        match left {
            _ if bytes.is_empty() => {}
            Left::Unsent => {}
            Left::Rest => self.outbox.end().extend_from_slice(bytes),
            Left::Chunks => {
                let out = self.outbox.end();
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Left::Bytes(left) => {
                let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.outbox.end().extend_from_slice(&bytes[..len]);
                *left -= len as u64;
                if *left == 0 {
                    self.finish();
                }
            }
        }
    }

    /// The answer is complete.
    pub(crate) fn finish(&mut self) {
        let Some(exchange) = &mut self.exchange else { return };
        let Answer::Body { left, closes } = exchange.answer else { return };
        if left == Left::Chunks {
            self.outbox.end().extend_from_slice(b"0\r\n\r\n");
        }
        exchange.answer = Answer::Over { closes };
        self.settle();
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

    /// A change is done.
    pub(crate) fn done(&mut self, id: RequestId) {
        let success = self.exchange.as_ref().filter(|exchange| exchange.id == id);
        let Some(success) = success.map(|exchange| exchange.success) else { return };
        match success {
            Status::NO_CONTENT => self.begin(&Response::new(success), Length::Absent),
            _ => self.begin(&Response::new(success), Length::Known(0)),
        }
    }

    /// A request is not carried out.
    pub(crate) fn refuse(&mut self, id: RequestId, refusal: &Refusal) {
        if self.exchange.as_ref().is_some_and(|exchange| exchange.id == id) {
            let (response, text) = Response::refusal(refusal);
            self.answer(&response, text.as_bytes());
        }
    }

    /// The present request is wrong in itself.
    pub(crate) fn refuse_wrong(&mut self, wrong: Wrong) {
        let (response, text) = Response::wrong(wrong);
        self.answer(&response, text.as_bytes());
    }

    /// The request is complete and answered.
    fn settle(&mut self) {
        let Some(Exchange { answer: Answer::Over { closes }, is_whole, .. }) = self.exchange else {
            return;
        };
        if closes {
            self.exchange = None;
            self.drain();
        } else if is_whole {
            self.exchange = None;
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
            Some(exchange) => exchange.answer == Answer::Due,
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
            self.exchange = Some(Exchange {
                id: self.last_id,
                is_head: false,
                is_old: false,
                keeps: false,
                expects: false,
                is_whole: false,
                success: Status::NO_CONTENT,
                answer: Answer::Due,
            });
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
        if let Some((response, text)) = self.last_word.take() {
            self.answer(&response, text.as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1);

    /// What the peer was told, as text.
    fn said(half: &mut Half) -> String {
        let text = String::from_utf8_lossy(half.output()).into_owned();
        half.sent(half.output().len(), NOW);
        text
    }

    /// Takes all of one request, which must be whole in `input`.
    fn request(half: &mut Half, input: &mut &[u8]) -> RequestId {
        let Ok(Some(Event::Head(id, _))) = half.receive(input, NOW) else { panic!("no head") };
        while !matches!(half.receive(input, NOW), Ok(Some(Event::End))) {}
        id
    }

    #[test]
    fn requests_are_answered_one_after_the_other() {
        let mut half = Half::new(NOW);
        half.tell_second(784_111_777);
        let mut input =
            &b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nHEAD /b HTTP/1.1\r\nHost: h\r\n\r\n"[..];
        request(&mut half, &mut input);
        let left = input.len();
        assert!(half.is_answering() && half.receive(&mut input, NOW) == Ok(None));
        assert_eq!(input.len(), left, "the next one waits");
        half.answer(&Response::new(Status::OK), b"body");
        let text = said(&mut half);
        assert!(text.contains("\r\nDate: Sun, 06 Nov 1994") && text.ends_with("\r\n\r\nbody"));
        request(&mut half, &mut input);
        half.answer(&Response::new(Status::OK), b"body");
        let text = said(&mut half);
        assert!(text.contains("Content-Length: 4") && text.ends_with("\r\n\r\n"), "{text}");
        assert!(half.is_open() && half.is_between() && half.held_bytes() <= 4096);
        assert_eq!(half.owed(false, false), Owed::Request(NOW));
    }

    #[test]
    fn change_is_answered_with_its_status_and_once() {
        let mut half = Half::new(NOW);
        let mut input = &b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"[..];
        let id = request(&mut half, &mut input);
        half.will_be(Status::CREATED);
        half.done(id.plus(1));
        assert!(half.output().is_empty());
        half.done(id);
        assert!(said(&mut half).starts_with("HTTP/1.1 201 Created\r\n"));
        half.done(id);
        half.refuse(id, &Refusal::new(haul_protocol::Code::Io, "x"));
        assert!(half.output().is_empty());
    }

    #[test]
    fn refused_request_ends_the_connection_unless_the_rest_of_its_body_is_short() {
        for (head, rest, stays) in [
            ("Content-Length: 3\r\n", &b"abcGET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], true),
            ("Content-Length: 65537\r\n", b"", false),
            ("Transfer-Encoding: chunked\r\n", b"", false),
            ("Content-Length: 3\r\nExpect: 100-continue\r\n", b"", false),
            ("Content-Length: 3\r\nConnection: close\r\n", b"", false),
        ] {
            let text = format!("PUT /a HTTP/1.1\r\nHost: h\r\n{head}\r\n");
            let (mut half, mut input) = (Half::new(NOW), text.as_bytes());
            let Ok(Some(Event::Head(..))) = half.receive(&mut input, NOW) else { panic!("{head}") };
            half.refuse_wrong(Wrong::new(Status::FORBIDDEN, "no"));
            let told = said(&mut half);
            assert!(told.starts_with("HTTP/1.1 403 ") && !told.contains("100 Continue"), "{told}");
            assert_eq!(told.contains("Connection: close"), !stays, "{head}");
            assert_eq!(half.is_open(), stays, "{head}");
            let mut rest = rest;
            if stays {
                while half.receive(&mut rest, NOW) != Ok(Some(Event::End)) {}
                assert!(matches!(half.receive(&mut rest, NOW), Ok(Some(Event::Head(..)))));
            } else {
                assert!(half.shuts(NOW) && !half.shuts(NOW));
                assert_eq!(half.owed(false, false), Owed::Close(NOW));
            }
        }
    }

    #[test]
    fn client_that_expects_a_word_gets_it_once() {
        let text =
            b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        let (mut half, mut input) = (Half::new(NOW), &text[..]);
        half.receive(&mut input, NOW).unwrap();
        half.go_on();
        half.go_on();
        assert_eq!(said(&mut half), "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(half.owed(false, false), Owed::Body(NOW));
    }

    /// The answer that a change has in the end is told, and not the reason for which the connection ends meanwhile.
    #[test]
    fn connection_that_ends_tells_the_change_under_way_first() {
        let mut half = Half::new(NOW);
        let mut input = &b"DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n"[..];
        let id = request(&mut half, &mut input);
        half.end(&Refusal::new(haul_protocol::Code::Busy, "other reasons"));
        assert!(half.output().is_empty() && !half.is_over(true));
        half.done(id);
        half.conclude();
        let told = said(&mut half);
        assert!(told.starts_with("HTTP/1.1 204 ") && told.contains("Connection: close"), "{told}");
        assert_eq!(told.matches("HTTP/1.1").count(), 1);
    }

    #[test]
    fn idle_connection_ends_without_a_word_and_one_in_a_head_with_one() {
        let timeout = Refusal::new(haul_protocol::Code::Timeout, "nothing came for too long");
        let mut half = Half::new(NOW);
        half.end(&timeout);
        half.conclude();
        assert!(half.output().is_empty() && half.shuts(NOW));
        let (mut half, mut input) = (Half::new(NOW), &b"GET / HT"[..]);
        half.receive(&mut input, NOW).unwrap();
        assert_eq!(half.owed(false, false), Owed::Header(NOW));
        half.end(&timeout);
        half.conclude();
        assert!(said(&mut half).starts_with("HTTP/1.1 408 "));
    }

    #[test]
    fn answer_whose_rest_is_gone_is_cut_and_an_old_client_reads_to_the_end() {
        let mut half = Half::new(NOW);
        let mut input = &b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"[..];
        request(&mut half, &mut input);
        half.begin(&Response::new(Status::OK), Length::Unknown);
        half.append(b"some");
        half.break_off();
        let told = said(&mut half);
        assert!(told.ends_with("\r\n\r\n4\r\nsome\r\n") && half.shuts(NOW), "{told}");
        let mut half = Half::new(NOW);
        let mut input = &b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"[..];
        request(&mut half, &mut input);
        half.begin(&Response::new(Status::OK), Length::Unknown);
        half.append(b"some");
        half.finish();
        let told = said(&mut half);
        assert!(told.ends_with("\r\n\r\nsome") && told.contains("Connection: close"), "{told}");
        assert!(!half.is_open());
    }

    #[test]
    fn request_that_is_cut_off_is_not_answered() {
        let mut half = Half::new(NOW);
        let mut input = &b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab"[..];
        half.receive(&mut input, NOW).unwrap();
        half.receive(&mut input, NOW).unwrap();
        assert!(half.input_ended() && half.is_over(false) && half.output().is_empty());
        // A client may end its side behind a whole request, and is answered.
        let mut half = Half::new(NOW);
        let mut input = &b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"[..];
        request(&mut half, &mut input);
        assert!(!half.input_ended());
        half.answer(&Response::new(Status::OK), b"body");
        assert!(said(&mut half).ends_with("body") && half.is_over(false));
    }
}
