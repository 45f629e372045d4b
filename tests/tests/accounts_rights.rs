//! The rights of accounts: one table of requests, and what may be replaced.

use haul_tests::prelude::*;

/// The accounts of these tests: one for each set of rights.
const USERS: [&str; 5] = [
    "put --root all --rights put,list",
    "list --root all --rights list",
    "delete --root all --rights delete",
    "publish --root all --rights publish",
    "none --root all --rights get",
];

/// Each request of the haul dialect, its body, and the right that it needs.
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
        (json!({"cmd": "rename", "filename": "a", "to": "e"}), b"", "delete"),
        (json!({"cmd": "check", "length": 0}), b"", "list"),
        (json!({"cmd": "list"}), b"", "list"),
        (json!({"cmd": "adopt", "length": 0}), b"", "publish"),
        (json!({"cmd": "publish"}), b"", "publish"),
        (json!({"cmd": "rollback", "filename": "d"}), b"", "publish"),
    ]
}

#[test]
fn each_request_is_forbidden_to_accounts_without_its_right_and_to_no_other() {
    let accounts = Accounts::start(&USERS);
    for name in ["put", "list", "delete", "publish", "none"] {
        let mut peer = accounts.peer(name);
        let rights = if name == "put" { &["put", "list"][..] } else { &[name] };
        for (id, (mut header, body, right)) in (1_u64..).zip(requests()) {
            header["id"] = json!(id);
            peer.send(&header, body).unwrap();
            let (answer, _) = peer.receive().unwrap();
            let is_forbidden = answer["code"] == "forbidden";
            assert_eq!(is_forbidden, !rights.contains(&right), "{name}: {header}: {answer}");
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
