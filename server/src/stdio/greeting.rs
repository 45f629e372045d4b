//! The first line that each side of a `hauld --stdio` sends (PROTOCOL.md, section 17). Bytes in, values
//! out: nothing here reads or writes.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use haul_protocol::Shown;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::direct::Offer;

/// Bytes of the client's line, its end included.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// Bytes of a root: the kernel takes no longer path.
const MAX_ROOT: usize = 4096;

/// A client that sends a line begins with this. As the prefix of a frame it would be a header of 1.8 GB.
const BEGINNING: &[u8] = b"haul";

/// The version of the lines.
const VERSION: &str = "1";

/// The random word of a client, which the answer repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nonce(String);

impl Nonce {
    const LEN: usize = 32;

    fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == Self::LEN && text.bytes().all(is_hex)).then(|| Self(text.to_owned()))
    }

    /// The word in the answer to a line whose own word can't be read.
    fn unknown() -> Self {
        Self("0".repeat(Self::LEN))
    }
}

/// The beginning of a client's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// More bytes are needed.
    Unknown,
    /// No line: the client speaks frames from the first byte on.
    Frames,
    /// A line of so many bytes, its end included.
    Line(usize),
    /// A line that does not end within [`MAX_LINE`].
    Endless,
}

/// Tells what the first bytes of a client are.
pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    let known = bytes.len().min(BEGINNING.len());
    if bytes[..known] != BEGINNING[..known] {
        return Beginning::Frames;
    }
    let within = &bytes[..bytes.len().min(MAX_LINE)];
    match within.iter().position(|byte| *byte == b'\n') {
        Some(end) => Beginning::Line(end + 1),
        None if bytes.len() >= MAX_LINE => Beginning::Endless,
        None => Beginning::Unknown,
    }
}

/// The wishes that a client's line states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) nonce: Nonce,
    /// The directory that is to be the root.
    pub(super) root: PathBuf,
    /// Whether the root is made if it is missing.
    pub(super) make: bool,
    /// Whether the client may want to change anything.
    pub(super) change: bool,
    /// Whether the client may come in by another way as well.
    pub(super) direct: bool,
}

/// The same as JSON. Unknown fields are ignored.
#[derive(Debug, Deserialize)]
struct Said {
    root: Option<String>,
    root_b64: Option<String>,
    #[serde(default)]
    make: bool,
    #[serde(default = "yes")]
    change: bool,
    #[serde(default)]
    direct: bool,
}

fn yes() -> bool {
    true
}

/// Reads a client's line.
///
/// # Errors
/// If it is of another version, or can't be read.
pub(super) fn parse(line: &[u8]) -> Result<Wishes, Declined> {
    let malformed = |nonce: Option<&Nonce>, what: &str| Declined {
        nonce: nonce.cloned(),
        failure: Failure::new(Reason::Malformed, format!("the first line is no greeting: {what}")),
    };
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let Ok(line) = std::str::from_utf8(line) else {
        return Err(malformed(None, "it is not UTF-8"));
    };
    let mut words = line.splitn(4, ' ');
    let (word, version) = (words.next(), words.next());
    let (nonce, json) = (words.next().and_then(Nonce::parse), words.next());
    let Some(version) = version.filter(|_| word == Some("haul-stdio")) else {
        return Err(malformed(None, "it begins otherwise than `haul-stdio 1`"));
    };
    let Some(nonce) = nonce else {
        return Err(malformed(None, "its third word is not 32 lower-case hexadecimal digits"));
    };
    if version != VERSION {
        let message = format!("greetings of version {} are not known here", Shown(version));
        let failure = Failure::new(Reason::Unsupported, message);
        return Err(Declined { nonce: Some(nonce), failure });
    }
    let said = json.and_then(|json| serde_json::from_str::<Said>(json).ok());
    let Some(Said { root, root_b64, make, change, direct }) = said else {
        return Err(malformed(Some(&nonce), "no JSON object that says what is wanted"));
    };
    let root = match (root, root_b64) {
        (Some(root), None) => root.into_bytes(),
        (None, Some(encoded)) => BASE64
            .decode(encoded.as_bytes())
            .map_err(|_| malformed(Some(&nonce), "`root_b64` is not base64"))?,
        _ => return Err(malformed(Some(&nonce), "it needs one of `root` and `root_b64`")),
    };
    let unusable = match root.as_slice() {
        [] => Some((Reason::Malformed, "it is empty")),
        root if root.contains(&0) => Some((Reason::Denied, "it has a NUL")),
        root if root.len() > MAX_ROOT => Some((Reason::Io, "it is longer than a path may be")),
        _ => None,
    };
    if let Some((reason, why)) = unusable {
        let failure = Failure::new(reason, format!("the root can't be a directory: {why}"));
        return Err(Declined { nonce: Some(nonce), failure });
    }
    Ok(Wishes { nonce, root: OsString::from_vec(root).into(), make, change, direct })
}

/// The reason for which a client gets no server, as programs read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The root is missing, and the client does not want it to be made.
    NotFound,
    /// This user or this command line does not allow it.
    Denied,
    /// No directory.
    NotADirectory,
    /// Another process serves the root, and can't be joined.
    Busy,
    /// Anything else.
    Io,
    /// A greeting of another version.
    Unsupported,
    /// The greeting can't be read.
    Malformed,
}

impl Reason {
    /// The word in the answer.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::NotADirectory => "not_a_directory",
            Self::Busy => "busy",
            Self::Io => "io",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
        }
    }
}

/// A client gets no server: why, and the same in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// A failure, and the word of the client that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declined {
    /// `None`: it could not be read, so the client may not know the answer for one.
    pub(super) nonce: Option<Nonce>,
    pub(super) failure: Failure,
}

/// The facts of a server that begins.
#[derive(Debug, Serialize)]
struct Welcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    direct: Option<Way<'a>>,
    joined: bool,
    root: &'a str,
    version: &'static str,
}

/// The other way.
#[derive(Serialize)]
struct Way<'a> {
    address: &'a str,
    pin: &'a str,
    token: &'a str,
}

impl fmt::Debug for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The line that says that the protocol follows.
pub(super) fn welcome(
    Nonce(nonce): &Nonce,
    root: &Path,
    joined: bool,
    offer: Option<Offer>,
) -> Zeroizing<Vec<u8>> {
    let texts = offer.as_ref().map(Offer::texts);
    let direct = texts.as_ref().map(|(address, pin, token)| Way { address, pin, token });
    let version = env!("CARGO_PKG_VERSION");
    let facts = Welcome { direct, joined, root: &root.to_string_lossy(), version };
    // With all its room from the start, so that no copy of the token is left.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    line.extend_from_slice(format!("hauld-stdio {VERSION} {nonce} ").as_bytes());
    // Text can be written to memory.
    let _ = serde_json::to_writer(&mut *line, &facts);
    line.push(b'\n');
    line
}

/// The line that says why nothing follows.
pub(super) fn refusal(declined: &Declined) -> String {
    let Declined { nonce, failure: Failure { reason, message } } = declined;
    let facts = json!({"error": {"code": reason.as_str(), "message": message}});
    answer(&nonce.clone().unwrap_or_else(Nonce::unknown), &facts)
}

fn answer(Nonce(nonce): &Nonce, facts: &serde_json::Value) -> String {
    format!("hauld-stdio {VERSION} {nonce} {facts}\n")
}
