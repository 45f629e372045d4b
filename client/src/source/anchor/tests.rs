use std::fs;

use tempfile::TempDir;

use super::*;

#[test]
fn directory_is_what_it_was_whatever_is_in_it() {
    let place = TempDir::new().unwrap();
    let anchor = Anchor::held(place.path());
    fs::write(place.path().join("new"), "x").unwrap();
    anchor.check().unwrap();
    anchor.check_at(&place.path().join("new")).unwrap();
}

#[test]
fn directory_that_is_removed_or_made_again_is_another() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("s");
    for again in [false, true] {
        fs::create_dir(&path).unwrap();
        let anchor = Anchor::held(&path);
        fs::remove_dir(&path).unwrap();
        if again {
            fs::create_dir(&path).unwrap();
        }
        assert!(anchor.check().is_err(), "made again: {again}");
        assert!(anchor.check_at(&path).is_err(), "made again: {again}");
    }
}

#[test]
fn directory_that_is_made_again_with_the_same_inode_is_another() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("d");
    for _ in 0..5 {
        fs::create_dir(&path).unwrap();
        let anchor = Anchor::held(place.path());
        anchor.reads_directory(&path, Links::Copy);
        anchor.check_below(&path, Links::Copy).unwrap();
        fs::remove_dir(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(anchor.check_below(&path, Links::Copy), Err(Adrift::Below)));
        assert!(matches!(anchor.directory(&path, Links::Copy), Err(Adrift::Below)));
        fs::remove_dir(&path).unwrap();
    }
}

#[test]
fn source_that_was_not_there_never_is() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("s");
    let anchor = Anchor::held(&path);
    assert!(anchor.check().is_err());
    fs::create_dir(&path).unwrap();
    assert!(anchor.check().is_err());
}

#[test]
fn source_that_was_no_directory_has_no_entries_that_could_be_sent() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("s");
    fs::write(&path, "x").unwrap();
    for hold in [Anchor::held, Anchor::new] {
        let anchor = hold(&path);
        anchor.check_kind(false).unwrap();
        assert!(matches!(anchor.check_kind(true), Err(Adrift::NoDirectory)));
        let missing = hold(&place.path().join("missing"));
        missing.check_kind(false).unwrap();
        assert!(matches!(missing.check_kind(true), Err(Adrift::Unknown(_))));
        hold(place.path()).check_kind(true).unwrap();
    }
}

#[test]
fn only_what_is_mounted_above_a_path_concerns_it() {
    let place = TempDir::new().unwrap();
    let (mount, beside) = (place.path().join("mount"), place.path().join("beside"));
    fs::create_dir(&mount).unwrap();
    let anchor = Anchor::held(place.path());
    // As if another file system had been there during the walk.
    anchor.found_directory(&mount, [-1, 2]);
    anchor.found_directory(&mount.join("inside"), [-1, 3]);
    assert_eq!(anchor.mounts().len(), 1);
    assert!(matches!(anchor.check(), Err(Adrift::Unmounted(path)) if path == mount));
    assert!(anchor.check_at(&mount.join("inside")).is_err());
    anchor.check_at(&beside).unwrap();
}

#[test]
fn entries_are_looked_for_in_the_directory_that_was_read_whatever_is_at_its_path() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("d");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("f"), "x").unwrap();
    let anchor = Anchor::held(place.path());
    anchor.reads_directory(&path, Links::Copy);
    anchor.found_file(&path.join("f"));
    let look = |directory: &Directory<'_>, name: &str| {
        directory.look(OsStr::new(name), &path.join(name), Links::Copy).unwrap()
    };
    let directory = anchor.directory(&path, Links::Copy).unwrap().unwrap();
    // There and, after a look, back again.
    let away = place.path().join("away");
    fs::rename(&path, &away).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(look(&directory, "f"), Found::Here(here) if here.is_file));
    assert!(matches!(look(&directory, "never"), Found::Nothing));
    assert!(matches!(anchor.directory(&path, Links::Copy), Err(Adrift::Below)));
    assert!(matches!(anchor.check_below(&path, Links::Copy), Err(Adrift::Below)));
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink(&away, &path).unwrap();
    assert!(matches!(anchor.directory(&path, Links::Copy), Err(Adrift::Below)));
    fs::remove_file(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    anchor.check_below(&path, Links::Copy).unwrap();
    fs::remove_file(path.join("f")).unwrap();
    let directory = anchor.directory(&path, Links::Copy).unwrap().unwrap();
    assert!(matches!(look(&directory, "f"), Found::Gone));
    let new = place.path().join("new");
    assert!(matches!(anchor.directory(&new, Links::Copy), Ok(None)));
}

/// It may have led elsewhere meanwhile.
#[test]
fn directory_behind_a_symlink_that_is_made_again_is_another() {
    use std::os::unix::fs::symlink;

    let place = TempDir::new().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::create_dir(path("d")).unwrap();
    // Directly, and by one more symlink.
    symlink(path("d"), path("one")).unwrap();
    symlink("one", path("two")).unwrap();
    for name in ["one", "two"] {
        let anchor = Anchor::held(&path(name));
        anchor.reads_directory(&path(name), Links::Follow);
        anchor.check().unwrap();
        assert!(anchor.directory(&path(name), Links::Follow).unwrap().is_some());
        fs::remove_file(path("one")).unwrap();
        symlink(path("d"), path("one")).unwrap();
        assert!(matches!(anchor.check(), Err(Adrift::Another)), "{name}");
        assert!(!anchor.is_as_read(&path(name), Links::Follow), "{name}");
        let found = anchor.directory(&path(name), Links::Follow);
        assert!(matches!(found, Err(Adrift::Below)), "{name}");
    }
}

/// The directory was what it was when it was opened, and is listed while it changes.
#[test]
fn entry_that_goes_while_others_are_looked_for_is_gone() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("d");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("f"), "x").unwrap();
    // Long before the run, as far as the walk can tell.
    let start = Start::now();
    let anchor = Anchor::held(place.path()).first_walk(Some(start));
    while anchor.directory(&path, Links::Copy).unwrap().is_none_or(|_| {
        let place = Place::at(&path, false).unwrap();
        !anchor.seen.as_ref().unwrap().is_unchanged(&path, place)
    }) {
        anchor.reads_directory(&path, Links::Copy);
    }
    anchor.found_file(&path.join("f"));
    let directory = anchor.directory(&path, Links::Copy).unwrap().unwrap();
    let look =
        |name: &str| directory.look(OsStr::new(name), &path.join(name), Links::Copy).unwrap();
    assert!(matches!(look("f"), Found::Here(_)) && matches!(look("g"), Found::Nothing));
    fs::rename(path.join("f"), place.path().join("moved")).unwrap();
    assert!(matches!(look("f"), Found::Gone) && matches!(look("g"), Found::Nothing));
}

/// With a slash at its end, or on the way to it.
#[test]
fn symlink_on_the_way_that_is_made_again_makes_another_source() {
    use std::os::unix::fs::symlink;

    let place = TempDir::new().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::create_dir_all(path("v1/site")).unwrap();
    symlink("v1", path("cur")).unwrap();
    for name in ["cur/", "cur/.", "cur/site", "cur/site/"] {
        let anchor = Anchor::held(&path(name));
        anchor.check().unwrap();
        fs::remove_file(path("cur")).unwrap();
        symlink("v1", path("cur")).unwrap();
        assert!(matches!(anchor.check(), Err(Adrift::Another)), "{name}");
    }
}
