//! Directories with a draft: nobody changes the present version meanwhile, since a change that was told to be done would
//! be gone when the versions change places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;

use haul_protocol::Name;

use crate::locks::{Held, Mutex, Rank, RwLock};
use crate::store::error::StoreError;

/// The names of these directories, and how many changes are under way.
///
/// A change holds no lock while it waits for the disk: otherwise a publish that begins would wait for the slowest
/// change, and everybody for the publish. It is counted instead, in one of two counters that take turns: whoever
/// closes a directory makes later changes count in the other one, and is woken when the first is 0. Those who close one
/// meanwhile have the next turn together.
#[derive(Debug)]
pub(crate) struct Guard {
    names: RwLock<Vec<Guarded>>,
    /// Changes under way.
    inside: [AtomicUsize; 2],
    /// The counter, of both, for changes that begin now; changed while `names` is locked for writing.
    counter: AtomicUsize,
    /// Somebody waits until changes are over.
    is_awaited: AtomicBool,
    waiting: Mutex<Waiting>,
    /// Number of swaps of versions and of renames of directories: a handle from before the last one may lead to another
    /// directory than its name.
    swaps: AtomicU64,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            names: RwLock::new(Rank::Guard, Vec::new()),
            inside: Default::default(),
            counter: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            waiting: Mutex::new(Rank::GuardOver, Waiting::default()),
            swaps: AtomicU64::new(0),
        }
    }
}

/// One of these directories.
#[derive(Debug)]
struct Guarded {
    name: Name,
    /// A change there was refused.
    is_wanted: AtomicBool,
}

/// Waiters for the end of changes under way.
#[derive(Debug, Default)]
struct Waiting {
    /// For the counter that does not count the changes that begin now.
    now: Vec<Waiter>,
    /// For the other one, which has its turn next.
    next: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    is_over: Arc<AtomicBool>,
    waker: Waker,
}

/// Wakes a thread that waits for nothing else.
struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A permit for one change, which takes effect while the permit is held.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    guard: &'a Guard,
    counter: usize,
    /// A thread that is inside must not wait for changes to be over.
    _held: Held,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let before = self.guard.inside[self.counter].fetch_sub(1, Ordering::SeqCst);
        // A thread that waits says so before the last look at the counter.
        if before == 1 && self.guard.is_awaited.load(Ordering::SeqCst) {
            let names = self.guard.names.write();
            let woken = self.guard.end_waiting();
            drop(names);
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

impl Guard {
    /// A permit to change something, which takes effect while the permit is held.
    pub(in crate::store) fn enter(&self, name: &Name) -> Result<Inside<'_>, StoreError> {
        self.enter_unless(|guarded| is_at_or_below(name, guarded))
    }

    /// The same for a directory that appears with something in it.
    pub(in crate::store) fn enter_tree(&self, top: &Name) -> Result<Inside<'_>, StoreError> {
        self.enter_unless(|guarded| meet(top, guarded))
    }

    /// The same for trees that appear or go.
    pub(in crate::store) fn enter_trees(&self, tops: [&Name; 2]) -> Result<Inside<'_>, StoreError> {
        self.enter_unless(|guarded| tops.into_iter().any(|top| meet(top, guarded)))
    }

    fn enter_unless(
        &self,
        is_in_the_way: impl Fn(&Name) -> bool,
    ) -> Result<Inside<'_>, StoreError> {
        let held = Held::take(Rank::GuardTurn);
        let names = self.names.read();
        if let Some(guarded) = names.iter().find(|guarded| is_in_the_way(&guarded.name)) {
            guarded.is_wanted.store(true, Ordering::Relaxed);
            return Err(StoreError::Publishing { name: guarded.name.to_string() });
        }
        let counter = self.counter.load(Ordering::Acquire);
        self.inside[counter].fetch_add(1, Ordering::SeqCst);
        Ok(Inside { guard: self, counter, _held: held })
    }

    /// No change begins there from now on. Once what is returned is true, none is under way any more; the waker is woken
    /// then. `None`: somebody else has it, something in it, or something that it is in.
    pub(in crate::store) fn begin_closing(
        &self,
        name: &Name,
        waker: &Waker,
    ) -> Option<Arc<AtomicBool>> {
        let mut names = self.names.write();
        if names.iter().any(|other| meet(name, &other.name)) {
            return None;
        }
        names.push(Guarded { name: name.clone(), is_wanted: AtomicBool::new(false) });
        let is_over = Arc::<AtomicBool>::default();
        let waiter = Waiter { is_over: Arc::clone(&is_over), waker: waker.clone() };
        self.waiting.lock().next.push(waiter);
        let woken = self.end_waiting();
        drop(names);
        woken.into_iter().for_each(Waker::wake);
        Some(is_over)
    }

    /// The same for a thread that waits; `false` if the directory can't be closed.
    pub(in crate::store) fn close(&self, name: &Name) -> bool {
        // A change of its own would never be over.
        let _held = Held::take(Rank::GuardTurn);
        let waker = Waker::from(Arc::new(Unparks(std::thread::current())));
        let Some(is_over) = self.begin_closing(name, &waker) else { return false };
        while !is_over.load(Ordering::SeqCst) {
            std::thread::park();
        }
        true
    }

    /// Ends the waiting of those whose changes are over, and begins that of the next ones. The caller holds `names` for
    /// writing, so no change is between its look at the names and its counter.
    fn end_waiting(&self) -> Vec<Waker> {
        let mut waiting = self.waiting.lock();
        let mut woken = Vec::new();
        loop {
            let counter = self.counter.load(Ordering::Acquire);
            if !waiting.now.is_empty() {
                if self.inside[1 - counter].load(Ordering::SeqCst) > 0 {
                    return woken;
                }
                for Waiter { is_over, waker } in waiting.now.drain(..) {
                    is_over.store(true, Ordering::SeqCst);
                    woken.push(waker);
                }
            }
            let next = std::mem::take(&mut waiting.next);
            self.is_awaited.store(!next.is_empty(), Ordering::SeqCst);
            if next.is_empty() {
                return woken;
            }
            self.counter.store(1 - counter, Ordering::Release);
            waiting.now = next;
        }
    }

    /// It may be changed again.
    pub(in crate::store) fn open(&self, name: &Name) {
        self.names.write().retain(|other| other.name != *name);
    }

    /// Whether a change there was refused since it was closed.
    pub(in crate::store) fn is_wanted(&self, name: &Name) -> bool {
        let names = self.names.read();
        names.iter().any(|other| other.name == *name && other.is_wanted.load(Ordering::Relaxed))
    }

    /// Whether a name is closed for which that is true.
    pub(in crate::store) fn is_closed(&self, is_it: impl Fn(&Name) -> bool) -> bool {
        self.names.read().iter().any(|other| is_it(&other.name))
    }

    /// Versions have changed places, or a directory was renamed.
    pub(in crate::store) fn swapped(&self) {
        self.swaps.fetch_add(1, Ordering::AcqRel);
    }

    /// The number of swaps so far.
    pub(in crate::store) fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Acquire)
    }
}

/// Whether one of two names is the other one, or below it.
pub(crate) fn meet(one: &Name, other: &Name) -> bool {
    is_at_or_below(one, other) || is_at_or_below(other, one)
}

/// Whether a name is another one, or below it.
pub(in crate::store) fn is_at_or_below(name: &Name, other: &Name) -> bool {
    let rest = name.as_bytes().strip_prefix(other.as_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_is_there_or_below_is_closed() {
        let guard = Guard::default();
        assert!(guard.close(&name("a/b")));
        for closed in ["a/b", "a/b/c", "a/b/c/d"] {
            assert!(guard.enter(&name(closed)).is_err(), "{closed}");
        }
        for open in ["a", "a/bc", "b", "a/c/b"] {
            assert!(guard.enter(&name(open)).is_ok(), "{open}");
        }
        for taken in ["a", "a/b", "a/b/c"] {
            assert!(!guard.close(&name(taken)), "{taken}");
        }
        assert!(guard.close(&name("a/c")));
        guard.open(&name("a/b"));
        assert!(guard.enter(&name("a/b/c")).is_ok() && guard.close(&name("a/b/c")));
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A publish waits for the changes that are under way; nobody else does, and no thread.
    #[test]
    fn publishes_are_woken_when_a_slow_change_is_over_and_changes_elsewhere_go_on() {
        let guard = Guard::default();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let slow = guard.enter(&name("a/slow")).unwrap();
        let first = guard.begin_closing(&name("a"), &waker).unwrap();
        let others: Vec<_> = ["b", "c"]
            .map(|other| guard.begin_closing(&name(other), &waker).unwrap())
            .into_iter()
            .collect();
        std::thread::scope(|scope| {
            for closed in ["a/other", "b/x", "c"] {
                let refused = scope.spawn(|| guard.enter(&name(closed)).is_err());
                assert!(refused.join().unwrap(), "{closed}");
            }
        });
        // One that began after the first was closed.
        std::thread::scope(|scope| {
            let (started, end) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
            let later = scope.spawn({
                let guard = &guard;
                move || {
                    let _inside = guard.enter(&name("d")).unwrap();
                    started.0.send(()).unwrap();
                    end.1.recv().unwrap_err();
                }
            });
            started.1.recv().unwrap();
            let is = |over: &Arc<AtomicBool>| over.load(Ordering::SeqCst);
            assert!(!is(&first) && woken.0.load(Ordering::SeqCst) == 0);
            drop(slow);
            assert!(is(&first) && woken.0.load(Ordering::SeqCst) == 1);
            assert!(!others.iter().any(is), "a change is under way that began before they did");
            drop(end.0);
            later.join().unwrap();
            assert!(others.iter().all(is) && woken.0.load(Ordering::SeqCst) == 3);
        });
        assert!(guard.close(&name("d")), "nothing is under way");
    }
}
