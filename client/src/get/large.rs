//! A large file under way: its parts, which any connection of the run asks for and writes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_protocol::{Attributes, Cv, Digest, Geometry, Op, PartFacts, Token};

use super::item::File;
use crate::error::FileError;
use crate::report::progress::Progress;
use crate::target::Partial;

/// A large file under way.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) file: File,
    pub(super) geometry: Geometry,
    pub(super) state: Token,
    pub(super) attributes: Attributes,
    parts: Mutex<Parts>,
    /// Until the file is over. The kernel lets one thread write to a file at a time; a thread that waits here sleeps, where
    /// it would spin in the kernel and take a processor from others.
    partial: Mutex<Option<Partial>>,
    /// Bytes that were here before the run.
    pub(super) held: u64,
    /// The digest of the file, noted with its parts here: parts need no chaining value of the server's then.
    promised: Option<Digest>,
    /// Bytes that are told to be held for the next run.
    kept: AtomicU64,
    /// Parts that came damaged.
    pub(super) tries: AtomicU32,
}

#[derive(Debug)]
struct Parts {
    /// Parts that nobody asks for.
    missing: VecDeque<usize>,
    /// How often a connection was lost when a part had to be answered next.
    losses: BTreeMap<usize, u32>,
    /// How often the server has refused a part.
    refusals: BTreeMap<usize, u32>,
    is_over: bool,
    /// The digest that the server knows.
    digest: Option<Digest>,
    /// Some part may have been compared with no chaining value of the server's.
    has_uncompared: bool,
}

impl Large {
    /// A file of which these parts are here, in order, and another one has just come.
    pub(super) fn new(
        file: File,
        geometry: Geometry,
        facts: &PartFacts,
        partial: Partial,
        held: &[usize],
        come: usize,
    ) -> Self {
        let is_missing = |index: &usize| *index != come && held.binary_search(index).is_err();
        let missing: VecDeque<_> = (0..geometry.parts()).filter(is_missing).collect();
        let bytes = held.iter().filter_map(|index| geometry.range(*index));
        let held = bytes.map(|range| range.end - range.start).sum();
        let promised = partial.promised();
        Self {
            file,
            geometry,
            state: facts.state,
            attributes: facts.attributes,
            parts: Mutex::new(Parts {
                missing,
                losses: BTreeMap::new(),
                refusals: BTreeMap::new(),
                is_over: false,
                digest: promised.or(facts.digest),
                has_uncompared: promised.is_some() && (held > 0 || facts.cv.is_none()),
            }),
            promised,
            partial: Mutex::new(Some(partial)),
            held,
            kept: AtomicU64::new(0),
            tries: AtomicU32::new(0),
        }
    }

    /// Whether all parts are here.
    pub(super) fn is_whole(&self) -> bool {
        let partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        partial.as_ref().is_some_and(Partial::is_whole)
    }

    /// The digest that the server knows, if it has told one.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.parts().digest
    }

    /// Whether parts have come that the server may have told no chaining value of.
    pub(super) fn has_uncompared(&self) -> bool {
        self.parts().has_uncompared
    }

    /// The server has told this about a part that was asked for. Whether it may be held, if its chaining value here is `cv`;
    /// `None`: the server had to tell more.
    pub(super) fn is_right(&self, index: usize, facts: &PartFacts, cv: Cv) -> Option<bool> {
        if let Some(stated) = facts.cv {
            if stated == cv && self.promised.is_none() && facts.digest.is_some() {
                self.parts().digest = facts.digest;
            }
            return Some(stated == cv);
        }
        let is_promised = facts.digest.is_some() && facts.digest == self.promised;
        if !is_promised || !self.asks_whole(index) {
            return None;
        }
        self.parts().has_uncompared = true;
        Some(true)
    }

    /// Whether the digest of the whole file will do for a part. If a connection was lost over the part, the server reads it
    /// before it answers, so that it can tell an error of its disk.
    fn asks_whole(&self, index: usize) -> bool {
        self.promised.is_some() && !self.file.by_parts && !self.parts().losses.contains_key(&index)
    }

    /// Writes bytes of a part, if the file is not over.
    pub(super) fn write(&self, index: usize, at: u64, bytes: &[u8]) -> Result<(), FileError> {
        let partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        partial.as_ref().map_or(Ok(()), |partial| partial.write(index, at, bytes))
    }

    /// All of a part is written, and right; returns whether it was the last one of a file that is not over.
    pub(super) fn hold(
        &self,
        index: usize,
        cv: Cv,
        progress: &Progress,
    ) -> Result<bool, FileError> {
        let partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(partial) = &*partial else { return Ok(false) };
        let missing = partial.missing();
        let is_last = partial.hold(index, cv)?;
        if partial.missing() < missing && partial.stays() {
            self.keep(self.part_len(index), progress);
        }
        Ok(is_last)
    }

    /// Bytes are here for the next run, if this one does not finish the file.
    pub(super) fn keep(&self, bytes: u64, progress: &Progress) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
        progress.held(bytes);
    }

    /// The file is whole, or its bytes are of no use.
    pub(super) fn keep_nothing(&self, progress: &Progress) {
        progress.not_held(self.kept.swap(0, Ordering::Relaxed));
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part that nobody asks for, and that the caller asks for now.
    pub(super) fn next(&self) -> Option<usize> {
        let mut parts = self.parts();
        if parts.is_over { None } else { parts.missing.pop_front() }
    }

    /// Nobody asks for a part any more.
    pub(super) fn put_back(&self, index: usize) {
        self.parts().missing.push_front(index);
    }

    /// A connection was lost when a part had to be answered next; returns how often that has happened.
    pub(super) fn lose(&self, index: usize) -> u32 {
        let mut parts = self.parts();
        let losses = parts.losses.entry(index).or_default();
        *losses += 1;
        *losses
    }

    /// The server has refused a part; returns how often it has.
    pub(super) fn refuse(&self, index: usize) -> u32 {
        let mut parts = self.parts();
        let refusals = parts.refusals.entry(index).or_default();
        *refusals += 1;
        *refusals
    }

    /// Bytes of a part.
    pub(super) fn part_len(&self, index: usize) -> u64 {
        self.geometry.range(index).map_or(0, |range| range.end - range.start)
    }

    /// The request for a part.
    pub(super) fn op(&self, index: usize) -> Op {
        Op::Get {
            name: self.file.name.clone(),
            offset: self.geometry.range(index).map_or(0, |range| range.start),
            part_size: self.geometry.part_size(),
            state: Some(self.state),
            whole: self.asks_whole(index),
        }
    }

    /// The file, unless it is over; it is over from now on.
    pub(super) fn end(&self) -> Option<Partial> {
        self.parts().is_over = true;
        self.partial.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The chaining value of the bytes of a part, if they are so many as the part has.
pub(super) fn hash(geometry: &Geometry, index: usize, bytes: &[u8]) -> Option<Cv> {
    let mut hasher = geometry.hasher(index)?;
    if hasher.update(bytes) { hasher.finish() } else { None }
}
