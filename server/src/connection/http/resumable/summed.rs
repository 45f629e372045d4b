//! The checksum and the digests of the bytes of one request, which are compared when all of them have come.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use haul_protocol::FileHasher;

use crate::connection::http::stated::Checked;
use crate::http::digests::Stated;
use crate::http::resumable::{Algorithm, Checksum};
use crate::http::status::{Status, Wrong};

/// The words of a request about its bytes.
#[derive(Debug)]
pub(super) struct Words {
    /// `Upload-Checksum`.
    pub(super) checksum: Option<Checksum>,
    /// `Content-Digest`, or `Repr-Digest` of a whole file.
    pub(super) digests: Vec<Stated>,
}

impl Words {
    pub(super) fn is_empty(&self) -> bool {
        self.checksum.is_none() && self.digests.is_empty()
    }
}

/// Stated sums, and the bytes that have come.
#[derive(Debug)]
pub(super) struct Summed {
    checksum: Option<(Sum, Vec<u8>)>,
    digests: Checked,
}

enum Sum {
    Other(Context),
    Blake3(Box<FileHasher>),
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sum").finish_non_exhaustive()
    }
}

impl Summed {
    /// Before the first byte.
    pub(super) fn begin(Words { checksum, digests }: Words) -> Self {
        let checksum = checksum.map(|Checksum { algorithm, value }| (Sum::begin(algorithm), value));
        Self { checksum, digests: Checked::begin(digests) }
    }

    /// The next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some((sum, _)) = &mut self.checksum {
            sum.update(bytes);
        }
        self.digests.update(bytes);
    }

    /// An error if the bytes are not those that were stated.
    pub(super) fn check(self) -> Result<(), Wrong> {
        if !self.digests.holds_with(b"") {
            return Err(Wrong::bad(
                "the bytes are not those of the stated digest, and were not taken",
            ));
        }
        match self.checksum.is_none_or(|(sum, stated)| sum.is(&stated)) {
            true => Ok(()),
            false => {
                let why = "the bytes are not those of Upload-Checksum, and were not taken";
                Err(Wrong::new(Status::CHECKSUM, why))
            }
        }
    }
}

impl Sum {
    fn begin(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Other(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => Self::Other(Context::new(&SHA256)),
            Algorithm::Blake3 => Self::Blake3(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Other(context) => context.update(bytes),
            Self::Blake3(hasher) => hasher.update(bytes),
        }
    }

    fn is(self, stated: &[u8]) -> bool {
        match self {
            Self::Other(context) => context.finish().as_ref() == stated,
            Self::Blake3(hasher) => hasher.finish().0[..] == stated[..],
        }
    }
}
