//! The threads that the runs of both directions have: one for the first connection, one beside it, a pool for further
//! connections when there is work for them, and the caller's for the observer.
//!
//! The pool is rayon's, and one of the run's own: its threads block, and those of rayon's global pool must never. Each
//! further connection is one long job of the pool. The first connection is not, because a pool has all of its threads from
//! its beginning on, and most runs are over before a second connection would be up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::{io, thread};

use super::guards::{EndOnDrop, StopOnPanic};
use super::reconnect::{self, Connecting, Shared};
use crate::error::ConnectionError;
use crate::report::events::Event;
use crate::report::observer::Observer;
use crate::report::watch::{Asked, Watch, Watched};

/// The part of a run that finds its work.
pub(crate) enum Beside<F> {
    /// Has a thread of its own while connections are at work.
    Thread(F),
    /// Is over soon, and waits for nothing: comes first on the thread of the first connection.
    First(F),
}

/// Carries a run out. `after` runs when the connections are over. The observer is told on this thread, which also begins
/// further connections.
///
/// Connections that are added, on lossy lines and not elsewhere, are threads of their own, so that no other run pays for
/// them.
///
/// # Errors
/// If threads can't be had.
pub(crate) fn carry_out<R: Connecting>(
    run: &R,
    events: Receiver<Event>,
    observer: &mut dyn Observer,
    beside: Beside<impl FnOnce() + Send>,
    after: impl FnOnce() + Send,
) -> io::Result<()> {
    let Shared { progress, connections, on_demand, .. } = run.shared();
    let demand = run.demand();
    if connections > 1 {
        demand.watched(progress.nudge());
    }
    if !on_demand {
        demand.want();
    }
    let mut watch = Watch::new(progress, events, observer);
    // The scope waits for all threads, also after an error or a panic: it must have the watch, for whose queue they wait.
    thread::scope(move |threads| -> io::Result<()> {
        let _guard = StopOnPanic(|| run.stop(ConnectionError::Stopped));
        let ending = Arc::new(Ending::new(run, after));
        let further = Arc::downgrade(&ending);
        begin(threads, ending, beside)?;
        let look = || if connections > 1 { demand.look() } else { Asked::Nothing };
        match watch.until(&look) {
            Watched::ToTheEnd => Ok(()),
            Watched::Left => grow(threads, &further, run, watch),
        }
    })
}

/// Begins the first connection, and the part that finds its work.
fn begin<'scope, R: Connecting, F: FnOnce() + Send + 'scope>(
    threads: &'scope thread::Scope<'scope, '_>,
    ending: Arc<Ending<'scope, R, F>>,
    beside: Beside<impl FnOnce() + Send + 'scope>,
) -> io::Result<()> {
    let first = match beside {
        Beside::First(beside) => Some(beside),
        Beside::Thread(beside) => {
            let ending = Arc::clone(&ending);
            thread::Builder::new().name(String::from("walk")).spawn_scoped(threads, move || {
                let _guard = ending.guard();
                beside();
            })?;
            None
        }
    };
    let run = ending.run;
    let begun = named(0).spawn_scoped(threads, move || {
        let _guard = ending.guard();
        if let Some(beside) = first {
            beside();
        }
        connect(0, threads, &ending);
        run.demand().wait_for_others();
    });
    // The walk waits for connections.
    begun.map(|_| ()).inspect_err(|_| run.stop(ConnectionError::Stopped))
}

/// Begins the further connections, and tells the observer to the end.
fn grow<'scope, R: Connecting, F: FnOnce() + Send + 'scope>(
    threads: &'scope thread::Scope<'scope, '_>,
    ending: &Weak<Ending<'scope, R, F>>,
    run: &R,
    watch: Watch<'_>,
) -> io::Result<()> {
    let connections = run.shared().connections;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(connections - 1)
        .thread_name(|index| format!("connection-{}", index + 1))
        .build();
    match pool {
        Ok(pool) => pool.in_place_scope(move |scope| {
            let _guard = StopOnPanic(|| run.stop(ConnectionError::Stopped));
            for slot in 1..connections {
                // If the run is over by now, nobody has it any more.
                let Some(ending) = ending.upgrade() else { break };
                scope.spawn(move |_| {
                    let _guard = ending.guard();
                    connect(slot, threads, &ending);
                });
            }
            run.demand().have_begun();
            watch.finish();
            Ok(())
        }),
        Err(error) => {
            run.stop(ConnectionError::Stopped);
            watch.finish();
            Err(io::Error::other(error))
        }
    }
}

/// The thread of a slot.
fn named(slot: usize) -> thread::Builder {
    thread::Builder::new().name(format!("connection-{slot}"))
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
        // A run that gets no more threads goes on with those that it has.
        let _ = named(slot).spawn_scoped(threads, move || {
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::super::scripted::{Course, LOST, SENSELESS, Scripted, Step, ends};
    use super::*;
    use crate::report::note::Note;

    fn note() -> Note {
        Note::NotDirect(String::new())
    }

    /// Calls a function for each note.
    struct OnNote<F>(F);

    impl<F: FnMut()> Observer for OnNote<F> {
        fn note(&mut self, _: &Note) {
            (self.0)();
        }
    }

    #[test]
    fn further_connections_have_the_work_of_a_first_one_that_is_given_up() {
        let course =
            Course { result: Ok(()), has_progress: true, culprit_gone: false, finishes: true };
        // The first connection is lost, and not taken again.
        let steps = [ends(Err(LOST)), Step::Refused(SENSELESS), Step::Greeted(course)];
        let run = Scripted { on_demand: true, ..Scripted::new(2, steps) };
        let after = AtomicBool::new(false);
        // The observer's thread comes to the further connection only when the first one has ended, or does so just now.
        run.progress.note(note());
        let is_given_up = || !run.given_back.lock().unwrap().is_empty();
        let mut observer = OnNote(|| {
            while !is_given_up() {
                thread::yield_now();
            }
        });
        let ended = || {
            assert_eq!(run.left(), 0);
            after.store(true, Ordering::Relaxed);
        };
        let beside = Beside::Thread(|| {});
        carry_out(&run, run.take_events(), &mut observer, beside, ended).unwrap();
        assert!(after.into_inner());
    }

    #[test]
    fn further_connections_stay_away_without_demand() {
        let run = Scripted { on_demand: true, ..Scripted::new(3, [ends(Ok(())), ends(Ok(()))]) };
        let first = || assert_eq!(run.left(), 2, "it comes before the first connection");
        carry_out(&run, run.take_events(), &mut (), Beside::First(first), || {}).unwrap();
        assert_eq!(run.left(), 1);
    }

    #[test]
    fn observer_that_panics_leaves_no_thread_waiting_for_room_in_the_queue() {
        // With a pool, and before there is one.
        for on_demand in [false, true] {
            let (over, is_over) = channel();
            thread::spawn(move || {
                let steps = [ends(Ok(())), ends(Ok(()))];
                let run = Scripted { on_demand, ..Scripted::new(2, steps) };
                run.reached.announce("group");
                let walk = || (0..10_000).for_each(|_| run.progress.note(note()));
                let mut broken = OnNote(|| panic!("the observer is broken"));
                let beside = Beside::Thread(walk);
                let events = run.take_events();
                let carry_out = || carry_out(&run, events, &mut broken, beside, || {});
                let _ = over.send(catch_unwind(AssertUnwindSafe(carry_out)).is_err());
            });
            assert_eq!(is_over.recv_timeout(Duration::from_secs(60)), Ok(true), "{on_demand}");
        }
    }
}
