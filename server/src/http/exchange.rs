//! One request of HTTP and its answer, from the head of the one to the last byte of the other.

use haul_protocol::RequestId;

use super::head::Head;
use super::method::Method;
use super::response::{Length, Response, Shape};
use super::status::Status;

/// The rest of a body that is read and thrown away, so that the connection can go on after the request was answered.
const SWALLOWED: u64 = 64 * 1024;

/// A request, until it is complete and answered. A connection has one at most: the next one is not read before.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) id: RequestId,
    is_head: bool,
    /// A person asks with a browser, and is told of errors by a page.
    pub(super) wants_page: bool,
    pub(super) is_old: bool,
    keeps: bool,
    /// The client waits for a word before it sends the body.
    pub(super) expects: bool,
    /// All of the request has come.
    pub(super) is_whole: bool,
    /// The answer that tells that it was carried out.
    pub(super) success: Response,
    /// The text of that answer.
    pub(super) success_text: String,
    /// Fields that each answer to it has, each in place of one of the same name.
    always: Vec<(&'static str, String)>,
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

/// The state of the connection when an answer begins.
#[derive(Debug)]
pub(super) struct Now {
    /// Requests are read.
    pub(super) is_open: bool,
    /// Bytes of the request's body that are still to come, if that is known.
    pub(super) body_left: Option<u64>,
    /// What the field `Date` tells.
    pub(super) date: Option<String>,
}

/// What follows an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is not over.
    Waits,
    /// The next request.
    Request,
    /// The end of the connection.
    End,
}

impl Exchange {
    /// The request that begins with this head.
    pub(super) fn of(id: RequestId, head: &Head) -> Self {
        Self {
            is_head: head.method == Method::Head,
            wants_page: head.wants_page(),
            is_old: head.is_old,
            keeps: head.keeps,
            expects: head.expects,
            ..Self::unread(id)
        }
    }

    /// A request whose head was not read to its end: the answer to it is the last one.
    pub(super) fn unread(id: RequestId) -> Self {
        Self {
            id,
            is_head: false,
            wants_page: false,
            is_old: false,
            keeps: false,
            expects: false,
            is_whole: false,
            success: Response::new(Status::NO_CONTENT),
            success_text: String::new(),
            always: Vec::new(),
            answer: Answer::Due,
        }
    }

    /// Each answer to it has this field from now on.
    pub(super) fn always(&mut self, name: &'static str, value: String) {
        self.always.retain(|(known, _)| *known != name);
        self.always.push((name, value));
    }

    /// Whether no byte of its answer is written.
    pub(super) fn is_due(&self) -> bool {
        self.answer == Answer::Due
    }

    /// What follows it.
    pub(super) fn next(&self) -> Next {
        match self.answer {
            Answer::Over { closes: true } => Next::End,
            Answer::Over { closes: false } if self.is_whole => Next::Request,
            _ => Next::Waits,
        }
    }

    /// Writes the head of the answer to `out`, unless one is written already.
    pub(super) fn begin(
        &mut self,
        response: &Response,
        length: Length,
        now: Now,
        out: &mut Vec<u8>,
    ) {
        if !self.is_due() {
            return;
        }
        // The rest of a body is read if it is short, and the client has begun to send it.
        let is_short = !self.expects && now.body_left.is_some_and(|rest| rest <= SWALLOWED);
        let goes_on = self.is_whole || is_short;
        let is_endless = length == Length::Unknown && self.is_old && !self.is_head;
        let closes = !self.keeps || !goes_on || is_endless || !now.is_open;
        let shape = Shape { length, is_old: self.is_old, closes, date: now.date };
        let with = |response: Response, (name, value): &(&'static str, String)| match *name {
            // An answer may vary with more than one field.
            "Vary" => response.with(name, value),
            name => response.instead(name, value),
        };
        self.always.iter().fold(response.clone(), with).write(shape, out);
        let left = match length {
            _ if self.is_head => Left::Unsent,
            Length::Absent => Left::Bytes(0),
            Length::Known(len) => Left::Bytes(len),
            Length::Unknown if self.is_old => Left::Rest,
            Length::Unknown => Left::Chunks,
        };
        self.answer = match left {
            Left::Bytes(0) | Left::Unsent => Answer::Over { closes },
            left => Answer::Body { left, closes },
        };
    }

    /// Writes the next bytes of the answer's body to `out`; no more than its head has told.
    pub(super) fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Answer::Body { left, closes } = &mut self.answer else { return };
        match left {
            _ if bytes.is_empty() => {}
            Left::Unsent => {}
            Left::Rest => out.extend_from_slice(bytes),
            Left::Chunks => {
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Left::Bytes(left) => {
                let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                out.extend_from_slice(&bytes[..len]);
                *left -= len as u64;
                if *left == 0 {
                    self.answer = Answer::Over { closes: *closes };
                }
            }
        }
    }

    /// The answer is complete.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let Answer::Body { left, closes } = self.answer else { return };
        if left == Left::Chunks {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        self.answer = Answer::Over { closes };
    }
}
