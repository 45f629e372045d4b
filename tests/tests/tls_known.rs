//! `known_servers`, as users and other programs leave it.

use haul_tests::prelude::*;

use crate::tls_fake::{Identity, haul_in, trusting};

const HOST: &str = "box.example:8080";

fn file(configuration: &TempDir) -> PathBuf {
    configuration.path().join("known_servers")
}

#[test]
fn lines_that_haul_does_not_know_stay_as_they_are() {
    let (old, new) = (Identity::own().pin(), Identity::own().pin());
    let configuration = TempDir::new().unwrap();
    let others = format!(
        "# mine\n\n  \nother:99 {old} since=2020-01-01 colour=blue\nbox.example:8081 haul1-torn\n? ? \u{ff}\nother"
    );
    let text = [others.as_bytes(), b"\xff\xfe\n", format!("{HOST} {old}").as_bytes()].concat();
    fs::write(file(&configuration), text).unwrap();
    haul_in(configuration.path(), &["trust", "--replace", "Box.Example", &new]).assert().success();
    let text = fs::read(file(&configuration)).unwrap();
    let before = [others.as_bytes(), b"\xff\xfe\n"].concat();
    assert!(text.starts_with(&before), "{}", String::from_utf8_lossy(&text));
    let rest = String::from_utf8(text[before.len()..].to_vec()).unwrap();
    assert!(
        rest.starts_with(&format!("{HOST} {new} since=")) && rest.lines().count() == 1,
        "{rest}"
    );
    haul_in(configuration.path(), &["trust", "--list"])
        .assert()
        .success()
        .stdout(contains(format!("other:99 {old} since 2020-01-01\n")).and(contains(new)));
}

#[test]
fn keys_are_added_and_removed_one_by_one_or_all() {
    let pins = [(); 3].map(|()| Identity::own().pin());
    let configuration = TempDir::new().unwrap();
    let trust = |words: &[&str]| haul_in(configuration.path(), &[&["trust", HOST], words].concat());
    trust(&[&pins[0]]).assert().success().stdout(contains("is trusted from now on"));
    trust(&[&pins[0]]).assert().success().stdout(contains("is trusted since 2"));
    trust(&[&pins[1]]).assert().code(1).stderr(contains("--replace").and(contains("--add")));
    trust(&["--add", &pins[1]]).assert().success();
    trust(&["--add", &pins[2]]).assert().success();
    trust(&["--remove", &pins[1]]).assert().success();
    trust(&["--remove", &pins[1]]).assert().code(1);
    let text = fs::read_to_string(file(&configuration)).unwrap();
    assert!(text.contains(&pins[0]) && !text.contains(&pins[1]) && text.contains(&pins[2]));
    trust(&["--remove"]).assert().success().stdout(contains("2 keys"));
    assert_eq!(fs::read_to_string(file(&configuration)).unwrap(), "");
    // Groups that were pasted with blanks, and a letter that was mistyped.
    let groups: Vec<_> = pins[0].split('-').collect();
    trust(&groups).assert().success();
    let last = groups.last().unwrap();
    let wrong = pins[0].replace(last, &last.chars().rev().collect::<String>());
    trust(&["--add", &wrong]).assert().code(2).stderr(contains("mistyped"));
    trust(&["--add", "haul1-abc"]).assert().code(2);
    haul_in(configuration.path(), &["trust", "box/a", &pins[0]]).assert().code(2);
    haul_in(configuration.path(), &["trust", "unix:/x", &pins[0]]).assert().code(2);
}

#[test]
fn file_that_cant_be_read_is_no_file_without_keys() {
    let setting = Setting::start();
    setting.write("f", "x");
    let (source, address) = (setting.source(), setting.server.address());
    let put = ["put", source.to_str().unwrap(), address];
    // Torn: the key of this very server can't be read, so nobody knows whether it has that key.
    let torn = trusting(&[(address, "haul1-abcde-fghij")]);
    haul_in(torn.path(), &put)
        .assert()
        .code(4)
        .stderr(contains("line 1 of ").and(contains("can't be read")));
    let trust = ["trust", "--replace", address, &Identity::own().pin()];
    haul_in(torn.path(), &trust).assert().success();
    assert_eq!(fs::read_to_string(file(&torn)).unwrap().lines().count(), 1);
    // Torn lines of other servers are their business.
    let others = trusting(&[("other:99", "haul1-abcde")]);
    haul_in(others.path(), &put).assert().success();
    let unreadable = TempDir::new().unwrap();
    fs::create_dir(file(&unreadable)).unwrap();
    haul_in(unreadable.path(), &put)
        .assert()
        .code(4)
        .stderr(contains("could not read ").and(contains("nothing was sent")));
}

#[test]
fn many_runs_at_once_lose_no_line() {
    let configuration = TempDir::new().unwrap();
    let directory = configuration.path().join("new");
    let pin = Identity::own().pin();
    thread::scope(|scope| {
        for host in 0..16 {
            let (directory, pin) = (&directory, &pin);
            scope.spawn(move || {
                haul_in(directory, &["trust", &format!("host{host}"), pin]).assert().success();
            });
        }
    });
    let text = fs::read_to_string(directory.join("known_servers")).unwrap();
    for host in 0..16 {
        assert!(text.contains(&format!("host{host}:8080 {pin}")), "{text}");
    }
    assert_eq!((text.lines().count(), mode(&directory)), (16, 0o700));
    assert_eq!(mode(directory.join("known_servers")), 0o600);
    let left = fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["known_servers", "lock"]);
}

#[test]
fn symlink_to_the_file_stays_one() {
    let configuration = TempDir::new().unwrap();
    let kept = TempDir::new().unwrap();
    fs::write(kept.path().join("mine"), "").unwrap();
    symlink(kept.path().join("mine"), file(&configuration)).unwrap();
    haul_in(configuration.path(), &["trust", "box", &Identity::own().pin()]).assert().success();
    assert!(file(&configuration).symlink_metadata().unwrap().is_symlink());
    let text = fs::read_to_string(kept.path().join("mine")).unwrap();
    assert!(text.starts_with(HOST.replace(".example", "").as_str()), "{text}");
}
