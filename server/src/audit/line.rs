//! One line of the log: an object of JSON, without a character that does something to a terminal.

use std::fmt::Write;

use data_encoding::BASE64;
use haul_protocol::{Digest, is_plain};
use jiff::Timestamp;

use super::who::Who;
use crate::accounts::AccountName;

/// A line, without its end.
#[derive(Debug)]
pub(super) struct Line(String);

impl Line {
    /// A line about an event that happens now.
    pub(super) fn new(event: &str) -> Self {
        let mut line = String::with_capacity(256);
        // Nothing that is written to a string fails.
        let _ = write!(line, "{{\"time\":\"{:.3}\"", Timestamp::now());
        Self(line).text("event", event)
    }

    /// The same, about a client.
    pub(super) fn of(event: &str, who: &Who) -> Self {
        let line = Self::new(event);
        let line = line.maybe("account", who.account.as_ref().map(AccountName::as_str));
        line.maybe("token", who.token.as_deref()).text("address", &who.address)
    }

    /// About an account, whoever has changed it.
    pub(super) fn of_account(name: &AccountName) -> Self {
        Self::new("account").text("account", name.as_str())
    }

    /// A field with a text.
    pub(super) fn text(mut self, field: &str, text: &str) -> Self {
        let _ = write!(self.0, ",\"{field}\":");
        quote(&mut self.0, text);
        self
    }

    /// The same, or null.
    fn maybe(mut self, field: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(field, text),
            None => {
                let _ = write!(self.0, ",\"{field}\":null");
                self
            }
        }
    }

    /// Bytes of a name; in base64 if they are no UTF-8.
    pub(super) fn bytes(self, field: &str, bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(field, text),
            Err(_) => self.text(&format!("{field}_b64"), &BASE64.encode(bytes)),
        }
    }

    pub(super) fn number(mut self, field: &str, number: u64) -> Self {
        let _ = write!(self.0, ",\"{field}\":{number}");
        self
    }

    /// A field that is there because it is true.
    pub(super) fn flag(mut self, field: &str) -> Self {
        let _ = write!(self.0, ",\"{field}\":true");
        self
    }

    pub(super) fn digest(self, digest: Option<Digest>) -> Self {
        let digest = digest.map(|digest| digest.to_hex());
        self.maybe("digest", digest.as_deref())
    }

    /// The bytes of the line with its end.
    pub(super) fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// Writes a string of JSON. Each character that is not plain is escaped.
fn quote(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                line.push('\\');
                line.push(character);
            }
            plain if is_plain(plain) => line.push(plain),
            special => {
                for unit in special.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parser gets back each character, and a terminal sees none that is not plain.
    #[test]
    fn every_character_comes_back_and_none_reaches_a_terminal_that_is_not_plain() {
        let all: String = ('\0'..=char::MAX).collect();
        let line = Line::new("test").text("name", &all).end();
        assert!(line.trim_end().chars().all(is_plain));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((read["event"].as_str(), read["name"].as_str()), (Some("test"), Some(&*all)));
        let time = read["time"].as_str().unwrap();
        assert!(time.len() == "2026-11-27T12:00:00.000Z".len() && time.ends_with('Z'), "{time}");
    }

    #[test]
    fn bytes_that_are_no_text_come_in_base64() {
        let line = Line::new("test").bytes("name", b"a\xff").bytes("to", b"b").digest(None).end();
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((read["name_b64"].as_str(), read["to"].as_str()), (Some("Yf8="), Some("b")));
        assert!(read["digest"].is_null() && read.get("name").is_none());
    }
}
