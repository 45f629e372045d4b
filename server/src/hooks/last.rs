//! The last failure of a hook, for those who watch the server.

use std::time::SystemTime;

use crate::locks::{Mutex, Rank};

/// The failure of a hook that has not worked since.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) at: SystemTime,
    /// Failures in a row.
    pub(crate) times: u64,
}

/// The last failure, if the hook has not worked since.
#[derive(Debug)]
pub(super) struct Last {
    hook: &'static str,
    failure: Mutex<Option<Failure>>,
}

impl Last {
    pub(super) fn new(hook: &'static str) -> Self {
        Self { hook, failure: Mutex::new(Rank::HookFailure, None) }
    }

    pub(super) fn get(&self) -> Option<Failure> {
        self.failure.lock().clone()
    }

    /// The hook has failed.
    pub(super) fn failed(&self, why: String) {
        let mut last = self.failure.lock();
        let times = last.as_ref().map_or(0, |last| last.times) + 1;
        *last = Some(Failure { why, at: SystemTime::now(), times });
    }

    /// It has done what it should.
    pub(super) fn worked(&self) {
        if let Some(last) = self.failure.lock().take() {
            tracing::info!(hook = self.hook, failures = last.times, "works again");
        }
    }
}
