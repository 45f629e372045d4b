//! `adopt`: entries of the present version that a draft gets without their bytes.

use haul_tests::prelude::*;

/// A server with a version of `site` whose file `a` has these bytes, mode 0644 and the mtime 7.
fn published(bytes: &[u8]) -> Hauld {
    let server = server_with(&["--durability", "none"]);
    let mut peer = about_site(&server);
    let mut put = put(1, "a", bytes);
    (put["mode"], put["mtime"]) = (json!(0o644), json!({"s": 7, "ns": 0}));
    assert_eq!(peer.ask(&put, bytes).unwrap()["ack"], 1);
    assert_eq!(peer.ask(&json!({"cmd": "publish", "id": 2}), b"").unwrap()["answer"], 2);
    server
}

/// A connection about `site`, once no other is about it.
fn about_site(server: &Hauld) -> Peer {
    let mut free = None;
    eventually("the directory is free", || {
        let mut peer = Peer::connect(server.address()).unwrap();
        let hello = json!({
            "cmd": "hello", "version": 1, "agent": "test/1", "client": peer.unique(), "slot": 0,
            "must": ["publish"], "filename": "site",
        });
        let is_free = peer.ask(&hello, b"").unwrap()["hello"] == 1;
        free = Some(peer).filter(|_| is_free);
        is_free
    });
    free.unwrap()
}

/// The letters of an `adopt` of these entries, each about the file `a` of five bytes.
fn adopted(peer: &mut Peer, id: u64, entries: &[Value]) -> String {
    let line = |entry: &Value| {
        let mut entry = entry.clone();
        (entry["kind"], entry["filename"], entry["filesize"]) =
            ("file".into(), "a".into(), 5.into());
        format!("{entry}\n")
    };
    let body: String = entries.iter().map(line).collect();
    let adopt = json!({"cmd": "adopt", "id": id, "length": body.len()});
    peer.send(&adopt, body.as_bytes()).unwrap();
    let (answer, letters) = peer.receive().unwrap();
    assert_eq!(answer["answer"], id, "{answer}");
    String::from_utf8(letters).unwrap()
}

#[test]
fn name_that_comes_twice_is_decided_again_in_its_turn() {
    let digest = json!(blake3::hash(b"12345").to_hex().as_str());
    let mtime = json!({"s": 7, "ns": 0});
    let by_digest = json!({"blake3": digest});
    let by_mtime = |mode: u32| json!({"mtime": mtime, "mode": mode});
    let cases = [
        (vec![by_digest.clone(), by_digest.clone()], 0o644),
        (vec![by_digest.clone(), by_mtime(0o644)], 0o644),
        (vec![by_mtime(0o644), by_digest.clone()], 0o644),
        (vec![by_mtime(0o600), by_mtime(0o640)], 0o640),
        (vec![by_mtime(0o600), by_mtime(0o640), by_mtime(0o600)], 0o600),
        (vec![by_digest, by_mtime(0o600), by_mtime(0o640)], 0o640),
    ];
    for (entries, mode) in cases {
        let server = published(b"12345");
        let mut peer = about_site(&server);
        assert_eq!(adopted(&mut peer, 1, &entries), "=".repeat(entries.len()), "{entries:?}");
        assert_eq!(peer.ask(&json!({"cmd": "publish", "id": 2}), b"").unwrap()["answer"], 2);
        let path = server.root().join("site/a");
        assert_eq!(fs::read(&path).unwrap(), b"12345");
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, mode, "{entries:?}");
    }
}

/// An entry of the draft with other bytes is newer than the present version, and stays.
#[test]
fn name_that_comes_twice_with_another_digest_is_taken_over_once() {
    let digest = |bytes: &[u8]| json!({"blake3": blake3::hash(bytes).to_hex().as_str()});
    let server = published(b"12345");
    let mut peer = about_site(&server);
    assert_eq!(adopted(&mut peer, 1, &[digest(b"12345"), digest(b"54321")]), "=d");
}

#[test]
fn size_alone_does_not_tell_that_a_file_is_the_same() {
    let server = published(b"12345");
    let mut peer = about_site(&server);
    assert_eq!(adopted(&mut peer, 1, &[json!({}), json!({"mode": 0o644})]), "++");
}

/// Only the draft decides, and it lacks the file.
#[test]
fn file_that_the_draft_lacks_is_missing_whatever_the_present_version_has() {
    let digest = |bytes: &[u8]| json!({"blake3": blake3::hash(bytes).to_hex().as_str()});
    let server = published(b"12345");
    let mut peer = about_site(&server);
    assert_eq!(adopted(&mut peer, 1, &[digest(b"54321")]), "+");
    assert_eq!(adopted(&mut peer, 2, &[digest(b"54321"), digest(b"12345")]), "+=");
    assert_eq!(adopted(&mut peer, 3, &[digest(b"54321")]), "d");
}
