//! A connection tells the counts that an operator watches.

use std::sync::Arc;

use super::Connection;
use crate::metrics::{Metrics, Speaks};
use crate::services::Services;

/// The counts, and the kind as which the client is counted among those that are there.
#[derive(Debug)]
pub(super) struct Counted {
    metrics: Arc<Metrics>,
    /// Its dialect, and whether it came over TLS; `None`: it has not spoken.
    as_kind: Option<(Speaks, bool)>,
}

impl Counted {
    /// Of a client that has just come.
    pub(super) fn new(services: &Services) -> Self {
        services.metrics.accepted.add(1);
        Self { metrics: Arc::clone(&services.metrics), as_kind: None }
    }
}

impl Connection {
    pub(super) fn metrics(&self) -> &Metrics {
        &self.counted.metrics
    }

    /// The client has shown its dialect.
    pub(super) fn is_heard(&mut self, speaks: Speaks) {
        let over_tls = self.transport.is_encrypted();
        let Counted { metrics, as_kind } = &mut self.counted;
        if as_kind.is_none() {
            *as_kind = Some((speaks, over_tls));
            metrics.came(speaks, over_tls);
        }
    }

    /// The client is gone.
    pub(super) fn has_left(&mut self) {
        if let Some((speaks, over_tls)) = self.counted.as_kind.take() {
            self.counted.metrics.left(speaks, over_tls);
        }
    }
}
