//! One line of the access log.

use std::fmt::Write;
use std::time::Duration;

use data_encoding::BASE64;
use haul_protocol::{Digest, Name, is_plain};
use jiff::Timestamp;

use super::who::Who;
use crate::accounts::AccountName;
use crate::json_line::{Line, quote};
use crate::log::LogFormat;

/// A file that a client has stored, or bytes of one that it has read.
#[derive(Debug)]
pub(super) struct Access<'a> {
    pub(super) who: &'a Who,
    pub(super) dialect: &'static str,
    pub(super) operation: &'static str,
    pub(super) result: &'static str,
    pub(super) bytes: u64,
    pub(super) time: Duration,
    /// Of the whole file, if the server knows it.
    pub(super) digest: Option<Digest>,
    pub(super) name: &'a Name,
}

/// Before the base64 of a path that is not UTF-8, in a line of text.
const BASE64_PATH: &str = "base64:";

impl Access<'_> {
    /// The line, with its end.
    pub(super) fn line(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Text => self.text(),
            LogFormat::Json => self.json(),
        }
    }

    fn account(&self) -> Option<&str> {
        self.who.account.as_ref().map(AccountName::as_str)
    }

    fn json(&self) -> String {
        let seconds = format!("{:.3}", self.time.as_secs_f64());
        let line = Line::now().maybe("account", self.account()).text("peer", &self.who.address);
        let line = line.text("dialect", self.dialect).text("operation", self.operation);
        let line = line.text("result", self.result).number("bytes", self.bytes);
        let line = line.value("seconds", &seconds).digest(self.digest);
        line.bytes("path", self.name.as_bytes()).end()
    }

    fn text(&self) -> String {
        let mut line = String::with_capacity(256);
        // Nothing that is written to a string fails.
        let _ = write!(line, "{:.3} ", Timestamp::now());
        match self.account() {
            Some(account) => word(&mut line, account),
            None => line.push('-'),
        }
        line.push(' ');
        word(&mut line, &self.who.address);
        let Self { dialect, operation, result, bytes, time, .. } = self;
        let seconds = time.as_secs_f64();
        let _ = write!(line, " {dialect} {operation} {result} {bytes} {seconds:.3} ");
        match self.digest {
            Some(digest) => line.push_str(&digest.to_hex()),
            None => line.push('-'),
        }
        line.push(' ');
        match std::str::from_utf8(self.name.as_bytes()) {
            Ok(name) => word(&mut line, name),
            Err(_) => {
                let _ = write!(line, "{BASE64_PATH}{}", BASE64.encode(self.name.as_bytes()));
            }
        }
        line.push('\n');
        line
    }
}

/// A word of a line of text; as a string of JSON if it could be taken for anything else than one word of its own.
fn word(line: &mut String, text: &str) {
    let is_one = |character| is_plain(character) && !char::is_whitespace(character);
    let is_other = text == "-" || text.starts_with('"') || text.starts_with(BASE64_PATH);
    if text.is_empty() || is_other || !text.chars().all(is_one) {
        quote(line, text);
    } else {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &[u8], format: LogFormat) -> String {
        let name = Name::parse(name).unwrap();
        let who = Who { account: None, token: None, address: String::from("unix:/a b") };
        let (dialect, operation, result) = ("haul", "put", "done");
        let time = Duration::from_micros(1_234_567);
        let (bytes, digest) = (3, None);
        let access =
            Access { who: &who, dialect, operation, result, bytes, time, digest, name: &name };
        let line = access.line(format);
        let line = line.strip_suffix('\n').unwrap();
        assert!(line.chars().all(is_plain), "{line:?}");
        match format {
            LogFormat::Text => {
                let (_, rest) =
                    line.split_once("Z - \"unix:/a b\" haul put done 3 1.235 - ").unwrap();
                rest.to_owned()
            }
            LogFormat::Json => {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!((&line["seconds"], &line["digest"]), (&1.235.into(), &().into()));
                format!("{} {}", line["path"], line["path_b64"])
            }
        }
    }

    #[test]
    fn no_path_can_be_taken_for_another_field_or_line() {
        for (name, text, json) in [
            (&b"a/b.jpg"[..], "a/b.jpg", "\"a/b.jpg\" null"),
            (b"a b", "\"a b\"", "\"a b\" null"),
            (b"-", "\"-\"", "\"-\" null"),
            (b"\"a\"", "\"\\\"a\\\"\"", "\"\\\"a\\\"\" null"),
            (b"a\nb\x1b", "\"a\\u000ab\\u001b\"", "\"a\\nb\\u001b\" null"),
            (b"base64:YQ==", "\"base64:YQ==\"", "\"base64:YQ==\" null"),
            (b"a\xff", "base64:Yf8=", "null \"Yf8=\""),
        ] {
            assert_eq!(path(name, LogFormat::Text), text);
            assert_eq!(path(name, LogFormat::Json), json);
        }
    }
}
