//! A part that comes: its bytes are hashed and written piece by piece, while they are in the processor's cache.

use std::sync::Arc;

use haul_protocol::{Cv, PartHasher, Reply};

use super::large::Large;
use super::pending::Pending;
use crate::error::FileError;

/// Bytes of a page, as which files stand in memory.
const PAGE: usize = 4096;

/// Bytes that are read at once: few enough to stay in the second-level cache while they are hashed and written, and so many
/// that connections which write to one file seldom wait for each other (measured).
const AT_ONCE: usize = 1024 * 1024;

/// A part that comes over one connection.
#[derive(Debug)]
pub(super) struct Coming {
    /// `None` if the answer is about another state of the file than the client has asked for.
    hasher: Option<PartHasher>,
    /// Bytes that have come.
    len: u64,
    /// More came than the part has.
    is_too_long: bool,
    error: Option<FileError>,
}

/// A part of which all bytes have come.
#[derive(Debug)]
pub(super) enum Came {
    /// They are written, and this is their chaining value.
    Whole(Cv),
    /// They could not be written.
    Unwritten(FileError),
    /// They are not those of the part that was asked for.
    Other,
}

impl Coming {
    /// Takes bytes of an answer, if it is about a part of a file that is open here; returns whether it is.
    pub(super) fn take(
        coming: &mut Option<Self>,
        pending: &Pending,
        reply: &Reply,
        bytes: &[u8],
    ) -> bool {
        let (Pending::Part(large, index), Reply::Part(facts)) = (pending, reply) else {
            return false;
        };
        let coming = coming.get_or_insert_with(|| {
            let is_asked = facts.state == large.state && facts.size == large.geometry.size();
            let hasher = large.geometry.hasher(*index).filter(|_| is_asked);
            Self { hasher, len: 0, is_too_long: false, error: None }
        });
        coming.append(large, *index, bytes);
        true
    }

    fn append(&mut self, large: &Arc<Large>, index: usize, bytes: &[u8]) {
        let Some(hasher) = &mut self.hasher else { return };
        if self.is_too_long || !hasher.update(bytes) {
            self.is_too_long = true;
            return;
        }
        if self.error.is_none() {
            self.error = large.write(index, self.len, bytes).err();
        }
        self.len += bytes.len() as u64;
    }

    /// All bytes of the answer have come.
    pub(super) fn end(self) -> Came {
        let whole = self.hasher.filter(|_| !self.is_too_long).and_then(|hasher| hasher.finish());
        match (whole, self.error) {
            (None, _) => Came::Other,
            (Some(_), Some(error)) => Came::Unwritten(error),
            (Some(cv), None) => Came::Whole(cv),
        }
    }
}

/// A buffer for the bytes that are read. Linux copies between it and a file faster where both stand alike in their pages, above
/// all on AMD's Zen.
#[derive(Debug)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Where the first page starts.
    start: usize,
}

impl Input {
    pub(super) fn new() -> Self {
        let bytes = vec![0; AT_ONCE + 2 * PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start }
    }

    /// Room for the next bytes, of which the first one is, most likely, the next one of the part that comes.
    pub(super) fn room(&mut self, coming: Option<&Coming>) -> &mut [u8] {
        let offset = coming.map_or(0, |coming| coming.len);
        let from = self.start + usize::try_from(offset % PAGE as u64).unwrap_or(0);
        &mut self.bytes[from..from + AT_ONCE]
    }
}
