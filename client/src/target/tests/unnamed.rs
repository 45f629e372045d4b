//! Files without a name.

use super::*;

fn stage(directory: &Arc<Directory>, text: &str, over: Over) -> Group<()> {
    let mut group = Group::new();
    let attributes = with_mode(0o640);
    group.add(directory.stage(name(text), b"new", &attributes, over).unwrap(), ());
    group
}

#[test]
fn kill_leaves_nothing_of_a_file_without_a_name() {
    for (place, directory) in places().skip(1) {
        let group = stage(&directory, "f", Over::File);
        assert!(names(place.path()).is_empty());
        drop(group);
        assert!(names(place.path()).is_empty());
    }
}

#[test]
fn each_way_gives_the_file_its_name_whatever_was_there() {
    for (place, directory) in places() {
        let file = place.path().join("f");
        let other = place.path().join("other");
        let is_new = || {
            let content = fs::read(&file).unwrap();
            (content.as_slice(), mode(&file)) == (b"new", 0o640) && names(place.path()).len() == 1
        };
        stage(&directory, "f", Over::Nothing).commit(true).remove(0).1.unwrap();
        assert!(is_new());
        fs::write(&other, "old").unwrap();
        fs::rename(&other, &file).unwrap();
        stage(&directory, "f", Over::File).commit(true).remove(0).1.unwrap();
        assert!(is_new());
        fs::remove_file(&file).unwrap();
        symlink("nowhere", &file).unwrap();
        stage(&directory, "f", Over::File).commit(false).remove(0).1.unwrap();
        assert!(is_new());
    }
}

#[test]
fn place_that_was_taken_meanwhile_is_not_taken_again() {
    for (place, directory) in places() {
        let mut group = stage(&directory, "f", Over::Nothing);
        fs::write(place.path().join("f"), "mine").unwrap();
        let error = group.commit(true).remove(0).1.unwrap_err();
        assert!(error.is_in_the_way(), "{error}");
        assert_eq!(fs::read(place.path().join("f")).unwrap(), b"mine");
        assert_eq!(names(place.path()), ["f"]);
    }
}

#[test]
fn system_that_is_known_has_files_without_a_name() {
    let place = TempDir::new_in("/dev/shm").unwrap();
    let directory = Directory::open(place.path()).unwrap();
    assert_ne!(directory.way(), Way::None);
    assert!(names(place.path()).is_empty());
    // Files without a name are not of every file system: /proc has none.
    assert_eq!(Directory::open(Path::new("/proc/self")).unwrap().way(), Way::None);
}
