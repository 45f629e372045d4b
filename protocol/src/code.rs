//! The closed list of codes of refusals.

use alloc::string::{String, ToString};
use core::fmt;

/// The subject of a refusal (PROTOCOL.md, "Refusal codes", is this table in prose).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// The bytes are not a frame, or a header lacks a field that it must have.
    Malformed,
    /// The protocol version is not served.
    Version,
    /// An entry of `must` is not known.
    Unsupported,
    /// An id repeats, goes back or leaves a gap.
    BadId,
    /// More is unanswered than `hello` allowed.
    Window,
    /// The peer was silent for too long.
    Timeout,
    /// The server is stopping.
    ShuttingDown,
    /// A newer connection of the same client and slot replaced this one.
    Fenced,
    /// No account has the client's token, or the client has sent none and the server asks for one.
    Unauthorized,
    /// The server takes only TLS at this address.
    Tls,
    /// A limit of the server is reached: of open files, uploads or versions, or of memory.
    Busy,
    /// The command is not known.
    UnknownCommand,
    /// A name or a link's target breaks the rules for names.
    BadName,
    /// Fields contradict each other.
    BadRequest,
    /// The body does not match the digest or chaining value in its header.
    DigestMismatch,
    /// A directory stands where a file comes, or the reverse.
    Conflict,
    /// The account lacks the right that the request needs.
    Forbidden,
    /// An entry stands there, and the account may not replace it.
    Exists,
    /// A parent of the name is a symbolic link, or leads out of the root otherwise.
    Escape,
    /// The name is on another file system than the root.
    CrossDevice,
    /// The server stores no symbolic links, or none that leads out of the root.
    Symlink,
    /// The disk, or a quota of the file system, is full.
    NoSpace,
    /// The quota of the account is full.
    Quota,
    /// The file is larger than the server takes.
    TooLarge,
    /// The server may not do this to that file.
    Permission,
    /// A program of the server's owner refuses the file.
    Unwanted,
    /// No entry of that name is there.
    NotFound,
    /// The file is not in the state any more that the request states, or it changed while the server read it.
    Changed,
    /// No open upload has this token.
    UnknownUpload,
    /// The range is not a part, or a part with another chaining value is held already.
    BadPart,
    /// A newer claim on the same part replaced this one.
    Superseded,
    /// A newer `open` of the same file by the same client replaced this upload's token.
    TakenOver,
    /// The commit came before all parts.
    Incomplete,
    /// The last exchange of the directory's versions was a rollback, and another one was not asked for as such.
    RolledBack,
    /// The server's disk failed.
    Io,
    /// The server's root is not the directory any more that it was when the server started.
    RootGone,
    /// The change is visible, but the disk failed to make it durable.
    Uncertain,
    /// A code that this version does not know, kept as it came.
    Other(String),
}

/// One row of the table: the code, its word on the wire, may trying again help, does the
/// connection end.
type Row = (Code, &'static str, bool, bool);

const ROWS: [Row; 37] = [
    (Code::Malformed, "malformed", false, true),
    (Code::Version, "version", false, true),
    (Code::Unsupported, "unsupported", false, true),
    (Code::BadId, "bad_id", false, true),
    (Code::Window, "window", false, true),
    (Code::Timeout, "timeout", true, true),
    (Code::ShuttingDown, "shutting_down", true, true),
    (Code::Fenced, "fenced", false, true),
    (Code::Unauthorized, "unauthorized", false, true),
    (Code::Tls, "tls", false, true),
    (Code::Busy, "busy", true, false),
    (Code::UnknownCommand, "unknown_command", false, false),
    (Code::BadName, "bad_name", false, false),
    (Code::BadRequest, "bad_request", false, false),
    (Code::DigestMismatch, "digest_mismatch", true, false),
    (Code::Conflict, "conflict", false, false),
    (Code::Forbidden, "forbidden", false, false),
    (Code::Exists, "exists", false, false),
    (Code::Escape, "escape", false, false),
    (Code::CrossDevice, "cross_device", false, false),
    (Code::Symlink, "symlink", false, false),
    (Code::NoSpace, "no_space", false, false),
    (Code::Quota, "quota", false, false),
    (Code::TooLarge, "too_large", false, false),
    (Code::Permission, "permission", false, false),
    (Code::Unwanted, "unwanted", false, false),
    (Code::NotFound, "not_found", false, false),
    (Code::Changed, "changed", true, false),
    (Code::UnknownUpload, "unknown_upload", true, false),
    (Code::BadPart, "bad_part", false, false),
    (Code::Superseded, "superseded", false, false),
    (Code::TakenOver, "taken_over", false, false),
    (Code::Incomplete, "incomplete", true, false),
    (Code::RolledBack, "rolled_back", false, false),
    (Code::Io, "io", false, false),
    (Code::RootGone, "root_gone", false, false),
    (Code::Uncertain, "uncertain", true, false),
];

impl Code {
    /// All codes that this version knows, in the order of the table in PROTOCOL.md.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.0.clone())
    }

    fn row(&self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.0 == *self)
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(word) => word,
            known => known.row().map_or("", |row| row.1),
        }
    }

    /// Reads a word from the wire; an unknown one is kept.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match ROWS.iter().find(|row| row.1 == word) {
            Some(row) => row.0.clone(),
            None => Self::Other(word.to_string()),
        }
    }

    /// Whether trying again soon may succeed.
    #[must_use]
    pub fn retry(&self) -> bool {
        self.row().is_some_and(|row| row.2)
    }

    /// Whether the server ends the connection after this refusal.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        self.row().is_some_and(|row| row.3)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request was not carried out. The entry under its name is as it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The subject.
    pub code: Code,
    /// For a person: the failure, and how to mend it.
    pub message: String,
    /// Whether trying again soon may succeed: the same request, or the file from `open`.
    pub retry: bool,
}

impl Refusal {
    /// A refusal with the usual answer to whether trying again helps.
    #[must_use]
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { retry: code.retry(), message: message.to_string(), code }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_from_its_word() {
        for code in Code::all() {
            assert_eq!(Code::parse(code.as_str()), code);
            assert!(!code.as_str().is_empty());
        }
        assert_eq!(Code::parse("from_the_future").as_str(), "from_the_future");
    }
}
