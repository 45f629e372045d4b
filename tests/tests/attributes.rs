//! Modes and times: what is carried exactly, and what is not.

use haul_tests::prelude::*;

/// Trap `directory_mtime_and_mode`: files put into a directory change its mtime, and a read-only one
/// refuses its own children: on the first upload and on the second, and not as root.
#[test]
fn directory_mtime_and_mode() {
    let user = User::new().unwrap();
    let source = user.path().join("source");
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::create_dir(source.join("closed")).unwrap();
    for index in 0..100 {
        fs::write(source.join(format!("a/b/{index}")), "x").unwrap();
        fs::write(source.join(format!("a/{index}")), "x").unwrap();
    }
    let past = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    for (directory, bits) in [("closed", 0o500), ("a/b", 0o555), ("a", 0o511), ("", 0o755)] {
        set_mtime(source.join(directory), past);
        set_mode(source.join(directory), bits);
    }
    let source = user.own_all(source).unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    fs::File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    for round in 0..2 {
        let mut haul = user.command("haul");
        haul.arg("put").arg(&source).arg(server.address());
        Client::from_std(haul).assert().success();
        tree::compare(&source, &root.join("source")).unwrap_or_else(|e| panic!("{round}: {e}"));
    }
    for directory in [&source, &root.join("source")] {
        for name in ["a", "a/b", "closed"] {
            set_mode(directory.join(name), 0o755);
        }
    }
}

/// A directory that its owner may not pass through gets its mode after everything below it.
#[test]
fn directory_without_any_right_is_closed_last() {
    let user = User::new().unwrap();
    let source = user.path().join("source");
    fs::create_dir_all(source.join("a/b/c")).unwrap();
    fs::write(source.join("a/b/c/file"), "x").unwrap();
    let source = user.own_all(source).unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    fs::File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    // Readable for the client, but nobody passes: 0600 on the way.
    for round in 0..2 {
        let mut haul = user.command("haul");
        haul.arg("put").arg(&source).arg(server.address());
        Client::from_std(haul).assert().success();
        assert_eq!(fs::read(root.join("source/a/b/c/file")).unwrap(), b"x", "{round}");
        set_mode(root.join("source/a/b"), 0o600);
        set_mode(root.join("source/a"), 0o000);
    }
}

/// Trap `setuid_by_upload`: a mode with setuid must not arrive with it.
#[test]
fn setuid_by_upload() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let file = source.path().join("file");
    fs::write(&file, "x").unwrap();
    set_mode(&file, 0o6755);
    haul()
        .arg("put")
        .arg(&file)
        .arg(server.address())
        .assert()
        .success()
        .stdout(contains("1 mode without setuid, setgid or sticky"));
    let there = fs::metadata(server.root().join("file")).unwrap();
    assert_eq!(there.mode() & 0o7777, 0o755);
}

#[test]
fn link_keeps_its_own_mtime() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let link = source.path().join("link");
    symlink("nowhere", &link).unwrap();
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 5, tv_nsec: 6 },
        last_modification: rustix::fs::Timespec { tv_sec: 77, tv_nsec: 88 },
    };
    let no_follow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, &link, &times, no_follow).unwrap();
    haul().arg("put").arg(&link).arg(server.address()).assert().success();
    let there = server.root().join("link").symlink_metadata().unwrap();
    assert_eq!((there.mtime(), there.mtime_nsec()), (77, 88));
}

/// A client that states no mode, no mtime or neither leaves them as they are, whatever it asks for and
/// whatever else it states.
#[test]
fn what_is_not_stated_of_something_that_stays_is_not_changed() {
    let server = server();
    let at = |name: &str| server.root().join(name);
    let past = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    fs::create_dir_all(at("site/directory")).unwrap();
    for file in ["file", "site/both", "site/mode", "site/mtime", "site/neither"] {
        fs::write(at(file), "bytes").unwrap();
        set_mtime(at(file), past);
        set_mode(at(file), 0o600);
    }
    set_mode(at("site/directory"), 0o710);
    let digest = blake3::hash(b"bytes").to_hex();
    let stat = |name: &str| {
        let found = fs::metadata(at(name)).unwrap();
        (found.mode() & 0o7777, found.mtime(), found.mtime_nsec())
    };
    let mut peer = server.peer();
    let requests = [
        json!({"cmd": "setattr", "id": 1, "filename": "file", "kind": "file", "blake3": digest.as_str()}),
        json!({"cmd": "setattr", "id": 2, "filename": "file", "kind": "file", "mode": 0o640}),
        json!({
            "cmd": "setattr", "id": 3, "filename": "file", "kind": "file", "mtime": {"s": 7, "ns": 8},
            "blake3": digest.as_str(),
        }),
        json!({"cmd": "setattr", "id": 4, "filename": "site/directory", "mtime": {"s": 7, "ns": 8}}),
        json!({"cmd": "mkdir", "id": 5, "filename": "site/directory"}),
        json!({"cmd": "mkdir", "id": 6, "filename": "site/directory", "replace": true}),
    ];
    let file = [(0o600, 1_000_000_000, 5), (0o640, 1_000_000_000, 5), (0o640, 7, 8)];
    for ((id, request), file) in (1..).zip(&requests).zip(file.into_iter().chain([file[2]; 3])) {
        assert_eq!(peer.ask(request, b"").unwrap()["ack"], id);
        assert_eq!(stat("file"), file, "{request}");
    }
    assert_eq!(stat("site/directory"), (0o710, 7, 8));
    drop(peer);

    // The same for a file that is taken over into a next version: it is not a new one.
    let mut peer = Peer::connect(server.address()).unwrap();
    let hello = json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": "me", "slot": 0, "must": [],
        "filename": "site",
    });
    assert_eq!(peer.ask(&hello, b"").unwrap()["hello"], 1);
    let (kept, stated) = (json!({"s": 1_000_000_000, "ns": 5}), json!({"s": 9, "ns": 9}));
    let entries = [
        ("both", Some(0o644), Some(&stated)),
        ("mode", Some(0o644), None),
        ("mtime", None, Some(&stated)),
        ("neither", None, None),
    ];
    let body: String = entries
        .iter()
        .map(|(name, mode, mtime)| {
            let mut entry = json!({
                "kind": "file", "filename": name, "filesize": 5, "blake3": digest.as_str(),
            });
            if let Some(mode) = mode {
                entry["mode"] = json!(mode);
            }
            if let Some(mtime) = mtime {
                entry["mtime"] = (*mtime).clone();
            }
            format!("{entry}\n")
        })
        .collect();
    let adopt = json!({"cmd": "adopt", "id": 1, "length": body.len()});
    peer.send(&adopt, body.as_bytes()).unwrap();
    let (answer, letters) = peer.receive().unwrap();
    assert_eq!((&answer["answer"], &letters[..]), (&json!(1), &b"===="[..]), "{answer}");
    // A new file is another thing: what is absent is as the protocol says.
    assert_eq!(peer.ask(&put(2, "new", b"x"), b"x").unwrap()["ack"], 2);
    let publish = json!({"cmd": "publish", "id": 3, "mode": 0o755});
    assert_eq!(peer.ask(&publish, b"").unwrap()["answer"], 3);
    for (name, mode, mtime) in entries {
        let mtime = mtime.unwrap_or(&kept);
        let (s, ns) = (mtime["s"].as_i64().unwrap(), mtime["ns"].as_i64().unwrap());
        assert_eq!(stat(&format!("site/{name}")), (mode.unwrap_or(0o600), s, ns), "{name}");
    }
}
