//! The checksum of the bytes of one request, which is compared when all of them have come.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use haul_protocol::FileHasher;

use crate::http::resumable::{Algorithm, Checksum};

/// A stated checksum, and the bytes that have come.
pub(super) struct Summed {
    stated: Vec<u8>,
    sum: Sum,
}

enum Sum {
    Other(Context),
    Blake3(Box<FileHasher>),
}

impl fmt::Debug for Summed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summed").finish_non_exhaustive()
    }
}

impl Summed {
    /// Before the first byte.
    pub(super) fn begin(Checksum { algorithm, value }: Checksum) -> Self {
        let sum = match algorithm {
            Algorithm::Sha1 => Sum::Other(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => Sum::Other(Context::new(&SHA256)),
            Algorithm::Blake3 => Sum::Blake3(Box::default()),
        };
        Self { stated: value, sum }
    }

    /// The next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.sum {
            Sum::Other(context) => context.update(bytes),
            Sum::Blake3(hasher) => hasher.update(bytes),
        }
    }

    /// Whether the bytes are those that were stated.
    pub(super) fn holds(self) -> bool {
        match self.sum {
            Sum::Other(context) => context.finish().as_ref() == self.stated,
            Sum::Blake3(hasher) => hasher.finish().0[..] == self.stated[..],
        }
    }
}
