//! Acts of other processes on a tree while it is filled.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::*;
use crate::store::{Change, Committing};

struct Setup {
    root: TempDir,
    store: Arc<Store>,
}

impl Setup {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        Self { root, store: Arc::new(store) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    /// Names of what is staged.
    fn staged(&self) -> Vec<String> {
        let directories = fs::read_dir(self.path(".haul/staged")).unwrap();
        let inner =
            directories.flat_map(|directory| fs::read_dir(directory.unwrap().path()).unwrap());
        inner.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn filled<'a>(setup: &'a Setup, parents: &Parents) -> Fresh<'a> {
    let mut fresh = Fresh::new(&setup.store);
    let attributes = Attributes { mode: Some(0o640), mtime: None };
    assert!(fresh.directory(parents, &name("new"), Some(0o755)));
    assert!(fresh.file(&name("new/a"), &attributes, b"ours", None));
    assert!(fresh.directory(parents, &name("new/inner"), None));
    assert!(fresh.file(&name("new/inner/b"), &attributes, b"ours", None));
    assert!(!setup.path("new").exists());
    for (free, text) in [
        (true, "new/c"),
        (true, "new/inner/a"),
        (false, "new/a"),
        (false, "new/inner"),
        (false, "c"),
    ] {
        assert_eq!(fresh.is_free(&name(text)), free, "{text}");
    }
    fresh
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn published_by_one_rename() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = filled(&setup, &parents);
    let results = fresh.publish(&parents);
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(read(&setup.path("new/a")) + &read(&setup.path("new/inner/b")), "oursours");
    assert!(setup.staged().is_empty());
    assert!(fresh.publish(&parents).is_empty(), "nothing is left to publish");
}

#[test]
fn merged_into_a_directory_that_somebody_else_has_made() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = filled(&setup, &parents);
    fs::create_dir_all(setup.path("new/inner/b")).unwrap();
    fs::write(setup.path("new/a"), "theirs").unwrap();
    fs::write(setup.path("new/c"), "theirs").unwrap();
    let results = fresh.publish(&parents);
    let ok: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, true, true, false]);
    assert!(matches!(results[3], Err(StoreError::Conflict { .. })), "{:?}", results[3]);
    assert_eq!(read(&setup.path("new/a")), "ours");
    assert_eq!(read(&setup.path("new/c")), "theirs");
    assert!(setup.path("new/inner/b").is_dir());
    assert!(setup.staged().is_empty());
}

#[test]
fn file_without_a_mode_gets_that_of_the_one_that_has_come_meanwhile() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = filled(&setup, &parents);
    assert!(fresh.file(&name("new/unstated"), &Attributes::default(), b"ours", None));
    fs::create_dir(setup.path("new")).unwrap();
    for file in ["a", "unstated"] {
        let path = setup.path("new").join(file);
        fs::write(&path, "theirs").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(fresh.publish(&parents).iter().all(Result::is_ok));
    let (stated, unstated) = (setup.path("new/a"), setup.path("new/unstated"));
    assert_eq!(read(&stated) + &read(&unstated), "oursours");
    assert_eq!((mode(&stated), mode(&unstated)), (0o640, 0o600));
    assert!(setup.staged().is_empty());
}

#[test]
fn conflict_with_a_file_that_has_come_meanwhile() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = filled(&setup, &parents);
    fs::write(setup.path("new"), "theirs").unwrap();
    let results = fresh.publish(&parents);
    assert!(results.iter().all(|result| matches!(result, Err(StoreError::Conflict { .. }))));
    assert_eq!((results.len(), read(&setup.path("new"))), (4, String::from("theirs")));
    assert!(setup.staged().is_empty());
}

/// Trap `symlink_swapped_in`: a link in the directory's place is not followed.
#[test]
fn symlink_swapped_in_for_a_new_directory() {
    let setup = Setup::new();
    let outside = TempDir::new().unwrap();
    let parents = setup.store.parents();
    let mut fresh = filled(&setup, &parents);
    std::os::unix::fs::symlink(outside.path(), setup.path("new")).unwrap();
    let results = fresh.publish(&parents);
    assert!(results.iter().all(Result::is_err));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(setup.staged().is_empty());
}

#[test]
fn parent_that_was_removed_is_made_again() {
    let setup = Setup::new();
    fs::create_dir(setup.path("above")).unwrap();
    let parents = setup.store.parents();
    let mut fresh = Fresh::new(&setup.store);
    assert!(fresh.directory(&parents, &name("above/new"), None));
    assert!(fresh.file(&name("above/new/a"), &Attributes::default(), b"ours", None));
    fs::remove_dir(setup.path("above")).unwrap();
    parents.clear();
    assert!(fresh.publish(&parents).iter().all(Result::is_ok));
    assert_eq!(read(&setup.path("above/new/a")), "ours");
}

#[test]
fn discarded_leaves_nothing() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    filled(&setup, &parents).discard();
    assert!(!setup.path("new").exists());
    assert!(setup.staged().is_empty());
}

#[test]
fn not_taken_where_it_could_not_be_the_same() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = Fresh::new(&setup.store);
    fs::create_dir(setup.path("there")).unwrap();
    fs::create_dir(setup.path("there/no")).unwrap();
    std::os::unix::fs::symlink("/", setup.path("there/no/link")).unwrap();
    for (what, mode) in [("there", 0o755), ("there/no/link/x", 0o755), ("closed", 0o500)] {
        assert!(!fresh.directory(&parents, &name(what), Some(mode)), "{what}");
    }
    let mut fresh = filled(&setup, &parents);
    let attributes = Attributes::default();
    for what in ["new/a", "new/missing/a", "newer", "elsewhere/a"] {
        assert!(!fresh.file(&name(what), &attributes, b"again", None), "{what}");
    }
    assert!(!fresh.concerns(&name("newer")) && fresh.concerns(&name("new")));
    fresh.publish(&parents);
    assert_eq!(read(&setup.path("new/a")), "ours");
}

/// Entries of a directory may come before it, over another connection.
#[test]
fn missing_parents_are_made_with_it() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = Fresh::new(&setup.store);
    assert!(fresh.directory(&parents, &name("no/parent/new"), Some(0o700)));
    assert!(fresh.file(&name("no/parent/new/a"), &Attributes::default(), b"ours", None));
    assert!(fresh.concerns(&name("no")) && !setup.path("no").exists());
    let results = fresh.publish(&parents);
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(read(&setup.path("no/parent/new/a")), "ours");
    assert_eq!(mode(&setup.path("no/parent")), 0o755);
    assert_eq!(mode(&setup.path("no/parent/new")), 0o700);
}

/// Its parent has come meanwhile, but not the directory itself: it is moved, not what is in it.
#[test]
fn directory_is_moved_whole_into_one_that_somebody_else_has_made() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = filled(&setup, &parents);
    let inner = {
        let tree = fresh.tree.as_ref().unwrap();
        rustix::fs::fstat(tree.parent(&name("new/inner/b")).unwrap()).unwrap().st_ino
    };
    fs::create_dir(setup.path("new")).unwrap();
    let results = fresh.publish(&parents);
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(fs::metadata(setup.path("new/inner")).unwrap().ino(), inner);
    assert_eq!(read(&setup.path("new/a")) + &read(&setup.path("new/inner/b")), "oursours");
    assert_eq!(mode(&setup.path("new")), 0o755);
    assert!(setup.staged().is_empty());
}

/// A directory that somebody else has made meanwhile hands an ACL down: entries of the tree get it as if made there.
#[test]
fn entries_that_come_into_a_directory_with_a_default_acl_inherit_it() {
    const DEFAULT: &str = "system.posix_acl_default";
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = filled(&setup, &parents);
    let target = LinkTarget::parse(b"a").unwrap();
    assert!(fresh.link(&name("new/link"), &target, Some(Mtime { s: 5, ns: 6 })));
    fs::create_dir(setup.path("new")).unwrap();
    // Version 2; then tag, permissions and id of user, user 1234, group, mask and others.
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, allowed, id) in
        [(1, 7, u32::MAX), (2, 7, 1234), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend(u16::to_le_bytes(tag));
        acl.extend(u16::to_le_bytes(allowed));
        acl.extend(u32::to_le_bytes(id));
    }
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(setup.path("new"), DEFAULT, &acl, flags).unwrap();
    let results = fresh.publish(&parents);
    assert_eq!(results.len(), 5);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    for file in ["new/a", "new/inner/b"] {
        assert_eq!((read(&setup.path(file)), mode(&setup.path(file))), ("ours".into(), 0o640));
        let size = rustix::fs::getxattr(setup.path(file), "system.posix_acl_access", &mut [0; 99]);
        assert_eq!(size.unwrap(), acl.len(), "{file} has no ACL");
    }
    let size = rustix::fs::getxattr(setup.path("new/inner"), DEFAULT, &mut [0; 99]);
    assert_eq!(size.unwrap(), acl.len());
    let link = fs::symlink_metadata(setup.path("new/link")).unwrap();
    assert_eq!((link.mtime(), link.mtime_nsec()), (5, 6));
    assert!(setup.staged().is_empty());
}

/// A flush that failed since may have been of its files, which are closed: nobody can ask any more.
#[test]
fn tree_that_a_failed_flush_may_have_met_is_refused() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let mut fresh = filled(&setup, &parents);
    setup.store.flush_failures.fetch_add(1, Ordering::AcqRel);
    let change = Change::Tree(Box::new(fresh.take().unwrap()));
    let results = Committing::new(&setup.store).commit(vec![change]);
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(Result::is_err), "{results:?}");
    assert!(!setup.path("new").exists() && setup.staged().is_empty());
}

/// Writes of other processes make a flush of everything long, and a tree is flushed by nothing else.
#[test]
fn not_taken_while_files_are_flushed_one_by_one() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    setup.store.flushes_all.store(false, Ordering::Release);
    assert!(!Fresh::new(&setup.store).directory(&parents, &name("new"), None));
    setup.store.flushes_all.store(true, Ordering::Release);
    filled(&setup, &parents);
    assert!(setup.staged().is_empty(), "what is dropped is removed");
}

/// One that waits in the queue while a directory is closed for a publish: only entries in there are refused.
#[test]
fn what_is_in_a_directory_that_is_being_published_is_refused() {
    for (closed, refused) in [("new", 4), ("new/inner", 2), ("new/other", 0)] {
        let setup = Setup::new();
        let parents = setup.store.parents();
        let mut fresh = filled(&setup, &parents);
        let change = Change::Tree(Box::new(fresh.take().unwrap()));
        assert!(setup.store.guard.close(&name(closed)));
        let results = Committing::new(&setup.store).commit(vec![change]);
        assert_eq!(results.len(), 4);
        let is_refused = |result: &_| matches!(result, Err(StoreError::Publishing { .. }));
        assert_eq!(results.iter().filter(|result| is_refused(result)).count(), refused);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4 - refused);
        assert_eq!(setup.path("new").exists(), refused < 4);
        assert!(!setup.path(closed).exists() && setup.staged().is_empty());
    }
}

/// No more than can be removed again by a recursion that is bounded.
#[test]
fn too_many_missing_parents_are_made_where_they_belong() {
    let setup = Setup::new();
    let parents = setup.store.parents();
    let deep = |levels: usize| name(&vec!["d"; levels].join("/"));
    assert!(!Fresh::new(&setup.store).directory(&parents, &deep(33), None));
    assert!(Fresh::new(&setup.store).directory(&parents, &deep(32), None));
    assert!(setup.staged().is_empty());
}
