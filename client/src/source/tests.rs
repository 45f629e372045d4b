//! Sizes, ends and stamps of sources.

use super::*;

#[cfg(unix)]
fn now(path: &Path) -> Stamp {
    stamp(&path.symlink_metadata().unwrap())
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
