//! The sweeper: one thread that removes expired partials now and then.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::pool::Shared;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(300);

/// The running sweeper.
#[derive(Debug)]
pub(crate) struct Sweeper {
    /// Dropped to stop it.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sweeper {
    /// Starts it.
    pub(crate) fn start(shared: Arc<Shared>, keep: Duration) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name(String::from("sweeper")).spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                shared.uploads.sweep(&shared.store, keep);
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it and waits.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the sweeper has panicked");
        }
    }
}
