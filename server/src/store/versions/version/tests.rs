//! Opening a version, with room and without.

use std::fs;
use std::task::Waker;

use haul_protocol::Attributes;
use rustix::fs::Mode;
use tempfile::TempDir;

use super::*;
use crate::store::private::PRIVATE;
use crate::store::recover::TREES;
use crate::store::versions::home::DONE;
use crate::store::{Change, Closed, Owner, Swap};

/// Nor does a worker.
#[test]
fn publish_waits_for_no_change_of_the_version() {
    let root = TempDir::new().unwrap();
    let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
    let (store, name) = (Arc::new(store), Name::parse(b"site").unwrap());
    let closed = Closed::begin(&store, &name, Waker::noop()).unwrap();
    let token = Token([1; 16]);
    let version =
        Version::open(closed, &store.parents(), Earlier::Any, (token, &Owner::default())).unwrap();
    let version = Arc::new(version);
    let publish = || {
        let swap = Swap::new(Arc::clone(&version), Attributes::default(), None);
        store.apply(&store.parents(), Change::Version(Box::new(swap)))
    };
    let change = version.enter().unwrap();
    let refused = std::thread::scope(|scope| scope.spawn(publish).join().unwrap());
    assert!(matches!(refused, Err(StoreError::Publishing { .. })), "{refused:?}");
    drop(change);
    drop(version.enter().expect("it goes on"));
    publish().unwrap();
    assert!(version.is_done() && root.path().join("site").is_dir());
}

/// However long the flush takes, and the publish waits for it: a change that came meanwhile would not be flushed.
#[test]
fn nothing_is_changed_from_when_a_publish_is_asked_for() {
    let root = TempDir::new().unwrap();
    let store = Store::open(root.path(), Mode::from_raw_mode(0o022), true, 0).unwrap();
    let (store, name) = (Arc::new(store), Name::parse(b"site").unwrap());
    let closed = Closed::begin(&store, &name, Waker::noop()).unwrap();
    let version =
        Version::open(closed, &store.parents(), Earlier::Any, (Token([1; 16]), &Owner::default()))
            .unwrap();
    let version = Arc::new(version);
    let swap = || Swap::new(Arc::clone(&version), Attributes::default(), None);
    let (first, again) = (swap(), swap());
    assert!(version.enter().is_err() && version.give_up(std::time::Duration::ZERO).is_none());
    drop(first);
    assert!(version.enter().is_err(), "it is asked for twice");
    drop(again);
    drop(version.enter().expect("nobody asks for it any more"));
}

/// A version in which nothing is takes room as well: its home, its tree, the note of its swap, its name.
#[test]
fn version_for_which_there_is_no_room_is_not_begun() {
    let root = TempDir::new().unwrap();
    let name = Name::parse(b"site").unwrap();
    let trees = || fs::read_dir(root.path().join(".haul/trees")).unwrap().count();
    for (keep_free, fits) in [(u64::MAX, false), (0, true)] {
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, keep_free);
        let store = Arc::new(store.unwrap());
        let closed = Closed::begin(&store, &name, Waker::noop()).unwrap();
        let token = Token([1; 16]);
        let opened =
            Version::open(closed, &store.parents(), Earlier::Any, (token, &Owner::default()));
        match &opened {
            Ok(version) => assert!(fits && version.room.left() > 0, "the swap needs room"),
            Err(error) => assert!(!fits && matches!(error, StoreError::NoRoom { .. })),
        }
        assert_eq!(trees(), usize::from(fits));
        drop(opened);
        assert_eq!(trees(), 0);
        assert!(store.guard.close(&name), "the directory may be changed again");
    }
}

/// A run whose connection was lost, or whose last answer, comes back to a disk that others have filled meanwhile.
#[test]
fn version_that_was_begun_is_asked_for_again_without_room() {
    let root = TempDir::new().unwrap();
    let (name, token) = (Name::parse(b"site").unwrap(), Token([1; 16]));
    let open = |keep_free, earlier| {
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, keep_free);
        let store = Arc::new(store.unwrap());
        let closed = Closed::begin(&store, &name, Waker::noop()).unwrap();
        Version::open(closed, &store.parents(), earlier, (token, &Owner::default()))
    };
    let begun = open(0, Earlier::Any).unwrap();
    let home = root.path().join(".haul/trees").join(&begun.id);
    let tree = home.join(format!("{NEXT}{}-{token}", begun.store.boot_tag()));
    fs::write(tree.join("entry"), "x").unwrap();
    drop(begun);
    let again = open(u64::MAX, Earlier::Tree(token)).unwrap();
    assert!(again.resumed && !again.is_done());
    drop(again);
    // It was published, and nothing of it is there any more.
    fs::remove_dir_all(tree).unwrap();
    fs::write(home.join(format!("{DONE}{token}")), "").unwrap();
    assert!(open(u64::MAX, Earlier::Tree(token)).unwrap().is_done());
    let never = open(u64::MAX, Earlier::Tree(Token([2; 16])));
    assert!(matches!(never, Err(StoreError::VersionGone { .. })), "{never:?}");
}

/// The draft of an account is counted by the next server as well, under the name that its directory has.
#[test]
fn draft_that_another_server_goes_on_with_counts() {
    let root = TempDir::new().unwrap();
    let (name, owner) = (Name::parse(b"site").unwrap(), Owner::of(Some("alice")));
    let open = || {
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let store = Arc::new(store);
        let (account, bytes) = (String::from("alice"), Some(1 << 20));
        let limits = crate::store::quota::Limits { account, root: None, bytes, files: Some(100) };
        store.quotas.set(vec![limits]);
        let closed = Closed::begin(&store, &name, Waker::noop()).unwrap();
        let to = (Token([1; 16]), &owner);
        let version = Version::open(closed, &store.parents(), Earlier::Any, to).unwrap();
        (store, version)
    };
    let (store, version) = open();
    let draft =
        format!("{PRIVATE}/{TREES}/{}/{NEXT}{}-{}", version.id, store.boot_tag(), version.tag);
    fs::write(root.path().join(draft).join("file"), [0; 5]).unwrap();
    drop((version, store));
    let (store, version) = open();
    assert!(version.resumed);
    std::thread::scope(|scope| {
        scope.spawn(|| store.count());
        let usage = store.quotas.of("alice").unwrap();
        while usage.told().0.is_none_or(|bytes| bytes.used == 0) {
            std::thread::yield_now();
        }
        store.stop_counting();
    });
    let (bytes, files) = store.quotas.of("alice").unwrap().told();
    assert_eq!((bytes.unwrap().used, files.unwrap().used), (5, 1));
}
