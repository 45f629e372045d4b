//! A file of which only mode or mtime differ gets these without its bytes, and never another file in its place.

use haul_tests::prelude::*;

/// An mtime of files of this client, in seconds.
const HERE: u64 = 1_500_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Syncs the source when a file of it differs by mode or mtime alone. Just before the server has the `setattr`, another client
/// replaces the file by one with as many bytes.
fn replaced_while(words: &[&str], change: impl FnOnce(&Path)) {
    let setting = Setting::start();
    setting.write("f", "here");
    let file = setting.source().join("f");
    set_mtime(&file, at(HERE));
    setting.sync(&[]);
    change(&file);
    setting.rests();
    let other = setting.place.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("f"), "else").unwrap();
    set_mode(other.join("f"), 0o600);
    let to = setting.at("s");
    let between = Lost::late(setting.server.address(), "setattr", move || {
        haul().args(["put", "-q"]).arg(other.join("f")).arg(to).assert().success();
    });
    let between = between.unwrap();
    let words = [&["sync", "--connections=1"], words, &["s"]].concat();
    setting.haul(&words).arg(between.address()).assert().success();
    between.end();
    assert_eq!(fs::read(setting.target().join("f")).unwrap(), b"here", "{words:?}");
    setting.same();
    let again = setting.sync(&["--checksum"]);
    assert_eq!((&again["files"], &again["unchanged"]), (&json!(0), &json!(1)), "{again}");
}

#[test]
fn file_that_comes_while_the_mode_alone_is_set_does_not_count_as_the_same() {
    replaced_while(&[], |file| set_mode(file, 0o640));
}

#[test]
fn file_that_comes_while_the_mtime_alone_is_set_does_not_count_as_the_same() {
    replaced_while(&["--checksum"], |file| set_mtime(file, at(HERE + 1)));
}
