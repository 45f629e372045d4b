//! Clients that are at work, each in a thread of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Counts, Sender};

/// How many clients are at work, and whether they should end.
#[derive(Debug)]
pub(crate) struct Work {
    running: AtomicUsize,
    has_failed: AtomicBool,
    is_over: AtomicBool,
}

impl Work {
    /// So many clients are about to begin.
    pub(crate) fn of(clients: usize) -> Self {
        let (has_failed, is_over) = Default::default();
        Self { running: AtomicUsize::new(clients), has_failed, is_over }
    }

    /// Runs one of them to its end.
    pub(crate) fn run(&self, mut sender: Sender<'_>) -> anyhow::Result<Counts> {
        let result = sender.run(|| self.is_over());
        if result.is_err() {
            self.fails();
        }
        self.running.fetch_sub(1, Ordering::Relaxed);
        result.map(|()| sender.counts)
    }

    /// Something was wrong: nobody needs to wait for the others.
    pub(crate) fn fails(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Whether something was wrong.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Whether all clients have ended.
    pub(crate) fn is_done(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    /// From now on clients end before their next request.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether clients should end.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}
