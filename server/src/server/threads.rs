//! The threads of a server: what ends with them.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::audit::access::AccessWriter;
use crate::commit::committer::Told;
use crate::monitor::Monitor;
use crate::runtime::Runtime;
use crate::services::Services;

/// Time that the disk has for its last answer when the server stops.
const ANSWERS: Duration = Duration::from_secs(1);

/// Time between two looks whether it has answered.
const LOOK: Duration = Duration::from_millis(2);

/// The threads for those who watch the server.
#[derive(Debug)]
pub(super) struct Watched {
    monitor: Arc<Monitor>,
    threads: [JoinHandle<()>; 2],
}

impl Watched {
    pub(super) fn start(runtime: &Arc<Runtime>, monitor: Arc<Monitor>) -> std::io::Result<Self> {
        monitor.look(runtime);
        let spawn = |name: &str, run: fn(&Monitor, &Runtime)| {
            let (monitor, runtime) = (Arc::clone(&monitor), Arc::clone(runtime));
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                let _end_with_me = AbortOnPanic;
                run(&monitor, &runtime);
            })
        };
        let threads = [spawn("monitor", Monitor::serve)?, spawn("disk", Monitor::keep_looking)?];
        Ok(Self { monitor, threads })
    }

    /// Ends both. A disk that does not answer keeps nobody from it.
    pub(super) fn stop(self) {
        self.monitor.stop();
        let [monitor, disk] = self.threads;
        joined(monitor);
        // It holds the server's sockets, whose files go with them.
        joined_soon(disk);
    }
}

/// The thread that writes the access log.
pub(super) fn writing(access: AccessWriter) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(String::from("access-log")).spawn(move || {
        let _end_with_me = AbortOnPanic;
        access.run();
    })
}

/// Waits for a thread that may wait for the disk, but not for ever.
pub(super) fn joined_soon(thread: JoinHandle<()>) {
    let begun = Instant::now();
    while !thread.is_finished() && begun.elapsed() < ANSWERS {
        thread::park_timeout(LOOK);
    }
    if thread.is_finished() {
        joined(thread);
    }
}

pub(super) fn commit(runtime: &Arc<Runtime>) {
    let Services { store, uploads, committer, logs, on_commit, metrics, .. } = &*runtime.services;
    if let Some(committer) = committer {
        let on_commit = on_commit.as_deref();
        committer.run(store, uploads, &**runtime, Told { logs, on_commit, metrics });
    }
}

pub(super) fn deliver(runtime: &Arc<Runtime>) {
    if let Some(hook) = &runtime.services.on_commit {
        hook.run(&runtime.services.metrics);
    }
}

pub(super) fn ask(runtime: &Arc<Runtime>) {
    if let Some(hook) = &runtime.services.before_put {
        hook.run(&runtime.services.metrics);
    }
}

/// Without one of its threads the server would hang sooner or later, and its clients would wait for ever. A process that
/// is gone they notice, and every acknowledged change survives.
pub(super) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(thread = thread::current().name(), "a thread has panicked");
            std::process::abort();
        }
    }
}

pub(super) fn joined(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread has panicked");
    }
}
