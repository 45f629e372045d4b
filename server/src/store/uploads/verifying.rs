//! Parts of a partial of which only the bytes can tell whether they are held: their records are of another boot of the
//! machine, and no flush was noted since. The bytes are read a little at a time.

use std::collections::{HashMap, VecDeque};

use haul_protocol::{Cv, Geometry, Name, PartHasher};

use super::journal::{HeldPart, Record};
use super::partial::Partial;
use crate::store::error::StoreError;

/// Bytes of parts from another boot that are read and compared when an upload goes on; parts over
/// that are sent again. A few seconds of reading, during which the client waits.
const MAX_VERIFIED: u64 = 4 << 30;

/// Memory of one part here.
const A_PART: usize = 64;

/// The parts that a partial holds, and those that it may hold.
#[derive(Debug, Default)]
pub(crate) struct Verifying {
    sure: HashMap<usize, Cv>,
    unsure: VecDeque<(usize, Cv)>,
    reading: Option<Part>,
    /// Bytes of all parts that have been begun.
    begun: u64,
}

/// A part that is being read.
#[derive(Debug)]
struct Part {
    index: usize,
    cv: Cv,
    hasher: PartHasher,
    at: u64,
    end: u64,
}

impl Verifying {
    pub(in crate::store) fn new(safe: &[&HeldPart], unsure: &[&HeldPart]) -> Self {
        Self {
            sure: safe.iter().map(|held| (held.part, held.cv)).collect(),
            unsure: unsure.iter().map(|held| (held.part, held.cv)).collect(),
            reading: None,
            begun: 0,
        }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        A_PART * (self.sure.capacity() + self.unsure.capacity())
    }

    /// Whether nothing is left to read.
    pub(crate) fn is_over(&self) -> bool {
        self.reading.is_none() && self.unsure.is_empty()
    }

    /// The parts that are held, once all have been looked at.
    pub(crate) fn held(self) -> Vec<(usize, Cv)> {
        self.sure.into_iter().collect()
    }

    /// Reads the next bytes, through `buffer`; returns how many.
    pub(crate) fn advance(
        &mut self,
        partial: &Partial,
        name: &Name,
        geometry: Geometry,
        buffer: &mut [u8],
    ) -> Result<usize, StoreError> {
        let Some(mut part) = self.reading.take().or_else(|| self.next(geometry)) else {
            return Ok(0);
        };
        let len = usize::try_from(part.end - part.at).unwrap_or(usize::MAX).min(buffer.len());
        let read = match partial.read_at(&mut buffer[..len], part.at) {
            Ok(0) | Err(_) => return Ok(0),
            Ok(read) if !part.hasher.update(&buffer[..read]) => return Ok(read),
            Ok(read) => read,
        };
        part.at += read as u64;
        if part.at < part.end {
            self.reading = Some(part);
        } else if part.hasher.finish() == Some(part.cv) {
            match partial.append(name, &Record::Held { part: part.index, cv: part.cv }) {
                // The record of the other boot is still there.
                Ok(_) | Err(StoreError::NoRoom { .. }) => {}
                Err(error) => return Err(error),
            }
            self.sure.insert(part.index, part.cv);
        }
        Ok(read)
    }

    /// The next part that may be read.
    fn next(&mut self, geometry: Geometry) -> Option<Part> {
        loop {
            let (index, cv) = self.unsure.pop_front()?;
            let (Some(range), Some(hasher)) = (geometry.range(index), geometry.hasher(index))
            else {
                continue;
            };
            if self.sure.contains_key(&index) || self.begun > MAX_VERIFIED {
                continue;
            }
            self.begun += range.end - range.start;
            return Some(Part { index, cv, hasher, at: range.start, end: range.end });
        }
    }
}
