//! Small files that go together in one request, under one digest.
//!
//! A digest for each would cost more than anything else that is done for a small file here: BLAKE3 hashes
//! chunks side by side, and a small file has too few of them.

use haul_protocol::{Digest, encode_bundled, limits::MAX_BUNDLED};

use super::failure::Failure;
use super::{Connection, Pending, Sent};
use crate::error::ConnectionError;
use crate::net::body::Body;
use crate::source::Source;
use crate::work::Item;

/// The feature of a server that takes bundles (PROTOCOL.md, section 9).
pub(super) const FEATURE: &str = "bundle";

/// Bytes of the largest file that goes with others. Larger ones have chunks enough.
const SMALL: u64 = 32 * 1024;

/// Bytes at which a bundle is sent: enough for the hasher, and few enough that the server has all of it in one
/// read most of the time.
const FULL: usize = 64 * 1024;

/// The files that are gathered for the next request.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    /// Lines and files, up to `len`; bytes behind them are of a file that is not in the bundle.
    body: Body,
    len: usize,
    files: Vec<(Item, Sent)>,
    /// The line of the next file.
    line: Vec<u8>,
}

/// A file that is read but not in the bundle yet.
#[derive(Debug)]
pub(super) struct Read {
    /// Bytes, its line included.
    len: usize,
    sent: Sent,
}

impl Bundle {
    /// Files in it.
    pub(super) fn count(&self) -> u64 {
        self.files.len() as u64
    }

    /// Bytes in it.
    pub(super) fn len(&self) -> u64 {
        self.len as u64
    }

    fn is_full(&self) -> bool {
        self.len >= FULL || self.count() == MAX_BUNDLED
    }

    /// All items, for others to send.
    pub(super) fn leave(&mut self) -> Vec<Item> {
        std::mem::take(self).files.into_iter().map(|(item, _)| item).collect()
    }

    /// Room for so many bytes behind the next line, all of which the caller must replace.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let room = self.body.room_behind(self.len, self.line.len() + len);
        let (line, room) = room.split_at_mut(self.line.len());
        line.copy_from_slice(&self.line);
        room
    }
}

impl Connection<'_> {
    /// Whether a file of this size goes with others: not if it was refused before, or had no answer when a
    /// connection was lost. By itself it shows whether it is to blame, and gets through where connections don't
    /// last for a bundle.
    pub(super) fn is_bundled(&self, item: &Item, size: u64) -> bool {
        self.bundles && size <= SMALL && item.tries.attempts == 0 && !item.tries.lost
    }

    /// Reads a file behind what is in the next bundle.
    pub(super) fn read_into_bundle(
        &mut self,
        item: &Item,
        source: &Source,
    ) -> Result<Read, Failure> {
        let Source { size, attributes, special_bits, .. } = *source;
        let bundle = &mut self.bundle;
        bundle.line.clear();
        encode_bundled(&item.name, size, &attributes, &mut bundle.line)
            .map_err(ConnectionError::from)?;
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        let room = bundle.room(len + 1);
        source.read_whole(room)?;
        let room = &room[..len];
        source.check_unchanged()?;
        let stamp = item.stamp(source);
        let is_wanted = self.run.committed.wants_digest(source.stamp());
        let digest = is_wanted.then(|| Digest::of(room));
        let sent = Sent { size, special_bits, digest, stamp };
        Ok(Read { len: bundle.line.len() + len, sent })
    }

    /// The file that was read last is in the bundle now, which is sent if it is full.
    pub(super) fn add_to_bundle(&mut self, item: Item, read: Read) -> Result<(), ConnectionError> {
        let bundle = &mut self.bundle;
        bundle.len += read.len;
        bundle.files.push((item, read.sent));
        if bundle.is_full() { self.send_bundle() } else { Ok(()) }
    }

    /// Sends what is gathered.
    pub(super) fn send_bundle(&mut self) -> Result<(), ConnectionError> {
        let Self { bundle, wire, run, .. } = self;
        if bundle.files.is_empty() {
            return Ok(());
        }
        run.progress.sent(bundle.files.iter().map(|(_, sent)| sent.size).sum());
        let files = bundle.files.drain(..).map(|(item, sent)| Pending::Item(item, sent));
        bundle.body.truncate(std::mem::take(&mut bundle.len));
        wire.bundle(files, &mut bundle.body)?;
        Ok(())
    }
}
