//! `haul ls`.

use haul_tests::prelude::*;

fn ls(setting: &Setting, words: &[&str], path: &str) -> Vec<String> {
    let mut command = setting.haul(&["ls"]);
    let output =
        command.args(words).arg(setting.at(path)).assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn names_are_listed_in_order() {
    let setting = Setting::start();
    assert_eq!(ls(&setting, &[], ""), Vec::<String>::new());
    for name in ["b", "a-", "a/x/deep", "a/b", "z/y", "c d"] {
        setting.write_there(name, "x");
    }
    symlink("b", setting.target().join("l")).unwrap();
    assert_eq!(ls(&setting, &[], ""), ["s/"]);
    assert_eq!(ls(&setting, &[], "s"), ["a/", "a-", "b", "c d", "l", "z/"]);
    let all = ["a/", "a/b", "a/x/", "a/x/deep", "a-", "b", "c d", "l", "z/", "z/y"];
    assert_eq!(ls(&setting, &["-R"], "s/"), all);
    // A file or a link is listed itself.
    assert_eq!(ls(&setting, &[], "s/a/b"), ["b"]);
    assert_eq!(ls(&setting, &[], "s/l"), ["l"]);
}

#[test]
fn long_lines_tell_mode_size_and_time() {
    let setting = Setting::start();
    setting.write_there("file", "12345");
    let file = fs::File::open(setting.target().join("file")).unwrap();
    file.set_permissions(PermissionsExt::from_mode(0o640)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    setting.write_there("old", "");
    let old = fs::File::open(setting.target().join("old")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(5)).unwrap();
    symlink("file", setting.target().join("link")).unwrap();
    let mut command = setting.haul(&["ls", "-l", &setting.at("s")]);
    command.env("TZ", "UTC").assert().success().stdout(
        contains("-rw-r-----             5 2001-09-09 01:46:40 file\n")
            .and(contains("0 1969-12-31 23:59:55 old\n"))
            .and(contains("l---------"))
            .and(contains("link -> file\n")),
    );
    let json = ls(&setting, &["--json"], "s/file");
    let entry: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!(
        entry,
        serde_json::json!({
            "kind": "file", "filename": "s/file", "filesize": 5, "mode": 0o640,
            "mtime": {"s": 1_000_000_000, "ns": 0},
        })
    );
}

/// More directories than are asked for ahead, and more entries than one answer holds.
#[test]
fn everything_is_listed_once_and_in_order() {
    let setting = Setting::start();
    let mut expected = Vec::new();
    for directory in 0..60 {
        for file in 0..40 {
            let name = format!("d{directory:02}/e{:02}/f{file}", file % 20);
            setting.write_there(&name, "");
            expected.push(format!("s/{name}"));
        }
    }
    fs::create_dir(setting.target().join("many")).unwrap();
    for file in 0..12_000 {
        let name = format!("many/a rather long name, so that a page is full, {file:05}");
        fs::File::create(setting.target().join(&name)).unwrap();
        expected.push(format!("s/{name}"));
    }
    let listed = ls(&setting, &["--recursive"], "");
    let files: Vec<_> = listed.iter().filter(|name| !name.ends_with('/')).cloned().collect();
    expected.sort_unstable();
    assert!(files == expected, "{} and {}", files.len(), expected.len());
    assert_eq!(listed.len() - files.len(), 1 + 60 + 60 * 20 + 1);
}

#[test]
fn what_can_not_be_listed_is_named() {
    let setting = Setting::start();
    setting
        .haul(&["ls", &setting.at("none")])
        .assert()
        .code(1)
        .stderr(contains("none").and(contains("not_found")));
    setting.haul(&["ls", "127.0.0.1:1"]).assert().code(3).stderr(contains("reach"));
    setting.haul(&["ls", "/tmp"]).assert().code(2).stderr(contains("HOST"));
}

#[test]
fn names_that_garble_a_terminal_are_quoted_there() {
    let setting = Setting::start();
    setting.write_there("red \u{1b}[31m", "");
    assert_eq!(ls(&setting, &[], "s"), ["red \u{1b}[31m"]);
    let haul = haul_tests::binaries::get().haul.display().to_string();
    Client::new("script")
        .args(["-qec", &format!("{haul} ls {}", setting.at("s")), "/dev/null"])
        .assert()
        .success()
        .stdout(contains("red \\u{1b}[31m"));
}
