//! Usages against what is on the disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use rustix::fd::OwnedFd;
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
    while usage.told() == (None, None) {
        std::thread::yield_now();
    }
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
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
        until_known(&store, "all");
        usage.has_at_most();
        store.quotas.wanted.ring();
        let mut added = 0;
        while added < 500 || usage.is_wanted() && added < 2000 {
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

/// A file is on the disk, and the server has not told of it yet: a count that would begin then waits.
#[test]
fn file_that_is_not_told_yet_when_a_count_begins_is_counted_once() {
    let place = TempDir::new().unwrap();
    let store = store(&place);
    store.quotas.set(vec![limits(None, 1 << 30, 1 << 20)]);
    let usage = store.quotas.of("all").unwrap();
    store.count_one(&usage, false, &|| true);
    let amount = Some(Amount::file(5));
    std::thread::scope(|scope| {
        let comes = || {
            fs::write(place.path().join("a"), [0; 5]).unwrap();
            let count = scope.spawn(|| store.count_one(&usage, false, &|| true));
            // Some ticks of the clock, in which a count that doesn't wait is over.
            let mut ticks = (0, since::tick());
            while ticks.0 < 20 && !count.is_finished() {
                std::thread::yield_now();
                let now = since::tick();
                if now != ticks.1 {
                    ticks = (ticks.0 + 1, now);
                }
            }
            Ok(count)
        };
        let counted = store.counted(&store.parents(), &name("a"), amount, None, comes).unwrap();
        counted.join().unwrap();
    });
    assert_eq!(used(&store, "all"), (5, 1));
}

/// A staged tree has files that are older than a count, and is published after the count has begun.
#[test]
fn tree_that_comes_during_a_count_has_it_counted_again() {
    let place = TempDir::new().unwrap();
    let store = store(&place);
    store.quotas.set(vec![limits(None, 1 << 30, 1 << 20)]);
    let usage = store.quotas.of("all").unwrap();
    store.count_one(&usage, false, &|| true);
    // So many that the walk asks whether it is to go on.
    for at in 0..300 {
        fs::write(place.path().join(format!("{at}")), []).unwrap();
    }
    fs::create_dir(place.path().join(".haul/tree")).unwrap();
    fs::write(place.path().join(".haul/tree/a"), [0; 5]).unwrap();
    let parents = store.parents();
    let has_come = std::cell::Cell::new(false);
    let goes_on = || {
        let now = since::tick();
        let walks = usage.begun().is_some_and(|begun| now > begun);
        if walks && !has_come.replace(true) {
            // Later than the first tick of the count.
            while since::tick() == now {
                std::thread::yield_now();
            }
            fs::rename(place.path().join(".haul/tree"), place.path().join("tree")).unwrap();
            parents.counting().came(b"tree", None, Amount { bytes: 5, files: 2 });
        }
        true
    };
    assert_eq!(store.count_one(&usage, false, &goes_on), count::Counted::AtMost);
    assert!(has_come.get() && usage.is_wanted());
    assert_eq!(store.count_one(&usage, false, &|| true), count::Counted::Exactly);
    assert_eq!(used(&store, "all"), (5, 302));
}

#[test]
fn amount_is_reserved_in_all_usages_or_in_none() {
    let place = TempDir::new().unwrap();
    fs::create_dir(place.path().join("a")).unwrap();
    let store = store(&place);
    store.quotas.set(vec![limits(None, 100, 10), limits(Some("a"), 50, 10)]);
    let parents = store.parents();
    counting(&store, || ["all", "a"].iter().for_each(|account| until_known(&store, account)));
    let share =
        |name: &str, size| store.share(&parents, &Name::parse(name.as_bytes()).unwrap(), size);
    let first = share("a/x", 40).unwrap();
    let refused = share("a/y", 20).unwrap_err();
    assert!(matches!(refused, StoreError::AccountFull { account, .. } if account == "a"));
    assert_eq!((used(&store, "all"), used(&store, "a")), ((40, 2), (40, 1)));
    let other = share("b", 60).unwrap();
    assert!(share("c", 1).is_err() && share("a/z", 0).is_ok());
    drop((first, other));
    assert_eq!((used(&store, "all"), used(&store, "a")), ((0, 1), (0, 0)));
}

#[test]
fn draft_of_one_account_is_known_when_that_of_another_in_the_same_home_is_gone() {
    let (quotas, name) = (Quotas::default(), Name::parse(b"site").unwrap());
    let one = quotas.draft(("home", "1~one"), &name, false);
    let other = quotas.draft(("home", "2~other"), &name, false);
    quotas.forget_draft(("home", "2~other"));
    assert!(Arc::ptr_eq(&one, &quotas.draft(("home", "1~one"), &name, true)));
    assert!(!Arc::ptr_eq(&other, &quotas.draft(("home", "2~other"), &name, true)));
}

/// Nobody can open a path of more than 4,096 bytes.
#[test]
fn tree_is_counted_whole_below_the_longest_path_too() {
    let place = TempDir::new().unwrap();
    let flags = rustix::fs::OFlags::DIRECTORY;
    let open = |directory: &OwnedFd, name: &str| {
        rustix::fs::openat(directory, name, flags, Mode::empty()).unwrap()
    };
    let mut directory = OwnedFd::from(fs::File::open(place.path()).unwrap());
    let level = "d".repeat(200);
    for at in 0..60 {
        rustix::fs::mkdirat(&directory, &level, Mode::RWXU).unwrap();
        directory = open(&directory, &level);
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        let file = rustix::fs::openat(&directory, format!("{at}"), flags, Mode::RUSR).unwrap();
        rustix::io::write(file, &[0; 10]).unwrap();
    }
    let store = store(&place);
    store.quotas.set(vec![limits(None, 1 << 30, 1 << 20)]);
    counting(&store, || until_known(&store, "all"));
    assert_eq!(used(&store, "all"), (600, 120));
}

/// Other identities and more connections change nothing about that.
#[test]
fn partials_of_a_file_that_is_there_count_whole_and_one_at_a_time_is_spared_the_file() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("file"), [0; 60]).unwrap();
    let store = store(&place);
    store.quotas.set(vec![limits(None, 100, 100)]);
    counting(&store, || until_known(&store, "all"));
    let parents = store.parents();
    let promise = |id: &str, size| store.promise(&parents, id, &name("file"), size);
    promise("one", 70).unwrap();
    assert_eq!(used(&store, "all"), (130, 2));
    for id in ["two", "three"] {
        let refused = promise(id, 70);
        assert!(
            matches!(
                refused,
                Err(StoreError::AccountReplaces { .. } | StoreError::AccountFull { .. })
            ),
            "{refused:?}"
        );
    }
    assert!(matches!(promise("two", 40), Err(StoreError::AccountReplaces { .. })));
    // The quota has room for a smaller one beside the file.
    promise("small", 30).unwrap();
    assert_eq!(used(&store, "all"), (160, 3));
    drop(store.quotas.take_promise("one"));
    promise("two", 70).unwrap();
}

/// An account whose quota is 100 bytes, and that has a file of 60, which is not counted yet.
fn with_a_file() -> (TempDir, Arc<Store>) {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("file"), [0; 60]).unwrap();
    let store = store(&place);
    store.quotas.set(vec![limits(None, 100, 100)]);
    (place, store)
}

/// It is not taken for an empty one.
#[test]
fn account_grows_only_when_its_files_are_counted() {
    let (_place, store) = with_a_file();
    let parents = store.parents();
    let refused = store.share(&parents, &name("new"), 1);
    assert!(matches!(refused, Err(StoreError::AccountUncounted { .. })), "{refused:?}");
    assert_eq!(store.quotas.of("all").unwrap().told(), (None, None));
    counting(&store, || until_known(&store, "all"));
    assert!(store.share(&parents, &name("new"), 41).is_err());
    assert!(store.share(&parents, &name("new"), 40).is_ok());
}

/// Directories that are renamed all the time make two counts void, and wait for the third one.
#[test]
fn count_ends_whatever_is_renamed_meanwhile() {
    let place = TempDir::new().unwrap();
    for at in 0..2000 {
        fs::create_dir_all(place.path().join(format!("{at}/d"))).unwrap();
    }
    let store = store(&place);
    store.quotas.set(vec![limits(None, 1 << 30, 1 << 20)]);
    let parents = store.parents();
    let (mut from, mut to) = (name("0/d"), name("1999/e"));
    let mut refusals = 0;
    counting(&store, || {
        while store.quotas.of("all").unwrap().told() == (None, None) {
            let rename = || {
                fs::rename(place.path().join(from.to_string()), place.path().join(to.to_string()))
            };
            let renamed = store.counted_rename(&parents, (&from, &to), || {
                rename().unwrap();
                Ok(())
            });
            match renamed {
                Ok(()) => std::mem::swap(&mut from, &mut to),
                Err(error) => {
                    assert!(matches!(error, StoreError::AccountUncounted { .. }), "{error}");
                    refusals += 1;
                }
            }
        }
    });
    assert_eq!(used(&store, "all"), (0, 4000));
    assert!(refusals > 0);
    store.quotas.may_move(&from).unwrap();
}

/// The next try after a refusal is right, whenever the count was due.
#[test]
fn refusal_has_the_files_counted_at_once_if_there_may_be_room() {
    let (place, store) = with_a_file();
    let parents = store.parents();
    counting(&store, || {
        until_known(&store, "all");
        fs::remove_file(place.path().join("file")).unwrap();
        let usage = store.quotas.of("all").unwrap();
        // Nobody rings for the count, which is due in an hour.
        while usage.is_wanted() {
            std::thread::yield_now();
        }
        usage.has_at_most();
        assert!(store.share(&parents, &name("new"), 70).is_err());
        let begun = std::time::Instant::now();
        while usage.is_wanted() && begun.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        assert!(!usage.is_wanted(), "it is not counted");
        assert!(store.share(&parents, &name("new"), 70).is_ok());
    });
}

#[test]
fn share_does_not_outlive_the_quota_that_it_is_of() {
    let place = TempDir::new().unwrap();
    let store = store(&place);
    let quotas = || store.quotas.set(vec![limits(None, 100, 100)]);
    quotas();
    counting(&store, || until_known(&store, "all"));
    store.promise(&store.parents(), "id", &name("file"), 70).unwrap();
    assert_eq!(store.quotas.promises(), 1);
    store.quotas.set(Vec::new());
    assert_eq!(store.quotas.promises(), 0);
    // A quota of the same name that comes later knows nothing of it.
    quotas();
    assert_eq!(store.quotas.promises(), 0);
}
