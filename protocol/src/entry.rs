//! Entries of a directory tree, as the bodies of `check` and of the answer to `list` hold them: one
//! JSON object a line.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::digest::Digest;
use crate::encode::{check, check_attributes};
use crate::error::{DecodeError, EncodeError};
use crate::field::{Text, forms, link, name, parse};
use crate::header::EntryLine;
use crate::limits::MAX_NUMBER;
use crate::message::Mtime;
use crate::name::{LinkTarget, Name};

/// A file, directory or link by name, with its known attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its full name.
    pub name: Name,
    /// Its kind.
    pub kind: EntryKind,
    /// Permission bits; links have none.
    pub mode: Option<u32>,
    /// Time of last change.
    pub mtime: Option<Mtime>,
}

/// The kind of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
        /// BLAKE3 of its bytes, to be compared in a `check`; never in the answer to `list`.
        digest: Option<Digest>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// The path that it points to.
        target: LinkTarget,
    },
    /// A device, socket or FIFO; only in the answer to `list`.
    Other,
}

/// A line of entries without the white space of JSON around it: space, tab, carriage return and line feed. Nothing is left
/// of a line that is to be skipped.
#[must_use]
pub fn trim_line(line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !is_space(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}

/// Appends one line.
///
/// # Errors
/// If a number is out of range; `out` is then as before.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check_attributes(entry.mode, entry.mtime)?;
    let mut line = EntryLine { mode: entry.mode, mtime: entry.mtime, ..EntryLine::default() };
    (line.filename, line.filename_b64) = forms(entry.name.as_bytes());
    let kind = match &entry.kind {
        EntryKind::File { size, digest } => {
            check("filesize", *size, MAX_NUMBER)?;
            (line.filesize, line.blake3) = (Some(*size), *digest);
            "file"
        }
        EntryKind::Directory => "directory",
        EntryKind::Link { target } => {
            (line.target, line.target_b64) = forms(target.as_bytes());
            "link"
        }
        EntryKind::Other => "other",
    };
    line.kind = Some(Text::from(kind));
    line.append(out);
    Ok(())
}

/// Reads one line, its line feed not included.
///
/// # Errors
/// If the line is not an entry.
pub fn decode_entry(line: &[u8]) -> Result<Entry, DecodeError> {
    let mut line: EntryLine<'_> = parse(line)?;
    let missing = |field| DecodeError::Missing { command: "entry".to_string(), field };
    let bad_name = |error: crate::NameError| DecodeError::Json(error.to_string());
    let name = name("filename", &(line.filename.take(), line.filename_b64.take()))
        .map_err(bad_name)?
        .ok_or_else(|| missing("filename"))?;
    let kind = match line.kind.as_ref().map(|kind| &*kind.0) {
        Some("file") => EntryKind::File {
            size: line.filesize.ok_or_else(|| missing("filesize"))?,
            digest: line.blake3,
        },
        Some("directory") => EntryKind::Directory,
        Some("link") => EntryKind::Link {
            target: link(&(line.target.take(), line.target_b64.take()))
                .map_err(bad_name)?
                .ok_or_else(|| missing("target"))?,
        },
        Some("other") => EntryKind::Other,
        _ => return Err(missing("kind")),
    };
    Ok(Entry { name, kind, mode: line.mode, mtime: line.mtime })
}
