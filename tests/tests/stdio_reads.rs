//! A client that only reads: it needs no right to write, and changes nothing.

use haul_tests::prelude::*;
use haul_tests::stdio::Stdio;

fn get(id: u64, name: &str) -> Value {
    json!({"cmd": "get", "id": id, "filename": name, "offset": 0, "part_size": 1 << 20})
}

/// A tree that this user may read and not write.
fn tree() -> (User, PathBuf) {
    let user = User::new().unwrap();
    let root = user.path().join("root");
    fs::create_dir_all(root.join("dir")).unwrap();
    fs::write(root.join("dir/file"), "bytes").unwrap();
    set_mode(&root, 0o555);
    (user, root)
}

#[test]
fn root_that_can_not_be_written_to_is_read() {
    let (user, root) = tree();
    let mut stdio = Stdio::of(user.command("hauld"), &[]);
    let answer = stdio.greet(&json!({"root": root, "change": false}));
    assert_eq!(answer["root"], json!(root), "{answer}");
    stdio.hello("one");
    let (answer, list) = stdio.asks(&json!({"cmd": "list", "id": 1}), b"");
    assert!(String::from_utf8_lossy(&list).contains("dir"), "{answer}");
    let (answer, body) = stdio.asks(&get(2, "dir/file"), b"");
    assert_eq!(body, b"bytes", "{answer}");
    stdio.end().is_well();
    assert!(!root.join(".haul").exists());
}

#[test]
fn changes_are_refused_where_the_client_has_said_to_read_only() {
    let (_user, root) = tree();
    set_mode(&root, 0o755);
    let before = mtimes(&root);
    let large = Large::new(1);
    let mut stdio = Stdio::start(&[]);
    stdio.greet(&json!({"root": root, "change": false}));
    stdio.hello("one");
    let open = json!({
        "cmd": "open", "id": 4, "filename": "l", "filesize": large.bytes.len(), "fingerprint": "f",
    });
    for (id, header) in [
        (1, json!({"cmd": "mkdir", "id": 1, "filename": "new"})),
        (2, json!({"cmd": "remove", "id": 2, "filename": "dir/file"})),
        (3, json!({"cmd": "rename", "id": 3, "filename": "dir", "to": "new"})),
        (4, open),
        (5, json!({"cmd": "setattr", "id": 5, "filename": "dir", "mode": 0o700})),
        (6, json!({"cmd": "symlink", "id": 6, "filename": "new", "target": "t"})),
        (7, json!({"cmd": "rollback", "id": 7, "filename": "dir"})),
    ] {
        let answer = stdio.ask(&header, b"");
        refused(&answer, id, "permission");
        assert!(answer["message"].as_str().unwrap().contains("read only"), "{answer}");
    }
    let answer = stdio.ask(&put(8, "new", b"x"), b"x");
    refused(&answer, 8, "permission");
    // The connection goes on.
    assert_eq!(stdio.asks(&get(9, "dir/file"), b"").1, b"bytes");
    stdio.end().is_well();
    assert_eq!(mtimes(&root), before);
}

fn mtimes(root: &Path) -> Vec<(PathBuf, SystemTime)> {
    let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
    let entries = entries.map(|entry| entry.unwrap().into_path());
    entries.map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap())).collect()
}

#[test]
fn next_version_is_refused_where_nothing_may_be_changed() {
    let (_user, root) = tree();
    let mut stdio = Stdio::start(&[]);
    stdio.greet(&json!({"root": root, "change": false}));
    let hello = json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": "c", "slot": 0,
        "must": ["publish"], "filename": "dir",
    });
    let answer = stdio.ask(&hello, b"");
    refused(&answer, 0, "permission");
}

#[test]
fn root_that_is_served_is_read_beside_its_server() {
    let setting = Setting::start();
    let root = setting.server.root().to_owned();
    fs::write(root.join("file"), "bytes").unwrap();
    let mut stdio = Stdio::start(&[]);
    let answer = stdio.greet(&json!({"root": root, "change": false}));
    assert_eq!(answer["joined"], false, "{answer}");
    stdio.hello("one");
    assert_eq!(stdio.asks(&get(1, "file"), b"").1, b"bytes");
    stdio.end().is_well();
}

/// A directory that its owner may not list is opened up by a server that may change it, and by no other.
#[test]
fn no_mode_is_changed_to_read() {
    let (user, root) = tree();
    user.own_all(root.clone()).unwrap();
    set_mode(root.join("dir"), 0o000);
    let mut stdio = Stdio::of(user.command("hauld"), &[]);
    stdio.greet(&json!({"root": root, "change": false}));
    stdio.hello("one");
    let answer = stdio.ask(&json!({"cmd": "list", "id": 1, "filename": "dir"}), b"");
    refused(&answer, 1, "permission");
    stdio.end().is_well();
    assert_eq!(mode(root.join("dir")), 0);
    set_mode(root.join("dir"), 0o755);
}

#[test]
fn root_that_is_missing_is_not_made_to_read() {
    let place = TempDir::new().unwrap();
    let mut stdio = Stdio::start(&[]);
    let answer = stdio.greet(&json!({"root": place.path().join("root"), "change": false}));
    assert_eq!(answer["error"]["code"], "not_found", "{answer}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn put_where_nothing_can_be_written_is_denied() {
    let (user, root) = tree();
    let mut stdio = Stdio::of(user.command("hauld"), &[]);
    let answer = stdio.greet(&json!({"root": root}));
    assert_eq!(answer["error"]["code"], "denied", "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains(root.to_str().unwrap()), "{message}");
    assert_eq!(stdio.end().code, Some(2));
}

#[test]
fn server_that_only_reads_has_addresses_as_well() {
    let (_user, root) = tree();
    let place = TempDir::new().unwrap();
    let log = place.path().join("log");
    let hauld = &binaries::get().hauld;
    let server = Hauld::start_at(&root, &log, Command::new(hauld), &["--read-only"]).unwrap();
    let mut peer = server.peer();
    peer.send(&get(1, "dir/file"), b"").unwrap();
    assert_eq!(peer.receive().unwrap().1, b"bytes");
    refused(&peer.ask(&put(2, "new", b"x"), b"x").unwrap(), 2, "permission");
    // The classic dialect has no answers; its file is not stored, and its connection ends.
    let mut old = Peer::connect(server.address()).unwrap();
    old.stream.write_all(&classic("new", b"x")).unwrap();
    assert_eq!(old.end().unwrap(), b"");
    let target = place.path().join("got");
    haul().arg("get").arg(format!("{}/dir", server.address())).arg(&target).assert().success();
    assert_eq!(fs::read(target.join("dir/file")).unwrap(), b"bytes");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    drop(server);
    set_mode(&root, 0o755);
}
