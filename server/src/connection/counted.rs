//! A connection tells the counts that an operator watches.

use std::sync::Arc;

use super::{Connection, Seen};
use crate::metrics::{Metrics, Speaks};
use crate::services::Services;

/// The counts, and the kind as which the client is counted among those that are there.
#[derive(Debug)]
pub(super) struct Counted {
    metrics: Arc<Metrics>,
    seen: Arc<Seen>,
    /// Its dialect, and whether it came over TLS; `None`: it has not spoken.
    as_kind: Option<(Speaks, bool)>,
}

impl Counted {
    /// Of a client that has just come.
    pub(super) fn new(services: &Services, peer: &str) -> Self {
        services.metrics.accepted.add(1);
        let seen = Arc::new(Seen::new(peer, services.now()));
        Self { metrics: Arc::clone(&services.metrics), seen, as_kind: None }
    }
}

impl Connection {
    pub(super) fn metrics(&self) -> &Metrics {
        &self.counted.metrics
    }

    /// The connection as those who watch see it.
    pub(crate) fn seen(&self) -> &Arc<Seen> {
        &self.counted.seen
    }

    /// Bytes have come from the socket.
    pub(super) fn has_received(&self, bytes: usize, now: u64) {
        let Counted { metrics, seen, .. } = &self.counted;
        metrics.received.add(bytes as u64);
        seen.received.add(bytes as u64);
        seen.moved(now);
    }

    /// Bytes were given to the socket.
    pub(super) fn has_sent(&self, bytes: usize, now: u64) {
        let Counted { metrics, seen, .. } = &self.counted;
        metrics.sent.add(bytes as u64);
        seen.sent.add(bytes as u64);
        seen.moved(now);
    }

    /// The client has shown its dialect.
    pub(super) fn is_heard(&mut self, speaks: Speaks) {
        let over_tls = self.transport.is_encrypted();
        let Counted { metrics, seen, as_kind } = &mut self.counted;
        if as_kind.is_none() {
            seen.speaks(speaks, over_tls);
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
