//! The speed of a run.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Without any byte for so long, it is stalled.
const STALL: Duration = Duration::from_secs(5);

/// The speed of the last few seconds.
pub(super) struct Rate {
    /// Times, and bytes and files at them; the oldest first.
    samples: VecDeque<(Instant, u64)>,
    last: (u64, u64, u64),
    moved: Instant,
    hashing: bool,
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(6);

    /// At the start.
    pub(super) fn new() -> Self {
        Self {
            samples: [(Instant::now(), 0)].into(),
            last: (0, 0, 0),
            moved: Instant::now(),
            hashing: false,
        }
    }

    /// Counts now: bytes sent, files done, and bytes hashed only.
    pub(super) fn take(&mut self, bytes: u64, files: u64, hashed: u64) {
        let now = Instant::now();
        self.hashing = self.last.2 != hashed;
        if self.last != (bytes, files, hashed) {
            self.last = (bytes, files, hashed);
            self.moved = now;
        }
        self.samples.push_back((now, bytes));
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|(at, _)| now - *at > Self::WINDOW)
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
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let millis = u64::try_from((last.0 - first.0).as_millis()).ok().filter(|&ms| ms > 0)?;
        Some(last.1.saturating_sub(first.1).saturating_mul(1000) / millis)
    }
}
