//! The fields of resumable uploads: tus 1.0 (<https://tus.io/protocols/resumable-upload>), and the draft of the IETF
//! (draft-ietf-httpbis-resumable-upload).

use std::collections::HashSet;

use data_encoding::BASE64;
use haul_protocol::{Mtime, Name};

use super::head::{Field, Framing, Head};
use super::mtime;
use super::percent::{Piece, pieces};
use super::status::{Status, Wrong};
use super::structured;
use super::target::odd;

/// The version of tus that is spoken here.
pub(crate) const TUS: &str = "1.0.0";

/// The extensions of tus that are.
pub(crate) const EXTENSIONS: &str =
    "creation,creation-defer-length,creation-with-upload,expiration,checksum,termination";

/// The algorithms of checksums.
pub(crate) const ALGORITHMS: &str = "sha1,sha256,blake3";

/// The type of bodies whose bytes belong to an upload of tus.
const TUS_BYTES: &str = "application/offset+octet-stream";

/// The same of the draft.
const DRAFT_BYTES: &str = "application/partial-upload";

/// Letters of the longest metadata.
const MAX_METADATA: usize = 16 * 1024;

/// The types of bodies that `PATCH` takes, as the field `Accept-Patch` has them.
pub(crate) const PATCHES: &str = "application/partial-upload, application/offset+octet-stream";

/// The protocol of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    Tus,
    Draft {
        /// The client tells with this request all that is missing of the file. `None`: the request does not say.
        completes: Option<bool>,
        version: Version,
    },
}

/// The version of the draft that a client names (its interop version).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// None, or one that is not known here.
    Unknown,
    /// `ietf-draft-03` and `ietf-draft-05`.
    Early,
    /// The present one.
    Present,
}

/// The facts that the client tells of a file that is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    /// Its name below the root that the client sees.
    pub(crate) name: Name,
    pub(crate) mtime: Option<Mtime>,
    /// It may not replace anything.
    pub(crate) only_new: bool,
    /// As it came.
    pub(crate) metadata: String,
}

/// An algorithm of a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Blake3,
}

/// A checksum of the bytes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    pub(crate) value: Vec<u8>,
}

/// The protocol that a request speaks.
pub(crate) fn spoken(head: &Head) -> Result<Spoken, Wrong> {
    match head.field(Field::TusResumable) {
        Some(TUS) => return Ok(Spoken::Tus),
        Some(_) => {
            return Err(Wrong::new(Status::PRECONDITION, "version 1.0.0 of tus is spoken here"));
        }
        None => {}
    }
    let version = head.field(Field::UploadDraftInteropVersion).and_then(structured::number);
    let version = match version {
        Some(5 | 6) => Version::Early,
        Some(8) => Version::Present,
        _ => Version::Unknown,
    };
    Ok(Spoken::Draft { completes: completes(head), version })
}

/// Whether a request brings the first part of a body only, the rest of which is to come as a resumable upload.
pub(crate) fn is_first_part(head: &Head) -> bool {
    completes(head) == Some(false)
}

/// The value of `Upload-Complete`.
fn completes(head: &Head) -> Option<bool> {
    head.field(Field::UploadComplete).and_then(structured::boolean)
}

impl Spoken {
    pub(crate) fn is_draft(self) -> bool {
        matches!(self, Self::Draft { .. })
    }

    /// Whether the client understands an answer before the real one.
    pub(crate) fn has_answers_in_between(self) -> bool {
        matches!(self, Self::Draft { version: Version::Early | Version::Present, .. })
    }

    /// The client says that the upload is complete behind the bytes of this request.
    pub(crate) fn says_complete(self) -> bool {
        matches!(self, Self::Draft { completes: Some(true), .. })
    }

    /// Whether an upload is complete as soon as it has as many bytes as its length. Otherwise only if its client says so: there are
    /// clients of early versions of the draft that tell the length, and of no request that it completes the upload.
    pub(crate) fn is_whole_at_its_length(self) -> bool {
        matches!(self, Self::Tus | Self::Draft { version: Version::Early, .. })
    }

    /// Whether the body of a request has the type of bytes of an upload.
    pub(crate) fn has_type(self, head: &Head, creates: bool) -> Result<(), Wrong> {
        let found = head.field(Field::ContentType).unwrap_or_default();
        let found = found.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
        let is = |wanted: &str| found.eq_ignore_ascii_case(wanted);
        let is_right = match self {
            Self::Tus => is(TUS_BYTES),
            // A new upload has the type of its file, and early versions had no type of their own.
            Self::Draft { .. } => {
                creates
                    || is(DRAFT_BYTES)
                    || head.field(Field::UploadDraftInteropVersion) == Some("5")
            }
        };
        match is_right {
            true => Ok(()),
            false => Err(Wrong::new(Status::MEDIA, "bytes of an upload have another Content-Type")),
        }
    }
}

/// The value of a field that is a number. The draft takes no account of a field that is none.
pub(crate) fn number(
    head: &Head,
    spoken: Spoken,
    field: Field,
    why: &'static str,
) -> Result<Option<u64>, Wrong> {
    let Some(text) = head.field(field) else { return Ok(None) };
    if spoken.is_draft() {
        return Ok(structured::number(text));
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_number { text.parse().ok() } else { None };
    number.map(Some).ok_or(Wrong::bad(why))
}

/// The length that a request tells of the whole file. `offset`: that of its first byte.
pub(crate) fn told_length(head: &Head, spoken: Spoken, offset: u64) -> Result<Option<u64>, Wrong> {
    let told = number(head, spoken, Field::UploadLength, "Upload-Length is no number")?;
    let Framing::Length(len) = head.framing else { return Ok(told) };
    if !spoken.says_complete() {
        return Ok(told);
    }
    let end = offset.checked_add(len).ok_or(Wrong::bad("Upload-Offset is too large"))?;
    match told.is_none_or(|told| told == end) {
        true => Ok(Some(end)),
        false => Err(Wrong::bad("the file does not end where Upload-Length has it")),
    }
}

/// The size of a file that is to come by tus; `None`: it is told later.
pub(crate) fn size(head: &Head) -> Result<Option<u64>, Wrong> {
    let size = number(head, Spoken::Tus, Field::UploadLength, "Upload-Length is no number")?;
    match (size, head.field(Field::UploadDeferLength)) {
        (Some(size), None) => Ok(Some(size)),
        (None, Some("1")) => Ok(None),
        (Some(_), Some(_)) => Err(Wrong::bad("both Upload-Length and Upload-Defer-Length")),
        (None, Some(_)) => Err(Wrong::bad("Upload-Defer-Length is 1")),
        (None, None) => Err(Wrong::bad("neither Upload-Length nor Upload-Defer-Length")),
    }
}

/// The checksum that a request states of its bytes.
pub(crate) fn checksum(head: &Head) -> Result<Option<Checksum>, Wrong> {
    let Some(text) = head.field(Field::UploadChecksum) else { return Ok(None) };
    let (algorithm, value) = text.split_once(' ').unwrap_or((text, ""));
    let (algorithm, len) = match algorithm {
        "sha1" => (Algorithm::Sha1, 20),
        "sha256" => (Algorithm::Sha256, 32),
        "blake3" => (Algorithm::Blake3, 32),
        _ => return Err(Wrong::bad("Upload-Checksum has an algorithm that is not known here")),
    };
    let value = BASE64.decode(value.as_bytes()).ok().filter(|value| value.len() == len);
    let value = value.ok_or(Wrong::bad("Upload-Checksum has no checksum of this algorithm"))?;
    Ok(Some(Checksum { algorithm, value }))
}

/// The file that a request is to make. The name is that of the metadata, or that of the query, below the directory of the query.
pub(crate) fn described(head: &Head, query: &str) -> Result<Described, Wrong> {
    let text = head.field(Field::UploadMetadata).unwrap_or_default();
    let all = metadata(text)?;
    let of = |key: &str| all.iter().find(|(known, _)| *known == key).map(|(_, value)| &**value);
    // Uppy sends this word for a file that is in no folder.
    let relative = of("relativePath").filter(|path| !path.is_empty() && *path != b"null");
    let asked = queried(query, "name")?;
    let name = relative.or(of("filename")).or(of("name")).or(asked.as_deref());
    let name = name.ok_or(Wrong::bad("the metadata has no filename"))?;
    let name = match queried(query, "to")? {
        Some(above) if !above.is_empty() => [&above[..], b"/", name].concat(),
        _ => name.to_vec(),
    };
    let wrong = Wrong::bad("the filename is no name that this server can have");
    let name = Name::parse(&name).map_err(|_| wrong)?;
    let mtime = of("mtime").map(mtime::parsed).transpose()?;
    let only_new = match of("replace") {
        None | Some(b"yes") => false,
        Some(b"no") => true,
        Some(_) => return Err(Wrong::bad("replace is yes or no")),
    };
    Ok(Described { name, mtime, only_new, metadata: text.to_owned() })
}

/// Keys and values of metadata.
pub(super) fn metadata(text: &str) -> Result<Vec<(&str, Vec<u8>)>, Wrong> {
    if text.len() > MAX_METADATA {
        return Err(Wrong::bad("Upload-Metadata is over 16 KiB"));
    }
    let (mut all, mut keys) = (Vec::new(), HashSet::new());
    for pair in text.split(',').map(|pair| pair.trim_matches([' ', '\t'])) {
        if pair.is_empty() && text.is_empty() {
            break;
        }
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = BASE64.decode(value.as_bytes());
        let value =
            value.map_err(|_| Wrong::bad("Upload-Metadata has a value that is not base64"))?;
        if key.is_empty() || !keys.insert(key) {
            return Err(Wrong::bad("Upload-Metadata has a key that is empty or comes twice"));
        }
        all.push((key, value));
    }
    Ok(all)
}

/// The value of a word of a query, decoded.
fn queried(query: &str, word: &str) -> Result<Option<Vec<u8>>, Wrong> {
    let found = query.split('&').filter_map(|part| part.split_once('='));
    let Some((_, value)) = found.into_iter().find(|(found, _)| *found == word) else {
        return Ok(None);
    };
    let decoded = pieces(value).map(|piece| match piece {
        Piece::Plain(byte) | Piece::Encoded(byte) => Ok(byte),
        Piece::Odd => Err(odd()),
    });
    decoded.collect::<Result<_, _>>().map(Some)
}
