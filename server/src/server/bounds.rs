//! How much a server takes on: derived from the limits of its process and the number of processors.

use std::thread;

use haul_protocol::limits::MAX_BUNDLED;
use rustix::process::{Resource, getrlimit};

use crate::commit::committer::MAX_QUEUED;
use crate::uploads::MAX_OPEN;
use crate::versions::leases::MAX_VERSIONS;

/// Files that are open besides connections, staged files and uploads.
const OTHER_FILES: u64 = 64;

/// Connections at once if the limit of open files allows.
const USUAL_CONNECTIONS: u64 = 10_000;

/// Connections besides these, at most, whose clients have not logged in or are to leave.
const MOST_AT_DOOR: usize = 64;

/// The most connections and places at once; both together follow from the limit of open files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    /// Connections besides these if there are accounts: their clients have not logged in, or are to leave.
    pub(super) door: usize,
    /// Files whose bytes have come in part.
    pub(super) places: usize,
}

/// Derives the bounds from the limit of open files.
pub(super) fn bounds(wanted: Option<usize>, workers: usize, durable: bool) -> Bounds {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A worker holds some parents, the new directories that it fills, and one file of its own.
    let queued = if durable { 2 * MAX_QUEUED as u64 } else { 0 };
    // And the files of a bundle are queued as a whole, however full the queue is.
    let worker = 64 + if durable { MAX_BUNDLED } else { 0 };
    let taken = OTHER_FILES
        + 3 * MAX_VERSIONS as u64
        + 2 * MAX_OPEN as u64
        + worker * workers as u64
        + queued;
    // Under full load fewer files are left than that: then what needs one is refused as busy, and tried again.
    let least = files / 4;
    let free = files.saturating_sub(taken);
    if free < least {
        tracing::warn!(
            files,
            "so few files may be open that requests are refused as busy under full load (ulimit -n, or LimitNOFILE= of \
             systemd)"
        );
    }
    let free = usize::try_from(free.max(least)).unwrap_or(usize::MAX).max(2);
    // Most connections are idle, or send requests that come whole in one read.
    let possible = (free / 4 * 3).max(1);
    let usual = usize::try_from(USUAL_CONNECTIONS).unwrap_or(usize::MAX);
    let door = (possible / 8).clamp(1, MOST_AT_DOOR);
    let most = possible.saturating_sub(door).max(1);
    if let Some(wanted) = wanted.filter(|wanted| *wanted > most) {
        tracing::warn!(
            wanted,
            max_connections = most,
            files,
            "fewer connections than the settings say, because so few files may be open (ulimit -n, or LimitNOFILE= of systemd)"
        );
    }
    let connections = wanted.unwrap_or(usual).clamp(1, most);
    Bounds { connections, door, places: free.saturating_sub(connections + door).max(1) }
}

/// The largest file that the process may write: the server tells a client before the first byte that a larger one is refused.
pub(super) fn largest_file(wanted: u64) -> u64 {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if limit < wanted => {
            tracing::warn!(
                limit,
                "files can't be larger than this process may write them (ulimit -f, or LimitFSIZE= of systemd)"
            );
            limit
        }
        _ => wanted,
    }
}

pub(super) fn default_workers() -> usize {
    thread::available_parallelism().map_or(4, |cores| (2 * cores.get()).max(4))
}
