//! A large file that is sent in parts, by all connections, and what of it is there already.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_protocol::{Bitmap, Cv, Geometry, Token};

use super::earlier::Earlier;
use super::item::Item;
use super::part_tracker::PartTracker;
use crate::report::progress::Progress;
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
    /// Bytes that this file has added to those that the server holds.
    held: AtomicU64,
    /// The server has the file already as it is here.
    is_there: AtomicBool,
    /// The parts may be those of a committed file whose bytes have changed since.
    doubtful: AtomicBool,
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
        Self {
            item,
            source,
            upload,
            geometry,
            opened_after,
            resumed,
            held: AtomicU64::new(0),
            is_there: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
            parts,
        }
    }

    /// Counts the bytes that the server held when the file was opened.
    pub fn opened(&self, progress: &Progress) {
        let held = self.parts().held(self.geometry);
        self.hold(held, progress);
    }

    /// A part that was sent is acknowledged; returns whether it was the last one missing.
    pub fn part_done(&self, index: usize, cv: Cv, progress: &Progress) -> bool {
        let mut parts = self.parts();
        if let (true, Some(range)) = (parts.is_awaited(index), self.geometry.range(index)) {
            self.hold(range.end - range.start, progress);
        }
        parts.done(index, cv)
    }

    /// The file is whole or opened again, or its parts are of no use: none of its bytes count as held. It is over.
    pub fn not_held(&self, progress: &Progress) {
        progress.not_held(self.held.swap(0, Ordering::Relaxed));
    }

    /// The server has the file already as it is here.
    pub fn was_there(&self) {
        self.is_there.store(true, Ordering::Relaxed);
    }

    /// Bytes that count as resumed: none of a file that the server has.
    #[must_use]
    pub fn told_resumed(&self) -> u64 {
        if self.is_there() { 0 } else { self.resumed }
    }

    /// Whether it has.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// The parts may be those of a committed file whose bytes have changed since, or that is ruled out.
    pub fn doubt(&self, is_doubtful: bool) {
        self.doubtful.store(is_doubtful, Ordering::Release);
    }

    /// Whether the client must compare the bytes with those of the server's file before it commits.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }

    /// A later run finds the bytes of a stream under no fingerprint that it would know.
    fn hold(&self, bytes: u64, progress: &Progress) {
        if self.item.opened.is_none() {
            self.held.fetch_add(bytes, Ordering::Relaxed);
            progress.held(bytes);
        }
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
