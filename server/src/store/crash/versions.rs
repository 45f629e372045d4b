//! Versions of a directory on a disk that may crash at any moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;

use haul_protocol::{Attributes, Entry, EntryKind, Mtime, Name, Token};
use rustix::fs::Mode;
use tempfile::TempDir;

use super::model::{Disk, every_crash, in_memory, start, stop};
use super::{Op, record};
use crate::store::{
    Adopted, Change, Closed, Committing, Earlier, Rollback, Store, StoreError, Swap, Version,
};

const SEED: u64 = 0x5eed;

/// The files of each version under two names, one of which never changes.
const VERSIONS: [&[u8]; 3] = [b"one", b"two", b"three"];
const SAME: &[u8] = b"same";

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn store(root: &Path) -> Arc<Store> {
    Arc::new(Store::open(root, Mode::from_raw_mode(0o022), true, 0).unwrap())
}

fn attributes() -> Attributes {
    Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1, ns: 2 }) }
}

/// Puts a version together and swaps it in.
/// A directory that nobody changes.
fn closed(store: &Arc<Store>, of: &str) -> Closed {
    let closed = Closed::begin(store, &name(of), Waker::noop()).unwrap();
    assert!(closed.is_over());
    closed
}

fn publish(store: &Arc<Store>, committing: &mut Committing<'_>, number: u8) {
    let token = Token([number; 16]);
    let version = Version::open(
        closed(store, "www/site"),
        &store.parents(),
        Earlier::Any,
        (token, &crate::store::Owner::default()),
    )
    .unwrap();
    let version = Arc::new(version);
    let (next, bytes) = (version.parents(), VERSIONS[usize::from(number)]);
    let put = |to: &str, bytes: &[u8]| {
        let staged = store.stage_whole(&next, &name(to), &attributes(), bytes).unwrap();
        store.apply_unseen(&next, Change::File { staged, name: name(to) }).unwrap();
    };
    put("changes", bytes);
    let (kind, Attributes { mode, mtime }) =
        (EntryKind::File { size: 4, digest: None }, attributes());
    let entry = Entry { name: name("d/same"), kind, mode, mtime };
    let adopted = version.present().map(|present| {
        let verdict = store.compare(&present, &entry).unwrap();
        store.adopt(&present, &next, &entry, 4, verdict).unwrap()
    });
    match adopted {
        Some(Adopted::Yes) => {}
        // Entries from the model have modes and mtimes of their own.
        Some(_) | None => put("d/same", SAME),
    }
    let attributes = Attributes { mode: Some(0o755), mtime: None };
    let swap = Swap::new(version, attributes, Some(number.into()));
    committing.commit(vec![Change::Version(Box::new(swap))]).pop().unwrap().unwrap();
}

/// A rollback with the token of this number.
fn rollback(number: u8, again: bool) -> Change {
    let (token, facts) = (Token([number; 16]), Arc::default());
    let replaces = crate::store::Replaces::Anything;
    let name = name("www/site");
    let wanted = Rollback { name, again, token, repeated: false, replaces, facts };
    Change::Rollback { wanted: Box::new(wanted), closed: None }
}

/// Three versions, and back to the second.
fn published(root: &TempDir) -> (Disk, Vec<Op>) {
    let store = store(root.path());
    let mut committing = Committing::new(&store);
    let disk = start(root.path());
    for (number, told) in ["first", "second", "third"].into_iter().enumerate() {
        publish(&store, &mut committing, u8::try_from(number).unwrap());
        record(|| Op::Told(told));
    }
    let back = rollback(7, false);
    committing.commit(vec![back]).pop().unwrap().unwrap();
    record(|| Op::Told("back"));
    (disk, stop())
}

/// The version that is there, whole; `None`: none yet.
fn version_of(found: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Option<usize> {
    let file = |name: &str| found.get(name.as_bytes()).and_then(Clone::clone);
    let Some(changes) = file("www/site/changes") else {
        assert!(!found.contains_key(&b"www/site"[..]), "a version with nothing in it: {found:?}");
        return None;
    };
    assert_eq!(file("www/site/d/same").as_deref(), Some(SAME), "a mixture: {found:?}");
    let version = VERSIONS.iter().position(|bytes| **bytes == *changes);
    assert!(version.is_some(), "a version that nobody made: {found:?}");
    version
}

#[test]
fn every_crash_leaves_one_version_whole_and_what_was_told() {
    let root = in_memory();
    let (disk, ops) = published(&root);
    assert!(ops.iter().any(|op| matches!(op, Op::SecondName { .. })), "nothing was taken over");
    let states = every_crash(&disk, &ops, SEED, |disk, told| {
        let found = version_of(&disk.published());
        let allowed: &[Option<usize>] = match told.last() {
            None => &[None, Some(0)],
            Some(&"first") => &[Some(0), Some(1)],
            Some(&"second") => &[Some(1), Some(2)],
            Some(&"third") => &[Some(2), Some(1)],
            _ => &[Some(1)],
        };
        assert!(allowed.contains(&found), "{found:?} after {told:?}");
    });
    assert!(states > 30, "only {states} states: is anything recorded?");
}

#[test]
fn recovery_settles_every_crash_and_the_next_version_can_come() {
    let root = in_memory();
    let (disk, ops) = published(&root);
    every_crash(&disk, &ops, SEED, |disk, told| {
        let before = version_of(&disk.published());
        let place = in_memory();
        disk.materialize(place.path());
        let read = |name: &str| std::fs::read(place.path().join(name)).ok();
        let store = store(place.path());
        let now = read("www/site/changes")
            .map(|bytes| VERSIONS.iter().position(|v| **v == *bytes).unwrap());
        assert_eq!(now, before, "the start has changed what is seen, after {told:?}");
        for home in std::fs::read_dir(place.path().join(".haul/trees")).unwrap() {
            for entry in std::fs::read_dir(home.unwrap().path()).unwrap() {
                let entry = entry.unwrap().file_name().into_string().unwrap();
                assert!(!entry.starts_with("ready-") && !entry.starts_with("back-"), "{entry}");
                assert!(before.is_some() || !entry.starts_with("done-"), "nothing was published");
            }
        }
        let mut committing = Committing::new(&store);
        publish(&store, &mut committing, 2);
        assert_eq!(read("www/site/changes").as_deref(), Some(VERSIONS[2]));
        if before.is_some() {
            let back = rollback(8, false);
            committing.commit(vec![back]).pop().unwrap().unwrap();
            let there = read("www/site/changes");
            assert_eq!(there.as_deref(), before.map(|version| VERSIONS[version]), "after {told:?}");
        }
    });
}

/// A rollback that has happened is never repeated unasked, and one that has not is not refused.
#[test]
fn every_crash_leaves_it_known_whether_the_last_exchange_was_a_rollback() {
    let root = in_memory();
    let (disk, ops) = published(&root);
    let (mut done, mut undone) = (0, 0);
    every_crash(&disk, &ops, SEED, |disk, told| {
        let Some(before) = version_of(&disk.published()) else { return };
        let place = in_memory();
        disk.materialize(place.path());
        let store = store(place.path());
        let mut committing = Committing::new(&store);
        let mut roll_back = |number, again| {
            let result = committing.commit(vec![rollback(number, again)]).pop().unwrap();
            let there = std::fs::read(place.path().join("www/site/changes")).unwrap();
            (result, VERSIONS.iter().position(|version| **version == *there).unwrap())
        };
        // Only the rollback comes after the third version.
        if told.contains(&"third") && before == 1 {
            done += 1;
            let (result, now) = roll_back(9, false);
            let Err(StoreError::RolledBack { facts, .. }) = result else { panic!("{result:?}") };
            assert_eq!((facts.files, now), (Some(1), 1), "after {told:?}");
            assert!(facts.published.is_some());
            let (result, now) = roll_back(7, false);
            assert!(result.is_ok() && now == 1, "the request that was made once more: {result:?}");
            let (result, now) = roll_back(9, true);
            assert!(result.is_ok() && now == 2, "{result:?}");
            let (result, now) = roll_back(9, true);
            assert!(result.is_ok() && now == 2, "that one once more: {result:?}");
            let (result, now) = roll_back(10, false);
            assert!(matches!(result, Err(StoreError::RolledBack { .. })) && now == 2);
        } else if before > 0 {
            undone += 1;
            let (result, now) = roll_back(9, false);
            assert!(result.is_ok() && now == before - 1, "{result:?} after {told:?}");
        }
    });
    assert!(done > 3 && undone > 3, "{done} and {undone} states");
}

/// The model must find what a flush is for.
#[test]
fn swap_before_the_flush_is_found() {
    let root = in_memory();
    let (disk, ops) = published(&root);
    let without: Vec<Op> = ops.into_iter().filter(|op| *op != Op::SyncAll).collect();
    let all = std::panic::AssertUnwindSafe(|| {
        every_crash(&disk, &without, SEED, |disk, _| {
            version_of(&disk.published());
        })
    });
    assert!(std::panic::catch_unwind(all).is_err());
}

/// A publish of another directory does not concern it.
#[test]
fn version_that_nobody_came_back_for_goes_while_others_are_put_together() {
    let root = TempDir::new().unwrap();
    let store = store(root.path());
    let open = |of: &str, token| {
        Version::open(
            closed(&store, of),
            &store.parents(),
            Earlier::Any,
            (Token([token; 16]), &crate::store::Owner::default()),
        )
    };
    let (old, other) = (open("old", 1).unwrap(), open("other", 2).unwrap());
    for version in [&old, &other] {
        let staged = store.stage_whole(&version.parents(), &name("f"), &attributes(), b"f");
        let change = Change::File { staged: staged.unwrap(), name: name("f") };
        store.apply_unseen(&version.parents(), change).unwrap();
    }
    drop(old);
    store.forget_versions(std::time::Duration::ZERO).unwrap();
    assert!(!open("old", 3).unwrap().resumed);
    drop(other);
    assert!(open("other", 4).unwrap().resumed);
}
