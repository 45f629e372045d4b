//! Bundles: small files that come in one body, under one digest.
//!
//! The whole body is here before any file of it is stored. As long as the turn goes on, the body waits in the worker's
//! buffer; the connection copies only a body that is unfinished when the turn ends.

use haul_protocol::{Bundled, Code, Digest, RequestId, decode_bundle, limits};

use crate::hooks::question::Answer;
use crate::refusal::Refusal;

/// A bundle whose body comes now.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The id of its first file.
    first: RequestId,
    count: u64,
    digest: Digest,
    /// The length of the whole body.
    pub(super) length: u64,
    /// The bytes that have come so far.
    pub(super) body: Vec<u8>,
    /// The hook's answers about its files, if there is one.
    pub(super) answers: Vec<Answer>,
    /// Files that are stored already, or refused.
    pub(super) done: u64,
}

impl Bundle {
    /// # Errors
    /// If it is longer than a bundle may be.
    pub(super) fn begin(
        first: RequestId,
        count: u64,
        digest: Digest,
        length: u64,
    ) -> Result<Self, Refusal> {
        if length > limits::MAX_BUNDLE_LEN {
            let message = format!("a bundle of {length} bytes is over {}", limits::MAX_BUNDLE_LEN);
            return Err(Refusal::new(Code::BadRequest, message));
        }
        Ok(Self { first, count, digest, length, body: Vec::new(), answers: Vec::new(), done: 0 })
    }

    /// Whether nothing of the body has come.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Some bytes of the body, which may be the last.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.body.is_empty() {
            // No more than a bundle may have, which was checked.
            self.body.reserve_exact(usize::try_from(self.length).unwrap_or(0));
        }
        self.body.extend_from_slice(bytes);
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.body.capacity()
    }

    /// The ids of its files, in their order.
    pub(super) fn ids(&self) -> impl Iterator<Item = RequestId> + use<> {
        self.first.row(self.count)
    }

    pub(super) fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        if Digest::of(body) == self.digest {
            return Ok(());
        }
        let message = "the bytes of the bundle do not match its digest";
        Err(Refusal::new(Code::DigestMismatch, message))
    }

    pub(super) fn files<'a>(&self, body: &'a [u8]) -> Result<Vec<Bundled<'a>>, Refusal> {
        decode_bundle(body, self.count).map_err(|error| Refusal::new(Code::BadRequest, error))
    }
}
