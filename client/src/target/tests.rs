//! Entries written to real directories.

mod files;
mod partials;
mod unnamed;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use haul_protocol::{Attributes, LinkTarget, Mtime};
use tempfile::TempDir;

use super::names::{For, usual};
use super::way::Way;
use super::*;

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

fn place() -> (TempDir, Arc<Directory>) {
    let place = TempDir::new().unwrap();
    let directory = Directory::open(place.path()).unwrap();
    (place, Arc::new(directory))
}

/// Where files have a temporary name before they have their own, as on file systems that can't do better.
fn named_place() -> (TempDir, Arc<Directory>) {
    let (place, directory) = place();
    directory.set_way(Way::None);
    (place, directory)
}

/// In memory, so that the file system has files without a name, and one place for each way in which a file gets its name.
fn places() -> impl Iterator<Item = (TempDir, Arc<Directory>)> {
    [Way::None, Way::Handle, Way::Proc].into_iter().map(|way| {
        let place = TempDir::new_in("/dev/shm").unwrap();
        let directory = Directory::open(place.path()).unwrap();
        directory.set_way(way);
        (place, Arc::new(directory))
    })
}

fn mode(path: impl AsRef<Path>) -> u32 {
    path.as_ref().symlink_metadata().unwrap().mode() & 0o7777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn with_mode(mode: u32) -> Attributes {
    Attributes { mode: Some(mode), mtime: None }
}

/// All names in a directory, haul's too.
fn names(path: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn symlink_under_a_component_is_never_gone_through() {
    let (place, directory) = place();
    let outside = TempDir::new().unwrap();
    symlink(outside.path(), place.path().join("d")).unwrap();
    let error = directory.enter(name("d"), Over::Nothing).unwrap_err();
    assert!(error.is_in_the_way(), "{error}");
    let (inside, made) = directory.enter(name("d"), Over::File).unwrap();
    assert!(made);
    // The directory is moved, and a symlink comes under its name.
    fs::rename(place.path().join("d"), place.path().join("moved")).unwrap();
    symlink(outside.path(), place.path().join("d")).unwrap();
    let inside = Arc::new(inside);
    let mut group = Group::new();
    group.add(inside.stage(name("f"), b"x", &Attributes::default(), Over::File).unwrap(), ());
    assert!(group.commit(false)[0].1.is_ok());
    assert_eq!(names(outside.path()), [""; 0]);
    assert_eq!(names(place.path().join("moved")), ["f"]);
}

#[test]
fn names_of_more_than_one_component_are_none() {
    let (_place, directory) = place();
    for text in ["..", ".", "a/b", "/tmp", "", ".haul-arrives-x"] {
        assert!(directory.enter(name(text), Over::File).is_err(), "{text}");
        assert!(directory.look(name(text)).is_err(), "{text}");
        assert!(directory.remove(name(text)).is_err(), "{text}");
        let staged = directory.stage(name(text), b"", &Attributes::default(), Over::File);
        assert!(staged.is_err(), "{text}");
    }
}

#[test]
fn entries_are_looked_at_as_they_are() {
    let (place, directory) = place();
    fs::write(place.path().join("f"), "123").unwrap();
    set_mode(place.path().join("f"), 0o640);
    symlink("nowhere", place.path().join("l")).unwrap();
    fs::create_dir(place.path().join("d")).unwrap();
    let look = |text| directory.look(name(text)).unwrap();
    let file = look("f").unwrap();
    assert_eq!((file.kind, file.size, file.mode), (Kind::File, 3, 0o640));
    let link = look("l").unwrap();
    assert_eq!((link.kind, link.link), (Kind::Symlink, LinkTarget::parse(b"nowhere").ok()));
    assert_eq!(look("d").unwrap().kind, Kind::Directory);
    assert_eq!(look("gone"), None);
    fs::write(place.path().join(usual(For::Whole, name("f"))), "").unwrap();
    let mut entries: Vec<_> = directory.entries().unwrap().map(Result::unwrap).collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("d", Kind::Directory), ("f", Kind::File), ("l", Kind::Symlink)];
    assert_eq!(entries, expected.map(|(text, kind)| (name(text).to_owned(), kind)));
}

/// Trap `directory_mtime_and_mode`.
#[test]
fn directory_is_open_while_it_is_filled_and_has_its_mode_afterwards() {
    let (place, directory) = place();
    let path = place.path().join("d");
    let (inside, made) = directory.enter(name("d"), Over::Nothing).unwrap();
    assert!(made);
    let mtime = Mtime { s: 1_700_000_000, ns: 5 };
    inside.set_attributes(&Attributes { mode: Some(0o555), mtime: Some(mtime) }).unwrap();
    assert_eq!((mode(&path), path.metadata().unwrap().mtime()), (0o555, mtime.s));
    drop(inside);
    let (inside, made) = directory.enter(name("d"), Over::Nothing).unwrap();
    assert!(!made);
    assert_eq!(mode(&path), 0o755);
    drop(inside);
    assert_eq!(mode(&path), 0o555);
    set_mode(&path, 0o000);
    let (inside, _) = directory.enter(name("d"), Over::Nothing).unwrap();
    assert_eq!(mode(&path), 0o700);
    inside.set_attributes(&Attributes::default()).unwrap();
    assert_eq!(mode(&path), 0);
}

/// Trap `setgid_directory`.
#[test]
fn setgid_directory_keeps_its_bit_and_hands_down_its_group() {
    let (place, directory) = place();
    let path = place.path().join("d");
    let (inside, _) = directory.enter(name("d"), Over::Nothing).unwrap();
    // Only root may give another group.
    let _ = std::os::unix::fs::chown(&path, None, Some(12345));
    set_mode(&path, 0o2755);
    inside.set_attributes(&with_mode(0o750)).unwrap();
    assert_eq!(mode(&path), 0o2750);
    let group = path.metadata().unwrap().gid();
    let inside = Arc::new(inside);
    let (_, made) = inside.enter(name("sub"), Over::Nothing).unwrap();
    assert!(made);
    let mut files = Group::new();
    files.add(inside.stage(name("f"), b"x", &with_mode(0o6777), Over::File).unwrap(), ());
    files.commit(false).remove(0).1.unwrap();
    assert_eq!(mode(path.join("f")), 0o777);
    for entry in ["f", "sub"] {
        assert_eq!(path.join(entry).metadata().unwrap().gid(), group, "{entry}");
    }
}

#[test]
fn symlink_replaces_files_and_symlinks_only() {
    let (place, directory) = place();
    let target = LinkTarget::parse(b"over/there").unwrap();
    let mtime = Mtime { s: 1_600_000_000, ns: 7 };
    fs::write(place.path().join("f"), "x").unwrap();
    symlink("f", place.path().join("l")).unwrap();
    fs::create_dir(place.path().join("d")).unwrap();
    for text in ["f", "l", "d"] {
        let error = directory.symlink(name(text), &target, None, Over::Nothing).unwrap_err();
        assert!(error.is_in_the_way(), "{text}: {error}");
    }
    for text in ["f", "l", "new"] {
        directory.symlink(name(text), &target, Some(mtime), Over::File).unwrap();
        let found = directory.look(name(text)).unwrap().unwrap();
        assert_eq!((found.link.as_ref(), found.mtime), (Some(&target), Some(mtime)), "{text}");
    }
    assert!(directory.symlink(name("d"), &target, None, Over::File).unwrap_err().is_in_the_way());
    assert_eq!(names(place.path()), ["d", "f", "l", "new"]);
}

#[test]
fn only_empty_directories_are_removed() {
    let (place, directory) = place();
    fs::create_dir_all(place.path().join("full/sub")).unwrap();
    fs::create_dir(place.path().join("left")).unwrap();
    fs::write(place.path().join("left").join(usual(For::Parts, name("f"))), "").unwrap();
    fs::write(place.path().join("f"), "x").unwrap();
    symlink("full", place.path().join("l")).unwrap();
    let error = directory.remove(name("full")).unwrap_err();
    assert!(error.is_not_empty(), "{error}");
    for text in ["left", "f", "l", "gone"] {
        directory.remove(name(text)).unwrap();
    }
    assert_eq!(names(place.path()), ["full"]);
}

#[test]
fn attributes_of_a_file_are_set_and_those_behind_a_symlink_are_not() {
    let (place, directory) = place();
    let path = place.path().join("f");
    fs::write(&path, "x").unwrap();
    set_mode(&path, 0o000);
    symlink("f", place.path().join("l")).unwrap();
    let attributes =
        Attributes { mode: Some(0o444), mtime: Some(Mtime { s: 1_700_000_000, ns: 0 }) };
    assert!(directory.set_attributes_of(name("l"), &attributes).unwrap_err().is_in_the_way());
    assert_eq!(mode(&path), 0);
    directory.set_attributes_of(name("f"), &attributes).unwrap();
    assert_eq!((mode(&path), path.metadata().unwrap().mtime()), (0o444, 1_700_000_000));
    assert!(directory.set_attributes_of(name("gone"), &attributes).is_err());
}

#[test]
fn target_is_made_with_its_parents_and_files_are_no_targets() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("a/b/c");
    assert!(Directory::open(&path).is_err());
    let directory = Directory::make(&path).unwrap();
    directory.sync_file_system().unwrap();
    assert!(!directory.folds_case());
    assert_eq!(names(&path), [""; 0]);
    fs::write(path.join("f"), "x").unwrap();
    assert!(Directory::open(&path.join("f")).is_err());
    assert!(Directory::make(&path.join("f/g")).is_err());
}
