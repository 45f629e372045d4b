//! The threads that the runs of both directions have: one for each connection, one beside them, and the caller's for the
//! observer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use super::guards::{EndOnDrop, StopOnPanic};
use super::reconnect::{self, Connecting, Shared};
use crate::error::ConnectionError;
use crate::report::events::Event;
use crate::report::observer::Observer;
use crate::report::watch::watch;

/// Carries a run out. `beside` runs on a thread of its own meanwhile, and `after` when the connections are over. The
/// observer is told on this thread.
///
/// The pool has a thread for each connection that the run begins with. Connections that are added, on lossy lines and not
/// elsewhere, are threads of their own, so that no other run pays for them.
///
/// # Errors
/// If threads can't be had.
pub(crate) fn carry_out<R: Connecting>(
    run: &R,
    events: Receiver<Event>,
    observer: &mut dyn Observer,
    beside: impl FnOnce() + Send,
    after: impl FnOnce() + Send,
) -> io::Result<()> {
    let Shared { progress, connections, .. } = run.shared();
    // A pool of its own: its threads block, and rayon's global pool must never.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(connections)
        .thread_name(|index| format!("connection-{index}"))
        .build()
        .map_err(io::Error::other)?;
    thread::scope(|threads| -> io::Result<()> {
        let ending = Arc::new(Ending::new(run, after));
        let walks = Arc::clone(&ending);
        thread::Builder::new().name(String::from("walk")).spawn_scoped(threads, move || {
            let _guard = walks.guard();
            beside();
        })?;
        pool.in_place_scope(|scope| {
            for slot in 0..connections {
                let ending = Arc::clone(&ending);
                scope.spawn(move |_| {
                    let _guard = ending.guard();
                    connect(slot, threads, &ending);
                });
            }
            let _guard = StopOnPanic(|| run.stop(ConnectionError::Stopped));
            drop(ending);
            watch(progress, events, observer);
        });
        Ok(())
    })
}

/// Lives through the connections of a slot, and gives each slot that is added a thread. Each slot has its thread to the
/// end.
fn connect<'scope, R: Connecting, F: FnOnce() + Send + 'scope>(
    slot: usize,
    threads: &'scope thread::Scope<'scope, '_>,
    ending: &Arc<Ending<'scope, R, F>>,
) {
    let add = |slot| {
        let ending = Arc::clone(ending);
        let thread = thread::Builder::new().name(format!("connection-{slot}"));
        // A run that gets no more threads goes on with those that it has.
        let _ = thread.spawn_scoped(threads, move || {
            let _guard = ending.guard();
            connect(slot, threads, &ending);
        });
    };
    if let Err(error) = reconnect::run(ending.run, slot, &add) {
        ending.run.stop(error);
    }
}

/// The end of a run: comes when the last of its threads lets go of it.
struct Ending<'a, R: Connecting, F: FnOnce()> {
    run: &'a R,
    after: Mutex<Option<F>>,
    has_panicked: AtomicBool,
}

impl<'a, R: Connecting, F: FnOnce()> Ending<'a, R, F> {
    fn new(run: &'a R, after: F) -> Self {
        Self { run, after: Mutex::new(Some(after)), has_panicked: AtomicBool::new(false) }
    }

    /// For as long as a thread works.
    fn guard(&self) -> StopOnPanic<impl Fn()> {
        StopOnPanic(|| {
            self.has_panicked.store(true, Ordering::Release);
            self.run.stop(ConnectionError::Stopped);
        })
    }
}

impl<R: Connecting, F: FnOnce()> Drop for Ending<'_, R, F> {
    fn drop(&mut self) {
        let _end = EndOnDrop(self.run.shared().progress);
        let after = self.after.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A run with a fault in it removes nothing.
        if let Some(after) = after.filter(|_| !*self.has_panicked.get_mut()) {
            after();
        }
    }
}
