//! The requests about a resumable upload in each dialect, and their answers.

use std::borrow::Cow;
use std::fmt::Write;

use anyhow::ensure;
use haul_tests::http::Reply;
use haul_tests::random::Random;
use haul_tests::tus::{BYTES, TUS, base64, metadata};

use super::line::Request;
use super::plan::Dialect;
use super::upload::Upload;

/// The version of the draft that its clients speak.
const DRAFT: &str = "Upload-Draft-Interop-Version: 8\r\n";

/// Bytes that come with one `PATCH`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    offset: u64,
    len: u64,
    has_checksum: bool,
    /// One byte is another one than the checksum says.
    pub(super) is_wrong: bool,
    /// The client ends the connection after so many bytes.
    pub(super) cut: Option<usize>,
}

impl Piece {
    /// Decides.
    pub(super) fn new(random: &mut Random, upload: &Upload, offset: u64) -> Self {
        let plan = &upload.plan;
        let left = plan.removed_at.unwrap_or(plan.size).saturating_sub(offset);
        let most = match random.below(10) {
            0 => left,
            1 => 100,
            _ => plan.size / 3,
        };
        let len = left.min(1 + random.below(most + 1));
        let has_checksum = plan.dialect != Dialect::Draft && random.chance(25);
        let is_wrong = has_checksum && len > 0 && random.chance(20);
        let cut = (len > 0 && random.chance(15)).then(|| random.below(len));
        let cut = cut.and_then(|cut| usize::try_from(cut).ok());
        Self { offset, len, has_checksum, is_wrong, cut }
    }

    /// The offset behind it.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len
    }

    /// The offset up to which bytes may count, if any of them may.
    pub(super) fn counts_to(&self) -> Option<u64> {
        match self.cut {
            None => (!self.is_wrong).then(|| self.end()),
            Some(cut) => (!self.has_checksum).then(|| self.offset + cut as u64),
        }
    }

    /// Whether the file is whole with it.
    pub(super) fn completes(&self, upload: &Upload) -> bool {
        self.end() == upload.plan.size && self.cut.is_none() && !self.is_wrong
    }

    fn range<'a>(&self, upload: &'a Upload) -> anyhow::Result<&'a [u8]> {
        let (start, end) = (usize::try_from(self.offset)?, usize::try_from(self.end())?);
        Ok(&upload.bytes[start..end])
    }

    /// Its bytes, as they are sent.
    pub(super) fn body<'a>(&self, upload: &'a Upload) -> anyhow::Result<Cow<'a, [u8]>> {
        let bytes = self.range(upload)?;
        if !self.is_wrong {
            return Ok(bytes.into());
        }
        let mut wrong = bytes.to_owned();
        wrong[bytes.len() / 2] ^= 1;
        Ok(wrong.into())
    }
}

/// The request that begins an upload, with its first bytes.
pub(super) fn begin(upload: &Upload) -> anyhow::Result<Request<'_>> {
    let plan = &upload.plan;
    let body = &upload.bytes[..usize::try_from(plan.first)?];
    let length = format!("Content-Length: {}\r\n", body.len());
    let (first, fields) = match plan.dialect {
        Dialect::Tus | Dialect::Deferred => {
            let size = match plan.dialect {
                Dialect::Tus => format!("Upload-Length: {}\r\n", plan.size),
                _ => String::from("Upload-Defer-Length: 1\r\n"),
            };
            let kind = if body.is_empty() { TUS } else { BYTES };
            let fields = format!("{kind}{size}{length}{}", described(upload));
            (String::from("POST /.haul/tus/"), fields)
        }
        Dialect::Draft => {
            let complete = u8::from(plan.first == plan.size);
            let kind =
                if body.is_empty() { "" } else { "Content-Type: application/partial-upload\r\n" };
            let name = upload.name.replace('/', "%2F");
            let fields = format!("{DRAFT}{kind}{length}Upload-Complete: ?{complete}\r\n");
            (format!("POST /.haul/tus/?name={name}"), fields)
        }
    };
    Ok(Request { first, fields, body })
}

/// The metadata of an upload.
fn described(upload: &Upload) -> String {
    let mtime = upload.plan.mtime.map(|mtime| mtime.to_string());
    let mut pairs = vec![("filename", &*upload.name)];
    pairs.extend(mtime.as_deref().map(|mtime| ("mtime", mtime)));
    metadata(&pairs)
}

/// The question how far an upload is.
pub(super) fn head(upload: &Upload, location: &str) -> Request<'static> {
    let fields = if upload.plan.dialect == Dialect::Draft { DRAFT } else { TUS };
    Request { first: format!("HEAD {location}"), fields: fields.to_owned(), body: b"" }
}

/// A piece of an upload.
pub(super) fn append<'a>(
    upload: &Upload,
    location: &str,
    piece: &Piece,
    body: &'a [u8],
) -> Request<'a> {
    let is_last = piece.end() == upload.plan.size;
    let (offset, len) = (piece.offset, body.len());
    let mut fields = format!("Upload-Offset: {offset}\r\nContent-Length: {len}\r\n");
    match upload.plan.dialect {
        Dialect::Draft => {
            let complete = u8::from(is_last);
            fields += DRAFT;
            fields += "Content-Type: application/partial-upload\r\n";
            // A String takes everything.
            let _ = write!(fields, "Upload-Complete: ?{complete}\r\n");
        }
        dialect => {
            fields += BYTES;
            if dialect == Dialect::Deferred && is_last {
                let _ = write!(fields, "Upload-Length: {}\r\n", upload.plan.size);
            }
        }
    }
    if piece.has_checksum
        && let Ok(right) = piece.range(upload)
    {
        let digest = base64(blake3::hash(right).as_bytes());
        let _ = write!(fields, "Upload-Checksum: blake3 {digest}\r\n");
    }
    Request { first: format!("PATCH {location}"), fields, body }
}

/// Whether the answer to `HEAD` tells the upload as it was begun.
pub(super) fn agrees(upload: &Upload, reply: &Reply) -> anyhow::Result<()> {
    let (plan, length) = (&upload.plan, reply.field("Upload-Length"));
    let is_known = !length.is_empty();
    ensure!(
        !is_known || length == plan.size.to_string(),
        "the length is {length}, not {}",
        plan.size
    );
    ensure!(is_known || plan.dialect != Dialect::Tus, "the length is forgotten");
    if plan.dialect != Dialect::Draft {
        let told = reply.field("Upload-Metadata");
        ensure!(described(upload).contains(told) && !told.is_empty(), "the metadata is {told:?}");
    }
    Ok(())
}

/// Whether an answer to `HEAD` that tells the full offset says that the file is whole.
pub(super) fn is_whole(upload: &Upload, reply: &Reply) -> bool {
    match upload.plan.dialect {
        Dialect::Draft => reply.field("Upload-Complete") == "?1",
        _ => reply.field("Upload-Defer-Length").is_empty(),
    }
}
