//! `put --remove-source` removes a source only if all of it has arrived.

use haul_tests::prelude::*;

/// Puts the source, and does something when the client has read the first file and the server does not have it.
fn put_while(setting: &Setting, act: impl FnOnce() + Send + 'static) -> Output {
    setting.rests();
    let between = Lost::late(setting.server.address(), "bundle", act).unwrap();
    let words = ["put", "--remove-source", "--connections=1", "s", between.address()];
    let output = setting.haul(&words).output();
    between.end();
    output
}

/// Its change time can have come from the name as well, so only its bytes tell.
#[test]
fn small_file_that_is_written_while_it_loses_another_name_stays() {
    let setting = Setting::start_with(&[]);
    setting.write("one", "old");
    let (one, other) = (setting.source().join("one"), setting.place.path().join("other"));
    fs::hard_link(&one, &other).unwrap();
    let path = one.clone();
    let output = put_while(&setting, move || {
        let before = path.metadata().unwrap().modified().unwrap();
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.set_modified(before).unwrap();
        fs::remove_file(other).unwrap();
    });
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("arrived, but has changed since, so it is not removed here"), "{told}");
    assert_eq!(fs::read(&one).unwrap(), b"new");
    assert_eq!(fs::read(setting.target().join("one")).unwrap(), b"old");
}

#[test]
fn small_file_that_only_loses_another_name_is_removed() {
    let setting = Setting::start_with(&[]);
    setting.write("one", "old");
    let (one, other) = (setting.source().join("one"), setting.place.path().join("other"));
    fs::hard_link(&one, &other).unwrap();
    let output = put_while(&setting, move || fs::remove_file(other).unwrap());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!one.exists());
}

/// Also if the list has it in other words.
#[test]
fn file_that_a_list_names_twice_is_sent_once_and_removed() {
    let setting = Setting::start_with(&[]);
    setting.write("a", "x");
    setting.write("d/b", "x");
    let list = "a\n./a\nd/b\n.//d/./b\na\n";
    let mut command = setting.command("put", &["--files-from", "-", "--remove-source", "--json"]);
    let output = command.write_stdin(list).output();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let summary = last(&output.stdout);
    assert_eq!((&summary["files"], &summary["failed"]), (&json!(2), &json!(0)), "{summary}");
    for name in ["a", "d/b"] {
        assert!(!setting.source().join(name).exists() && setting.there(name), "{name}");
    }
}
