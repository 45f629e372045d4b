//! The head of an answer.

use std::fmt::Write;

use haul_protocol::{Code, Refusal, Shown};

use super::method::ALLOWED;
use super::status::{Status, Wrong};

/// The status of an answer and its fields, but for those that tell how its body ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: Status,
    fields: Vec<(&'static str, String)>,
}

/// How the end of an answer's body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is no body, and can be none.
    Absent,
    Known(u64),
    /// It is told by chunks, or by the end of the connection in HTTP/1.0.
    Unknown,
}

impl Response {
    /// An answer without fields of its own.
    pub(crate) fn new(status: Status) -> Self {
        Self { status, fields: Vec::new() }
    }

    /// The same with one field more.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The same with another value of a field.
    pub(crate) fn instead(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self.with(name, value)
    }

    /// The head of an answer that comes before the real one, which only some clients understand.
    pub(super) fn write_before(&self, out: &mut Vec<u8>) {
        let Status(number, phrase) = self.status;
        let mut text = String::new();
        line(&mut text, format_args!("HTTP/1.1 {number} {phrase}"));
        for (name, value) in &self.fields {
            let value: String = value.chars().map(plain).collect();
            line(&mut text, format_args!("{name}: {value}"));
        }
        text.push_str("\r\n");
        out.extend_from_slice(text.as_bytes());
    }

    /// The answer to a request that is refused, and its text.
    pub(crate) fn refusal(refusal: &Refusal) -> (Self, String) {
        let status = Status::of(&refusal.code);
        let response = Self::error(status);
        let response = match refusal.code {
            Code::Busy | Code::ShuttingDown => response.with("Retry-After", "1"),
            _ => response,
        };
        // A message has names in it, and curl shows it on a terminal.
        (response, format!("{}\n", Shown(&refusal.message)))
    }

    /// The answer to a request that is wrong, and its text.
    pub(crate) fn wrong(wrong: Wrong) -> (Self, String) {
        let response = match wrong.methods {
            Some(methods) => Self::text(wrong.status).with("Allow", methods),
            None => Self::error(wrong.status),
        };
        (response, format!("{}\n", wrong.why))
    }

    fn text(status: Status) -> Self {
        Self::new(status).with("Content-Type", "text/plain; charset=utf-8")
    }

    fn error(status: Status) -> Self {
        let response = Self::text(status);
        match status {
            Status::UNAUTHORIZED => response
                .with("WWW-Authenticate", "Basic realm=\"haul\", charset=\"UTF-8\"")
                .with("WWW-Authenticate", "Bearer realm=\"haul\""),
            Status::METHOD => response.with("Allow", ALLOWED),
            _ => response,
        }
    }

    /// Writes it. `closes`: the server takes no further request.
    pub(super) fn write(&self, to: Shape, out: &mut Vec<u8>) {
        let Shape { length, is_old, closes, date } = to;
        let mut text = String::with_capacity(512);
        let Status(number, phrase) = self.status;
        line(&mut text, format_args!("HTTP/1.1 {number} {phrase}"));
        if let Some(date) = date {
            line(&mut text, format_args!("Date: {date}"));
        }
        for (name, value) in &self.fields {
            // No value has a byte that could begin another line.
            let value: String = value.chars().map(plain).collect();
            line(&mut text, format_args!("{name}: {value}"));
        }
        // Nothing may be taken for a script or a page, be part of another server's page, or be kept without asking again.
        line(&mut text, format_args!("X-Content-Type-Options: nosniff"));
        line(&mut text, format_args!("Cross-Origin-Resource-Policy: same-origin"));
        line(&mut text, format_args!("Referrer-Policy: same-origin"));
        if !self.fields.iter().any(|(name, _)| *name == "Cache-Control") {
            line(&mut text, format_args!("Cache-Control: no-cache"));
        }
        match length {
            Length::Absent => {}
            Length::Known(len) => line(&mut text, format_args!("Content-Length: {len}")),
            Length::Unknown if is_old => {}
            Length::Unknown => line(&mut text, format_args!("Transfer-Encoding: chunked")),
        }
        match (closes, is_old) {
            (true, _) => line(&mut text, format_args!("Connection: close")),
            (false, true) => line(&mut text, format_args!("Connection: keep-alive")),
            (false, false) => {}
        }
        text.push_str("\r\n");
        out.extend_from_slice(text.as_bytes());
    }
}

/// The facts about an answer that the request and the connection decide.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) length: Length,
    /// The client speaks HTTP/1.0.
    pub(super) is_old: bool,
    pub(super) closes: bool,
    pub(super) date: Option<String>,
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A `String` takes everything.
    let _ = text.write_fmt(line);
    text.push_str("\r\n");
}

fn plain(letter: char) -> char {
    if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_of_an_answer_has_one_line_for_each_field_whatever_its_value_is() {
        let response = Response::new(Status::OK).with("Location", "/a\r\nSet-Cookie: x\u{e4}");
        let write = |length, is_old, closes| {
            let date = Some(String::from("Sun, 06 Nov 1994 08:49:37 GMT"));
            let mut out = Vec::new();
            response.write(Shape { length, is_old, closes, date }, &mut out);
            String::from_utf8(out).unwrap()
        };
        let text = write(Length::Known(7), false, false);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
        assert!(text.contains("\r\nLocation: /a??Set-Cookie: x?\r\n"), "{text}");
        assert!(text.ends_with("\r\nContent-Length: 7\r\n\r\n"), "{text}");
        assert!(write(Length::Unknown, false, false).contains("Transfer-Encoding: chunked\r\n"));
        let old = write(Length::Unknown, true, true);
        assert!(!old.contains("chunked") && old.contains("Connection: close\r\n"), "{old}");
        assert!(write(Length::Absent, true, false).contains("Connection: keep-alive\r\n"));
    }

    #[test]
    fn refusals_tell_what_a_client_needs_to_go_on() {
        let text = |code| {
            let (response, message) = Response::refusal(&Refusal::new(code, "why"));
            format!("{response:?} {message}")
        };
        assert!(text(Code::Unauthorized).contains("Basic realm"));
        assert!(text(Code::Busy).contains("Retry-After"));
        let (response, message) = Response::wrong(Wrong::new(Status::METHOD, "not served"));
        assert!(format!("{response:?}").contains("MKCOL") && message == "not served\n");
    }
}
