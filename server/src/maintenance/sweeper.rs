//! The sweeper: one thread that removes what nobody needs any more. Trees that were thrown away it removes at
//! once, expired partials and versions at the start and now and then.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::services::Services;
use crate::store::Rung;

/// Time between two looks for expired partials and versions.
const EVERY: Duration = Duration::from_secs(300);

/// The running sweeper.
#[derive(Debug)]
pub(crate) struct Sweeper {
    services: Arc<Services>,
    thread: JoinHandle<()>,
}

impl Sweeper {
    /// Starts it.
    pub(crate) fn start(services: Arc<Services>) -> io::Result<Self> {
        let ours = Arc::clone(&services);
        let thread =
            thread::Builder::new().name(String::from("sweeper")).spawn(move || run(&ours))?;
        Ok(Self { services, thread })
    }

    /// Ends it and waits.
    pub(crate) fn stop(self) {
        self.services.store.trash.bell.stop();
        if self.thread.join().is_err() {
            tracing::error!("the sweeper has panicked");
        }
    }
}

fn run(services: &Services) {
    let mut due = Instant::now();
    loop {
        // Trees may be thrown away faster than they are removed: what has expired has its turn between two of them.
        let emptied = services.store.trash.empty(&mut || expire(services, &mut due));
        if let Err(errno) = emptied {
            tracing::warn!(%errno, "could not remove a tree that nobody needs; trying again later");
        }
        let why = services.store.trash.bell.wait(due.saturating_duration_since(Instant::now()));
        if why == Rung::Stop {
            return;
        }
        expire(services, &mut due);
    }
}

/// Removes what has expired, if that is due.
fn expire(services: &Services, due: &mut Instant) {
    if Instant::now() < *due {
        return;
    }
    *due = Instant::now() + EVERY;
    let keep = services.tuning().keep_partials;
    services.uploads.sweep(&services.store, keep);
    if let Err(errno) = services.store.forget_versions(keep) {
        tracing::warn!(%errno, "could not look for expired versions");
    }
}
