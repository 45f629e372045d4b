//! Comparing by digest, setting attributes of files, and refusing links, as a peer asks for it.

use haul_tests::prelude::*;

fn entry(name: &str, bytes: &[u8]) -> Value {
    let digest = blake3::hash(bytes).to_hex();
    json!({
        "kind": "file", "filename": name, "filesize": bytes.len(), "blake3": digest.as_str(),
    })
}

fn check(peer: &mut Peer, id: u64, entries: &[Value]) {
    let body: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
    peer.send(&json!({"cmd": "check", "id": id, "length": body.len()}), body.as_bytes()).unwrap();
}

#[test]
fn digests_are_compared_before_modes_and_times() {
    let server = server_with(&["--durability", "none"]);
    let large = b"0123456789abcdef".repeat(400_000);
    for (name, bytes) in [("same", &b"12345"[..]), ("other", b"54321"), ("empty", b"")] {
        fs::write(server.root().join(name), bytes).unwrap();
    }
    fs::write(server.root().join("large"), &large).unwrap();
    symlink("same", server.root().join("link")).unwrap();
    let mut changed = large.clone();
    *changed.last_mut().unwrap() += 1;
    let mut peer = server.peer();
    let mut late = entry("same", b"12345");
    late["mtime"] = json!({"s": 5, "ns": 0});
    let mut closed = entry("same", b"12345");
    closed["mode"] = json!(0o600);
    let mut late_and_other = entry("other", b"12345");
    late_and_other["mtime"] = json!({"s": 5, "ns": 0});
    check(
        &mut peer,
        1,
        &[
            entry("same", b"12345"),
            entry("other", b"12345"),
            entry("empty", b""),
            entry("large", &large),
            entry("large", &changed),
            entry("same", b"1234"),
            entry("missing", b"12345"),
            entry("link", b"12345"),
            late,
            closed,
            late_and_other,
            // Nothing is read for this one.
            json!({"kind": "file", "filename": "other", "filesize": 5}),
        ],
    );
    // More requests that wait in the same segment are answered after it.
    check(&mut peer, 2, &[entry("same", b"12345")]);
    assert_eq!(peer.ask(&put(3, "new", b"x"), b"x").unwrap()["answer"], 1);
    let mut answers = Vec::new();
    for _ in 0..2 {
        let (header, body) = peer.receive().unwrap();
        answers.push((header["answer"].as_u64().or(header["ack"].as_u64()), body));
    }
    assert!(answers.contains(&(Some(2), b"=".to_vec())), "{answers:?}");
    assert!(answers.contains(&(Some(3), Vec::new())), "{answers:?}");
    check(&mut peer, 4, &[entry("large", &changed), entry("new", b"x")]);
    assert_eq!(peer.receive().unwrap().1, b"d=");
}

#[test]
fn letters_come_in_the_order_of_the_entries() {
    let server = server_with(&["--durability", "none"]);
    let mut peer = server.peer();
    fs::write(server.root().join("a"), "12345").unwrap();
    let mut other = entry("a", b"12345");
    other["mode"] = json!(0o700);
    check(
        &mut peer,
        1,
        &[
            entry("a", b"54321"),
            json!({"kind": "directory", "filename": "a"}),
            other,
            entry("b", b""),
            entry("a", b"12345"),
            entry("a", b"1"),
        ],
    );
    assert_eq!(peer.receive().unwrap().1, b"dkm+=s");
}

#[test]
fn file_that_takes_for_ever_to_read_keeps_nobody_waiting() {
    let server = server_with(&["--durability", "none", "--workers", "1"]);
    let endless = fs::File::create(server.root().join("endless")).unwrap();
    endless.set_len(1 << 40).unwrap();
    let mut endless = entry("endless", b"");
    endless["filesize"] = json!(1_u64 << 40);
    let mut asking = Vec::new();
    for _ in 0..3 {
        let mut peer = server.peer();
        check(&mut peer, 1, std::slice::from_ref(&endless));
        asking.push(peer);
    }
    let mut other = server.peer();
    for id in 1..200 {
        assert_eq!(other.ask(&put(id, "file", b"x"), b"x").unwrap()["ack"], id);
    }
    // Whoever waits for such a file hears that the server is still there.
    for peer in &mut asking {
        assert_eq!(peer.receive().unwrap().0, json!({"ack": 0}));
    }
    // Nor does it keep the server from being useful when all of them are gone.
    drop(asking);
    assert_eq!(other.ask(&put(200, "file", b"y"), b"y").unwrap()["ack"], 200);
}

#[test]
fn attributes_of_a_file_are_set_without_its_bytes() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let at = |name: &str| server.root().join(name);
        for name in ["file", "one of two"] {
            fs::write(at(name), "bytes").unwrap();
            set_mode(at(name), 0o4644);
        }
        fs::hard_link(at("one of two"), at("the other")).unwrap();
        symlink("file", at("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("fifo"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        let mut peer = server.peer();
        let set = |id: u64, name: &str| {
            json!({
                "cmd": "setattr", "id": id, "filename": name, "kind": "file", "mode": 0o600,
                "mtime": {"s": -7, "ns": 5},
            })
        };
        assert_eq!(peer.ask(&set(1, "file"), b"").unwrap()["ack"], 1);
        let found = fs::metadata(at("file")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime(), found.mtime_nsec()), (0o600, -7, 5));
        assert_eq!(fs::read(at("file")).unwrap(), b"bytes");
        for (id, name) in (2..).zip(["one of two", "link", "fifo"]) {
            let answer = peer.ask(&set(id, name), b"").unwrap();
            assert_eq!(answer["code"], "conflict", "{name}: {answer}");
        }
        let other = fs::metadata(at("the other")).unwrap();
        assert_eq!(other.mode() & 0o7777, 0o4644, "the other name of a file is not touched");
        assert_eq!(peer.ask(&set(5, "none"), b"").unwrap()["code"], "not_found");
        fs::create_dir(at("directory")).unwrap();
        assert_eq!(peer.ask(&set(6, "directory"), b"").unwrap()["code"], "conflict");
        let mut other = set(7, "file");
        other["kind"] = json!("link");
        assert_eq!(peer.ask(&other, b"").unwrap()["code"], "bad_request");
    }
}

#[test]
fn links_are_refused_as_the_server_was_told() {
    for (which, refused) in [("any", 0), ("inside", 2), ("none", 4)] {
        let server = server_with(&["--durability", "none", "--symlinks", which]);
        let mut peer = server.peer();
        let targets = ["beside", "../top", "/etc/passwd", "../../out"];
        let mut found = 0;
        for (id, target) in (1..).zip(targets) {
            let name = format!("d/l{id}");
            let header = json!({"cmd": "symlink", "id": id, "filename": name, "target": target});
            let answer = peer.ask(&header, b"").unwrap();
            let there = server.root().join(&name).symlink_metadata().is_ok();
            assert_eq!(there, answer["ack"] == id, "{which}: {answer}");
            if !there {
                assert_eq!((&answer["code"], &answer["retry"]), (&json!("symlink"), &json!(false)));
                found += 1;
            }
        }
        assert_eq!(found, refused, "{which}");
    }
}
