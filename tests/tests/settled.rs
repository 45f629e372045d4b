//! Rules of the protocol that a reader of PROTOCOL.md once had to guess.

use std::collections::BTreeMap;

use haul_tests::prelude::*;
use rustix::fs::{CWD, FileType, mknodat};

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap();
}

/// Sends entries to be compared; returns the letters.
fn letters(peer: &mut Peer, id: u64, entries: &[Value]) -> String {
    let body: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
    let header = json!({"cmd": "check", "id": id, "length": body.len()});
    peer.send(&header, body.as_bytes()).unwrap();
    let (header, letters) = peer.receive().unwrap();
    assert_eq!(header["answer"], id, "{header}");
    String::from_utf8(letters).unwrap()
}

/// A `list` and a `check` see each change that was acknowledged before them, also on another connection.
#[test]
fn list_and_check_see_the_changes_that_were_acknowledged_before_them() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let (mut writer, mut reader) = (server.peer(), server.peer());
        let entry = |name: &str| json!({"kind": "file", "filename": name, "filesize": 1});
        for round in 0..20 {
            let (directory, id) = (format!("d{round}"), 4 * round);
            let name = format!("{directory}/f");
            let seen = |peer: &mut Peer, id: u64| {
                let letter = letters(peer, id, &[entry(&name)]);
                peer.send(&json!({"cmd": "list", "id": id + 1, "filename": directory}), b"")
                    .unwrap();
                let listed = peer.receive().unwrap().1;
                (letter, listed.iter().filter(|byte| **byte == b'\n').count())
            };
            assert_eq!(writer.ask(&put(id + 1, &name, b"x"), b"x").unwrap()["ack"], id + 1);
            assert_eq!(seen(&mut reader, id + 1), (String::from("="), 1));
            let remove = json!({"cmd": "remove", "id": id + 2, "filename": name});
            assert_eq!(writer.ask(&remove, b"").unwrap()["ack"], id + 2);
            assert_eq!(seen(&mut reader, id + 3), (String::from("+"), 0));
            assert_eq!(seen(&mut writer, id + 3), (String::from("+"), 0));
        }
    }
}

/// The client need not wait for the acks of its changes before it asks about them.
#[test]
fn list_and_check_come_after_earlier_changes_of_their_connection() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let mut peer = server.peer();
        for round in 0..20 {
            let (id, directory) = (4 * round, format!("d{round}"));
            let name = format!("{directory}/f");
            let entry = format!("{}\n", json!({"kind": "file", "filename": name, "filesize": 1}));
            peer.send(&put(id + 1, &name, b"x"), b"x").unwrap();
            let check = json!({"cmd": "check", "id": id + 2, "length": entry.len()});
            peer.send(&check, entry.as_bytes()).unwrap();
            peer.send(&json!({"cmd": "remove", "id": id + 3, "filename": name}), b"").unwrap();
            let list = json!({"cmd": "list", "id": id + 4, "filename": directory});
            peer.send(&list, b"").unwrap();
            let mut answers = BTreeMap::new();
            while answers.len() < 2 {
                let (header, body) = peer.receive().unwrap();
                if let Some(id) = header["answer"].as_u64() {
                    answers.insert(id, String::from_utf8(body).unwrap());
                } else {
                    assert!(header["ack"].is_u64(), "{header}");
                }
            }
            assert_eq!(answers[&(id + 2)], "=", "{durability}, round {round}");
            assert_eq!(answers[&(id + 4)], "", "{durability}, round {round}");
        }
    }
}

#[test]
fn entry_of_kind_other_differs_from_everything_that_is_there() {
    let server = server_with(&["--durability", "none"]);
    let at = |name: &str| server.root().join(name);
    fifo(&at("fifo"));
    fs::write(at("file"), "x").unwrap();
    fs::create_dir(at("directory")).unwrap();
    let other = |name: &str| json!({"kind": "other", "filename": name});
    let entries = ["fifo", "file", "directory", "nothing"].map(other);
    let mut peer = server.peer();
    assert_eq!(letters(&mut peer, 1, &entries), "kkD+");
    let file = json!({"kind": "file", "filename": "fifo", "filesize": 0});
    assert_eq!(letters(&mut peer, 2, &[file]), "k");
}

#[test]
fn fifo_is_replaced_and_removed_like_a_file_and_is_no_parent() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let at = |name: &str| server.root().join(name);
        let mut peer = server.peer();
        for name in ["put", "link", "mkdir", "removed", "set"] {
            fifo(&at(name));
        }
        let simple =
            |cmd: &str, id: u64, name: &str| json!({"cmd": cmd, "id": id, "filename": name});
        refused(&peer.ask(&put(1, "put/x", b"x"), b"x").unwrap(), 1, "conflict");
        refused(&peer.ask(&simple("mkdir", 2, "mkdir"), b"").unwrap(), 2, "conflict");
        refused(&peer.ask(&simple("setattr", 3, "set"), b"").unwrap(), 3, "conflict");
        let mut file = simple("setattr", 4, "set");
        file["kind"] = json!("file");
        refused(&peer.ask(&file, b"").unwrap(), 4, "conflict");
        assert_eq!(peer.ask(&put(5, "put", b"x"), b"x").unwrap()["ack"], 5);
        let mut link = simple("symlink", 6, "link");
        link["target"] = json!("put");
        assert_eq!(peer.ask(&link, b"").unwrap()["ack"], 6);
        let mut mkdir = simple("mkdir", 7, "mkdir");
        mkdir["replace"] = json!(true);
        assert_eq!(peer.ask(&mkdir, b"").unwrap()["ack"], 7);
        assert_eq!(peer.ask(&simple("remove", 8, "removed"), b"").unwrap()["ack"], 8);
        assert_eq!(fs::read(at("put")).unwrap(), b"x");
        assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("put"));
        assert!(at("mkdir").is_dir() && !at("removed").exists() && at("set").exists());
    }
}

#[test]
fn ping_is_refused_for_a_body_or_a_bad_name_and_for_nothing_else() {
    let server = server_with(&["--durability", "none"]);
    let mut peer = server.peer();
    let body = peer.ask(&json!({"cmd": "ping", "id": 1, "length": 2}), b"xx").unwrap();
    refused(&body, 1, "bad_request");
    let name = peer.ask(&json!({"cmd": "ping", "id": 2, "filename": "../x"}), b"").unwrap();
    refused(&name, 2, "bad_name");
    let odd =
        json!({"cmd": "ping", "id": 3, "filename": "x", "target": "", "after": "/", "new": []});
    assert_eq!(peer.ask(&odd, b"").unwrap(), json!({"answer": 3}));
}

/// Its client is gone and asks again: for `commit` and `open` the upload is known, for nothing else.
#[test]
fn committed_upload_is_remembered_for_commit_and_open() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let large = Large::new(1);
        let mut upload = Upload::open(&server, &large).unwrap();
        (0..3).for_each(|index| upload.good(&large, index).unwrap());
        let id = upload.id + 1;
        assert_eq!(upload.commit(&large.digest).unwrap(), json!({"answer": id}));
        let token = upload.token.clone();
        drop(upload);
        let mut peer = server.peer();
        let commit = |id: u64, digest: &str| json!({"cmd": "commit", "id": id, "upload": token, "blake3": digest});
        assert_eq!(peer.ask(&commit(1, &large.digest), b"").unwrap(), json!({"answer": 1}));
        let other = blake3::hash(b"other").to_string();
        refused(&peer.ask(&commit(2, &other), b"").unwrap(), 2, "digest_mismatch");
        let part = json!({
            "cmd": "part", "id": 3, "length": PART, "upload": token, "offset": 0,
            "cv": large.cvs[0],
        });
        refused(&peer.ask(&part, large.part(0)).unwrap(), 3, "unknown_upload");
        let abort = json!({"cmd": "abort", "id": 4, "upload": token});
        refused(&peer.ask(&abort, b"").unwrap(), 4, "unknown_upload");
        let mut again = Upload::open(&server, &large).unwrap();
        assert_eq!(again.held, [0, 1, 2]);
        assert_eq!(again.commit(&large.digest).unwrap(), json!({"answer": 2}));
        // The file does not stand there any more as it was committed.
        fs::write(server.root().join("dir/large"), "another").unwrap();
        assert_eq!(Upload::open(&server, &large).unwrap().held, [0_usize; 0]);
    }
}

/// A client can't know the size of a part before it has opened a file.
#[test]
fn file_of_exactly_one_part_is_put_and_not_opened() {
    let server = server_with(&["--durability", "none"]);
    let mut peer = server.peer();
    let open = |id: u64, size: usize| {
        json!({
            "cmd": "open", "id": id, "filename": format!("f{id}"), "filesize": size,
            "fingerprint": "f",
        })
    };
    for (id, size) in [(1, 0), (2, 1), (3, PART)] {
        refused(&peer.ask(&open(id, size), b"").unwrap(), id, "bad_request");
    }
    assert_eq!(peer.ask(&open(4, PART + 1), b"").unwrap()["part_size"], PART);
    let longest = vec![7; 8 << 20];
    for (id, size) in [(5, PART), (6, PART + 1), (7, longest.len())] {
        let header = put(id, "put", &longest[..size]);
        assert_eq!(peer.ask(&header, &longest[..size]).unwrap()["ack"], id);
    }
}

/// `.haul` at the top of a version would be a name of the server's own if the version were the root.
#[test]
fn names_of_a_draft_follow_the_rules_for_names_as_they_are_sent() {
    let server = server_with(&["--durability", "none"]);
    let mut peer = Peer::connect(server.address()).unwrap();
    let hello = json!({
        "cmd": "hello", "version": 1, "agent": "a", "client": "c", "slot": 0,
        "must": ["publish"], "filename": "site",
    });
    assert_eq!(peer.ask(&hello, b"").unwrap()["resumed"], false);
    refused(&peer.ask(&put(1, ".haul/x", b"x"), b"x").unwrap(), 1, "bad_name");
    assert_eq!(peer.ask(&put(2, "a/.haul", b"x"), b"x").unwrap()["ack"], 2);
    let adopted = json!({"kind": "file", "filename": ".haul", "filesize": 0}).to_string();
    let adopt = json!({"cmd": "adopt", "id": 3, "length": adopted.len()});
    refused(&peer.ask(&adopt, adopted.as_bytes()).unwrap(), 3, "bad_request");
    assert_eq!(peer.ask(&json!({"cmd": "publish", "id": 4}), b"").unwrap()["answer"], 4);
    // All is over but for these two.
    refused(&peer.ask(&put(5, "b", b"x"), b"x").unwrap(), 5, "bad_request");
    assert_eq!(peer.ask(&json!({"cmd": "ping", "id": 6}), b"").unwrap()["answer"], 6);
    assert_eq!(peer.ask(&json!({"cmd": "publish", "id": 7}), b"").unwrap()["answer"], 7);
    // Without a draft only the top of the root is the server's own.
    assert_eq!(server.peer().ask(&put(1, "other/.haul", b"x"), b"x").unwrap()["ack"], 1);
}

/// A wrong id ends the connection whatever else would only be refused, and malformed headers come before ids.
#[test]
fn ids_are_checked_after_headers_and_before_refusals() {
    let server = server_with(&["--durability", "none"]);
    for (request, code) in [
        (json!({"cmd": "later", "id": 5}), "bad_id"),
        (json!({"cmd": "put", "id": 5, "filename": "../x"}), "bad_id"),
        (json!({"cmd": "ping", "id": 5, "length": 8}), "bad_id"),
        (json!({"cmd": "put", "id": 5, "filename": "x"}), "malformed"),
        (json!({"cmd": "ping", "id": 5, "mode": null}), "malformed"),
        (json!({"cmd": "bundle", "id": 5, "count": 5000, "filename": "../x"}), "malformed"),
        (json!({"cmd": "later", "id": 1, "length": 8 << 21}), "malformed"),
        (json!({"cmd": "later"}), "malformed"),
    ] {
        let answer = server.peer().ask(&request, b"").unwrap();
        refused(&answer, 0, code);
    }
}
