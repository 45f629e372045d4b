//! Directories with a draft: nobody changes the present version meanwhile, since a change that was told to be done would
//! be gone when the versions change places.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use haul_protocol::Name;

use crate::locks::{Condvar, Held, Mutex, Rank, RwLock};
use crate::store::error::StoreError;

/// The names of these directories, and how many changes are under way.
///
/// A change holds no lock while it waits for the disk: otherwise a publish that begins would wait for the slowest
/// change, and everybody for the publish. It is counted instead, in one of two counters that take turns: the thread
/// that closes a directory makes later changes count in the other one and waits until the first is 0.
#[derive(Debug)]
pub(crate) struct Guard {
    names: RwLock<Vec<Guarded>>,
    /// Changes under way.
    inside: [AtomicUsize; 2],
    /// The counter, of both, for changes that begin now; changed while `names` is locked for writing.
    counter: AtomicUsize,
    /// Held by the thread that waits for a counter.
    turn: Mutex<()>,
    /// Somebody waits until changes are over.
    is_awaited: AtomicBool,
    /// For the waiting.
    over: (Mutex<()>, Condvar),
    /// How often versions have changed places: a handle from before may lead to an old one.
    swaps: AtomicU64,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            names: RwLock::new(Rank::Guard, Vec::new()),
            inside: Default::default(),
            counter: AtomicUsize::new(0),
            turn: Mutex::new(Rank::GuardTurn, ()),
            is_awaited: AtomicBool::new(false),
            over: (Mutex::new(Rank::GuardOver, ()), Condvar::new()),
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

/// A permit to change something, which takes effect while the permit is held.
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
            let _over = self.guard.over.0.lock();
            self.guard.over.1.notify_all();
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
        self.enter_unless(|guarded| is_at_or_below(top, guarded) || is_at_or_below(guarded, top))
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

    /// From when this returns, nothing changes there any more. `false`: somebody else has it, something in it,
    /// or something that it is in.
    pub(in crate::store) fn close(&self, name: &Name) -> bool {
        let _turn = self.turn.lock();
        let mut names = self.names.write();
        if names.iter().any(|other| meet(name, &other.name)) {
            return false;
        }
        names.push(Guarded { name: name.clone(), is_wanted: AtomicBool::new(false) });
        let counter = self.counter.load(Ordering::Acquire);
        self.counter.store(1 - counter, Ordering::Release);
        drop(names);
        self.is_awaited.store(true, Ordering::SeqCst);
        let mut over = self.over.0.lock();
        while self.inside[counter].load(Ordering::SeqCst) > 0 {
            over = self.over.1.wait(over);
        }
        self.is_awaited.store(false, Ordering::SeqCst);
        true
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

    /// Versions have changed places.
    pub(in crate::store) fn swapped(&self) {
        self.swaps.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that has happened.
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

    /// A publish waits for the changes that are under way; changes elsewhere wait for neither.
    #[test]
    fn changes_elsewhere_go_on_while_a_publish_waits_for_a_slow_one() {
        let guard = Guard::default();
        let slow = guard.enter(&name("a/slow")).unwrap();
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| guard.close(&name("a")));
            while !guard.is_closed(|_| true) {
                std::thread::yield_now();
            }
            assert!(guard.inside[0].load(Ordering::SeqCst) == 1 && !closing.is_finished());
            scope.spawn(|| drop(guard.enter(&name("b")).unwrap())).join().unwrap();
            let refused = scope.spawn(|| guard.enter(&name("a/other")).is_err());
            assert!(refused.join().unwrap());
            assert!(!closing.is_finished());
            drop(slow);
            assert!(closing.join().unwrap());
        });
    }
}
