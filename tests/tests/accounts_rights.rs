//! The rights of accounts: one table of requests, and what may be replaced.

use haul_tests::prelude::*;

/// The accounts of these tests: one for each set of rights.
const USERS: [(&str, &[&str]); 6] = [
    ("put", &["put", "list"]),
    ("list", &["list"]),
    ("delete", &["delete"]),
    ("move", &["put", "delete"]),
    ("publish", &["publish"]),
    ("none", &["get"]),
];

/// Each request of the haul dialect, its body, and the rights that it needs.
fn requests() -> Vec<(Value, &'static [u8], &'static str)> {
    let token = "0".repeat(32);
    let digest = blake3::hash(b"").to_string();
    vec![
        (put(1, "a", b"x"), b"x", "put"),
        (json!({"cmd": "bundle", "count": 1, "length": 1, "blake3": digest}), b"x", "put"),
        (json!({"cmd": "open", "filename": "b", "filesize": 1, "fingerprint": "f"}), b"", "put"),
        (
            json!({"cmd": "part", "upload": token, "offset": 0, "cv": digest, "length": 1}),
            b"x",
            "put",
        ),
        (json!({"cmd": "commit", "upload": token, "blake3": digest}), b"", "put"),
        (json!({"cmd": "abort", "upload": token}), b"", "put"),
        (json!({"cmd": "mkdir", "filename": "d"}), b"", "put"),
        (json!({"cmd": "symlink", "filename": "l", "target": "a"}), b"", "put"),
        (json!({"cmd": "setattr", "filename": "d", "mode": 493}), b"", "put"),
        (json!({"cmd": "remove", "filename": "a"}), b"", "delete"),
        (json!({"cmd": "rename", "filename": "a", "to": "e"}), b"", "put,delete"),
        (json!({"cmd": "check", "length": 0}), b"", "list"),
        (json!({"cmd": "list"}), b"", "list"),
        (json!({"cmd": "get", "filename": "a", "part_size": 1024, "offset": 0}), b"", "get"),
        (json!({"cmd": "fetch", "length": 2}), b"a\0", "get"),
        (json!({"cmd": "adopt", "length": 0}), b"", "publish"),
        (json!({"cmd": "publish"}), b"", "publish"),
        (json!({"cmd": "rollback", "filename": "d"}), b"", "publish"),
    ]
}

#[test]
fn each_request_is_forbidden_to_accounts_without_its_rights_and_to_no_other() {
    let words =
        |(name, rights): &(_, &[_])| format!("{name} --root all --rights {}", rights.join(","));
    let users: Vec<String> = USERS.iter().map(words).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let accounts = Accounts::start(&users);
    for (name, rights) in USERS {
        let mut peer = accounts.peer(name);
        for (id, (mut header, body, needed)) in (1_u64..).zip(requests()) {
            header["id"] = json!(id);
            peer.send(&header, body).unwrap();
            let (answer, _) = peer.receive().unwrap();
            let is_forbidden = answer["code"] == "forbidden";
            let may = needed.split(',').all(|right| rights.contains(&right));
            assert_eq!(is_forbidden, !may, "{name}: {header}: {answer}");
            if is_forbidden {
                refused(&answer, id, "forbidden");
                let message = answer["message"].as_str().unwrap();
                assert!(message.contains(&format!("`{name}`")), "{answer}");
            }
        }
        let ping = json!({"cmd": "ping", "id": requests().len() + 1});
        assert!(peer.ask(&ping, b"").unwrap()["answer"].is_u64());
    }
}

/// All of its ids are used up, so each is answered: an ack of a later change tells that the server has nothing left to say.
#[test]
fn bundle_that_is_forbidden_is_refused_once_for_each_of_its_files() {
    let accounts = Accounts::start(&["in --root in --rights delete"]);
    let mut peer = accounts.peer("in");
    let lines = ["a", "b", "c"]
        .map(|name| format!("{}\nx", json!({"kind": "file", "filename": name, "filesize": 1})));
    let body = lines.concat();
    let digest = blake3::hash(body.as_bytes()).to_string();
    for first in [1, 5] {
        let bundle = json!({
            "cmd": "bundle", "id": first, "count": 3, "length": body.len(), "blake3": digest,
        });
        peer.send(&bundle, body.as_bytes()).unwrap();
        for id in first..first + 3 {
            refused(&peer.receive().unwrap().0, id, "forbidden");
        }
        let remove = json!({"cmd": "remove", "id": first + 3, "filename": "a"});
        assert_eq!(peer.ask(&remove, b"").unwrap(), json!({"ack": first + 3}));
    }
    assert_eq!(fs::read_dir(accounts.at("in")).unwrap().count(), 0);
}

#[test]
fn hello_that_publishes_is_forbidden_without_that_right() {
    let accounts = Accounts::start(&["alice", "bob --rights publish"]);
    let mut hello = accounts.hello("alice", "c");
    hello["filename"] = json!("site");
    let (_, answer) = accounts.greeted(&hello);
    refused(&answer, 0, "forbidden");
    hello["token"] = json!(accounts.token("bob"));
    let (_, answer) = accounts.greeted(&hello);
    assert!(answer["hello"].is_u64(), "{answer}");
}

/// Reads the whole answer of a change: its id in an ack, or the code of its refusal.
fn outcome(peer: &mut Peer, header: &Value, body: &[u8]) -> String {
    let answer = peer.ask(header, body).unwrap();
    let id = &header["id"];
    let is_done = answer["ack"] == *id || answer["answer"] == *id;
    if is_done { String::from("done") } else { answer["code"].as_str().unwrap().to_owned() }
}

/// The same request twice and another one: what comes again because its answer was lost replaces nothing.
#[test]
fn account_without_replace_puts_new_entries_and_changes_none_that_are_there() {
    for durability in ["none", "group"] {
        let words = ["--durability", durability];
        let accounts = Accounts::start_with(&words, &["new --root in --rights put,list,delete"]);
        let time = |s| json!({"s": s, "ns": 5});
        fs::create_dir(accounts.at("in/old")).unwrap();
        set_mode(accounts.at("in/old"), 0o750);
        fs::write(accounts.at("in/old/file"), "old").unwrap();
        set_mode(accounts.at("in/old/file"), 0o640);
        symlink("old", accounts.at("in/old/link")).unwrap();
        let file = |name: &str, bytes: &[u8], mtime| {
            let mut header = put(0, name, bytes);
            header["mode"] = json!(0o600);
            header["mtime"] = time(mtime);
            (header, bytes.to_vec())
        };
        let bundle = |name: &str, bytes: &[u8]| {
            let line =
                json!({"kind": "file", "filename": name, "filesize": bytes.len(), "mode": 0o600});
            let body = [format!("{line}\n").as_bytes(), bytes].concat();
            let digest = blake3::hash(&body).to_string();
            (json!({"cmd": "bundle", "count": 1, "length": body.len(), "blake3": digest}), body)
        };
        let plain = |header: Value| (header, Vec::new());
        let link = |name, target| {
            plain(json!({"cmd": "symlink", "filename": name, "target": target, "mtime": time(1)}))
        };
        let mkdir = |name, mode, replace| {
            plain(json!({"cmd": "mkdir", "filename": name, "mode": mode, "replace": replace}))
        };
        let setattr = |name, kind, mode, mtime: Option<u64>| {
            let mut header =
                json!({"cmd": "setattr", "filename": name, "mode": mode, "kind": kind});
            if let Some(mtime) = mtime {
                header["mtime"] = time(mtime);
            }
            plain(header)
        };
        let rename = |from, to, replace| {
            plain(json!({"cmd": "rename", "filename": from, "to": to, "replace": replace}))
        };
        let mut peer = accounts.peer("new");
        for (id, ((mut header, body), expected)) in (1_u64..).zip([
            (file("a", b"one", 1), "done"),
            (file("a", b"one", 1), "done"),
            (file("a", b"two", 1), "exists"),
            (file("a", b"one", 2), "exists"),
            (file("a", b"longer", 1), "exists"),
            (file("old", b"x", 1), "exists"),
            (file("old/link", b"x", 1), "exists"),
            (bundle("b", b"one"), "done"),
            (bundle("b", b"one"), "done"),
            (bundle("b", b"two"), "exists"),
            (link("l", "a"), "done"),
            (link("l", "a"), "done"),
            (link("l", "b"), "exists"),
            (link("old/file", "a"), "exists"),
            (mkdir("d", 0o700, false), "done"),
            (mkdir("d", 0o700, false), "done"),
            (file("d/in", b"x", 1), "done"),
            (mkdir("old", 0o777, false), "done"),
            (mkdir("old/file", 0o777, true), "exists"),
            (mkdir("old/link", 0o777, true), "exists"),
            (setattr("d", "directory", 0o500, Some(9)), "done"),
            (setattr("d", "directory", 0o755, None), "exists"),
            (setattr("old", "directory", 0o750, Some(9)), "done"),
            (setattr("old", "directory", 0o777, None), "exists"),
            (setattr("old/file", "file", 0o640, None), "done"),
            (setattr("old/file", "file", 0o600, None), "exists"),
            (setattr("old/file", "file", 0o640, Some(9)), "exists"),
            (rename("a", "old/file", true), "exists"),
            (rename("a", "c", true), "done"),
        ]) {
            header["id"] = json!(id);
            assert_eq!(outcome(&mut peer, &header, &body), expected, "{durability}: {header}");
        }
        assert_eq!(
            (accounts.text("in/c"), accounts.text("in/old/file")),
            ("one".into(), "old".into())
        );
        assert_eq!(accounts.text("in/d/in"), "x");
        assert_eq!((mode(accounts.at("in/old")), mode(accounts.at("in/old/file"))), (0o750, 0o640));
        assert!(accounts.server.staged().unwrap().is_empty());
    }
}

#[test]
fn large_file_of_an_account_without_replace_is_refused_before_it_is_sent_and_committed_once() {
    let accounts = Accounts::start(&["new --root in --rights put,list"]);
    fs::write(accounts.at("in/taken"), "old").unwrap();
    let large = Large::new(4);
    let open = |id: u64, name: &str| {
        json!({
            "cmd": "open", "id": id, "filename": name, "filesize": large.bytes.len(),
            "fingerprint": large.fingerprint,
        })
    };
    let mut peer = accounts.peer("new");
    refused(&peer.ask(&open(1, "taken"), b"").unwrap(), 1, "exists");
    assert!(accounts.server.partials().unwrap().is_empty());
    let token = peer.ask(&open(2, "late"), b"").unwrap()["upload"].clone();
    for (id, index) in [(3, 0), (4, 1), (5, 2)] {
        let bytes = large.part(index);
        let part = json!({
            "cmd": "part", "id": id, "length": bytes.len(), "upload": token, "offset": index * PART,
            "cv": large.cvs[index],
        });
        assert_eq!(peer.ask(&part, bytes).unwrap()["ack"], id);
    }
    // Another entry comes first.
    fs::write(accounts.at("in/late"), "first").unwrap();
    let commit =
        |id: u64| json!({"cmd": "commit", "id": id, "upload": token, "blake3": large.digest});
    // A refusal before that leaves the upload as it is, and the last one ends it.
    let mut with_body = commit(6);
    with_body["length"] = json!(1);
    refused(&peer.ask(&with_body, b"x").unwrap(), 6, "bad_request");
    let mut wrong = commit(7);
    wrong["blake3"] = json!("0".repeat(64));
    refused(&peer.ask(&wrong, b"").unwrap(), 7, "digest_mismatch");
    refused(&peer.ask(&commit(8), b"").unwrap(), 8, "exists");
    refused(&peer.ask(&commit(9), b"").unwrap(), 9, "unknown_upload");
    assert_eq!(accounts.text("in/late"), "first");
    eventually("nothing is kept of it", || accounts.server.partials().unwrap().is_empty());
}

#[test]
fn version_of_an_account_without_replace_is_the_first_one_only() {
    let accounts = Accounts::start(&["new --root in --rights put,list,publish"]);
    let mut hello = accounts.hello("new", "c");
    hello["filename"] = json!("site");
    for (text, code) in [("one", None), ("two", Some("exists"))] {
        let (mut peer, _) = accounts.greeted(&hello);
        for id in 1..3 {
            // In a draft, which nobody sees, everything may be replaced.
            let bytes = format!("{text}{id}");
            assert_eq!(
                peer.ask(&put(id, "f", bytes.as_bytes()), bytes.as_bytes()).unwrap()["ack"],
                id
            );
        }
        let answer = peer.ask(&json!({"cmd": "publish", "id": 3}), b"").unwrap();
        match code {
            None => assert_eq!(answer["answer"], 3, "{answer}"),
            Some(code) => refused(&answer, 3, code),
        }
        peer.end().unwrap();
        assert_eq!(accounts.text("in/site/f"), "one2");
    }
    let rollback = json!({"cmd": "rollback", "id": 1, "filename": "site"});
    let answer = accounts.peer("new").ask(&rollback, b"").unwrap();
    assert!(answer["refused"] == 1, "{answer}");
}
