//! Gathers all metrics into one text. Reads counts and lengths, and goes through no table.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::time::{ClockId, clock_gettime};

use super::Monitor;
use super::verdict::unhealthy;
use crate::metrics::text::Kind::{Counter, Gauge};
use crate::metrics::text::Text;
use crate::runtime::Runtime;

/// All metrics of this moment.
pub(super) fn text(monitor: &Monitor, runtime: &Runtime) -> String {
    let mut text = Text::default();
    of_process(monitor, runtime, &mut text);
    of_runtime(runtime, &mut text);
    of_disk(monitor, runtime, &mut text);
    runtime.services.metrics.write(&mut text);
    text.end()
}

fn one(text: &mut Text, name: &'static str, help: &str, value: usize) {
    text.family(name, Gauge, help);
    text.sample(&[], value);
}

fn of_process(monitor: &Monitor, runtime: &Runtime, text: &mut Text) {
    text.family("hauld_build_info", Gauge, "Always 1; the label is the version of hauld.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("hauld_uptime_seconds", Gauge, "Time since hauld started.");
    text.sample(&[], seconds(runtime.services.now()));
    text.family(
        "process_cpu_seconds_total",
        Counter,
        "Processor time of hauld, in user and kernel.",
    );
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let micros = cpu.tv_sec.saturating_mul(1_000_000).saturating_add(cpu.tv_nsec / 1_000);
    text.sample(&[], seconds(u64::try_from(micros / 1_000).unwrap_or(0)));
    text.family("process_resident_memory_bytes", Gauge, "Memory of hauld in the machine's memory.");
    if let Some(bytes) = monitor.memory.as_ref().and_then(resident) {
        text.sample(&[], bytes);
    }
}

fn of_runtime(runtime: &Runtime, text: &mut Text) {
    let (figures, services) = (runtime.figures(), &runtime.services);
    one(text, "hauld_connections", "Connections that are open.", figures.connections);
    one(
        text,
        "hauld_connections_limit",
        "The most that hauld serves at once.",
        figures.most_connections,
    );
    let paused = usize::from(figures.is_paused);
    one(
        text,
        "hauld_accept_paused",
        "1: newcomers wait, because there is no room for them.",
        paused,
    );
    one(text, "hauld_workers", "Worker threads.", figures.workers);
    one(text, "hauld_workers_busy", "Workers that run a turn of a connection.", figures.busy);
    let stuck = unhealthy(runtime).len();
    one(text, "hauld_threads_stuck", "Threads that have not moved for a minute.", stuck);
    one(
        text,
        "hauld_held_bytes",
        "Memory that all connections hold between two turns.",
        figures.held,
    );
    let (uploads, places) = (services.uploads.open_now(), services.places.free());
    one(text, "hauld_uploads", "Large files that are under way.", uploads);
    one(
        text,
        "hauld_places_free",
        "Half-written and half-read files that may still be opened.",
        places,
    );
    let queue = services.committer.as_ref().map_or(0, |committer| committer.unfinished());
    one(text, "hauld_commit_queue", "Weight of the changes that wait for the disk.", queue);
    let limit = crate::commit::committer::MAX_QUEUED;
    one(
        text,
        "hauld_commit_queue_limit",
        "At so much hauld reads no more from most clients.",
        limit,
    );
    text.family(
        "hauld_access_log_lost_lines_total",
        Counter,
        "Lines of the access log that could not be written.",
    );
    text.sample(&[], services.logs.access.as_ref().map_or(0, |log| log.lost()));
    let waiting = services.on_commit.as_ref().map(|hook| hook.spool.waiting()).unwrap_or_default();
    for (name, help, value) in [
        ("hauld_on_commit_waiting", "Changes that on-commit has not taken.", waiting.events),
        ("hauld_on_commit_spool_bytes", "Bytes in its spool.", waiting.bytes),
        (
            "hauld_on_commit_spool_limit_bytes",
            "At so many hauld refuses changes as busy.",
            waiting.most,
        ),
    ] {
        text.family(name, Gauge, help);
        text.sample(&[], value);
    }
    let stopping = usize::from(services.clock.is_stopping());
    one(text, "hauld_stopping", "1: hauld stops, and takes no more connections.", stopping);
}

fn of_disk(monitor: &Monitor, runtime: &Runtime, text: &mut Text) {
    let (disk, age) = monitor.disk.get(runtime.services.now());
    let ready = u64::from(monitor.unready(runtime).is_empty());
    for (name, help, value) in [
        ("hauld_ready", "1: hauld can serve all that it is there for, as /ready says.", ready),
        ("hauld_disk_bytes", "Size of the file system of the root.", disk.bytes),
        ("hauld_disk_free_bytes", "Bytes of it that are free for hauld.", disk.free),
        ("hauld_disk_keep_free_bytes", "Bytes of it that stay free (--keep-free).", disk.keep_free),
        (
            "hauld_disk_free_inodes",
            "Files and directories that it can still hold; 0 where that has no bound.",
            disk.free_inodes,
        ),
    ] {
        text.family(name, Gauge, help);
        text.sample(&[], value);
    }
    text.family(
        "hauld_disk_look_age_seconds",
        Gauge,
        "Time since hauld last had an answer of the disk.",
    );
    text.sample(&[], age.as_secs_f64());
}

/// Bytes in memory, as the second number of statm has them in pages (proc_pid_statm(5)).
fn resident(statm: &File) -> Option<u64> {
    let mut buffer = [0; 128];
    let len = statm.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(&buffer[..len]).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}
