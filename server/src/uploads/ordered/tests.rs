//! Uploads that several requests are about.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use haul_protocol::{Digest, Name, OrderedHasher};
use rustix::fs::Mode;
use tempfile::TempDir;

use super::*;
use crate::store::{FoundOrdered, Key, OrderedFacts, Store};

/// Counts how often it is woken.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Fixture {
    _root: TempDir,
    store: Arc<Store>,
    ordered: Ordered,
    token: Token,
}

const PART: u64 = 1024;

fn name() -> Name {
    Name::parse(b"a").unwrap()
}

impl Fixture {
    fn begin() -> (Self, Using) {
        let root = tempfile::tempdir().unwrap();
        let mode = Mode::from_raw_mode(0o022);
        let store = Arc::new(Store::open(root.path(), mode, false, 0).unwrap());
        let facts = OrderedFacts::default();
        let key = Key::ordered(&name(), (3000, PART), Token([1; 16]), None, facts.clone());
        let partial = store.begin_ordered(&store.parents(), &key, &name()).unwrap();
        let token = Token::parse(key.id()).unwrap();
        let fixture = Self { _root: root, store, ordered: Ordered::default(), token };
        let Entered::Begun(busy) = fixture.enter(Waker::noop()) else { panic!("it is in use") };
        let upload = OrderedUpload { name: name(), account: None, size: Some(3000), facts };
        let hasher = OrderedHasher::new(PART).unwrap();
        let using = busy.open(Receiving::new(upload, partial, hasher, Waker::noop()));
        (fixture, using)
    }

    fn enter(&self, waker: &Waker) -> Entered {
        self.ordered.enter(self.token, None, waker)
    }

    /// The upload, found by its files.
    fn find(&self) -> Using {
        let Entered::Begun(busy) = self.enter(Waker::noop()) else { panic!("it is in use") };
        let id = Name::parse(self.token.to_string().as_bytes()).unwrap();
        let mut reading = self.store.ordered_journal(&id).unwrap().unwrap();
        while reading.advance(&id, &mut [0; 100]).unwrap() > 0 {}
        let found = self.store.ordered(&self.store.parents(), &id, reading).unwrap();
        let Some(FoundOrdered::Partial(upload, mut restoring)) = found else { panic!("{found:?}") };
        loop {
            match restoring.advance(&mut [0; 300]).unwrap() {
                Ok((next, _)) => restoring = next,
                Err((partial, hasher)) => {
                    return busy.open(Receiving::new(upload, partial, hasher, Waker::noop()));
                }
            }
        }
    }
}

fn write(using: &Using, bytes: &[u8]) -> Result<(), Refusal> {
    using.receiving().write(using.turn(), bytes).map(drop)
}

fn offset(using: &Using) -> u64 {
    using.progress().unwrap().0
}

#[test]
fn bytes_of_a_request_that_is_cut_off_count() {
    let (fixture, using) = Fixture::begin();
    write(&using, &[7; 700]).unwrap();
    drop(using);
    let using = fixture.find();
    assert_eq!(offset(&using), 700);
    write(&using, &[7; 1348]).unwrap();
    drop(using);
    let using = fixture.find();
    assert_eq!(offset(&using), 2048);
    write(&using, &[7; 952]).unwrap();
    using.receiving().settle(using.turn()).unwrap();
    let (_, publishing) = using.commit(None).unwrap();
    assert_eq!(publishing.file(), (Digest::of(&[7; 3000]), 3000));
    assert!(matches!(fixture.enter(Waker::noop()), Entered::Waits(_)), "until the change is over");
    drop(publishing);
    assert!(matches!(fixture.enter(Waker::noop()), Entered::Begun(_)));
}

#[test]
fn newer_request_has_the_upload_and_the_older_one_is_woken_and_writes_no_more() {
    let (fixture, using) = Fixture::begin();
    write(&using, &[7; 100]).unwrap();
    let counts = Arc::new(Counts::default());
    let Entered::Open(middle) = fixture.enter(&counts.clone().into()) else { panic!("not open") };
    assert!(write(&using, &[8; 100]).is_err());
    assert_eq!((offset(&middle), counts.0.load(Ordering::Relaxed)), (100, 0));
    let Entered::Open(newest) = fixture.enter(Waker::noop()) else { panic!("not open") };
    assert_eq!(counts.0.load(Ordering::Relaxed), 1);
    assert!(write(&middle, &[8; 100]).is_err());
    write(&newest, &[9; 100]).unwrap();
    // The older one tells its client no offset of the newer one's.
    assert!(middle.progress().is_err() && middle.discard().is_err());
    drop(using);
    write(&newest, &[9; 100]).unwrap();
    drop(newest);
    assert_eq!(offset(&fixture.find()), 300);
}

/// A request comes between the moment when another one takes the upload for its file, and the one when it is busy.
#[test]
fn request_that_comes_while_the_upload_becomes_a_file_waits_for_the_file() {
    let (fixture, using) = Fixture::begin();
    write(&using, &[7; 3000]).unwrap();
    let (partial, ..) = using.receiving.take_whole(using.turn).unwrap();
    let counts = Arc::new(Counts::default());
    let waiting = fixture.enter(&counts.clone().into());
    assert!(matches!(waiting, Entered::Waits(_)));
    assert_eq!(counts.0.load(Ordering::Relaxed), 0);
    let busy = using.busy();
    drop(using);
    partial.close();
    assert_eq!(counts.0.load(Ordering::Relaxed), 0);
    drop(busy);
    assert_eq!(counts.0.load(Ordering::Relaxed), 1);
    assert!(matches!(fixture.enter(Waker::noop()), Entered::Begun(_)));
}

#[test]
fn nothing_is_kept_of_requests_that_end_while_they_wait() {
    let (fixture, using) = Fixture::begin();
    write(&using, &[7; 3000]).unwrap();
    let (_, publishing) = using.commit(None).unwrap();
    let counts = Arc::new(Counts::default());
    let waits = |counts: &Arc<Counts>| {
        let entered = fixture.enter(&counts.clone().into());
        assert!(matches!(entered, Entered::Waits(_)));
        entered
    };
    let stays = waits(&counts);
    for _ in 0..3 {
        drop(waits(&counts));
    }
    assert_eq!((fixture.ordered.waiting(fixture.token), Arc::strong_count(&counts)), (1, 2));
    drop(publishing);
    assert_eq!((counts.0.load(Ordering::Relaxed), Arc::strong_count(&counts)), (1, 1));
    drop(stays);
}

#[test]
fn bytes_that_are_checked_count_only_once_they_are_right() {
    let (fixture, using) = Fixture::begin();
    write(&using, &[7; 100]).unwrap();
    using.receiving().begin_check(using.turn()).unwrap();
    write(&using, &[8; 2000]).unwrap();
    using.receiving().roll_back(using.turn());
    assert_eq!(offset(&using), 100);
    // Cut off, and taken over.
    using.receiving().begin_check(using.turn()).unwrap();
    write(&using, &[8; 2000]).unwrap();
    drop(using);
    let using = fixture.find();
    assert_eq!(offset(&using), 100);
    using.receiving().begin_check(using.turn()).unwrap();
    write(&using, &[8; 2000]).unwrap();
    let Entered::Open(newer) = fixture.enter(Waker::noop()) else { panic!("not open") };
    assert_eq!(offset(&newer), 100);
    newer.receiving().begin_check(newer.turn()).unwrap();
    write(&newer, &[9; 2900]).unwrap();
    newer.receiving().settle(newer.turn()).unwrap();
    drop((using, newer));
    let using = fixture.find();
    assert_eq!(offset(&using), 3000);
    let mut all = vec![7; 100];
    all.resize(3000, 9);
    assert_eq!(using.commit(None).unwrap().1.file().0, Digest::of(&all));
}

#[test]
fn upload_of_another_account_is_unknown_and_goes_on() {
    let (fixture, using) = Fixture::begin();
    let entered = fixture.ordered.enter(fixture.token, Some("bob"), Waker::noop());
    assert!(matches!(entered, Entered::Unknown));
    write(&using, &[7; 100]).unwrap();
    // The sweeper removes nothing that is in use.
    assert!(fixture.ordered.alone(&fixture.token.to_string()).is_none());
    drop(using);
    assert!(fixture.ordered.alone(&fixture.token.to_string()).is_some());
}
