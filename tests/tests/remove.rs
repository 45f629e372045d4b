//! Removing, making way and comparing, as a peer asks for it.

use haul_tests::prelude::*;

fn server(durability: &str) -> Hauld {
    server_with(&["--durability", durability])
}

fn remove(id: u64, name: &str) -> Value {
    json!({"cmd": "remove", "id": id, "filename": name})
}

#[test]
fn remove_takes_one_name_and_nothing_else() {
    for durability in ["none", "group"] {
        let (server, outside) = (server(durability), TempDir::new().unwrap());
        let at = |name: &str| server.root().join(name);
        fs::write(outside.path().join("kept"), "kept").unwrap();
        fs::create_dir_all(at("d/empty")).unwrap();
        fs::write(at("d/file"), "x").unwrap();
        fs::write(at("file"), "x").unwrap();
        symlink(outside.path(), at("link")).unwrap();
        let mut peer = server.peer();
        let full = peer.ask(&remove(1, "d"), b"").unwrap();
        assert_eq!((&full["refused"], &full["code"]), (&json!(1), &json!("conflict")));
        let through = peer.ask(&remove(2, "link/kept"), b"").unwrap();
        assert_eq!((&through["refused"], &through["code"]), (&json!(2), &json!("escape")));
        for (id, name) in (3..).zip(["d/file", "d/empty", "d", "file", "link"]) {
            assert_eq!(peer.ask(&remove(id, name), b"").unwrap()["ack"], id, "{name}");
            assert!(at(name).symlink_metadata().is_err(), "{name} is still there");
        }
        // A request that comes again after a lost connection finds nothing.
        for (id, name) in (8..).zip(["file", "d/empty", "never/was", "d"]) {
            assert_eq!(peer.ask(&remove(id, name), b"").unwrap()["ack"], id, "{name}");
        }
        assert_eq!(fs::read(outside.path().join("kept")).unwrap(), b"kept");
        let reserved = peer.ask(&remove(12, ".haul/lock"), b"").unwrap();
        assert_eq!(reserved["code"], "bad_name");
    }
}

#[test]
fn directory_makes_a_file_or_link_go_only_if_it_may() {
    for durability in ["none", "group"] {
        let (server, outside) = (server(durability), TempDir::new().unwrap());
        fs::write(outside.path().join("kept"), "kept").unwrap();
        fs::write(server.root().join("file"), "x").unwrap();
        symlink(outside.path(), server.root().join("link")).unwrap();
        fs::create_dir(server.root().join("d")).unwrap();
        fs::write(server.root().join("d/inside"), "kept").unwrap();
        let mut peer = server.peer();
        let mut id = 0;
        for name in ["file", "link"] {
            id += 1;
            let plain = json!({"cmd": "mkdir", "id": id, "filename": name, "mode": 0o755});
            assert_eq!(peer.ask(&plain, b"").unwrap()["code"], "conflict", "{name}");
        }
        for name in ["file", "link", "d", "new/e"] {
            id += 1;
            let mode = 0o550;
            let mkdir =
                json!({"cmd": "mkdir", "id": id, "filename": name, "mode": mode, "replace": true});
            assert_eq!(peer.ask(&mkdir, b"").unwrap()["ack"], id, "{name}");
            let metadata = server.root().join(name).symlink_metadata().unwrap();
            assert!(metadata.is_dir(), "{name}");
            assert_eq!(metadata.permissions().mode() & 0o7777, 0o550, "{name}");
        }
        assert_eq!(fs::read(server.root().join("d/inside")).unwrap(), b"kept");
        assert_eq!(fs::read(outside.path().join("kept")).unwrap(), b"kept");
        assert_eq!(server.staged().unwrap(), Vec::<std::path::PathBuf>::new(), "{durability}");
    }
}

#[test]
fn requests_for_one_name_keep_their_order_also_when_it_is_removed() {
    let server = server("none");
    let mut peer = server.peer();
    let mkdir = |id: u64| json!({"cmd": "mkdir", "id": id, "filename": "new"});
    // All in one segment: a new directory is filled before it appears.
    let mut all = Vec::new();
    for (header, body) in [
        (mkdir(1), &b""[..]),
        (put(2, "new/a", b"1"), b"1"),
        (remove(3, "new/a"), b""),
        (remove(4, "new"), b""),
        (mkdir(5), b""),
        (put(6, "new/b", b"2"), b"2"),
    ] {
        all.extend(haul_tests::peer::frame(&header, body));
    }
    std::io::Write::write_all(&mut peer.stream, &all).unwrap();
    while peer.receive().unwrap().0["ack"] != 6 {}
    let names: Vec<_> = fs::read_dir(server.root().join("new"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn mtime_that_the_file_system_cut_does_not_differ() {
    let server = server("none");
    let mut peer = server.peer();
    let mut id = 0;
    // Far beyond what any file system holds that has 32, 34 or 40 bits for seconds, or begins in 1901.
    for s in [9_007_199_254_740_991_i64, 99_999_999_999, 0, -1, -5_000_000_000] {
        let name = format!("at {s}");
        let mtime = json!({"s": s, "ns": 123_456_789});
        id += 1;
        let mut header = put(id, &name, b"x");
        header["mtime"] = mtime.clone();
        assert_eq!(peer.ask(&header, b"x").unwrap()["ack"], id);
        let mut entry = json!({"kind": "file", "filename": name, "filesize": 1, "mtime": mtime});
        for (expected, s) in [(b"=", s), (b"t", 12_345)] {
            entry["mtime"]["s"] = json!(s);
            let body = format!("{entry}\n");
            id += 1;
            let check = json!({"cmd": "check", "id": id, "length": body.len()});
            peer.send(&check, body.as_bytes()).unwrap();
            assert_eq!(peer.receive().unwrap().1, expected, "{entry}");
        }
    }
}
