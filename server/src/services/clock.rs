//! The server's time: how long it runs, whether it stops, and when its grace time is over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The clock of one server.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    stopping: AtomicBool,
    /// When the grace time ends, in milliseconds of this clock.
    stop_at: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            stopping: AtomicBool::new(false),
            stop_at: AtomicU64::new(u64::MAX),
        }
    }
}

impl Clock {
    /// Milliseconds since the server started.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The server stops from now on; transfers may go on for so long.
    pub(crate) fn stop(&self, grace: Duration) {
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.stop_at.store(self.now().saturating_add(grace), Ordering::Release);
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the server stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The time that a stopping server has left, a day at most.
    pub(crate) fn grace_left(&self) -> Duration {
        const DAY: u64 = 24 * 3600 * 1000;
        let left = self.stop_at.load(Ordering::Acquire).saturating_sub(self.now());
        Duration::from_millis(left.min(DAY))
    }

    /// Whether a stopping server has no time left.
    pub(crate) fn is_grace_over(&self) -> bool {
        self.is_stopping() && self.now() >= self.stop_at.load(Ordering::Acquire)
    }
}
