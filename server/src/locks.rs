//! Locks with a rank: a thread that holds one takes only locks of a higher rank, so no two threads can wait for each
//! other. Debug builds, and with them all tests, panic at the first lock that is taken out of order; release
//! builds check nothing.
//!
//! A thread that panics while it holds a lock leaves the value as it is: every critical section of the server is
//! short, and none of them leaves its value half changed.
//!
//! The two small state machines that threads share (`runtime::ownership`, `commit::queue`) get their locks from
//! here, too; in their tests this module is another one, with the locks of loom, which tries every order.

use std::ops::{Deref, DerefMut};
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

/// The order of all locks, from the first that a thread takes to the last. docs/threads.md, "Locks", says what each
/// is for.
///
/// The locks up to [`Rank::PartialEnd`] may be held while the thread waits for the disk, because only the requests
/// about the same connection, directory or upload need them. A thread holds one of the others during these system
/// calls only: `Mtimes` (`futimens`, `fstat`), `Rights` (`fstat`, `fstatat`, `fchmod`, `unlink`) and `Space` (`fstatvfs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// One reading of the accounts after the other.
    Rereading,
    /// The state of the next version of a directory.
    Version,
    /// A rollback waits until the changes under way are over; a change under way counts as holding this.
    GuardTurn,
    /// One change after the other where names are not compared by their bytes.
    Spelling,
    /// One change after the other of the properties that only clients know.
    Properties,
    /// An upload whose bytes come in order: its partial, and how far it is.
    Ordered,
    /// The partial of an upload: writers share it, a commit has it alone.
    Partial,
    /// The table of the parts of an upload.
    Parts,
    /// One write after the other to the file of an upload.
    WriteTurn,
    /// The end of an upload's journal.
    PartialEnd,
    /// One change after the other of those that count for a quota.
    Count,
    /// A file that mtimes are tried on.
    Mtimes,
    /// The logins of connections.
    Logins,
    /// The table of accounts.
    Accounts,
    /// Logins that have failed.
    Failures,
    /// The budgets of accounts, and one of them: connections and bytes a second.
    Budgets,
    Budget,
    /// The seats of connections, and those that wait for one.
    Seats,
    /// The sessions of browsers.
    Sessions,
    /// The table of directories that are being published.
    Publications,
    /// The newest connection of each client and slot.
    Fences,
    /// A connection's right to change anything ([`crate::services::fence`]).
    Fence,
    /// The table of uploads.
    Uploads,
    /// The table of uploads whose bytes come in order.
    OrderedTable,
    /// The connection that has opened an upload last.
    UploadOwner,
    /// The names of the directories that are being published.
    Guard,
    /// For waiting until changes are over.
    GuardOver,
    /// Directories that are opened up for their own owner.
    Rights,
    /// Names that were sorted for a list.
    Lists,
    /// Free room on the disk.
    Space,
    /// Shares of quotas that partials and drafts have, and that of one draft.
    Promised,
    Drafted,
    /// The directories with a quota, and the usage of one of them.
    Quotas,
    Usage,
    /// The bell that wakes the thread that counts.
    Counter,
    /// The bell that wakes the sweeper.
    Bell,
    /// The committer's queue.
    Queue,
    /// The table of connections.
    Slots,
    /// The owner of a connection.
    Ownership,
    /// Results that the committer has left for a connection.
    Completions,
    /// Connections whose turn was over.
    SlowLane,
    /// The buffers that workers read into.
    Buffers,
    /// The questions to the hook `before-put`, and the answers to one of them.
    HookQueue,
    HookAnswer,
    /// The spool of the hook `on-commit`.
    Hooks,
    /// The audit log.
    Audit,
    /// Lines of the access log that wait.
    Access,
    /// The certificate that new connections see.
    Certificate,
    /// The pin of the key that comes next.
    NextPin,
    /// The settings that may change.
    Tuning,
    /// A connection as those who watch see it.
    Seen,
    /// The last look at the disk, for those who watch.
    Disk,
    /// The last failure of a hook.
    HookFailure,
    /// The places for open files. Nothing is locked under it.
    Places,
}

/// The locks that this thread holds.
#[cfg(debug_assertions)]
mod held {
    use super::Rank;
    use std::cell::RefCell;

    thread_local! {
        static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
    }

    /// One lock that this thread holds, until it is dropped.
    #[derive(Debug)]
    pub(crate) struct Held(Rank);

    impl Held {
        /// To be called before a lock is waited for.
        pub(crate) fn take(rank: Rank) -> Self {
            HELD.with_borrow_mut(|held| {
                let highest = held.iter().max();
                assert!(
                    highest.is_none_or(|highest| *highest < rank),
                    "the lock {rank:?} is taken out of order, under {held:?}"
                );
                held.push(rank);
            });
            Self(rank)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            HELD.with_borrow_mut(|held| {
                if let Some(at) = held.iter().rposition(|rank| *rank == self.0) {
                    held.remove(at);
                }
            });
        }
    }
}

#[cfg(not(debug_assertions))]
mod held {
    /// Nothing is checked.
    #[derive(Debug)]
    pub(crate) struct Held;

    impl Held {
        pub(crate) fn take(_: super::Rank) -> Self {
            Self
        }
    }
}

pub(crate) use held::Held;

/// [`std::sync::Mutex`] with a rank.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    rank: Rank,
    inner: std::sync::Mutex<T>,
}

/// [`std::sync::RwLock`] with a rank. Nobody may take it twice, not even to read: a writer that waits between the two
/// would wait for ever.
#[derive(Debug)]
pub(crate) struct RwLock<T> {
    rank: Rank,
    inner: std::sync::RwLock<T>,
}

/// The lock is given back when this is dropped; `G` is the guard of the standard library.
#[derive(Debug)]
pub(crate) struct Guard<G> {
    inner: G,
    // After the guard, so that the lock is free when this thread may take the next one.
    _held: Held,
}

pub(crate) type MutexGuard<'a, T> = Guard<std::sync::MutexGuard<'a, T>>;
pub(crate) type ReadGuard<'a, T> = Guard<std::sync::RwLockReadGuard<'a, T>>;
pub(crate) type WriteGuard<'a, T> = Guard<std::sync::RwLockWriteGuard<'a, T>>;

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl<T> Mutex<T> {
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: std::sync::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let held = Held::take(self.rank);
        Guard { inner: self.inner.lock().unwrap_or_else(PoisonError::into_inner), _held: held }
    }
}

impl<T> RwLock<T> {
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: std::sync::RwLock::new(value) }
    }

    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        let held = Held::take(self.rank);
        Guard { inner: self.inner.read().unwrap_or_else(PoisonError::into_inner), _held: held }
    }

    /// As [`read`](Self::read), if nobody has it for writing just now.
    pub(crate) fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        let held = Held::take(self.rank);
        let inner = match self.inner.try_read() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Guard { inner, _held: held })
    }

    /// As [`write`](Self::write), if nobody has it just now.
    pub(crate) fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        let held = Held::take(self.rank);
        let inner = match self.inner.try_write() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Guard { inner, _held: held })
    }

    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        let held = Held::take(self.rank);
        Guard { inner: self.inner.write().unwrap_or_else(PoisonError::into_inner), _held: held }
    }
}

/// [`std::sync::Condvar`] for a [`Mutex`] with a rank. The thread keeps its other locks while it waits: none of them may
/// be one that the thread that ends the waiting needs.
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(std::sync::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let Guard { inner, _held } = guard;
        Guard { inner: self.0.wait(inner).unwrap_or_else(PoisonError::into_inner), _held }
    }

    /// Waits for so long at most while `condition` holds.
    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        let Guard { inner, _held } = guard;
        let waited = self.0.wait_timeout_while(inner, timeout, condition);
        Guard { inner: waited.unwrap_or_else(PoisonError::into_inner).0, _held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_order_and_given_back_in_any() {
        let (low, high) = (Mutex::new(Rank::Fences, 1), RwLock::new(Rank::Uploads, 2));
        let (one, other) = (low.lock(), high.read());
        assert_eq!(*one + *other, 3);
        drop(one);
        drop(other);
        let _other = high.write();
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "the lock Fences is taken out of order, under [Uploads]")]
    fn lock_out_of_order_is_a_panic_though_nobody_waits() {
        let (low, high) = (Mutex::new(Rank::Fences, ()), Mutex::new(Rank::Uploads, ()));
        let _high = high.lock();
        let _low = low.lock();
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "the lock Version is taken out of order, under [Version]")]
    fn lock_taken_twice_is_a_panic_also_to_read() {
        let lock = RwLock::new(Rank::Version, ());
        let _one = lock.read();
        let _other = lock.read();
    }
}
