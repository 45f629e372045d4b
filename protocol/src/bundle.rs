//! The body of a `bundle`: small files one after the other, each behind a line with its entry.
//!
//! One digest for all of it is several times cheaper than one a file: BLAKE3 hashes chunks side by side,
//! and a small file has too few of them.

use alloc::vec::Vec;

use memchr::memchr;

use crate::digest::Digest;
use crate::encode::{check, check_attributes};
use crate::entry::{Entry, EntryKind, decode_entry};
use crate::error::{BundleError, EncodeError};
use crate::field::{Text, forms};
use crate::header::EntryLine;
use crate::limits::{MAX_BUNDLED, MAX_HEADER_LEN, MAX_NUMBER};
use crate::message::Attributes;
use crate::name::Name;

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundled<'a> {
    /// Its full name.
    pub name: Name,
    /// Mode and mtime.
    pub attributes: Attributes,
    /// BLAKE3 of its bytes. The bundle's own digest covers them, so it is seldom there.
    pub digest: Option<Digest>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Appends the line that precedes a file of `size` bytes in the body of a bundle. The bytes follow.
///
/// # Errors
/// If a number is out of range; `out` is then as before.
///
/// ```
/// use haul_protocol::{Attributes, Name, decode_bundle, encode_bundled};
/// let mut body = Vec::new();
/// encode_bundled(&Name::parse(b"a.txt")?, 5, &Attributes::default(), &mut body)?;
/// body.extend_from_slice(b"hello");
/// assert_eq!(decode_bundle(&body, 1)?[0].bytes, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_bundled(
    name: &Name,
    size: u64,
    attributes: &Attributes,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let Attributes { mode, mtime } = *attributes;
    check("filesize", size, MAX_NUMBER)?;
    check_attributes(mode, mtime)?;
    let (filename, filename_b64) = forms(name.as_bytes());
    let kind = Some(Text::from("file"));
    let filesize = Some(size);
    let line =
        EntryLine { kind, filename, filename_b64, filesize, mode, mtime, ..EntryLine::default() };
    line.append(out);
    Ok(())
}

/// Reads the whole body of a bundle of `count` files. Nothing is copied but names.
///
/// # Errors
/// If the body is not exactly so many files, each behind its line.
pub fn decode_bundle(body: &[u8], count: u64) -> Result<Vec<Bundled<'_>>, BundleError> {
    let mut rest = body;
    let mut files = Vec::with_capacity(usize::try_from(count.min(MAX_BUNDLED)).unwrap_or(0));
    while !rest.is_empty() {
        if files.len() as u64 == count {
            return Err(BundleError::Rest(rest.len()));
        }
        let end = memchr(b'\n', &rest[..rest.len().min(MAX_HEADER_LEN)]);
        let end = end.ok_or(BundleError::Line)?;
        let Entry { name, kind, mode, mtime } = decode_entry(&rest[..end])?;
        let EntryKind::File { size, digest } = kind else { return Err(BundleError::Kind) };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let (bytes, after) = rest[end + 1..].split_at_checked(size).ok_or(BundleError::Cut)?;
        files.push(Bundled { name, attributes: Attributes { mode, mtime }, digest, bytes });
        rest = after;
    }
    match files.len() {
        len if len as u64 == count => Ok(files),
        len => Err(BundleError::Count(len)),
    }
}
