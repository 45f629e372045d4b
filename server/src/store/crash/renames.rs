//! Entries that get other names on a disk that may crash at any moment.

use std::path::Path;
use std::sync::Arc;

use haul_protocol::{Attributes, Name};
use rustix::fs::Mode;

use super::model::{every_crash, in_memory, start, stop};
use super::{Op, record};
use crate::store::{Change, Committing, Store};

const SEED: u64 = 0x5eed;

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn rename(from: &str, to: &str, replace: bool) -> Change {
    Change::Rename {
        name: name(from),
        to: name(to),
        replace,
        replaces: crate::store::Replaces::Anything,
    }
}

fn store(root: &Path) -> Arc<Store> {
    Arc::new(Store::open(root, Mode::from_raw_mode(0o022), true, 0).unwrap())
}

/// Groups of changes, and what must be there under which names once each group was told to be done.
type Group = (&'static str, Vec<Change>, Vec<(&'static str, Option<&'static [u8]>)>);

fn groups(store: &Arc<Store>) -> Vec<Group> {
    let file = |to: &str, bytes: &[u8]| {
        let attributes = Attributes { mode: Some(0o644), mtime: None };
        let staged = store.stage_whole(&store.parents(), &name(to), &attributes, bytes).unwrap();
        Change::File { staged, name: name(to) }
    };
    vec![
        (
            "a file in new directories",
            vec![rename("a/f", "c/d/f", false)],
            vec![("a/f", None), ("c/d/f", Some(b"one"))],
        ),
        (
            "a file in the place of another one",
            vec![file("a/f", b"new"), rename("a/f", "b/g", true)],
            vec![("a/f", None), ("b/g", Some(b"new"))],
        ),
        (
            "a new tree",
            vec![file("x/y/z", b"z"), rename("x", "e/moved", false)],
            vec![("x/y/z", None), ("e/moved/y/z", Some(b"z"))],
        ),
        (
            "the tree back",
            vec![
                file("e/moved/w", b"w"),
                rename("e/moved", "x", false),
                file("x/y/v", b"v"),
                file("e/moved/u", b"u"),
            ],
            vec![("x/y/z", Some(b"z")), ("x/y/v", Some(b"v")), ("e/moved/u", Some(b"u"))],
        ),
        (
            "a directory in the place of an empty one",
            vec![
                Change::Directory {
                    name: name("empty"),
                    mode: None,
                    replace: false,
                    replaces: crate::store::Replaces::Anything,
                },
                rename("x", "empty", true),
            ],
            vec![("x/y/z", None), ("empty/y/z", Some(b"z")), ("empty/w", Some(b"w"))],
        ),
    ]
}

#[test]
fn every_crash_keeps_an_entry_that_is_renamed_under_one_of_its_names() {
    for many in [1, usize::MAX] {
        let root = in_memory();
        for (file, bytes) in [("a/f", "one"), ("b/g", "two")] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let store = store(root.path());
        let mut committing = Committing::at_once(&store, many);
        let mut promises = Vec::new();
        let disk = start(root.path());
        for (told, changes, promised) in groups(&store) {
            let results = committing.commit(changes);
            results.into_iter().for_each(|result| result.unwrap());
            record(|| Op::Told(told));
            promises.push((told, promised));
        }
        let ops = stop();
        let states = every_crash(&disk, &ops, SEED, |disk, told| {
            let there = disk.published();
            let at = |file: &str| there.get(file.as_bytes()).cloned().flatten();
            // A later group may have changed it.
            if let Some((_, promised)) = promises.get(told.len().wrapping_sub(1)) {
                let now = promises.get(told.len()).map_or(&[][..], |(_, next)| next);
                for (file, bytes) in promised {
                    let is_moving = file.starts_with("x/") || file.starts_with("e/moved/");
                    if !is_moving && !now.iter().any(|(other, _)| other == file) {
                        assert_eq!(at(file).as_deref(), *bytes, "{file} after {told:?}");
                    }
                }
            }
            for (bytes, names, since) in [
                (&b"one"[..], &["a/f", "c/d/f"][..], 0),
                (b"z", &["x/y/z", "e/moved/y/z", "empty/y/z"], 3),
                (b"w", &["x/w", "e/moved/w", "empty/w"], 4),
                (b"v", &["x/y/v", "empty/y/v"], 4),
            ] {
                let found = names.iter().filter(|name| at(name).as_deref() == Some(bytes));
                let found = found.collect::<Vec<_>>();
                let is_sure = told.len() >= since;
                assert!(found.len() == 1 || (!is_sure && found.is_empty()), "{found:?} {told:?}");
            }
            let other = at("b/g");
            assert!(matches!(other.as_deref(), Some(b"two" | b"new")), "{other:?}");
        });
        assert!(states > 25, "only {states} states: is anything recorded?");
    }
}

#[test]
fn rename_that_may_not_be_changes_nothing() {
    let root = in_memory();
    let store = store(root.path());
    for directory in ["d/in", "empty", "full/x"] {
        std::fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    for file in ["f", "g"] {
        std::fs::write(root.path().join(file), file).unwrap();
    }
    std::fs::hard_link(root.path().join("f"), root.path().join("f2")).unwrap();
    std::os::unix::fs::symlink("d", root.path().join("link")).unwrap();
    let apply = |from, to, replace| {
        let result = store.apply(&store.parents(), rename(from, to, replace));
        result.map_err(|error| error.to_string())
    };
    for (from, to, replace, told) in [
        ("none", "new", false, "`none` does not exist"),
        ("none/x", "new", false, "`none` does not exist"),
        ("f", "g", false, "`g` is there already"),
        ("f", "f", false, "`f` is there already"),
        ("f", "d", true, "`d` is a directory"),
        ("d", "f", true, "`f` is not a directory"),
        ("d", "full", true, "`full` is a directory that is not empty"),
        ("d/in", "d", true, "`d` is a directory that is not empty"),
        ("d", "d/in/x", true, "`d` is to be moved into itself"),
        ("f", "g/x", false, "`g` is not a directory"),
        ("f", "link/x", false, "`link` is a symbolic link"),
        ("link/in", "x", false, "`link` is a symbolic link"),
    ] {
        let error = apply(from, to, replace).unwrap_err();
        assert!(error.starts_with(told), "{from} {to}: {error}");
    }
    assert!(!root.path().join("new").exists() && !root.path().join("x").exists());
    assert_eq!(std::fs::read(root.path().join("g")).unwrap(), b"g");
    // rename(2) would leave both names of the file.
    apply("f2", "f", true).unwrap();
    assert!(!root.path().join("f2").exists() && root.path().join("f").exists());
    apply("link", "link2", false).unwrap();
    assert!(root.path().join("link2").is_symlink());
    apply("d", "empty", true).unwrap();
    assert!(root.path().join("empty/in").is_dir() && !root.path().join("d").exists());
}

/// Its owner may not write to it, which the kernel asks for when it gets another parent.
#[test]
fn directory_without_write_permission_gets_another_parent() {
    use std::os::unix::fs::PermissionsExt;
    let root = in_memory();
    let store = store(root.path());
    let path = |name: &str| root.path().join(name);
    std::fs::create_dir_all(path("from/d/in")).unwrap();
    for (directory, mode) in [("from/d", 0o555), ("from", 0o555)] {
        std::fs::set_permissions(path(directory), PermissionsExt::from_mode(mode)).unwrap();
    }
    store.apply(&store.parents(), rename("from/d", "to/d", false)).unwrap();
    assert!(path("to/d/in").is_dir());
    for (directory, mode) in [("to/d", 0o555), ("from", 0o555)] {
        assert_eq!(std::fs::metadata(path(directory)).unwrap().permissions().mode() & 0o777, mode);
        std::fs::set_permissions(path(directory), PermissionsExt::from_mode(0o755)).unwrap();
    }
}

/// A draft is flushed when it is published, so a worker that renames in it waits for no disk.
#[test]
fn rename_in_a_draft_flushes_nothing() {
    let root = in_memory();
    let store = store(root.path());
    std::fs::create_dir_all(root.path().join("a/b")).unwrap();
    std::fs::write(root.path().join("f"), "f").unwrap();
    let syncs = |unseen: bool, change| {
        start(root.path());
        match unseen {
            true => store.apply_unseen(&store.parents(), change).unwrap(),
            false => drop(Committing::new(&store).commit(vec![change])),
        }
        let flushes = |op: &Op| matches!(op, Op::Sync { .. } | Op::SyncAll);
        stop().iter().filter(|op| flushes(op)).count()
    };
    assert_eq!(syncs(true, rename("f", "a/b/f", false)), 0);
    assert!(syncs(false, rename("a/b/f", "f", false)) > 0, "is anything recorded?");
}
