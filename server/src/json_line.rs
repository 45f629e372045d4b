//! One line of JSON: an object, without a character that does something to a terminal.

use std::fmt::Write;

use data_encoding::BASE64;
use haul_protocol::is_plain;
use jiff::Timestamp;

/// A line, without its end.
#[derive(Debug)]
pub(crate) struct Line(String);

impl Default for Line {
    /// Without any field.
    fn default() -> Self {
        Self(String::from("{"))
    }
}

impl Line {
    /// About an event that happens now: its first field is the time.
    pub(crate) fn now() -> Self {
        let mut line = String::with_capacity(256);
        // Nothing that is written to a string fails.
        let _ = write!(line, "{{\"time\":\"{:.3}\"", Timestamp::now());
        Self(line)
    }

    /// A field with a text.
    pub(crate) fn text(mut self, field: &str, text: &str) -> Self {
        self.begin(field);
        quote(&mut self.0, text);
        self
    }

    /// The same, or null.
    pub(crate) fn maybe(self, field: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(field, text),
            None => self.value(field, &"null"),
        }
    }

    /// Bytes of a name; in base64 if they are no UTF-8.
    pub(crate) fn bytes(self, field: &str, bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(field, text),
            Err(_) => self.text(&format!("{field}_b64"), &BASE64.encode(bytes)),
        }
    }

    /// A list of names. Those that are not UTF-8 are in a list of their own, in base64.
    pub(crate) fn list(self, field: &str, names: &[&[u8]]) -> Self {
        let texts = names.iter().filter_map(|name| std::str::from_utf8(name).ok());
        let others = names.iter().filter(|name| std::str::from_utf8(name).is_err());
        let others: Vec<String> = others.map(|name| BASE64.encode(name)).collect();
        let line = self.texts(field, texts);
        match others.is_empty() {
            true => line,
            false => line.texts(&format!("{field}_b64"), others.iter().map(String::as_str)),
        }
    }

    /// A list of texts.
    fn texts<'a>(mut self, field: &str, texts: impl Iterator<Item = &'a str>) -> Self {
        self.begin(field);
        self.0.push('[');
        for (place, text) in texts.enumerate() {
            if place > 0 {
                self.0.push(',');
            }
            quote(&mut self.0, text);
        }
        self.0.push(']');
        self
    }

    /// A field with a number.
    pub(crate) fn number(self, field: &str, number: u64) -> Self {
        self.value(field, &number)
    }

    /// A field that is there because it is true.
    pub(crate) fn flag(self, field: &str) -> Self {
        self.value(field, &true)
    }

    /// A field with the fields of another line.
    pub(crate) fn object(self, field: &str, fields: &Self) -> Self {
        self.value(field, &format_args!("{}}}", fields.0))
    }

    /// A field with a value that is JSON as it is displayed.
    pub(crate) fn value(mut self, field: &str, value: &dyn std::fmt::Display) -> Self {
        self.begin(field);
        let _ = write!(self.0, "{value}");
        self
    }

    fn begin(&mut self, field: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{field}\":");
    }

    /// The bytes of the line with its end.
    pub(crate) fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// Writes a string of JSON. Each character that is not plain is escaped.
pub(crate) fn quote(line: &mut String, text: &str) {
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
        let line = Line::now().text("name", &all).end();
        assert!(line.trim_end().chars().all(is_plain));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["name"].as_str(), Some(&*all));
        let time = read["time"].as_str().unwrap();
        assert!(time.len() == "2026-11-27T12:00:00.000Z".len() && time.ends_with('Z'), "{time}");
    }

    #[test]
    fn bytes_that_are_no_text_come_in_base64_and_objects_may_be_empty() {
        let fields = Line::default().bytes("name", b"a\xff").bytes("to", b"b").maybe("x", None);
        let line = Line::now().object("fields", &fields).object("none", &Line::default()).end();
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let fields = &read["fields"];
        assert_eq!((fields["name_b64"].as_str(), fields["to"].as_str()), (Some("Yf8="), Some("b")));
        assert!(fields["x"].is_null() && fields.get("name").is_none());
        assert!(read["none"].as_object().unwrap().is_empty());
    }

    #[test]
    fn list_has_texts_and_those_that_are_none_are_in_another() {
        let line = Line::now().list("also", &[b"/a\"", b"/\xff", b"/b"]).list("none", &[]).end();
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["also"], serde_json::json!(["/a\"", "/b"]));
        assert_eq!(read["also_b64"], serde_json::json!(["L/8="]));
        assert!(read["none"].as_array().unwrap().is_empty() && read.get("none_b64").is_none());
    }
}
