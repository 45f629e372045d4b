//! The protocol's half of a connection, without I/O: that of haul and its classic dialect, or that of HTTP. The first bytes
//! tell which.
//!
//! The third byte of a frame's prefix is 0 or 1, because no header is longer than 64 KiB. That of a request of HTTP is a letter,
//! or the CR or LF of an empty line.

use haul_protocol::{
    DecodeError, EncodeError, Owed, Refusal, Reply, RequestId, ServerConnection, ServerError,
    ServerEvent, ServerHello, ServerLimits, Time,
};

use crate::http::half::{Event, Half as Http};
use crate::http::head::Head;
use crate::http::status::Wrong;

/// Bytes that tell which half it is.
const TELLING: usize = 3;

/// The half of one connection.
#[derive(Debug)]
pub(super) enum Half {
    /// With the first bytes, which have come to this half as well, until they have told.
    Haul(Box<ServerConnection>, Option<Vec<u8>>),
    Http(Box<Http>),
}

/// An event from the peer's bytes.
#[derive(Debug)]
pub(super) enum Heard<'a> {
    /// A header of the haul or the classic dialect.
    Header(ServerEvent<'a>),
    /// A head of HTTP.
    Head(RequestId, Box<Head>),
    /// The next bytes of a body.
    Body(&'a [u8]),
    /// The body is complete.
    End,
}

/// The peer breaks the rules.
#[derive(Debug)]
pub(super) enum Broken {
    Haul(ServerError),
    Http(Wrong),
}

/// The peer sends no more bytes, and has begun something.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("{0}")]
    Frame(DecodeError),
    #[error("the input ended in a request of HTTP")]
    Request,
}

/// Whether the first bytes begin a request of HTTP; `None`: too few to tell.
fn is_http(first: &[u8]) -> Option<bool> {
    let [one, _, three, ..] = first else { return None };
    let is_letter = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'\r' | b'\n');
    Some(is_letter(one) && three.is_ascii() && *three > 1)
}

impl Half {
    /// Of a connection that was accepted now.
    pub(super) fn new(limits: &ServerLimits, now: Time) -> Self {
        Self::Haul(Box::new(ServerConnection::new(limits, now)), Some(Vec::new()))
    }

    pub(super) fn is_http(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// The half of HTTP, if it is that.
    pub(super) fn http(&mut self) -> Option<&mut Http> {
        if let Self::Http(http) = self { Some(http) } else { None }
    }

    /// Takes bytes from the front of `input` up to the next event; `None`: all of it is taken.
    pub(super) fn receive<'a>(
        &mut self,
        input: &mut &'a [u8],
        now: Time,
    ) -> Result<Option<Heard<'a>>, Broken> {
        // Bytes behind the end, of a broken handshake of TLS for example, begin nothing.
        if let Self::Haul(haul, undecided) = self
            && haul.is_open()
            && let Some(first) = undecided
        {
            let mut begun = first.clone();
            begun.extend(input.iter().take(TELLING));
            match is_http(&begun) {
                None => *first = begun,
                Some(false) => *undecided = None,
                Some(true) => {
                    let (mut http, first) = (Box::new(Http::new(now)), std::mem::take(first));
                    // No request ends within so few bytes.
                    let fed = http.receive(&mut &first[..], now);
                    *self = Self::Http(http);
                    fed.map_err(Broken::Http)?;
                }
            }
        }
        match self {
            Self::Haul(haul, _) => {
                let event = haul.receive(input, now).map_err(Broken::Haul)?;
                Ok(event.map(|event| match event {
                    ServerEvent::Body(bytes) => Heard::Body(bytes),
                    ServerEvent::End => Heard::End,
                    header => Heard::Header(header),
                }))
            }
            Self::Http(http) => {
                let event = http.receive(input, now).map_err(Broken::Http)?;
                Ok(event.map(|event| match event {
                    Event::Head(id, head) => Heard::Head(id, head),
                    Event::Body(bytes) => Heard::Body(bytes),
                    Event::End => Heard::End,
                }))
            }
        }
    }

    /// Ends the input: the peer sends no more bytes. The error says that a frame or a request is cut off.
    pub(super) fn input_ended(&mut self) -> Result<(), Cut> {
        match self {
            Self::Haul(haul, _) => haul.input_ended().map_err(Cut::Frame),
            Self::Http(http) => match http.input_ended() {
                true => Err(Cut::Request),
                false => Ok(()),
            },
        }
    }

    /// Whether the last frame or request is complete, and no byte of the next has come.
    pub(super) fn between_frames(&self) -> bool {
        match self {
            Self::Haul(haul, _) => haul.between_frames(),
            Self::Http(http) => http.is_between(),
        }
    }

    /// Whether the next bytes are those of a request of HTTP of which nothing is known.
    pub(super) fn is_before_head(&self) -> bool {
        matches!(self, Self::Http(http) if http.is_before_head())
    }

    /// Whether the present request must be answered before more is read: in HTTP each one.
    pub(super) fn is_answering(&self) -> bool {
        matches!(self, Self::Http(http) if http.is_answering())
    }

    pub(super) fn body_left(&self) -> Option<u64> {
        match self {
            Self::Haul(haul, _) => haul.body_left(),
            Self::Http(http) => http.body_left(),
        }
    }

    /// Whether the next byte belongs to a body.
    pub(super) fn is_in_body(&self) -> bool {
        match self {
            Self::Haul(haul, _) => haul.body_left().is_some(),
            Self::Http(http) => http.is_in_body(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Haul(haul, _) => haul.is_open(),
            Self::Http(http) => http.is_open(),
        }
    }

    pub(super) fn has_input_ended(&self) -> bool {
        match self {
            Self::Haul(haul, _) => haul.has_input_ended(),
            Self::Http(http) => http.has_input_ended(),
        }
    }

    pub(super) fn greet(&mut self, hello: ServerHello) -> Result<(), EncodeError> {
        match self {
            Self::Haul(haul, _) => haul.greet(hello),
            Self::Http(_) => Ok(()),
        }
    }

    /// A change is done.
    pub(super) fn done(&mut self, id: RequestId) {
        match self {
            Self::Haul(haul, _) => haul.done(id),
            Self::Http(http) => http.done(id),
        }
    }

    /// A request is not carried out.
    pub(super) fn refuse(&mut self, id: RequestId, refusal: Refusal) -> Result<(), EncodeError> {
        match self {
            Self::Haul(haul, _) => haul.refuse(id, refusal),
            Self::Http(http) => {
                http.refuse(id, &refusal);
                Ok(())
            }
        }
    }

    /// A request of the haul dialect is answered.
    pub(super) fn answer(
        &mut self,
        id: RequestId,
        reply: Reply,
        body: &[u8],
    ) -> Result<(), EncodeError> {
        match self {
            Self::Haul(haul, _) => haul.answer(id, reply, body),
            Self::Http(_) => Ok(()),
        }
    }

    pub(super) fn answer_with(
        &mut self,
        id: RequestId,
        reply: Reply,
        body: Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Haul(haul, _) => haul.answer_with(id, reply, body),
            Self::Http(_) => Ok(()),
        }
    }

    /// As [`answer`](Self::answer), but the body is sent by the caller.
    pub(super) fn answer_apart(
        &mut self,
        id: RequestId,
        reply: Reply,
        length: u64,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Haul(haul, _) => haul.answer_apart(id, reply, length),
            Self::Http(_) => Ok(()),
        }
    }

    /// Bytes of a body that the caller sends, once there is no more output.
    pub(super) fn apart(&self) -> u64 {
        match self {
            Self::Haul(haul, _) => haul.apart(),
            Self::Http(_) => 0,
        }
    }

    /// Whether all answers so far are sent.
    pub(super) fn is_said(&self) -> bool {
        match self {
            Self::Haul(haul, _) => haul.is_said(),
            Self::Http(http) => http.output().is_empty(),
        }
    }

    /// So many bytes are sent of the body that the caller has.
    pub(super) fn sent_apart(&mut self, len: u64, now: Time) {
        if let Self::Haul(haul, _) = self {
            haul.sent_apart(len, now);
        }
    }

    /// Tells of all changes that are done since the last ack.
    pub(super) fn acknowledge(&mut self) {
        if let Self::Haul(haul, _) = self {
            haul.acknowledge();
        }
    }

    pub(super) fn repeats_at(&self) -> Time {
        match self {
            Self::Haul(haul, _) => haul.repeats_at(),
            Self::Http(_) => Time::NEVER,
        }
    }

    pub(super) fn repeat(&mut self, now: Time) {
        if let Self::Haul(haul, _) = self {
            haul.repeat(now);
        }
    }

    /// Ends the connection with bytes of the transport's own.
    pub(super) fn end_with(&mut self, bytes: &[u8]) {
        match self {
            Self::Haul(haul, _) => haul.end_with(bytes),
            Self::Http(http) => http.break_off(),
        }
    }

    /// Ends the connection; tells whether its peer may be told why.
    pub(super) fn end(&mut self, refusal: Refusal) -> bool {
        match self {
            Self::Haul(haul, _) => haul.end(refusal),
            Self::Http(http) => {
                http.end(&refusal);
                true
            }
        }
    }

    /// All changes that were under way have been told.
    pub(super) fn conclude(&mut self) {
        match self {
            Self::Haul(haul, _) => haul.conclude(),
            Self::Http(http) => http.conclude(),
        }
    }

    pub(super) fn abandon(&mut self) {
        match self {
            Self::Haul(haul, _) => haul.abandon(),
            Self::Http(http) => http.abandon(),
        }
    }

    pub(super) fn output(&self) -> &[u8] {
        match self {
            Self::Haul(haul, _) => haul.output(),
            Self::Http(http) => http.output(),
        }
    }

    pub(super) fn sent(&mut self, len: usize, now: Time) {
        match self {
            Self::Haul(haul, _) => haul.sent(len, now),
            Self::Http(http) => http.sent(len, now),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Haul(haul, _) => haul.is_full(),
            Self::Http(http) => http.is_full(),
        }
    }

    pub(super) fn shuts(&mut self, now: Time) -> bool {
        match self {
            Self::Haul(haul, _) => haul.shuts(now),
            Self::Http(http) => http.shuts(now),
        }
    }

    pub(super) fn is_over(&self, owes: bool) -> bool {
        match self {
            Self::Haul(haul, _) => haul.is_over(owes),
            Self::Http(http) => http.is_over(owes),
        }
    }

    pub(super) fn owed(&self, works: bool, owes: bool) -> Owed {
        match self {
            Self::Haul(haul, _) => haul.owed(works, owes),
            Self::Http(http) => http.owed(works, owes),
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Haul(haul, _) => haul.held_bytes(),
            Self::Http(http) => http.held_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::limits::MAX_HEADER_LEN;

    use super::*;

    #[test]
    fn first_three_bytes_tell_frames_from_requests_of_http() {
        for method in [
            "GET", "HEAD", "PUT", "PROPFIND", "MKCOL", "MOVE", "LOCK", "PRI", "\r\nGET", "\r\n\r\n",
        ] {
            assert_eq!(is_http(method.as_bytes()), Some(true), "{method}");
            assert_eq!(is_http(&method.as_bytes()[..2]), None, "{method}");
        }
        // Every prefix that a frame can have.
        for len in 1..=MAX_HEADER_LEN {
            let prefix = i32::try_from(len).unwrap().to_le_bytes();
            assert_eq!(is_http(&prefix), Some(false), "{len}");
        }
        for other in [&[0xff; 3][..], b"get", b"\n\n\n\n", b"A\0\0\0", b"G\xff\xff"] {
            assert_eq!(is_http(other), Some(other == b"\n\n\n\n"), "{other:?}");
        }
    }

    #[test]
    fn bytes_that_come_one_by_one_are_those_of_one_stream() {
        let now = Time::from_millis(1);
        for request in
            [&b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"[..], b"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"]
        {
            let (mut half, mut heads) = (Half::new(&ServerLimits::default(), now), 0);
            for byte in request {
                let mut input = std::slice::from_ref(byte);
                let heard = half.receive(&mut input, now).unwrap();
                heads +=
                    usize::from(matches!(heard, Some(Heard::Head(_, head)) if head.target == "/a"));
            }
            assert!(heads == 1 && half.is_http());
        }
        let mut half = Half::new(&ServerLimits::default(), now);
        assert!(half.receive(&mut &b"GE"[..], now).unwrap().is_none());
        // As of any peer that has begun and goes no further.
        assert_eq!(half.owed(false, false), Owed::Header(now));
        half.receive(&mut &b"\0\0"[..], now).unwrap();
        assert!(!half.is_http() && !half.between_frames());
    }

    /// A transport that has failed gives on what comes in clear behind it: nobody may ask for anything so.
    #[test]
    fn request_behind_the_end_of_a_connection_is_none() {
        let now = Time::from_millis(1);
        let request = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
        for first in [&b""[..], b"GE"] {
            let mut half = Half::new(&ServerLimits::default(), now);
            half.receive(&mut &*first, now).unwrap();
            half.end_with(b"");
            assert!(half.receive(&mut &request[first.len()..], now).unwrap().is_none());
            assert!(!half.is_http() && !half.is_open());
        }
    }
}
