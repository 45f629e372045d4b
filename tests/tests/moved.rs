//! `put --remove-source` with several sources: no file is removed here whose place another source's file would take.

use std::fs;
use std::path::Path;
use std::process::Output;

use haul_tests::setting::Setting;
use rustix::fs::{CWD, FileType, Mode, mknodat};

fn setting(files: &[&str]) -> Setting {
    let setting = Setting::start_with(&["--durability", "group"]);
    files.iter().for_each(|name| write(setting.place.path(), name));
    setting
}

/// Writes a file whose bytes are its own name.
fn write(place: &Path, name: &str) {
    let path = place.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, name).unwrap();
}

/// Moves these sources, and returns what haul has told.
fn moved(setting: &Setting, sources: &[&str], code: i32) -> String {
    let to = setting.at("d");
    let mut command = setting.haul(&["put", "--remove-source"]);
    let output: Output = command.args(sources).arg(to).output();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

/// Whether the bytes of a file are here or at the server.
fn is_anywhere(setting: &Setting, name: &str) -> bool {
    [setting.place.path(), setting.server.root()].into_iter().any(|place| {
        let entries = walkdir::WalkDir::new(place).into_iter().map(Result::unwrap);
        let mut files = entries.filter(|entry| entry.file_type().is_file());
        files.any(|entry| fs::read(entry.path()).is_ok_and(|bytes| bytes == name.as_bytes()))
    })
}

#[test]
fn run_again_does_not_put_the_second_of_two_files_in_the_place_of_the_first_which_was_moved() {
    let files = ["a/x", "b/x", "a/deep/y", "b/deep/y", "a/only", "x"];
    let setting = setting(&files);
    for _ in 0..3 {
        let told = moved(&setting, &["a/", "x", "b/"], 1);
        assert!(told.contains("a/x: arrived, but is not removed here: x gets the same"), "{told}");
        for name in files {
            assert!(is_anywhere(&setting, name), "{name}: {told}");
        }
        assert!(!setting.place.path().join("a/only").exists(), "{told}");
    }
    let place = setting.place.path();
    for (from, to) in [("b/x", "b/x2"), ("x", "x3"), ("b/deep/y", "b/deep/y2")] {
        fs::rename(place.join(from), place.join(to)).unwrap();
    }
    moved(&setting, &["a/", "x3", "b/"], 0);
    for name in files {
        assert!(is_anywhere(&setting, name), "{name}");
    }
    assert!(
        !place.join("a/x").exists() && !place.join("b/x2").exists() && !place.join("x3").exists()
    );
}

/// Its disk is not mounted yet, for example.
#[test]
fn source_that_is_not_there_may_have_files_of_the_same_names_later() {
    let setting = setting(&["a/x"]);
    let told = moved(&setting, &["a/", "b/"], 1);
    assert!(setting.place.path().join("a/x").exists(), "{told}");
    write(setting.place.path(), "b/x");
    moved(&setting, &["a/", "b/"], 1);
    assert!(is_anywhere(&setting, "a/x") && is_anywhere(&setting, "b/x"));
}

#[test]
fn stream_does_not_take_the_place_of_a_file_that_was_moved() {
    let setting = setting(&["a/p"]);
    let fifo = setting.place.path().join("p");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for sources in [["a/", "p"], ["p", "a/"]] {
        let told = std::thread::scope(|scope| {
            let writer = scope.spawn(|| fs::write(&fifo, "stream"));
            let told = moved(&setting, &sources, 1);
            writer.join().unwrap().unwrap();
            told
        });
        assert!(told.contains("another source has d/p as well"), "{told}");
        assert!(is_anywhere(&setting, "a/p"), "{told}");
    }
}

#[test]
fn file_that_another_source_leaves_out_or_shares_is_moved() {
    let setting = setting(&["a/x", "a/y", "b/x"]);
    let place = setting.place.path();
    fs::write(place.join("b/.haulignore"), "x\n").unwrap();
    fs::hard_link(place.join("a/y"), place.join("c")).unwrap();
    moved(&setting, &["a/", "b/"], 0);
    assert!(!place.join("a/x").exists() && place.join("b/x").exists());
    assert!(!place.join("a/y").exists());
}
