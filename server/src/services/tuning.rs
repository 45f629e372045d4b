//! Settings that may change while the server runs. A worker reads each anew when it needs it, so a new one counts for the
//! next request of every connection.

use std::time::Duration;

use haul_protocol::ServerLimits;

use super::timeouts::Timeouts;
use crate::locks::{Mutex, Rank};
use crate::symlinks::Symlinks;

/// The values of all settings that may change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    pub(crate) limits: ServerLimits,
    pub(crate) symlinks: Option<Symlinks>,
    pub(crate) timeouts: Timeouts,
    /// Time for which interrupted uploads are kept.
    pub(crate) keep_partials: Duration,
}

/// The present values.
#[derive(Debug)]
pub(crate) struct Tuned(Mutex<Tuning>);

impl Tuned {
    pub(crate) fn new(tuning: Tuning) -> Self {
        Self(Mutex::new(Rank::Tuning, tuning))
    }

    /// The values as they are now, all of one moment.
    pub(crate) fn get(&self) -> Tuning {
        *self.0.lock()
    }

    /// All change at once.
    pub(crate) fn set(&self, tuning: Tuning) {
        *self.0.lock() = tuning;
    }
}
