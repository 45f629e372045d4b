//! Lists of digests, as `sha256sum` writes and checks them.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

/// The SHA-256 of bytes, in lower-case hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// One line a file.
pub(crate) fn list<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    files.into_iter().map(|(name, bytes)| format!("{}  {name}\n", sha256(bytes))).collect()
}
