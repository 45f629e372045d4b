//! The events of `--json`, one object a line on standard output. docs/json.md has a table of all.

use std::path::Path;

use data_encoding::BASE64;
use haul_protocol::Name;
use serde::Serialize;

use super::exit::Reason;
use super::summary::Summary;
use crate::report::status::Attempt;
use crate::source;

/// One event.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    /// How far the run is, every few seconds.
    Progress(Progress),
    /// An entry is there, or has got its mode and mtime; with `--verbose`.
    Committed {
        /// The entry.
        #[serde(flatten)]
        name: Named,
        /// Bytes of a file.
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// An entry is removed at the server; with `--verbose`.
    Removed {
        /// The entry.
        #[serde(flatten)]
        name: Named,
    },
    /// An entry is not sent, which is no failure.
    Skipped {
        /// The entry here.
        #[serde(flatten)]
        source: Sourced,
        /// The reason.
        why: &'a str,
    },
    /// An entry has failed.
    Failed {
        /// The entry.
        #[serde(flatten)]
        about: About,
        /// The reason.
        error: String,
    },
    /// A change that a dry run would make.
    Would {
        /// `send`, `make`, `adjust` or `remove`.
        r#do: &'a str,
        /// The entry.
        #[serde(flatten)]
        name: Named,
        /// The reason.
        why: &'a str,
        /// Bytes of a file.
        size: Option<u64>,
    },
    /// The server lacks an entry (`verify`).
    Missing(Finding<'a>),
    /// An entry is another one at the server (`verify`).
    Differs(Finding<'a>),
    /// The source lacks an entry (`verify`).
    Extra(Finding<'a>),
    /// No connection is up, and one is tried.
    Reconnecting {
        /// The number of the attempt.
        attempt: u32,
        /// The highest number; null without `--retries`.
        of: Option<u32>,
        /// Seconds for which haul goes on to try if nothing comes of it.
        seconds_left: u64,
        /// The reason of the loss.
        error: &'a str,
    },
    /// The account of the user at a server (`login`, `whoami`).
    Account(Account),
    /// A server that has announced itself in the local network (`discover`).
    Found(Found),
    /// A fact that a user may want to know, though nothing has failed.
    Note {
        /// In words.
        text: String,
    },
    /// The reason that the whole command failed, or a request of it.
    Error {
        /// In words.
        error: String,
    },
    /// The last line of a command with a run.
    Summary(Box<Summary>),
    /// The last line of a command without a run, which counts nothing.
    #[serde(rename = "summary")]
    Over {
        /// The exit code.
        exit: u8,
        /// The reason for it.
        reason: Reason,
    },
}

impl<'a> Event<'a> {
    /// An attempt to connect begins.
    pub(super) fn reconnecting(attempt: &Attempt, error: &'a str) -> Self {
        let Attempt { number, of, left } = *attempt;
        Self::Reconnecting { attempt: number, of, seconds_left: left.as_secs(), error }
    }

    /// A command without a run is over.
    pub(super) fn over(reason: Reason) -> Self {
        Self::Over { exit: reason.code(), reason }
    }
}

/// A server, as somebody in the local network has announced it.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    /// Its host, or an address, and its port.
    pub(super) server: String,
    /// Its name for people.
    pub(super) instance: String,
    /// All its addresses.
    pub(super) addresses: Vec<String>,
    /// `only`, `also` or `no`; null if it does not say.
    pub(super) tls: Option<&'static str>,
    /// The pin that it says its key has.
    pub(super) pin: Option<String>,
    /// Whether that key is trusted here.
    pub(super) key: Option<Standing>,
}

/// How an announced key stands to the keys that are trusted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// It is trusted as that of this server.
    Trusted,
    /// Another one is trusted as that of this server.
    Different,
    /// It is trusted as that of another server.
    Elsewhere,
    /// Nothing is known of it.
    Unknown,
}

/// The entry that a failure is about.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum About {
    /// An entry here.
    Source(Sourced),
    /// An entry at the server, of a command without a source.
    Name(Named),
}

/// How far a run is.
#[derive(Debug, Serialize)]
pub(super) struct Progress {
    pub(super) files_done: u64,
    pub(super) files_total: Option<u64>,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) bytes_resumed: u64,
    pub(super) bytes_compared: u64,
    pub(super) removed: u64,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) seconds_left: Option<u64>,
    pub(super) stalled: bool,
}

/// A difference.
#[derive(Debug, Serialize)]
pub(super) struct Finding<'a> {
    #[serde(flatten)]
    pub(super) name: Named,
    pub(super) why: Option<&'a str>,
}

/// An account, as the server tells it.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    pub(super) server: String,
    pub(super) account: Option<String>,
    pub(super) rights: Option<Vec<&'static str>>,
    pub(super) expires: Option<i64>,
    pub(super) used_bytes: Option<u64>,
    pub(super) quota_bytes: Option<u64>,
    pub(super) used_files: Option<u64>,
    pub(super) quota_files: Option<u64>,
}

/// A name at the server: as text, or in base64 if it is no UTF-8.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_b64: Option<String>,
}

/// A path on this machine, in the same forms.
#[derive(Debug, Serialize)]
pub(super) struct Sourced {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_b64: Option<String>,
}

impl Named {
    /// A name.
    pub(super) fn of(name: &Name) -> Self {
        let (name, name_b64) = forms(name.as_bytes());
        Self { name, name_b64 }
    }
}

impl Sourced {
    /// A path.
    pub(super) fn of(path: &Path) -> Self {
        let (source, source_b64) = match source::bytes(path.as_os_str()) {
            Ok(bytes) => forms(&bytes),
            Err(_) => (Some(path.display().to_string()), None),
        };
        Self { source, source_b64 }
    }
}

/// Bytes as text if they are UTF-8, otherwise in base64.
fn forms(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::cli::summary::Kind;

    /// Two of each, with all fields.
    fn all() -> Vec<Event<'static>> {
        let names = [&b"a"[..], b"\xff"].map(|name| Name::parse(name).unwrap());
        let progress = Progress {
            files_done: 1,
            files_total: Some(2),
            bytes_sent: 3,
            bytes_received: 3,
            bytes_resumed: 4,
            bytes_compared: 5,
            removed: 6,
            bytes_per_second: Some(7),
            seconds_left: Some(8),
            stalled: false,
        };
        let account = Account {
            server: String::new(),
            account: None,
            rights: None,
            expires: None,
            used_bytes: None,
            quota_bytes: None,
            used_files: None,
            quota_files: None,
        };
        let announced = Found {
            server: String::new(),
            instance: String::new(),
            addresses: Vec::new(),
            tls: None,
            pin: None,
            key: None,
        };
        let mut all = vec![
            Event::Found(announced),
            Event::Progress(progress),
            Event::Account(account),
            Event::Reconnecting { attempt: 1, of: Some(2), seconds_left: 3, error: "e" },
            Event::Note { text: String::new() },
            Event::Error { error: String::new() },
            Event::Summary(Box::new(Summary::full(Kind::Run))),
            Event::over(Reason::Done),
        ];
        for name in names {
            let path = source::from_bytes(name.as_bytes());
            let (named, sourced) = (|| Named::of(&name), || Sourced::of(Path::new(&path)));
            let finding = || Finding { name: named(), why: Some("w") };
            all.extend([
                Event::Committed { name: named(), size: Some(1) },
                Event::Removed { name: named() },
                Event::Skipped { source: sourced(), why: "w" },
                Event::Failed { about: About::Source(sourced()), error: String::new() },
                Event::Failed { about: About::Name(named()), error: String::new() },
                Event::Would { r#do: "send", name: named(), why: "w", size: Some(1) },
                Event::Missing(finding()),
                Event::Differs(finding()),
                Event::Extra(finding()),
            ]);
        }
        all
    }

    /// Rows of the table in docs/json.md: `| event | fields | meaning |`.
    fn documented() -> BTreeSet<(String, String)> {
        let page = include_str!("../../../docs/json.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let mut found = BTreeSet::new();
        for row in rows {
            let mut cells = row.split('|');
            let events = format!("`{}", cells.next().unwrap());
            let words = |cell: &str| -> Vec<String> {
                cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
            };
            let fields = words(cells.next().unwrap());
            for event in words(&events) {
                found.extend(fields.iter().map(|field| (event.clone(), field.clone())));
            }
        }
        found
    }

    #[test]
    fn every_event_and_field_is_in_the_table_of_the_docs() {
        let mut written = BTreeSet::new();
        for event in all() {
            let Value::Object(fields) = serde_json::to_value(&event).unwrap() else { panic!() };
            let name = fields["event"].as_str().unwrap().to_owned();
            let fields = fields.keys().filter(|field| *field != "event");
            written.extend(fields.map(|field| (name.clone(), field.clone())));
        }
        assert_eq!(written, documented());
    }

    #[test]
    fn bytes_that_are_no_text_come_in_base64() {
        let event = Event::Removed { name: Named::of(&Name::parse(b"a/\xff").unwrap()) };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"removed","name_b64":"YS//"}"#);
    }
}
