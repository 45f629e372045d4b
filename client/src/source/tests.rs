//! Sizes, ends and stamps of sources.

use super::*;

#[cfg(unix)]
fn now(path: &Path) -> Stamp {
    stamp(&path.symlink_metadata().unwrap())
}

#[test]
fn path_is_split_into_its_parent_and_its_file_name() {
    for path in [
        "a/b",
        "/a",
        "/a/b",
        "a//b",
        "a/b/",
        "a/b//",
        "a/./b",
        "./b",
        "a/b/.",
        "a/..",
        "a/../b",
        "..",
        ".",
        "/",
        "",
        "a",
        "//a",
        "/./a",
        ".//a",
        "a/...",
        "a/.b",
        "a./b",
        "a b/c\nd/é",
    ] {
        let path = Path::new(path);
        assert_eq!(split(path), path.parent().zip(path.file_name()), "{path:?}");
        if let Some((parent, _)) = split(path) {
            assert_eq!(Some(parent.as_os_str()), path.parent().map(Path::as_os_str), "{path:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn open_file_is_as_its_path_shows_it() {
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    let place = tempfile::TempDir::new().unwrap();
    let path = place.path().join("file");
    std::fs::write(&path, "12345").unwrap();
    std::fs::hard_link(&path, place.path().join("second name")).unwrap();
    let times = [Duration::new(1_700_000_000, 5), Duration::from_millis(500)];
    for time in times.map(|time| [SystemTime::UNIX_EPOCH + time, SystemTime::UNIX_EPOCH - time]) {
        for (time, mode) in time.into_iter().zip([0o640, 0o6755]) {
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(time).unwrap();
            file.set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
            let (source, found) = (Source::of(file).unwrap(), path.metadata().unwrap());
            assert_eq!((source.size, source.attributes), (5, attributes(&found)));
            assert_eq!((source.stamp(), source.special_bits), (stamp(&found), mode == 0o6755));
            source.check_unchanged().unwrap();
        }
    }
    let directory = Source::of(File::open(place.path()).unwrap());
    assert!(matches!(directory, Err(FileError::Changed)));
}

#[cfg(unix)]
#[test]
fn file_with_two_names_is_another_if_it_was_written_and_may_be_the_same_if_a_name_goes() {
    use std::os::unix::fs::MetadataExt;

    let place = tempfile::TempDir::new().unwrap();
    let [one, two] = ["one", "two"].map(|name| place.path().join(name));
    std::fs::write(&one, "1").unwrap();
    std::fs::hard_link(&one, &two).unwrap();
    let stamp = stamp(&one.metadata().unwrap());
    assert_eq!(stamp.now(now(&one)), Now::Same);
    std::fs::remove_file(&two).unwrap();
    assert_eq!(stamp.now(now(&one)), Now::FewerNames);
    std::fs::hard_link(&one, &two).unwrap();
    let before = one.metadata().unwrap();
    std::fs::write(&one, "2").unwrap();
    File::options()
        .append(true)
        .open(&one)
        .unwrap()
        .set_modified(before.modified().unwrap())
        .unwrap();
    while one.metadata().unwrap().ctime() == before.ctime()
        && one.metadata().unwrap().ctime_nsec() == before.ctime_nsec()
    {
        std::fs::set_permissions(&one, before.permissions()).unwrap();
    }
    assert_eq!(stamp.now(now(&one)), Now::Other);
}

#[test]
fn what_is_below_a_directory_is_named_from_there() {
    for (root, path, name) in [
        ("a", "a", ""),
        ("a", "a/b", "b"),
        ("a", "a/b/c", "b/c"),
        ("a/", "a/b", "b"),
        ("/", "/b", "b"),
        (".", "./b", "b"),
        ("a//", "a//b", "b"),
        ("./a", "./a/b", "b"),
        ("a", "a//b", "b"),
    ] {
        let found = below(Path::new(path), Path::new(root));
        assert_eq!(found, Path::new(name), "{path} in {root}");
    }
}

#[test]
fn longer_name_is_not_below() {
    assert_eq!(below(Path::new("ab/c"), Path::new("a")), Path::new(""));
}

/// Two symlinks exchange their names all the time. The size of a symlink is that of the path that it points to.
#[cfg(target_os = "linux")]
#[test]
fn stamp_and_target_of_a_symlink_are_of_the_same_one() {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    let place = tempfile::TempDir::new().unwrap();
    let [one, two] = ["one", "two"].map(|name| place.path().join(name));
    std::os::unix::fs::symlink("a", &one).unwrap();
    std::os::unix::fs::symlink("another", &two).unwrap();
    let directory = directory::Directory::open(place.path()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let wrong = (0..5_000).find_map(|_| {
            let (stamp, target) = directory.link(OsStr::new("one")).unwrap();
            let by_path = link(&one).unwrap();
            let sizes = [(stamp, target.len()), (by_path.stamp, by_path.target.as_bytes().len())];
            sizes.into_iter().find(|(stamp, len)| stamp.size != *len as u64)
        });
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(wrong, None);
    });
    assert!(directory.link(OsStr::new("none")).is_err());
    std::fs::write(place.path().join("file"), "").unwrap();
    let error = directory.link(OsStr::new("file")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
