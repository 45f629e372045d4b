//! Logging in, and the root that an account sees.

use haul_tests::prelude::*;

/// Sends a request and reads an answer.
fn ask(peer: &mut Peer, header: Value) -> Value {
    peer.ask(&header, b"").unwrap()
}

fn put_file(peer: &mut Peer, id: u64, name: &str, bytes: &[u8]) -> Value {
    peer.ask(&put(id, name, bytes), bytes).unwrap()
}

/// The names in the answer to a `list`.
fn listed(peer: &mut Peer, header: &Value) -> Vec<String> {
    peer.send(header, b"").unwrap();
    let (answer, body) = peer.receive().unwrap();
    assert_eq!(answer["answer"], header["id"], "{answer}");
    let text = String::from_utf8(body).unwrap();
    let names = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    names.map(|entry| entry["filename"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn account_is_told_with_its_rights_and_end() {
    let accounts = Accounts::start(&["alice --rights mirror --expires 2099-01-01"]);
    let (_peer, answer) = accounts.greeted(&accounts.hello("alice", "c"));
    assert_eq!(answer["account"]["name"], "alice");
    let rights = json!(["put", "replace", "delete", "list", "get", "publish"]);
    assert_eq!(answer["account"]["rights"], rights);
    assert_eq!(answer["account"]["expires"], 4_070_908_800_u64);
    let features = answer["features"].as_array().unwrap();
    assert!(features.contains(&json!("accounts")), "{answer}");
    assert!(!accounts.server.log_text().contains(&accounts.token("alice")[14..]));
}

#[test]
fn server_without_accounts_serves_loopback_as_ever() {
    let server = server_with(&["--durability", "none"]);
    let mut peer = Peer::connect(server.address()).unwrap();
    let mut hello = json!({
        "cmd": "hello", "version": 1, "agent": "t", "client": "c", "slot": 0, "must": [],
    });
    let answer = peer.ask(&hello, b"").unwrap();
    assert!(answer["account"].is_null() && answer["hello"].is_u64(), "{answer}");
    // A token that nobody has asked for means nothing.
    hello["token"] = json!("haul_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let answer = Peer::connect(server.address()).unwrap().ask(&hello, b"").unwrap();
    assert!(answer["hello"].is_u64(), "{answer}");
}

/// Trap 22: all that is no token of an account is told alike.
#[test]
fn unknown_account_wrong_secret_and_no_token_at_all_are_told_alike() {
    let accounts = Accounts::start(&["alice", "bob --expires 2099-01-01"]);
    let readings = accounts.readings();
    accounts.set_users(&accounts.users().replace("expires = 2099", "expires = 2020"));
    accounts.are_read_after(readings);
    let right = accounts.token("alice");
    let wrong_secret = format!("{}{}", &right[..14], "A".repeat(43));
    let wrong_id = format!("haul_aaaaaaaa{}", &right[13..]);
    let mut told = Vec::new();
    let ended = accounts.token("bob").to_owned();
    for token in [wrong_secret, wrong_id, ended, "hunter2".into(), String::new()] {
        let mut hello = accounts.hello("alice", "c");
        hello["token"] = json!(token);
        let (peer, answer) = accounts.greeted(&hello);
        refused(&answer, 0, "unauthorized");
        assert_eq!(peer.end().unwrap(), b"", "the connection ends");
        told.push(answer.to_string());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("no account has this token") && told[0].contains("\"retry\":false"));
    let mut hello = accounts.hello("alice", "c");
    hello.as_object_mut().unwrap().remove("token");
    let (_, answer) = accounts.greeted(&hello);
    refused(&answer, 0, "unauthorized");
    assert_eq!(answer["message"], "this server asks for an account: haul login");
}

#[test]
fn login_that_fails_too_often_is_not_answered_and_the_right_token_is() {
    let accounts = Accounts::start(&["alice"]);
    let mut hello = accounts.hello("alice", "c");
    hello["token"] = json!("haul_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let answers: Vec<_> = (0..12)
        .map(|_| {
            let mut peer = Peer::connect(accounts.server.address()).unwrap();
            peer.ask(&hello, b"").is_ok()
        })
        .collect();
    assert_eq!(answers.iter().filter(|answered| **answered).count(), 10, "{answers:?}");
    assert!(answers[..10].iter().all(|answered| *answered));
    let _ = accounts.peer("alice");
}

#[test]
fn classic_client_and_request_without_hello_do_nothing_where_accounts_are_needed() {
    let accounts = Accounts::start(&["alice"]);
    let mut peer = Peer::connect(accounts.server.address()).unwrap();
    peer.stream.write_all(&classic("alice/x", b"bytes")).unwrap();
    let mut rest = Vec::new();
    // Either end of the stream: bytes that were not read make it a reset.
    let _ = peer.stream.read_to_end(&mut rest);
    assert!(rest.is_empty() && !accounts.at("alice/x").exists());
}

#[test]
fn names_of_an_account_are_below_its_root_and_told_from_there() {
    let accounts = Accounts::start(&["alice --root teams/alice --rights mirror"]);
    fs::write(accounts.at("teams/outside"), "not alice's").unwrap();
    let mut peer = accounts.peer("alice");
    assert_eq!(put_file(&mut peer, 1, "d/f", b"one")["ack"], 1);
    assert_eq!(accounts.text("teams/alice/d/f"), "one");
    assert_eq!(listed(&mut peer, &json!({"cmd": "list", "id": 2})), ["d"]);
    assert_eq!(listed(&mut peer, &json!({"cmd": "list", "id": 3, "filename": "d"})), ["d/f"]);
    let list = json!({"cmd": "list", "id": 4, "filename": "d", "after": "d/a"});
    assert_eq!(listed(&mut peer, &list), ["d/f"]);
    let rename = json!({"cmd": "rename", "id": 5, "filename": "d/f", "to": "g"});
    assert_eq!(ask(&mut peer, rename)["ack"], 5);
    assert_eq!(accounts.text("teams/alice/g"), "one");
    let body = b"{\"filename\":\"g\",\"kind\":\"file\",\"filesize\":3}\n{\"filename\":\"outside\",\"kind\":\"file\",\"filesize\":11}\n";
    // Nothing can have the last name, which is too long with the root before it.
    let long = json!({"filename": "ab/".repeat(1364) + "abc", "kind": "file", "filesize": 1});
    let body = [&body[..], format!("{long}\n").as_bytes()].concat();
    let check = json!({"cmd": "check", "id": 6, "length": body.len()});
    peer.send(&check, &body).unwrap();
    let (answer, letters) = peer.receive().unwrap();
    assert_eq!((&answer["answer"], letters.len()), (&json!(6), 3), "{answer}");
    assert_eq!(letters[1], letters[2], "{letters:?}");
    assert_ne!(letters[0], letters[1], "{letters:?}");
    assert_eq!(ask(&mut peer, json!({"cmd": "remove", "id": 7, "filename": "g"}))["ack"], 7);
    assert!(!accounts.at("teams/alice/g").exists() && accounts.at("teams/outside").exists());
}

/// Nothing that is refused tells of the directories above the account's root.
#[test]
fn refusals_tell_names_from_the_root_of_the_account() {
    let accounts = Accounts::start(&["alice --root teams/alice --rights mirror"]);
    fs::create_dir(accounts.at("teams/alice/dir")).unwrap();
    fs::write(accounts.at("teams/alice/file"), "").unwrap();
    symlink("..", accounts.at("teams/alice/link")).unwrap();
    let mut peer = accounts.peer("alice");
    let long = "ab/".repeat(1364) + "abc";
    let requests = [
        (put(1, "dir", b""), "conflict", "`dir`"),
        (put(2, "file/x", b""), "conflict", "`file`"),
        (put(3, "link/x", b""), "escape", "`link`"),
        (json!({"cmd": "remove", "id": 4, "filename": "link/teams"}), "escape", "`link`"),
        (json!({"cmd": "list", "id": 5, "filename": "none"}), "not_found", "`none`"),
        (
            json!({"cmd": "setattr", "id": 6, "filename": "none", "mode": 493}),
            "not_found",
            "`none`",
        ),
        (json!({"cmd": "rename", "id": 7, "filename": "file", "to": "dir"}), "conflict", "`dir`"),
        (json!({"cmd": "rename", "id": 8, "filename": "dir", "to": "dir/in"}), "conflict", "`dir`"),
        (json!({"cmd": "rollback", "id": 9, "filename": "dir"}), "not_found", "`dir`"),
        (json!({"cmd": "mkdir", "id": 10, "filename": "file"}), "conflict", "`file`"),
        (put(11, &long, b""), "bad_name", "too long"),
        (json!({"cmd": "symlink", "id": 12, "filename": "l", "target": "../x"}), "symlink", "`l`"),
    ];
    for (header, code, part) in requests {
        let answer = peer.ask(&header, b"").unwrap();
        refused(&answer, header["id"].as_u64().unwrap(), code);
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(part) && !message.contains("teams"), "{header}: {answer}");
    }
    assert!(accounts.at("teams/alice/file").exists());
}

/// Trap 19: though hauld follows none, other programs do.
#[test]
fn symlinks_that_lead_out_of_the_root_of_an_account_are_refused_unless_all_are_allowed() {
    for (words, code) in [(&[][..], Some("symlink")), (&["--symlinks", "any"][..], None)] {
        let accounts = Accounts::start_with(
            &[&["--durability", "none"], words].concat(),
            &["alice --root teams/alice --rights mirror"],
        );
        let mut peer = accounts.peer("alice");
        let link = |id, name: &str, target: &str| json!({"cmd": "symlink", "id": id, "filename": name, "target": target});
        // Out of the account's root, though not out of the server's.
        for (id, (name, target)) in (1_u64..).zip([("l", "../bob"), ("a/l", "../../alice/x")]) {
            let answer = ask(&mut peer, link(id, name, target));
            match code {
                Some(code) => refused(&answer, id, code),
                None => assert_eq!(answer["ack"], id, "{answer}"),
            }
        }
        assert_eq!(ask(&mut peer, link(3, "a/inside", "../x"))["ack"], 3);
        // A draft is told apart by where it will be.
        let mut hello = accounts.hello("alice", "draft");
        hello["filename"] = json!("site/v");
        let (mut peer, answer) = accounts.greeted(&hello);
        assert!(answer["hello"].is_u64(), "{answer}");
        assert_eq!(ask(&mut peer, link(1, "l", "../x"))["ack"], 1);
        let answer = ask(&mut peer, link(2, "m", "../../../x"));
        match code {
            Some(code) => refused(&answer, 2, code),
            None => assert_eq!(answer["ack"], 2, "{answer}"),
        }
    }
}

#[test]
fn version_is_published_and_rolled_back_below_the_root_of_the_account() {
    let accounts = Accounts::start(&["alice --root teams/alice --rights mirror"]);
    let mut hello = accounts.hello("alice", "c");
    for text in ["one", "two"] {
        hello["filename"] = json!("site");
        let (mut peer, answer) = accounts.greeted(&hello);
        assert!(answer["upload"].is_string(), "{answer}");
        assert_eq!(put_file(&mut peer, 1, "f", text.as_bytes())["ack"], 1);
        assert_eq!(listed(&mut peer, &json!({"cmd": "list", "id": 2})), ["f"]);
        let publish = ask(&mut peer, json!({"cmd": "publish", "id": 3}));
        assert_eq!(publish["answer"], 3, "{publish}");
        assert_eq!(accounts.text("teams/alice/site/f"), text);
        peer.end().unwrap();
    }
    let mut peer = accounts.peer("alice");
    let back = ask(&mut peer, json!({"cmd": "rollback", "id": 1, "filename": "site"}));
    assert_eq!(back["answer"], 1, "{back}");
    assert_eq!(accounts.text("teams/alice/site/f"), "one");
    let again = ask(&mut peer, json!({"cmd": "rollback", "id": 2, "filename": "site"}));
    refused(&again, 2, "rolled_back");
    assert!(again["message"].as_str().unwrap().contains("`site`"), "{again}");
}

#[test]
fn account_whose_root_is_gone_is_told_and_no_new_root_appears() {
    let accounts = Accounts::start(&["alice --root teams/alice"]);
    fs::remove_dir(accounts.at("teams/alice")).unwrap();
    let (_, answer) = accounts.greeted(&accounts.hello("alice", "c"));
    refused(&answer, 0, "root_gone");
    assert!(!answer.to_string().contains("teams"), "{answer}");
    symlink("/", accounts.at("teams/alice")).unwrap();
    let (_, answer) = accounts.greeted(&accounts.hello("alice", "c"));
    refused(&answer, 0, "root_gone");
    fs::remove_file(accounts.at("teams/alice")).unwrap();
    assert!(!accounts.at("teams/alice").exists());
}

/// Trap 21, and a symlink in the way.
#[test]
fn root_behind_a_symlink_or_a_mount_is_refused_when_it_is_added() {
    let accounts = Accounts::start(&["alice"]);
    let root = accounts.server.root().to_str().unwrap().to_owned();
    symlink("/", accounts.at("link")).unwrap();
    fs::write(accounts.at("file"), "").unwrap();
    for (name, part) in
        [("link", "symbolic link"), ("link/tmp", "symbolic link"), ("file", "not a directory")]
    {
        let output =
            accounts.hauld(&["user", "add", "eve", "--root", name, "--server-root", &root]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "{told}");
        assert!(told.contains(part), "{told}");
    }
    // A mount nearly everywhere.
    let output = accounts.hauld(&["user", "add", "eve", "--root", "shm", "--server-root", "/dev"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("another file system"), "{told}");
    assert!(!accounts.users().contains("eve"));
}

#[test]
fn accounts_that_can_not_be_understood_keep_the_server_from_starting_and_not_from_running() {
    let accounts = Accounts::start(&["alice"]);
    let whole = accounts.users();
    for (text, part) in [
        (whole.replace("rights", "right"), "unknown field `right`"),
        (whole[..whole.len() - 30].to_owned(), "line"),
    ] {
        accounts.set_users(&text);
        eventually("the server has told of it", || {
            accounts.server.log_text().contains("the accounts stay as they were")
        });
        let _ = accounts.peer("alice");
        let root = place::in_memory().unwrap();
        let mut command = hauld_command();
        command.args(["--listen", "127.0.0.1:0", "--root"]).arg(root.path());
        let output = command.arg("--config-dir").arg(accounts.config.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("users.toml") && told.contains(part), "{told}");
    }
    accounts.set_users(&whole);
}

/// Otherwise whoever may put a file could make an account.
#[test]
fn accounts_inside_of_the_root_are_not_looked_for() {
    let place = place::in_memory().unwrap();
    let config = place.path().join("root/config");
    let words = ["--durability", "none", "--config-dir", config.to_str().unwrap()];
    let server = Hauld::start_in(place, hauld_command(), &words).unwrap();
    let mut peer = server.peer();
    let eve = b"[user.eve]\nroot = \".\"\nrights = [\"put\"]\n";
    assert_eq!(peer.ask(&put(1, "config/users.toml", eve), eve).unwrap()["ack"], 1);
    // Another server would not even start with them.
    let mut another = hauld_command();
    another.args(["--listen", "127.0.0.1:0", "--root"]).arg(server.root()).args(words);
    let output = another.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && told.contains("config"), "{told}");
    assert!(!server.log_text().contains("other accounts hold"));
}
