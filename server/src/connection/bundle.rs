//! Bundles: small files that come in one body, under one digest.
//!
//! All of it is here before any of it happens. What still comes in the same turn it waits for in the worker's
//! buffer; only what is unfinished when the turn ends is copied.

use haul_protocol::{Bundled, Code, Digest, Refusal, decode_bundle, limits};

use super::Connection;
use super::incoming::Incoming;
use crate::pool::{Shared, Worker};
use crate::streams::Share;

/// A bundle whose body comes now.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The id of its first file.
    first: u64,
    count: u64,
    digest: Digest,
    /// Of the whole body.
    pub(super) length: u64,
    /// What has come without the rest.
    body: Vec<u8>,
    /// The room that it takes from all connections.
    share: Option<Share>,
}

impl Bundle {
    /// # Errors
    /// If it is longer than a bundle may be.
    pub(super) fn begin(
        first: u64,
        count: u64,
        digest: Digest,
        length: u64,
    ) -> Result<Self, Refusal> {
        if length > limits::MAX_BUNDLE_LEN {
            let message = format!("a bundle of {length} bytes is over {}", limits::MAX_BUNDLE_LEN);
            return Err(Refusal::new(Code::BadRequest, message));
        }
        Ok(Self { first, count, digest, length, body: Vec::new(), share: None })
    }

    /// Whether nothing of the body has come.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Some bytes of the body, which may be the last.
    pub(super) fn append(&mut self, bytes: &[u8], shared: &Shared) -> Result<(), Refusal> {
        if !self.share.get_or_insert_with(|| shared.bundles.share()).add(bytes.len()) {
            return Err(Refusal::new(Code::Busy, "too many bundles are half here at once"));
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    /// Of its files, in their order.
    pub(super) fn ids(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.count
    }

    fn files<'a>(&self, body: &'a [u8]) -> Result<Vec<Bundled<'a>>, Refusal> {
        if Digest::of(body) != self.digest {
            let message = "the bytes of the bundle do not match its digest";
            return Err(Refusal::new(Code::DigestMismatch, message));
        }
        decode_bundle(body, self.count).map_err(|error| Refusal::new(Code::BadRequest, error))
    }
}

impl Connection {
    /// The whole body is in the buffer.
    pub(super) fn bundle(&mut self, bundle: &Bundle, body: &[u8], worker: &mut Worker<'_>) {
        let files = match bundle.files(body) {
            Ok(files) => files,
            Err(refusal) => return self.refuse_all(bundle.ids(), refusal),
        };
        for (id, file) in bundle.ids().zip(files) {
            let Bundled { name, attributes, digest, bytes } = file;
            let what = (Some(id), name, bytes.len() as u64);
            match Incoming::admit(worker.shared, what, digest, attributes) {
                Ok(file) => self.whole_file(file, bytes, worker),
                Err(refusal) => self.refuse(id, refusal),
            }
        }
    }

    /// The last bytes of the body have been appended.
    pub(super) fn bundle_complete(&mut self, mut bundle: Bundle, worker: &mut Worker<'_>) {
        let body = std::mem::take(&mut bundle.body);
        self.bundle(&bundle, &body, worker);
    }
}
