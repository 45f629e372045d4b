//! The speed of a run.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Without any byte for so long, it is stalled.
const STALL: Duration = Duration::from_secs(5);

/// Counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    at: Instant,
    bytes: u64,
    files: u64,
}

/// The speed of the last few seconds.
pub(super) struct Rate {
    /// The oldest first.
    samples: VecDeque<Sample>,
    last: (u64, u64, u64),
    moved: Instant,
    hashing: bool,
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(6);

    /// At the start.
    pub(super) fn new() -> Self {
        Self::new_at(Instant::now())
    }

    /// The same at another time.
    pub(super) fn new_at(at: Instant) -> Self {
        let samples = [Sample { at, bytes: 0, files: 0 }].into();
        Self { samples, last: (0, 0, 0), moved: at, hashing: false }
    }

    /// Counts now: bytes that the run is about, files done, and bytes hashed only.
    pub(super) fn take(&mut self, bytes: u64, files: u64, hashed: u64) {
        self.take_at(Instant::now(), bytes, files, hashed);
    }

    /// The same at another time.
    pub(super) fn take_at(&mut self, at: Instant, bytes: u64, files: u64, hashed: u64) {
        self.hashing = self.last.2 != hashed;
        if self.last != (bytes, files, hashed) {
            self.last = (bytes, files, hashed);
            self.moved = at;
        }
        self.samples.push_back(Sample { at, bytes, files });
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|sample| at - sample.at > Self::WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Whether bytes were hashed lately that need not be sent.
    pub(super) fn hashing(&self) -> bool {
        self.hashing
    }

    /// Whether nothing has moved for a while.
    pub(super) fn stalled(&self) -> bool {
        self.moved.elapsed() >= STALL
    }

    /// Bytes a second; `None` before there are two samples.
    pub(super) fn per_second(&self) -> Option<u64> {
        self.speed(|sample| sample.bytes)
    }

    /// Files a second.
    pub(super) fn files_per_second(&self) -> Option<u64> {
        self.speed(|sample| sample.files)
    }

    fn speed(&self, of: impl Fn(&Sample) -> u64) -> Option<u64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let passed = last.at.saturating_duration_since(first.at);
        let millis = u64::try_from(passed.as_millis()).ok().filter(|&ms| ms > 0)?;
        Some(of(last).saturating_sub(of(first)).saturating_mul(1000) / millis)
    }
}
