//! Usages against what is on the disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::task::Waker;

use rustix::fs::Mode;
use tempfile::TempDir;

use super::*;
use crate::store::Store;

fn limits(root: Option<&str>, bytes: u64, files: u64) -> Limits {
    let root = root.map(|root| Name::parse(root.as_bytes()).unwrap());
    let account = root.as_ref().map_or_else(|| String::from("all"), Name::to_string);
    Limits { account, root, bytes: Some(bytes), files: Some(files) }
}

fn store(place: &TempDir) -> Arc<Store> {
    Arc::new(Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap())
}

/// The use of a quota, once it is counted.
fn used(store: &Store, account: &str) -> (u64, u64) {
    let usage = store.quotas.of(account).unwrap();
    let (bytes, files) = usage.told();
    (bytes.unwrap().used, files.unwrap().used)
}

/// Stops the thread that counts, also if a test fails: otherwise the test would wait for it.
struct Stop<'a>(&'a Store);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop_counting();
    }
}

/// Runs the thread that counts for as long as `wait` takes.
fn counting<T>(store: &Arc<Store>, wait: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        scope.spawn(|| store.count());
        let _stop = Stop(store);
        wait()
    })
}

fn until_known(store: &Store, account: &str) {
    let usage = store.quotas.of(account).unwrap();
    while !usage.is_known(Waker::noop()) {
        std::thread::yield_now();
    }
}

/// A deep tree, a directory with more entries than are read at once between two that have directories, links out of the root,
/// a directory that nobody may enter: all of it counts, `.haul` does not, and no link is followed.
#[test]
fn tree_is_counted_whole_however_deep_and_wide_it_is() {
    let (place, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(outside.path().join("large"), [0; 100_000]).unwrap();
    let mut deep = place.path().join("in");
    for _ in 0..200 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), [0; 7]).unwrap();
    for at in 0..3000 {
        let name = place.path().join(format!("in/{at:0100}"));
        match at % 100 {
            0 => fs::create_dir_all(name.join("inner")).unwrap(),
            _ => fs::write(name, [0; 3]).unwrap(),
        }
    }
    symlink(outside.path(), place.path().join("in/link")).unwrap();
    let target = outside.path().as_os_str().len() as u64;
    let store = store(&place);
    store.quotas.set(vec![limits(Some("in"), 1 << 30, 1 << 20), limits(None, 1 << 30, 1 << 20)]);
    counting(&store, || ["in", "all"].iter().for_each(|account| until_known(&store, account)));
    let inside = (7 + 2970 * 3 + target, 200 + 1 + 2970 + 2 * 30 + 1);
    assert_eq!(used(&store, "in"), inside);
    assert_eq!(used(&store, "all"), (inside.0, inside.1 + 1));
}

/// The server neither misses nor counts twice the files that it adds while it counts.
#[test]
fn files_that_come_during_a_count_are_counted_once() {
    let place = TempDir::new().unwrap();
    for at in 0..2000 {
        fs::write(place.path().join(format!("{at}")), [0; 10]).unwrap();
    }
    let store = store(&place);
    store.quotas.set(vec![limits(None, 1 << 30, 1 << 20)]);
    let parents = store.parents();
    let added = counting(&store, || {
        let usage = store.quotas.of("all").unwrap();
        let mut added = 0;
        while added < 500 || !usage.is_known(Waker::noop()) {
            let name = Name::parse(format!("new-{added}").as_bytes()).unwrap();
            let attributes = haul_protocol::Attributes::default();
            let staged = store.stage_whole(&parents, &name, &attributes, &[0; 5]).unwrap();
            let change = crate::store::Change::File { staged, name };
            store.apply(&parents, change).unwrap();
            added += 1;
        }
        assert!(used(&store, "all") >= (20_000 + 5 * added, 2000 + added));
        // Nobody can tell for one tick of the clock: then there is another count.
        while usage.is_wanted() {
            std::thread::yield_now();
        }
        added
    });
    assert_eq!(used(&store, "all"), (20_000 + 5 * added, 2000 + added));
}

#[test]
fn amount_is_reserved_in_all_usages_or_in_none() {
    let place = TempDir::new().unwrap();
    let store = store(&place);
    store.quotas.set(vec![limits(None, 100, 10), limits(Some("a"), 50, 10)]);
    let parents = store.parents();
    let share =
        |name: &str, size| store.share(&parents, &Name::parse(name.as_bytes()).unwrap(), size);
    let first = share("a/x", 40).unwrap();
    let refused = share("a/y", 20).unwrap_err();
    assert!(matches!(refused, StoreError::AccountFull { account, .. } if account == "a"));
    assert_eq!((used(&store, "all"), used(&store, "a")), ((40, 1), (40, 1)));
    let other = share("b", 60).unwrap();
    assert!(share("c", 1).is_err() && share("a/z", 0).is_ok());
    drop((first, other));
    assert_eq!((used(&store, "all"), used(&store, "a")), ((0, 0), (0, 0)));
}

#[test]
fn draft_of_one_account_is_known_when_that_of_another_in_the_same_home_is_gone() {
    let (quotas, name) = (Quotas::default(), Name::parse(b"site").unwrap());
    let one = quotas.draft(("home", "1~one"), &name, None);
    let other = quotas.draft(("home", "2~other"), &name, None);
    quotas.forget_draft(("home", "2~other"));
    assert!(Arc::ptr_eq(&one, &quotas.draft(("home", "1~one"), &name, Some("path"))));
    assert!(!Arc::ptr_eq(&other, &quotas.draft(("home", "2~other"), &name, Some("path"))));
}
