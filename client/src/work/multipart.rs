//! A large file that is sent in parts, by all connections, and what of it is there already.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_protocol::{Bitmap, Geometry, Token};

use super::earlier::Earlier;
use super::item::Item;
use super::part_tracker::PartTracker;
use crate::source::Source;

/// Number of times that a file is opened again after progress.
const REOPENS: u32 = 100;

/// A large file, from when it is opened at the server until it is committed, given up or opened
/// again.
#[derive(Debug)]
pub struct Large {
    /// The item of the file.
    pub item: Item,
    /// The open file.
    pub source: Source,
    /// The server's token for the upload.
    pub upload: Token,
    /// Its parts.
    pub geometry: Geometry,
    /// Connections that the run had lost by then.
    pub opened_after: usize,
    /// Bytes that the server held before this run sent them.
    pub resumed: u64,
    parts: Mutex<PartTracker>,
}

impl Large {
    /// Opened at the server, which holds some parts already. The knowledge
    /// of an earlier opening in this run is taken over if it is the same file.
    #[must_use]
    pub fn new(
        mut item: Item,
        source: Source,
        upload: Token,
        geometry: Geometry,
        held: Bitmap,
        opened_after: usize,
    ) -> Self {
        let fingerprint = source.fingerprint();
        let earlier = item.tries.earlier.take();
        let earlier =
            earlier.filter(|known| known.geometry == geometry && known.fingerprint == fingerprint);
        let parts =
            PartTracker::new(geometry, held, earlier.as_deref().map(|known| &known.learned));
        let resumed = parts.resumed(geometry);
        item.tries.losses = 0;
        let parts = Mutex::new(parts);
        Self { item, source, upload, geometry, opened_after, resumed, parts }
    }

    /// Its parts, for one question or word.
    pub fn parts(&self) -> MutexGuard<'_, PartTracker> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The item to open again, with what is known of it. Progress makes up for earlier failures, unless the file was
    /// opened too often: a server may acknowledge parts and forget them without end.
    #[must_use]
    pub fn reopened(&self) -> Item {
        let parts = self.parts();
        let mut item = self.item.clone();
        item.tries.reopened += 1;
        if parts.has_progress() && !self.is_reopened_too_often() {
            item.tries.attempts = 0;
            item.tries.interrupted = 0;
        }
        item.tries.earlier = Some(Arc::new(Earlier {
            fingerprint: self.source.fingerprint(),
            geometry: self.geometry,
            learned: parts.learned(),
        }));
        item
    }

    /// Whether progress does not count any more.
    #[must_use]
    pub fn is_reopened_too_often(&self) -> bool {
        self.item.tries.reopened >= REOPENS
    }
}
