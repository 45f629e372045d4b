//! The root of a running server that is removed, replaced or moved: nobody is told of an empty directory.

use haul_tests::prelude::*;

const TOLD: &str = "root was removed, replaced, moved or unmounted";

/// Lines of the log that tell it.
fn told(server: &Hauld) -> usize {
    server.log_text().lines().filter(|line| line.contains(TOLD)).count()
}

/// Every command is refused with the reason, and the log has it once.
fn refuses(setting: &Setting, what: &str) {
    let address = setting.server.address();
    let commands: [&[&str]; 5] = [
        &["ls", address],
        &["put", "s", address],
        &["sync", "--delete", "s/", address],
        &["verify", "s/", address],
        &["publish", "s", &setting.at("d")],
    ];
    for words in commands {
        let refused = contains(what).and(contains("put it back, or start hauld again (root_gone)"));
        setting.haul(words).assert().code(3).stderr(refused.and(contains("permission").not()));
    }
    assert_eq!(told(&setting.server), 1, "{}", setting.server.log_text());
}

fn started() -> Setting {
    let setting = Setting::start_with(&[]);
    setting.write("file", "x");
    setting.haul(&["put", "s/file", setting.server.address()]).assert().success();
    setting
}

#[test]
fn removed_root_is_told_to_every_command_and_once_to_the_log() {
    let setting = started();
    fs::remove_dir_all(setting.server.root()).unwrap();
    refuses(&setting, "the server's root was removed");
}

#[test]
fn replaced_root_is_told() {
    let setting = started();
    fs::remove_dir_all(setting.server.root()).unwrap();
    fs::create_dir_all(setting.server.root().join("data")).unwrap();
    refuses(&setting, "the server's root was removed");
    assert_eq!(fs::read_dir(setting.server.root()).unwrap().count(), 1);
}

#[test]
fn root_that_is_moved_away_is_told_and_served_again_when_it_is_back() {
    let setting = started();
    let (root, away) = (setting.server.root(), setting.server.root().with_extension("away"));
    fs::rename(root, &away).unwrap();
    refuses(&setting, "the server's root was removed");
    assert_eq!(fs::read_dir(&away).unwrap().count(), 2, "only `file` and `.haul`");
    fs::rename(&away, root).unwrap();
    setting.haul(&["ls", setting.server.address()]).assert().success().stdout("file\n");
    // The directory may be anywhere, as long as the path leads to it.
    fs::rename(root, &away).unwrap();
    symlink(&away, root).unwrap();
    setting.haul(&["ls", setting.server.address()]).assert().success().stdout("file\n");
}

#[test]
fn removed_directory_of_the_servers_own_is_told() {
    let setting = started();
    fs::remove_dir_all(setting.server.root().join(".haul")).unwrap();
    let what = "the server's own directory `.haul` in its root was removed";
    refuses(&setting, what);
    // hauld makes one of its own at its next start only.
    assert!(!setting.server.root().join(".haul").exists());
}

#[test]
fn connection_that_was_there_before_is_refused_as_well() {
    let server = server();
    let mut peer = server.peer();
    fs::remove_dir_all(server.root()).unwrap();
    peer.send(&json!({"cmd": "list", "id": 1}), b"").unwrap();
    let (refused, _) = peer.receive().unwrap();
    assert_eq!((&refused["refused"], &refused["code"]), (&json!(0), &json!("root_gone")));
}

/// A request began while the root was there, and its last byte comes when it is not.
#[test]
fn body_that_ends_after_the_root_is_gone_is_refused() {
    let server = server();
    let mut peer = server.peer();
    let body = vec![b'x'; 200_000];
    let frame = frame(&put(1, "file", &body), &body);
    let (first, last) = frame.split_at(frame.len() - 1);
    peer.stream.write_all(first).unwrap();
    // The server has read the header.
    eventually("a staged file", || !server.staged().unwrap_or_default().is_empty());
    fs::remove_dir_all(server.root()).unwrap();
    peer.stream.write_all(last).unwrap();
    let (refused, _) = peer.receive().unwrap();
    assert_eq!(refused["code"], "root_gone");
}

/// The classic dialect has no answers: the log tells, and the connection ends.
#[test]
fn classic_client_is_cut_off() {
    let server = server();
    fs::remove_dir_all(server.root()).unwrap();
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.write_all(&classic("file", b"x")).unwrap();
    assert_eq!(peer.stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(told(&server), 1);
}

/// A directory below the root is looked for by its name at each request.
#[test]
fn directory_that_is_removed_between_two_requests_is_not_listed_as_empty() {
    let server = server();
    fs::create_dir(server.root().join("d")).unwrap();
    fs::write(server.root().join("d/f"), "x").unwrap();
    let mut peer = server.peer();
    let list = |id| json!({"cmd": "list", "id": id, "filename": "d"});
    peer.send(&list(1), b"").unwrap();
    assert_eq!(peer.receive().unwrap().0["answer"], 1);
    fs::remove_dir_all(server.root().join("d")).unwrap();
    peer.send(&list(2), b"").unwrap();
    let (refused, _) = peer.receive().unwrap();
    assert_eq!((&refused["refused"], &refused["code"]), (&json!(2), &json!("not_found")));
}
