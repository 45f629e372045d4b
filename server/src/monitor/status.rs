//! The state of the server for the owner of its root, as JSON: `hauld status`.

use haul_protocol::Shown;
use serde_json::{Value, json};

use super::Monitor;
use super::verdict::unhealthy;
use crate::commit::committer::MAX_QUEUED;
use crate::connection::Seen;
use crate::hooks::{Failure, OnCommit};
use crate::runtime::Runtime;

/// Connections that are listed, those that were active last.
const MOST_LISTED: usize = 1000;

impl Monitor {
    /// All of it. Peers' words have no control characters.
    pub(super) fn status(&self, runtime: &Runtime) -> Value {
        let (figures, services) = (runtime.figures(), &runtime.services);
        let now = services.now();
        let (disk, age) = self.disk.get(now);
        let (listed, more) = runtime.seen(MOST_LISTED);
        let connections: Vec<Value> = listed.iter().map(|seen| connection(seen, now)).collect();
        let uploads = services.uploads.seen();
        let uploads: Vec<Value> = uploads
            .into_iter()
            .map(|(name, size)| json!({"name": Shown(name).to_string(), "size": size}))
            .collect();
        let queue = services.committer.as_ref().map_or(0, |committer| committer.unfinished());
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": now / 1000,
            "not_ready": self.unready(runtime),
            "stuck": unhealthy(runtime),
            "connections": figures.connections,
            "connections_limit": figures.most_connections,
            "workers": figures.workers,
            "workers_busy": figures.busy,
            "held_bytes": figures.held,
            "queue": queue,
            "queue_limit": MAX_QUEUED,
            "on_commit": services.on_commit.as_deref().map(on_commit),
            "before_put": services.before_put.as_deref().map(|hook| {
                json!({"failure": failure(hook.failure())})
            }),
            "places_free": services.places.free(),
            "disk": {
                "bytes": disk.bytes,
                "free_bytes": disk.free,
                "keep_free_bytes": disk.keep_free,
                "read_only": disk.is_read_only,
                "look_age_s": age.as_secs(),
            },
            "uploads": uploads,
            "listed": connections,
            "not_listed": more,
        })
    }
}

/// The hook that is told of changes.
fn on_commit(hook: &OnCommit) -> Value {
    let waiting = hook.spool.waiting();
    json!({
        "waiting": waiting.events,
        "spool_bytes": waiting.bytes,
        "spool_limit_bytes": waiting.most,
        "failure": failure(hook.failure()),
    })
}

/// The last failure of a hook that has not worked since.
fn failure(failure: Option<Failure>) -> Value {
    json!(failure.map(|failure| {
        json!({
            "error": Shown(failure.why).to_string(),
            "ago_s": failure.at.elapsed().unwrap_or_default().as_secs(),
            "times": failure.times,
        })
    }))
}

fn connection(seen: &Seen, now: u64) -> Value {
    let words = seen.words();
    let since = |at: u64| now.saturating_sub(at) / 1000;
    json!({
        "peer": Shown(words.peer).to_string(),
        "account": words.account,
        "dialect": words.speaks.map(|speaks| speaks.as_str()),
        "tls": words.over_tls,
        "agent": Shown(words.agent).to_string(),
        "connected_s": since(seen.since),
        "idle_s": since(seen.active()),
        "received_bytes": seen.received.get(),
        "sent_bytes": seen.sent.get(),
        "last": words.last,
    })
}
