//! The threads that the runs of both directions have: one for each connection, and the caller's for the observer.

use std::sync::mpsc::Receiver;
use std::{io, thread};

use super::guards::{EndOnDrop, StopOnPanic};
use super::reconnect::{self, Connecting, Shared};
use crate::error::ConnectionError;
use crate::report::events::Event;
use crate::report::observer::Observer;
use crate::report::watch::watch;

/// Carries a run out, with up to `most` connections. `beside` runs on a thread of its own meanwhile, and `after` when
/// the connections are over. The observer is told on this thread.
///
/// # Errors
/// If threads can't be had.
pub(crate) fn carry_out<R: Connecting>(
    run: &R,
    most: usize,
    events: Receiver<Event>,
    observer: &mut dyn Observer,
    beside: impl FnOnce() + Send,
    after: impl FnOnce() + Send,
) -> io::Result<()> {
    let Shared { progress, connections, .. } = run.shared();
    let stop = || run.stop(ConnectionError::Stopped);
    // A pool of its own: its threads block, and rayon's global pool must never.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(most)
        .thread_name(|index| format!("connection-{index}"))
        .build()
        .map_err(io::Error::other)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _end = EndOnDrop(progress);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _guard = StopOnPanic(stop);
                    beside();
                });
                pool.scope(|scope| (0..connections).for_each(|slot| begin(scope, run, slot)));
            });
            after();
        });
        let _guard = StopOnPanic(stop);
        watch(progress, events, observer);
    });
    Ok(())
}

/// Begins the connection of a slot on a thread of the pool. There are as many threads as a run may have slots, since
/// each has its thread to the end.
fn begin<'a, R: Connecting>(scope: &rayon::Scope<'a>, run: &'a R, slot: usize) {
    scope.spawn(move |scope| {
        let _guard = StopOnPanic(|| run.stop(ConnectionError::Stopped));
        if let Err(error) = reconnect::run(run, slot, &|slot| begin(scope, run, slot)) {
            run.stop(error);
        }
    });
}
