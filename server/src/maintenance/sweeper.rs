//! The sweeper: one thread that removes what nobody needs any more. Trees that were thrown away it removes at
//! once, expired partials and versions now and then.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::runtime::shared::Shared;
use crate::store::Rung;

/// How often it looks for what has expired.
const EVERY: Duration = Duration::from_secs(300);

/// The running sweeper.
#[derive(Debug)]
pub(crate) struct Sweeper {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Sweeper {
    /// Starts it.
    pub(crate) fn start(shared: Arc<Shared>, keep: Duration) -> io::Result<Self> {
        let ours = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name(String::from("sweeper")).spawn(move || run(&ours, keep))?;
        Ok(Self { shared, thread })
    }

    /// Ends it and waits.
    pub(crate) fn stop(self) {
        self.shared.store.trash.bell.stop();
        if self.thread.join().is_err() {
            tracing::error!("the sweeper has panicked");
        }
    }
}

fn run(shared: &Shared, keep: Duration) {
    let mut due = Instant::now() + EVERY;
    loop {
        if let Err(errno) = shared.store.trash.empty() {
            tracing::warn!(%errno, "could not remove a tree that nobody needs; trying again later");
        }
        let why = shared.store.trash.bell.wait(due.saturating_duration_since(Instant::now()));
        if why == Rung::Stop {
            return;
        }
        if Instant::now() < due {
            continue;
        }
        due = Instant::now() + EVERY;
        shared.uploads.sweep(&shared.store, keep);
        if let Err(errno) = shared.store.forget_versions(keep) {
            tracing::warn!(%errno, "could not look for expired versions");
        }
    }
}
