//! `haul get`: command lines that make no sense are told with the right form.

use haul_tests::prelude::*;

#[track_caller]
fn told(words: &[&str]) -> String {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("file"), "x").unwrap();
    let assert = haul().current_dir(place.path()).arg("get").args(words).assert().code(2);
    let names = tree::names(place.path());
    assert_eq!((names.len(), fs::read_dir(place.path()).unwrap().count()), (1, 1), "{names:?}");
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[test]
fn get_without_a_directory_is_told_the_right_form() {
    let told = told(&["box/file"]);
    assert_eq!(
        told,
        "haul: the last word is the directory on this machine that SRC goes into:\n  \
         haul get HOST/PATH DIR;\n  `.` is the present one\n"
    );
}

#[test]
fn source_on_this_machine_is_told_the_right_form() {
    assert_eq!(
        told(&["./file", "d"]),
        "haul: `./file` is a path on this machine, and haul get begins with the server:\n  \
         haul get HOST/PATH DIR;\n  to send it, write haul put ./file HOST\n"
    );
}

#[test]
fn server_in_the_place_of_the_directory_is_told() {
    for server in
        ["haul://box/x", "haul://alice@box:1", "127.0.0.1:8080", "box:8080/dir", "unix:/s"]
    {
        let told = told(&["box/file", server]);
        assert!(told.contains(&format!("`{server}` is a server")), "{told}");
        assert!(told.contains("haul put"), "{told}");
    }
}

/// A name with a colon is that of a directory if it is there, or if the user says so.
#[test]
fn directory_with_a_colon_in_its_name_is_a_directory() {
    let setting = Setting::start();
    setting.write_there("file", "x");
    fs::create_dir(setting.place.path().join("box:1")).unwrap();
    for place in ["box:1", "./new:1"] {
        setting.haul(&["get", &setting.at("s/file"), place]).assert().success();
        assert!(setting.place.path().join(place).join("file").exists(), "{place}");
    }
}

#[test]
fn sources_at_two_servers_are_told() {
    let told = told(&["box/file", "fox/file", "d"]);
    assert!(told.contains("at box") && told.contains("at fox"), "{told}");
    assert!(told.contains("one\n  server") || told.contains("one server"), "{told}");
}

#[test]
fn symlinks_can_not_be_followed_at_the_server() {
    assert_eq!(
        told(&["--links", "follow", "box/file", "d"]),
        "haul: a server reads no file through a symlink: --links copy or skip\n"
    );
}

#[test]
fn another_name_is_for_a_single_file() {
    assert!(told(&["box/a", "box/b", "d", "--as", "x"]).contains("--as takes a single SRC"));
    assert!(told(&["box/a/", "d", "--as", "x"]).contains("--as takes a single file"));
    for name in ["", "a/b", "..", "."] {
        assert!(told(&["box/a", "d", "--as", name]).contains("--as"), "{name}");
    }
}

#[test]
fn directory_does_not_take_another_name_and_that_is_told() {
    let setting = Setting::start();
    setting.write_there("in/file", "x");
    let told = setting.haul(&["get", &setting.at("s/in"), "d", "--as", "x"]).assert().code(1);
    told.stderr(contains("--as takes a single file, and this is a directory"));
    assert!(!setting.place.path().join("d/x").exists());
}
