//! The two state machines that threads share, in every order in which threads may run (loom).
//!
//! They are compiled here a second time, with loom's locks in place of the real ones.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod locks {
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};

    /// The ranks of the server's locks, which it checks itself.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Rank {
        Queue,
        Ownership,
        Test,
    }

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(_: Rank, value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).unwrap()
        }
    }
}

#[path = "../src/runtime/ownership.rs"]
mod ownership;
#[path = "../src/commit/queue.rs"]
mod queue;

use loom::sync::Arc;
use loom::thread;

use locks::{AtomicUsize, Condvar, Mutex, Ordering, Rank};
use ownership::Ownership;
use queue::Queue;

/// A poller with one source: armed once, it fires once.
struct Poller {
    fired: Mutex<usize>,
    event: Condvar,
}

impl Poller {
    fn new() -> Self {
        Self { fired: Mutex::new(Rank::Test, 0), event: Condvar::new() }
    }

    fn arm(&self) {
        *self.fired.lock() += 1;
        self.event.notify_one();
    }

    fn wait(&self) {
        let mut fired = self.fired.lock();
        while *fired == 0 {
            fired = self.event.wait(fired);
        }
        *fired -= 1;
    }
}

/// A connection, the completions that are left for it, and how many have been taken.
struct Setup {
    connection: Ownership<Arc<AtomicUsize>>,
    poller: Poller,
    completions: Mutex<usize>,
    taken: AtomicUsize,
}

impl Setup {
    fn new() -> Arc<Self> {
        let running = Arc::new(AtomicUsize::new(0));
        let connection = Ownership::running();
        assert!(connection.park(running, || {}).is_none());
        Arc::new(Self {
            connection,
            poller: Poller::new(),
            completions: Mutex::new(Rank::Test, 0),
            taken: AtomicUsize::new(0),
        })
    }

    /// What the committer does when a change is done.
    fn complete(&self) {
        *self.completions.lock() += 1;
        self.connection.wake(|| self.poller.arm());
    }

    /// What a worker does with one event: runs the connection until it parks. It is armed for
    /// nothing, so only wake-ups run it.
    fn work(&self) {
        self.poller.wait();
        let mut running = self.connection.take();
        while let Some(connection) = running.take() {
            assert_eq!(connection.fetch_add(1, Ordering::SeqCst), 0, "two workers run it");
            let taken = std::mem::take(&mut *self.completions.lock());
            self.taken.fetch_add(taken, Ordering::SeqCst);
            assert_eq!(connection.fetch_sub(1, Ordering::SeqCst), 1);
            running = self.connection.park(connection, || {});
        }
    }
}

/// However a wake-up falls together with a turn, what it was for is taken.
#[test]
fn no_wake_up_is_lost_and_nobody_runs_what_another_runs() {
    loom::model(|| {
        let setup = Setup::new();
        let committer = {
            let setup = Arc::clone(&setup);
            thread::spawn(move || {
                setup.complete();
                setup.complete();
            })
        };
        let worker = {
            let setup = Arc::clone(&setup);
            thread::spawn(move || setup.work())
        };
        committer.join().unwrap();
        worker.join().unwrap();
        // The second wake-up was for a turn that went on, or has armed the poller once more.
        if setup.taken.load(Ordering::SeqCst) < 2 {
            setup.work();
        }
        assert_eq!(setup.taken.load(Ordering::SeqCst), 2);
    });
}

/// Two events for one connection: one worker runs it, the other finds it taken.
#[test]
fn two_workers_never_run_one_connection() {
    loom::model(|| {
        let setup = Setup::new();
        setup.poller.arm();
        setup.poller.arm();
        *setup.completions.lock() = 1;
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let setup = Arc::clone(&setup);
                thread::spawn(move || setup.work())
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(setup.taken.load(Ordering::SeqCst), 1);
        // Nothing arms or runs what is over.
        setup.connection.close();
        setup.complete();
        assert!(setup.connection.take().is_none());
        assert_eq!(*setup.poller.fired.lock(), 0);
    });
}

/// Every job is taken once, in the order of each who adds; a stop ends it only when all is done.
#[test]
fn every_job_is_handed_over_once_and_in_order() {
    loom::model(|| {
        let queue = Arc::new(Queue::new(10));
        let adder = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.add(("adder", 1), 1, 1);
                queue.add(("adder", 2), 1, 1);
            })
        };
        let committer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut all = Vec::new();
                while let Some(jobs) = queue.take(2) {
                    assert!(!jobs.is_empty() && jobs.len() <= 2);
                    let more = queue.take_now(1);
                    assert!(more.len() <= 1);
                    let _ = queue.done(jobs.len() + more.len());
                    all.extend(jobs);
                    all.extend(more);
                }
                all
            })
        };
        queue.add(("main", 1), 1, 1);
        adder.join().unwrap();
        queue.stop();
        let all = committer.join().unwrap();
        let of = |who| all.iter().filter(|job| job.0 == who).map(|job| job.1).collect::<Vec<_>>();
        assert_eq!((of("adder"), of("main")), (vec![1, 2], vec![1]));
    });
}

/// Who was told that the queue is full is told when it is not.
#[test]
fn whoever_waits_for_room_is_woken() {
    loom::model(|| {
        let queue = Arc::new(Queue::new(3));
        queue.add((), 4, 1);
        let committer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let jobs = queue.take(1).unwrap();
                queue.done(4 * jobs.len())
            })
        };
        let waits = queue.is_full(7, false);
        let woken = committer.join().unwrap();
        assert_eq!(waits, woken.contains(&7));
    });
}

/// Whoever has something in the queue waits; whoever has nothing may add something, up to twice as much.
#[test]
fn full_queue_keeps_out_who_is_in_it() {
    loom::model(|| {
        let queue = Queue::new(3);
        queue.add((), 3, 1);
        assert!(queue.is_full(1, false) && !queue.is_full(2, true));
        queue.add((), 3, 1);
        assert!(queue.is_full(2, true) && queue.unfinished() == 6);
        // Each is woken when there is room for it.
        assert_eq!(queue.take(1).map(|jobs| jobs.len()), Some(1));
        assert_eq!((queue.done(1), queue.done(1), queue.done(1)), (vec![2], vec![], vec![]));
        assert_eq!(queue.done(1), [1]);
    });
}

/// A group ends with the job that makes it cost enough.
#[test]
fn group_is_bounded_by_what_its_jobs_cost() {
    loom::model(|| {
        let queue = Queue::new(100);
        for cost in [1, 1, 64, 1] {
            queue.add(cost, 1, cost);
        }
        assert_eq!(queue.take(10), Some(vec![1, 1, 64]));
        assert_eq!(queue.take_now(10), [1]);
    });
}

/// After the grace time of a stop nothing is taken any more.
#[test]
fn jobs_of_an_abandoned_queue_are_dropped() {
    loom::model(|| {
        let queue = Arc::new(Queue::new(10));
        queue.add("taken", 1, 1);
        let committer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut taken = 0;
                while let Some(jobs) = queue.take(1) {
                    taken += jobs.len();
                }
                taken
            })
        };
        let dropped = queue.abandon();
        assert_eq!(committer.join().unwrap() + dropped, 1);
    });
}
