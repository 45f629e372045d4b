//! Small files.

use std::mem::forget;

use super::*;
use crate::error::FileError;

fn put(directory: &Arc<Directory>, text: &str, attributes: &Attributes) -> Result<(), FileError> {
    let mut group = Group::new();
    group.add(directory.stage(name(text), b"new", attributes, Over::File)?, ());
    group.commit(true).remove(0).1
}

/// Trap `setuid_by_upload`.
#[test]
fn file_has_its_name_only_when_it_is_committed() {
    for (place, directory) in places() {
        let path = place.path().join("f");
        fs::write(&path, "old").unwrap();
        let attributes =
            Attributes { mode: Some(0o4604), mtime: Some(Mtime { s: 1_700_000_000, ns: 9 }) };
        let staged = directory.stage(name("f"), b"new", &attributes, Over::File).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(staged);
        assert_eq!(names(place.path()), ["f"]);
        put(&directory, "f", &attributes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!((mode(&path), path.metadata().unwrap().mtime_nsec()), (0o604, 9));
        assert_eq!(names(place.path()), ["f"]);
    }
}

#[test]
fn failure_in_the_middle_of_a_group_harms_no_other_file() {
    for (place, directory) in places() {
        fs::create_dir(place.path().join("b")).unwrap();
        fs::write(place.path().join("d"), "old").unwrap();
        let mut group = Group::new();
        for (text, over) in
            [("a", Over::File), ("b", Over::File), ("c", Over::File), ("d", Over::Nothing)]
        {
            let staged = directory.stage(name(text), b"new", &Attributes::default(), over).unwrap();
            group.add(staged, text);
        }
        assert!(!group.is_empty() && !group.is_full());
        for (text, result) in group.commit(true) {
            let is_refused = result.is_err_and(|error| error.is_in_the_way());
            assert_eq!(is_refused, ["b", "d"].contains(&text), "{text}");
        }
        assert!(group.is_empty());
        assert_eq!(names(place.path()), ["a", "b", "c", "d"]);
        assert_eq!(fs::read(place.path().join("d")).unwrap(), b"old");
    }
}

#[test]
fn device_socket_or_fifo_never_makes_way() {
    for (place, directory) in places() {
        let _socket = std::os::unix::net::UnixListener::bind(place.path().join("s")).unwrap();
        assert!(put(&directory, "s", &Attributes::default()).unwrap_err().is_in_the_way());
        assert!(directory.enter(name("s"), Over::File).unwrap_err().is_in_the_way());
        symlink("s", place.path().join("l")).unwrap();
        put(&directory, "l", &Attributes::default()).unwrap();
        assert_eq!(directory.look(name("l")).unwrap().unwrap().kind, Kind::File);
    }
}

#[test]
fn file_without_a_stated_mode_has_that_of_others_like_it() {
    for (place, directory) in places() {
        fs::write(place.path().join("usual"), "x").unwrap();
        put(&directory, "new", &Attributes::default()).unwrap();
        assert_eq!(mode(place.path().join("new")), mode(place.path().join("usual")));
        fs::write(place.path().join("private"), "x").unwrap();
        set_mode(place.path().join("private"), 0o600);
        put(&directory, "private", &Attributes::default()).unwrap();
        assert_eq!(mode(place.path().join("private")), 0o600);
    }
}

/// Trap `stale_upload_blocks_takeover`.
#[test]
fn leftover_of_a_killed_run_is_used_up() {
    let (place, directory) = named_place();
    let left = place.path().join(usual(For::Whole, name("f")));
    for left_mode in [0o600, 0o400, 0o000] {
        fs::write(&left, "half").unwrap();
        set_mode(&left, left_mode);
        put(&directory, "f", &Attributes::default()).unwrap();
        assert_eq!(names(place.path()), ["f"], "{left_mode:o}");
        assert_eq!(fs::read(place.path().join("f")).unwrap(), b"new");
    }
}

#[test]
fn two_runs_at_once_share_no_temporary_file() {
    let (place, directory) = named_place();
    let stage = |bytes: &[u8]| {
        directory.stage(name("f"), bytes, &Attributes::default(), Over::File).unwrap()
    };
    let (one, other) = (stage(b"one"), stage(b"other"));
    assert_eq!(names(place.path()).len(), 2);
    // Both are in use.
    assert_eq!(directory.sweep(Parts::Go).unwrap(), 0);
    let mut group = Group::new();
    for staged in [other, one] {
        group.add(staged, ());
        group.commit(false).remove(0).1.unwrap();
    }
    assert_eq!(fs::read(place.path().join("f")).unwrap(), b"one");
    assert_eq!(names(place.path()), ["f"]);
}

/// Trap `symlink_swapped_in`.
#[test]
fn temporary_name_that_is_a_symlink_or_another_name_leads_nowhere() {
    let (place, directory) = named_place();
    let outside = TempDir::new().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "safe").unwrap();
    let temporary = place.path().join(usual(For::Whole, name("f")));
    symlink(&victim, &temporary).unwrap();
    put(&directory, "f", &with_mode(0o644)).unwrap();
    fs::remove_file(&temporary).unwrap();
    fs::hard_link(&victim, &temporary).unwrap();
    put(&directory, "f", &with_mode(0o604)).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"safe");
    assert_eq!(mode(place.path().join("f")), 0o604);
    assert!(temporary.exists());
}

#[test]
fn sweep_removes_what_no_run_uses() {
    let (place, directory) = named_place();
    let random = super::super::names::random(For::Parts, name("g")).unwrap();
    let parts = usual(For::Parts, name("g"));
    for left in [&usual(For::Whole, name("f")), &random, &parts] {
        fs::write(place.path().join(left), "").unwrap();
    }
    let moment = super::super::names::random(For::Moment, name("l")).unwrap();
    symlink("nowhere", place.path().join(moment)).unwrap();
    fs::write(place.path().join("kept"), "").unwrap();
    let staged = directory.stage(name("h"), b"", &Attributes::default(), Over::File).unwrap();
    assert_eq!(directory.sweep(Parts::Stay).unwrap(), 3);
    assert_eq!(directory.sweep(Parts::Go).unwrap(), 1);
    assert_eq!(names(place.path()).len(), 2);
    // As if the process were killed: the lock goes, the file stays.
    let mut group = Group::new();
    group.add(staged, ());
    group.commit(false).remove(0).1.unwrap();
    assert_eq!(names(place.path()), ["h", "kept"]);
}

#[test]
fn lock_of_a_file_that_is_not_closed_keeps_it() {
    let (place, directory) = named_place();
    let staged = directory.stage(name("f"), b"", &Attributes::default(), Over::File).unwrap();
    // Its handle stays open for ever, as that of another process that goes on.
    forget(staged);
    put(&directory, "f", &Attributes::default()).unwrap();
    assert_eq!(directory.sweep(Parts::Go).unwrap(), 0);
    assert_eq!(names(place.path()).len(), 2);
}

#[test]
fn many_or_large_files_fill_a_group() {
    let (_place, directory) = place();
    let mut group = Group::new();
    let large = vec![0; 16 * 1024 * 1024];
    for text in ["a", "b"] {
        assert!(!group.is_full());
        let staged = directory.stage(name(text), &large, &Attributes::default(), Over::File);
        group.add(staged.unwrap(), ());
    }
    assert!(group.is_full());
    assert!(group.commit(false).into_iter().all(|(_, result)| result.is_ok()));
    assert!(!group.is_full());
}
