//! Whether the server is healthy and ready, and the reasons if it is not.

use std::time::Duration;

use super::Monitor;
use super::disk::TOO_OLD;
use crate::runtime::Runtime;

/// Time for which a thread may be at one piece of work in a healthy server.
const STUCK: Duration = Duration::from_secs(60);

impl Monitor {
    /// Reasons for which the server can't serve all that it is there for.
    pub(super) fn unready(&self, runtime: &Runtime) -> Vec<String> {
        let services = &runtime.services;
        let (disk, age) = self.disk.get(services.now());
        let writes = services.may_change;
        let is_full = disk.free <= disk.keep_free;
        let is_hook_behind = services.on_commit.as_ref().is_some_and(|hook| hook.spool.is_full());
        let reasons = [
            (
                is_hook_behind,
                "too many changes wait for the hook on-commit, and others are refused",
            ),
            (services.clock.is_stopping(), "the server is stopping"),
            (age > TOO_OLD, "the disk of the root does not answer"),
            (disk.is_gone, "the root is gone: it was removed, replaced, moved or unmounted"),
            (disk.fails, "the file system of the root does not tell its state"),
            (writes && disk.is_read_only, "the file system of the root is read-only"),
            (
                writes && !disk.fails && is_full,
                "the disk is full, but for the room that stays free (--keep-free)",
            ),
        ];
        let reasons = reasons.into_iter().filter(|(holds, _)| *holds);
        reasons.map(|(_, reason)| reason.to_owned()).chain(unhealthy(runtime)).collect()
    }
}

/// Threads that don't move.
pub(super) fn unhealthy(runtime: &Runtime) -> Vec<String> {
    let stuck = runtime.stuck(STUCK);
    let told = |name| format!("{name} has been at one piece of work for more than a minute");
    stuck.into_iter().map(told).collect()
}
