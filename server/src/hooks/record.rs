//! The record of a change, as the spool keeps it and as the hook gets it: one line of JSON.

use std::borrow::Cow;

use data_encoding::BASE64;
use haul_protocol::{Digest, LinkTarget, Name};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::accounts::AccountName;
use crate::audit::{Changed, Event, What};

/// The begin of each record: the number comes in the identity.
const BEGIN: &str = "{\"id\":\"";

/// A change that a client has asked for. A text is in base64 if its bytes are not UTF-8.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_b64: Option<String>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    to: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_b64: Option<String>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_b64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(borrow)]
    account: Option<Cow<'a, str>>,
    #[serde(borrow)]
    address: Cow<'a, str>,
    #[serde(borrow)]
    dialect: Cow<'a, str>,
}

/// The effect of a change, by which it can be told whether the change has happened.
#[derive(Debug)]
pub(super) enum Effect {
    /// A file of this size and digest stands under the name.
    File { name: Name, size: u64, digest: Option<Digest> },
    /// A symlink does.
    Symlink { name: Name, target: LinkTarget },
    /// A directory does.
    Directory { name: Name },
    /// Nothing does.
    Nothing { name: Name },
    /// Names do not tell.
    Unknown,
}

/// Bytes as text, or in base64.
pub(super) fn text(bytes: &[u8]) -> (Option<Cow<'_, str>>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(Cow::Borrowed(text)), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    }
}

/// The bytes of such a text.
fn bytes(text: Option<&str>, encoded: Option<&str>) -> Option<Vec<u8>> {
    match (text, encoded) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(encoded)) => BASE64.decode(encoded.as_bytes()).ok(),
        (None, None) => None,
    }
}

impl<'a> Record<'a> {
    /// The record of a change that is about to happen.
    pub(super) fn of(event: &'a Event) -> Self {
        let (kind, name) = match &event.what {
            What::File { name, .. } | What::Copy { name, .. } => ("file", name),
            What::Symlink { name, .. } => ("symlink", name),
            What::Directory { name } => ("directory", name),
            What::Removal { name } => ("remove", name),
            What::Rename { name, .. } => ("rename", name),
            What::Versions { name, changed: Changed::Publish } => ("publish", name),
            What::Versions { name, changed: Changed::Rollback } => ("rollback", name),
        };
        let who = &event.who;
        let (name, name_b64) = text(name.as_bytes());
        let mut record = Self {
            time: Cow::Owned(format!("{:.3}", Timestamp::now())),
            event: Cow::Borrowed(kind),
            name,
            name_b64,
            to: None,
            to_b64: None,
            target: None,
            target_b64: None,
            size: None,
            digest: None,
            account: who.account.as_ref().map(AccountName::as_str).map(Cow::Borrowed),
            address: Cow::Borrowed(&who.address),
            dialect: Cow::Borrowed(event.dialect),
        };
        match &event.what {
            What::File { size, digest, .. } | What::Copy { size, digest, .. } => {
                record.size = Some(*size);
                record.digest = digest.map(|digest| digest.to_hex());
            }
            What::Symlink { target, .. } => {
                (record.target, record.target_b64) = text(target.as_bytes());
            }
            What::Rename { to, .. } => (record.to, record.to_b64) = text(to.as_bytes()),
            What::Directory { .. } | What::Removal { .. } | What::Versions { .. } => {}
        }
        record
    }

    /// All of its line but the identity, which [`line()`] puts in front.
    pub(super) fn rest(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        text.get(1..).unwrap_or_default().to_owned()
    }

    /// Reads a line; `None` if it is no record.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// The second in which it was written, since 1970.
    pub(super) fn second(&self) -> i64 {
        self.time.parse().map_or(0, Timestamp::as_second)
    }

    /// The effect that its change has, if it has happened.
    pub(super) fn effect(&self) -> Effect {
        let found = bytes(self.name.as_deref(), self.name_b64.as_deref());
        let Some(name) = found.and_then(|bytes| Name::parse(&bytes).ok()) else {
            return Effect::Unknown;
        };
        match &*self.event {
            "file" => {
                let digest = self.digest.as_deref().map(Digest::parse);
                match (self.size, digest.transpose()) {
                    (Some(size), Ok(digest)) => Effect::File { name, size, digest },
                    _ => Effect::Unknown,
                }
            }
            "symlink" => {
                let target = bytes(self.target.as_deref(), self.target_b64.as_deref());
                let target = target.and_then(|bytes| LinkTarget::parse(&bytes).ok());
                target.map_or(Effect::Unknown, |target| Effect::Symlink { name, target })
            }
            "directory" => Effect::Directory { name },
            "remove" => Effect::Nothing { name },
            _ => Effect::Unknown,
        }
    }
}

/// The line of a record of a run with this number.
pub(super) fn line(run: &str, number: u64, rest: &str) -> String {
    format!("{BEGIN}{run}-{number}\",{rest}\n")
}

/// Bytes that the line of an event's record has at most.
pub(super) fn bound(event: &Event) -> u64 {
    /// All that is neither a name nor told by a client: 80 bytes of identity and time, 20 of the event, 28 of the size, 76 of the
    /// digest, 20 of the dialect, and the names of the other fields.
    const FIXED: u64 = 320;
    let escaped = |bytes: &[u8]| {
        bytes.iter().map(|byte| if byte.is_ascii_control() { 6 } else { 2 }).sum::<u64>() + 4
    };
    let (name, other) = match &event.what {
        What::Symlink { name, target } => (name, target.as_bytes()),
        What::Rename { name, to } => (name, to.as_bytes()),
        What::File { name, .. }
        | What::Copy { name, .. }
        | What::Directory { name }
        | What::Removal { name }
        | What::Versions { name, .. } => (name, &[][..]),
    };
    let account = event.who.account.as_ref().map_or("", AccountName::as_str);
    let texts = [name.as_bytes(), other, account.as_bytes(), event.who.address.as_bytes()];
    FIXED + texts.into_iter().map(escaped).sum::<u64>()
}

/// The number in the line of a record; `None` if it is no record.
pub(super) fn number(line: &str) -> Option<u64> {
    let identity = line.strip_prefix(BEGIN)?.split('"').next()?;
    identity.rsplit_once('-')?.1.parse().ok()
}

/// The same line, which says that the change may not last, or may not have happened.
pub(super) fn uncertain(line: &str) -> String {
    format!("{},\"uncertain\":true}}", line.strip_suffix('}').unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::audit::Who;

    fn event(what: What) -> Event {
        let who = Who { account: None, token: None, address: String::from("127.0.0.1:1") };
        Event { who: Arc::new(who), what, in_draft: false, begun: Instant::now(), dialect: "haul" }
    }

    #[test]
    fn record_is_one_line_that_tells_all_and_is_read_back() {
        for bytes in
            ["d/a b\n\"x", "d/\u{202e}"].map(str::as_bytes).into_iter().chain([&b"d/\xff"[..]])
        {
            let name = Name::parse(bytes).unwrap();
            let digest = Some(Digest::of(b"xyz"));
            let event = event(What::File { name: name.clone(), size: 3, digest });
            let line = line("run", 7, &Record::of(&event).rest());
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains('\n') && number(line) == Some(7), "{line}");
            let told: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&told["id"], &told["event"]), (&"run-7".into(), &"file".into()));
            assert_eq!((&told["size"], &told["dialect"]), (&3.into(), &"haul".into()));
            assert!(told["account"].is_null() && told.get("to").is_none(), "{line}");
            assert_eq!(told.get("name").is_some(), std::str::from_utf8(bytes).is_ok());
            let Effect::File { name: read, size: 3, digest: found } =
                Record::parse(line).unwrap().effect()
            else {
                panic!("{line}")
            };
            assert_eq!((read, found), (name, digest));
            let told: serde_json::Value = serde_json::from_str(&uncertain(line)).unwrap();
            assert_eq!(told["uncertain"], true);
        }
    }

    #[test]
    fn no_record_is_longer_than_its_bound() {
        let long = |byte: u8| Name::parse(&vec![byte; 255]).unwrap();
        let digest = Some(Digest::of(b""));
        for byte in [1, b'a', b'"', b'\\', 0x7f, 0xff, b'\n'] {
            let (name, to) = (long(byte), long(byte));
            let target = LinkTarget::parse(&vec![byte; 4000]).unwrap();
            for what in [
                What::File { name: name.clone(), size: u64::MAX, digest },
                What::Symlink { name: name.clone(), target },
                What::Rename { name: name.clone(), to },
                What::Directory { name: name.clone() },
                What::Versions { name, changed: Changed::Rollback },
            ] {
                let who = Who { account: None, token: None, address: "\u{1}".repeat(50) };
                let event = Event { who: Arc::new(who), dialect: "classic", ..event(what) };
                let line = line("0123456789abcdef", u64::MAX, &Record::of(&event).rest());
                assert!(line.len() as u64 <= bound(&event), "{} {line}", bound(&event));
            }
        }
    }

    #[test]
    fn line_that_is_no_record_is_none() {
        for line in
            ["", "=1-2 done", "@boot", "{\"id\":\"x\"}", "{\"id\":\"x-1", "{\"id\":\"a-b\"}"]
        {
            assert!(number(line).is_none() || Record::parse(line).is_none(), "{line}");
        }
    }
}
