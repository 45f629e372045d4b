//! The store on a disk that may crash at any moment.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use haul_protocol::{Attributes, Cv, Digest, Geometry, LinkTarget, Mtime, Name, merge};
use rustix::fs::Mode;
use tempfile::TempDir;

use super::model::{Disk, every_crash, in_memory, start, stop};
use super::{Op, forget_births, record};
use crate::store::{Change, Committing, Fresh, Key, Partial, Resumed, Store};

const SEED: u64 = 0x5eed;

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn store(root: &TempDir) -> Arc<Store> {
    Arc::new(Store::open(root.path(), Mode::from_raw_mode(0o022), true, 0).unwrap())
}

fn told(what: &'static str) {
    record(|| Op::Told(what));
}

/// Everything that a name may ever hold, and what must be there once something was told.
#[derive(Debug, Default)]
struct Expected {
    versions: BTreeMap<&'static str, Vec<&'static [u8]>>,
    /// The answers that were told, and the oldest version that they promise.
    promises: Vec<(&'static str, &'static str, usize)>,
}

impl Expected {
    fn check(&self, disk: &Disk, told: &[&str]) {
        let published = disk.published();
        for (found, bytes) in &published {
            let found = std::str::from_utf8(found).unwrap();
            let Some(bytes) = bytes else { continue };
            let versions = &self.versions[found];
            assert!(versions.contains(&&bytes[..]), "P1: {found} is neither old nor new");
        }
        for (what, promised, version) in &self.promises {
            let versions = &self.versions[promised];
            let at_least = if told.contains(what) { *version } else { 0 };
            let found = published.get(promised.as_bytes()).and_then(Option::as_ref);
            let version = versions.iter().position(|bytes| found.is_some_and(|f| f == bytes));
            // An empty first version stands for: nothing is there.
            let version = version.unwrap_or(0);
            assert!(
                version >= at_least,
                "P3: {what} was told, but {promised} is version {version}"
            );
            let lost = !versions[0].is_empty() && found.is_none();
            assert!(!lost, "P2: {promised} is gone");
        }
    }
}

/// Two groups of small changes: a file replaced, new files in new directories, a link.
fn small_changes(root: &TempDir, at_once: bool, unnamed: bool) -> (Disk, Vec<Op>, Expected) {
    std::fs::write(root.path().join("old"), b"old bytes").unwrap();
    let mut store = Arc::into_inner(store(root)).unwrap();
    store.staging.unnamed = unnamed;
    let store = Arc::new(store);
    let mut committing = Committing::at_once(&store, if at_once { 1 } else { usize::MAX });
    let disk = start(root.path());
    let parents = store.parents();
    let file = |to: &str, bytes: &[u8]| {
        let attributes = Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1, ns: 2 }) };
        let staged = store.stage_whole(&store.parents(), &name(to), &attributes, bytes).unwrap();
        Change::File { staged, name: name(to) }
    };
    // A directory that somebody made and nobody has flushed.
    store
        .apply(
            &parents,
            Change::Directory {
                name: name("made"),
                mode: None,
                replace: false,
                replaces: crate::store::Replaces::Anything,
            },
        )
        .unwrap();
    let first = vec![file("old", b"new bytes"), file("d/e/f", b"deep")];
    let (nothing, group) = committing.flush(first);
    assert!(nothing.is_empty());
    committing.apply(group);
    let link = LinkTarget::parse(b"old").unwrap();
    let second = vec![
        file("made/g", b"inside"),
        Change::Link {
            name: name("d/link"),
            target: link,
            mtime: None,
            replaces: crate::store::Replaces::Anything,
        },
        file("old", b"newest"),
    ];
    let (results, group) = committing.flush(second);
    assert_eq!(results.len(), 2);
    results.into_iter().for_each(|result| result.unwrap());
    told("first");
    committing.apply(group);
    let (results, _) = committing.flush(Vec::new());
    assert_eq!(results.len(), 3);
    results.into_iter().for_each(|result| result.unwrap());
    told("second");
    let ops = stop();
    let mut expected = Expected::default();
    expected.versions.insert("old", vec![b"old bytes", b"new bytes", b"newest"]);
    expected.versions.insert("d/e/f", vec![b"", b"deep"]);
    expected.versions.insert("made/g", vec![b"", b"inside"]);
    expected.versions.insert("d/link", vec![b"", b"-> old"]);
    expected.promises = vec![
        ("first", "old", 1),
        ("first", "d/e/f", 1),
        ("second", "old", 2),
        ("second", "made/g", 1),
        ("second", "d/link", 1),
    ];
    (disk, ops, expected)
}

#[test]
fn every_crash_of_small_changes_keeps_the_promises() {
    for (at_once, unnamed) in [(false, false), (false, true), (true, false), (true, true)] {
        let root = in_memory();
        let (disk, ops, expected) = small_changes(&root, at_once, unnamed);
        assert_eq!(ops.iter().any(|op| matches!(op, Op::Link { .. })), unnamed);
        // The names of the first group go with the files of the second.
        let all = ops.iter().filter(|op| **op == Op::SyncAll).count();
        assert_eq!(all, if at_once { 3 } else { 0 });
        let states = every_crash(&disk, &ops, SEED, |disk, told| expected.check(disk, told));
        assert!(states > 25, "only {states} states: is anything recorded?");
    }
}

/// One group: two trees that both bring `new`, so that the second is merged into the first; and one of
/// a single file.
fn trees(root: &TempDir, at_once: bool) -> (Disk, Vec<Op>, Expected) {
    let store = store(root);
    let mut committing = Committing::at_once(&store, if at_once { 1 } else { usize::MAX });
    let disk = start(root.path());
    let parents = store.parents();
    let attributes = Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1, ns: 2 }) };
    let tree = |directory: &str, files: &[&str]| {
        let mut fresh = Fresh::new(&store);
        assert!(fresh.directory(&parents, &name(directory), None));
        for file in files {
            assert!(fresh.file(&name(&format!("{directory}/{file}")), &attributes, b"bytes", None));
        }
        Change::Tree(Box::new(fresh.take().unwrap()))
    };
    let first = tree("new/x", &["a", "b"]);
    let merged = tree("new/y", &["c", "d"]);
    let results = committing.commit(vec![first, merged]);
    assert_eq!(results.len(), 6);
    results.into_iter().for_each(|result| result.unwrap());
    told("several");
    let results = committing.commit(vec![tree("one", &["e"])]);
    assert_eq!(results.len(), 2);
    results.into_iter().for_each(|result| result.unwrap());
    told("one");
    let mut expected = Expected::default();
    for (what, file) in
        [("several", "new/x/a"), ("several", "new/y/d"), ("several", "new/y/c"), ("one", "one/e")]
    {
        expected.promises.push((what, file, 1));
    }
    for file in ["new/x/a", "new/x/b", "new/y/c", "new/y/d", "one/e"] {
        expected.versions.insert(file, vec![b"", b"bytes"]);
    }
    (disk, stop(), expected)
}

#[test]
fn every_crash_of_trees_keeps_the_promises() {
    for at_once in [false, true] {
        let root = in_memory();
        let (disk, ops, expected) = trees(&root, at_once);
        // The many in any case, for their files are closed; the one only if that is how it is done.
        let all = ops.iter().filter(|op| **op == Op::SyncAll).count();
        assert_eq!(all, if at_once { 4 } else { 1 });
        let states = every_crash(&disk, &ops, SEED, |disk, told| expected.check(disk, told));
        assert!(states > 25, "only {states} states: is anything recorded?");
    }
}

/// A file that is so large that its digest is kept: alone, in a tree, in parts.
fn kept_digest(store: &Arc<Store>, way: usize) -> Change {
    let parents = store.parents();
    let bytes = vec![7; 131_073];
    let digest = Digest::of(&bytes);
    let attributes = Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1, ns: 2 }) };
    if way == 0 {
        let staged = store.stage_whole(&parents, &name("file"), &attributes, &bytes).unwrap();
        staged.keep_digest(Some(digest));
        return Change::File { staged, name: name("file") };
    }
    if way == 1 {
        let mut fresh = Fresh::new(store);
        assert!(fresh.directory(&parents, &name("new"), None));
        assert!(fresh.file(&name("new/file"), &attributes, &bytes, Some(digest)));
        return Change::Tree(Box::new(fresh.take().unwrap()));
    }
    let (large, geometry) = (name("large"), Geometry::new(131_073, 131_072).unwrap());
    let key = Key::new(&large, geometry, "fingerprint", (None, "identity"));
    let opened = store.partial(&parents, &key, &large, (geometry, false), None).unwrap();
    let Resumed::Partial(partial, _) = opened else { panic!("it is new") };
    partial.write_at(&large, 0, &bytes).unwrap();
    Change::Upload(Box::new(partial.finish(large, &attributes, digest).unwrap()))
}

#[test]
fn no_crash_leaves_a_digest_with_bytes_that_are_not_its_own() {
    for (way, at_once) in [(0, false), (0, true), (1, false), (1, true), (2, false)] {
        let root = in_memory();
        let store = store(&root);
        let mut committing = Committing::at_once(&store, if at_once { 1 } else { usize::MAX });
        let disk = start(root.path());
        let change = kept_digest(&store, way);
        for result in committing.commit(vec![change]) {
            result.unwrap();
        }
        let ops = stop();
        let kept = ops.iter().filter(|op| matches!(op, Op::KeepDigest { .. })).count();
        assert_eq!(kept, 1, "{way}: does the file system have user attributes?");
        let mut most = 0;
        every_crash(&disk, &ops, SEED, |disk, _| {
            let (fit, count) = disk.digests_fit();
            assert!(fit, "{way}: a digest is there, and its bytes are not");
            most = most.max(count);
        });
        assert_eq!(most, 1, "{way}");
    }
}

/// One group in which a name stands for two directories: both of them are flushed.
#[test]
fn every_crash_of_a_directory_made_again_keeps_the_promises() {
    let root = in_memory();
    let store = store(&root);
    let mut committing = Committing::at_once(&store, usize::MAX);
    let disk = start(root.path());
    let file = |to: String| {
        let staged = store
            .stage_whole(&store.parents(), &name(&to), &Attributes::default(), b"bytes")
            .unwrap();
        Change::File { staged, name: name(&to) }
    };
    let gone = |what| Change::Remove { name: name(what) };
    let mut changes = vec![file("d/a".into()), gone("d/a"), gone("d")];
    // So many that the handle on the first is not kept.
    changes.extend((0..10).map(|other| file(format!("{other}/x"))));
    changes.extend([file("d/b".into())]);
    let results = committing.commit(changes);
    results.into_iter().for_each(|result| result.unwrap());
    told("all");
    let ops = stop();
    let mut expected = Expected::default();
    let names =
        ["d/a", "d/b", "0/x", "1/x", "2/x", "3/x", "4/x", "5/x", "6/x", "7/x", "8/x", "9/x"];
    for file in names {
        expected.versions.insert(file, vec![b"", b"bytes"]);
    }
    expected.promises = vec![("all", "d/b", 1), ("all", "9/x", 1)];
    let states = every_crash(&disk, &ops, SEED, |disk, told| expected.check(disk, told));
    assert!(states > 25, "only {states} states: is anything recorded?");
}

/// Trap `no_btime_known_durable`: on a file system without times of birth a new directory can look just like one that
/// has gone, whose entry was durable; the new one's is not.
#[test]
fn no_btime_known_durable() {
    forget_births();
    let root = in_memory();
    let store = store(&root);
    let mut committing = Committing::at_once(&store, usize::MAX);
    let disk = start(root.path());
    let file = |to: &str| {
        let staged = store
            .stage_whole(&store.parents(), &name(to), &Attributes::default(), b"bytes")
            .unwrap();
        Change::File { staged, name: name(to) }
    };
    committing.commit(vec![file("d/a")]).remove(0).unwrap();
    for gone in ["d/a", "d"] {
        committing.commit(vec![Change::Remove { name: name(gone) }]).remove(0).unwrap();
    }
    committing.commit(vec![file("d/b")]).remove(0).unwrap();
    told("all");
    let ops = stop();
    let mut expected = Expected::default();
    for file in ["d/a", "d/b"] {
        expected.versions.insert(file, vec![b"", b"bytes"]);
    }
    expected.promises = vec![("all", "d/b", 1)];
    let states = every_crash(&disk, &ops, SEED, |disk, told| expected.check(disk, told));
    assert!(states > 3, "only {states} states: is anything recorded?");
}

/// A tree that appears before its entries are flushed.
#[test]
fn tree_renamed_before_its_flush_is_found() {
    let root = in_memory();
    let (disk, mut ops, expected) = trees(&root, true);
    let rename = ops.iter().position(|op| matches!(op, Op::Rename { .. })).unwrap();
    let op = ops.remove(rename);
    let sync = ops.iter().position(|op| *op == Op::SyncAll).unwrap();
    assert!(sync < rename, "a tree is flushed before it is renamed");
    ops.insert(sync, op);
    let found = breaks(&disk, &ops, &expected).unwrap();
    assert!(found.starts_with("P1"), "{found}");
}

/// Whether the model finds that a record breaks a promise.
fn breaks(disk: &Disk, ops: &[Op], expected: &Expected) -> Option<String> {
    let all = || every_crash(disk, ops, SEED, |disk, told| expected.check(disk, told));
    let panic = catch_unwind(AssertUnwindSafe(all)).err()?;
    Some(panic.downcast_ref::<String>().unwrap().clone())
}

#[test]
fn rename_before_fsync_is_found() {
    let root = in_memory();
    let (disk, mut ops, expected) = small_changes(&root, false, false);
    let rename = ops.iter().position(|op| matches!(op, Op::Rename { .. })).unwrap();
    let op = ops.remove(rename);
    let sync = ops.iter().position(|op| matches!(op, Op::Sync { .. })).unwrap();
    assert!(sync < rename, "a file is flushed before it is renamed");
    ops.insert(sync, op);
    let found = breaks(&disk, &ops, &expected).unwrap();
    assert!(found.starts_with("P1"), "{found}");
}

/// The same of a file without a name.
#[test]
fn link_before_fsync_is_found() {
    let root = in_memory();
    let (disk, mut ops, expected) = small_changes(&root, false, true);
    let link = ops.iter().position(|op| matches!(op, Op::Link { .. })).unwrap();
    let op = ops.remove(link);
    let Op::Link { file, .. } = &op else { unreachable!() };
    let sync = ops.iter().position(|op| *op == Op::Sync { object: *file }).unwrap();
    assert!(sync < link, "a file is flushed before it is linked");
    // The old file is replaced: what names it for a moment is followed by a rename.
    let rename = ops.iter().position(|op| matches!(op, Op::Rename { .. })).unwrap();
    let rename = ops.remove(rename);
    ops.splice(sync..sync, [op, rename]);
    let found = breaks(&disk, &ops, &expected).unwrap();
    assert!(found.starts_with("P1"), "{found}");
}

/// Trap `parent_entry_not_synced`: the file is flushed, the new directory above it is not.
#[test]
fn parent_entry_not_synced() {
    let root = in_memory();
    let (disk, ops, expected) = small_changes(&root, false, true);
    let directories: Vec<usize> = ops
        .iter()
        .filter_map(|op| match op {
            Op::MakeDirectory { parent, .. } => Some(*parent),
            _ => None,
        })
        .collect();
    for parent in directories {
        let without: Vec<Op> =
            ops.iter().filter(|op| **op != Op::Sync { object: parent }).cloned().collect();
        let found = breaks(&disk, &without, &expected).unwrap();
        assert!(found.starts_with("P3"), "{found}");
    }
}

/// A large file of four parts, flushed after two.
struct Large {
    bytes: Vec<u8>,
    geometry: Geometry,
    cvs: Vec<Cv>,
    key: Key,
    attributes: Attributes,
}

impl Large {
    fn new() -> Self {
        let bytes: Vec<u8> = (0..3500_u32).map(|i| (i % 251) as u8 + 1).collect();
        let geometry = Geometry::new(bytes.len() as u64, 1024).unwrap();
        let cvs = (0..geometry.parts())
            .map(|part| {
                let mut hasher = geometry.hasher(part).unwrap();
                assert!(hasher.update(Self::slice(&bytes, geometry, part)));
                hasher.finish().unwrap()
            })
            .collect();
        let key = Key::new(&name("large"), geometry, "fingerprint", (None, "identity"));
        let attributes = Attributes { mode: None, mtime: Some(Mtime { s: 5, ns: 6 }) };
        Self { bytes, geometry, cvs, key, attributes }
    }

    fn slice(bytes: &[u8], geometry: Geometry, part: usize) -> &[u8] {
        let range = geometry.range(part).unwrap();
        &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
    }

    /// These parts are on the disk as they should be.
    fn are_there(&self, partial: &Path, held: &[(usize, Cv)]) {
        let bytes = std::fs::read(partial).unwrap();
        for &(part, cv) in held {
            assert_eq!(cv, self.cvs[part]);
            let expected = Self::slice(&self.bytes, self.geometry, part);
            let range = self.geometry.range(part).unwrap();
            let at = usize::try_from(range.start).unwrap();
            assert_eq!(&bytes[at..at + expected.len()], expected, "part {part} is not there");
        }
    }

    /// The partial, and the parts that it holds. `None`: the file was committed.
    fn open(&self, store: &Arc<Store>) -> Option<(Partial, Vec<(usize, Cv)>)> {
        let name = name("large");
        let mut read = store.journal(&self.key, &name).unwrap();
        while let Some(reading) = &mut read
            && reading.advance(&name, &mut [0; 100]).unwrap() > 0
        {}
        let how = (self.geometry, false);
        let opened = store.partial(&store.parents(), &self.key, &name, how, read);
        let Resumed::Partial(partial, mut verifying) = opened.unwrap() else { return None };
        while !verifying.is_over() {
            verifying.advance(&partial, &name, self.geometry, &mut [0; 1000]).unwrap();
        }
        Some((partial, verifying.held()))
    }
}

#[test]
fn every_crash_of_a_large_upload_keeps_the_promises() {
    let root = in_memory();
    std::fs::write(root.path().join("large"), b"old").unwrap();
    let (store, large) = (store(&root), Large::new());
    let disk = start(root.path());
    let (partial, held) = large.open(&store).unwrap();
    assert_eq!(held, []);
    for part in [0, 2, 1, 3] {
        let range = large.geometry.range(part).unwrap();
        let bytes = Large::slice(&large.bytes, large.geometry, part);
        partial.write_at(&name("large"), range.start, bytes).unwrap();
        partial.hold(&name("large"), part, large.cvs[part], range).unwrap();
        if part == 2 {
            partial.flush(&name("large")).run().unwrap();
        }
    }
    let digest = Digest::of(&large.bytes);
    assert_eq!(merge(&large.cvs), Some(digest));
    let finished = partial.finish(name("large"), &large.attributes, digest).unwrap();
    let mut committing = Committing::new(&store);
    for result in committing.commit(vec![Change::Upload(Box::new(finished))]) {
        result.unwrap();
    }
    told("committed");
    drop(committing);
    let ops = stop();
    let whole: &'static [u8] = large.bytes.clone().leak();
    let mut expected = Expected::default();
    expected.versions.insert("large", vec![b"old", whole]);
    expected.promises = vec![("committed", "large", 1)];
    let mut offered = 0;
    every_crash(&disk, &ops, SEED, |disk, told| {
        expected.check(disk, told);
        offered += recovered(disk, &large);
    });
    assert!(offered > 0, "nothing is ever offered after a crash");
}

/// After a restart of the machine the journal is written anew, and goes on.
#[test]
fn every_crash_while_a_journal_is_written_anew_keeps_the_parts() {
    let root = in_memory();
    let (first, large) = (store(&root), Large::new());
    let hold = |partial: &Partial, part: usize| {
        let range = large.geometry.range(part).unwrap();
        let bytes = Large::slice(&large.bytes, large.geometry, part);
        partial.write_at(&name("large"), range.start, bytes).unwrap();
        partial.hold(&name("large"), part, large.cvs[part], range).unwrap();
    };
    let (partial, _) = large.open(&first).unwrap();
    (0..2).for_each(|part| hold(&partial, part));
    partial.flush(&name("large")).run().unwrap();
    hold(&partial, 2);
    drop((partial, first));
    let mut second = Store::open(root.path(), Mode::from_raw_mode(0o022), true, 0).unwrap();
    second.boot = String::from("second boot");
    let second = Arc::new(second);
    let disk = start(root.path());
    let (partial, held) = large.open(&second).unwrap();
    assert_eq!(held.len(), 3);
    hold(&partial, 3);
    partial.flush(&name("large")).run().unwrap();
    // As a commit does.
    crate::store::sys::sync(&partial.0.journal).unwrap();
    told("all");
    drop((partial, second));
    let ops = stop();
    assert!(ops.iter().any(|op| matches!(op, Op::Rename { .. })), "no journal is written anew");
    let states = every_crash(&disk, &ops, SEED, |disk, told| {
        let held = recovered(disk, &large);
        assert!(held >= if told.contains(&"all") { 4 } else { 3 }, "{held} parts after {told:?}");
    });
    assert!(states > 20, "only {states} states: is anything recorded?");
}

/// Recovers from a state under another boot; every part that is offered must be there. Returns how
/// many are.
fn recovered(disk: &Disk, large: &Large) -> usize {
    let root = in_memory();
    disk.materialize(root.path());
    let mut store = Store::open(root.path(), Mode::from_raw_mode(0o022), true, 0).unwrap();
    store.boot = String::from("another boot");
    let store = Arc::new(store);
    // The inode of this copy is another, so nobody can know that it was committed.
    let (partial, held) = large.open(&store).unwrap();
    let path = root.path().join(".haul/partials").join(large.key.id());
    large.are_there(&path, &held);
    // The next server goes on and flushes: that says nothing of what was lost before.
    let missing = (0..4).find(|part| held.iter().all(|(held, _)| held != part));
    if let Some(part) = missing {
        let range = large.geometry.range(part).unwrap();
        let bytes = Large::slice(&large.bytes, large.geometry, part);
        partial.write_at(&name("large"), range.start, bytes).unwrap();
        partial.hold(&name("large"), part, large.cvs[part], range).unwrap();
        partial.flush(&name("large")).run().unwrap();
        drop(partial);
        let (_, more) = large.open(&store).unwrap();
        assert!(more.len() > held.len());
        large.are_there(&path, &more);
    }
    held.len()
}

#[test]
fn what_was_told_to_be_removed_is_gone_after_every_crash() {
    let root = in_memory();
    std::fs::create_dir(root.path().join("d")).unwrap();
    std::fs::write(root.path().join("d/old"), b"old bytes").unwrap();
    let store = store(&root);
    let mut committing = Committing::new(&store);
    let disk = start(root.path());
    for (gone, what) in [("d/old", "file"), ("d", "directory")] {
        let changes = vec![Change::Remove { name: name(gone) }];
        committing.commit(changes).into_iter().for_each(|result| result.unwrap());
        told(what);
    }
    let ops = stop();
    let states = every_crash(&disk, &ops, SEED, |disk, told| {
        let published = disk.published();
        match published.get(&b"d/old"[..]) {
            None => {}
            Some(bytes) => {
                assert!(!told.contains(&"file"), "it was told to be gone");
                assert_eq!(bytes.as_deref(), Some(&b"old bytes"[..]));
            }
        }
        assert!(!(told.contains(&"directory") && published.contains_key(&b"d"[..])));
    });
    assert!(states > 3, "only {states} states: is anything recorded?");
    let without: Vec<_> = ops.into_iter().filter(|op| !matches!(op, Op::Sync { .. })).collect();
    let broken = catch_unwind(AssertUnwindSafe(|| {
        every_crash(&disk, &without, SEED, |disk, told| {
            let there = disk.published().contains_key(&b"d/old"[..]);
            assert!(!(told.contains(&"file") && there));
        })
    }));
    assert!(broken.is_err(), "a record without a flush must break the promise");
}
