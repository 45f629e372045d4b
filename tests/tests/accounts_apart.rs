//! Two accounts attack each other.

use haul_tests::prelude::*;
use haul_tests::upload;

/// Two accounts with the same root, so that nothing but the account tells them apart.
fn same_root() -> Accounts {
    Accounts::start(&["alice --root same --rights mirror", "bob --root same --rights mirror"])
}

/// Opens the upload of a large file; returns the token and how many parts are held.
fn open(peer: &mut Peer, id: u64, large: &Large, name: &str) -> (String, u32) {
    let (answer, held) = upload::open(peer, id, large, name).unwrap();
    assert_eq!(answer["answer"], id, "{answer}");
    (answer["upload"].as_str().unwrap().to_owned(), held)
}

fn part(peer: &mut Peer, id: u64, large: &Large, token: &str) -> Value {
    let header = json!({
        "cmd": "part", "id": id, "length": PART, "upload": token, "offset": 0, "cv": large.cvs[0],
    });
    peer.ask(&header, large.part(0)).unwrap()
}

fn login(accounts: &Accounts, name: &str) -> Peer {
    let mut hello = accounts.hello(name, "the same client");
    hello["identity"] = json!("the same identity");
    let (peer, answer) = accounts.greeted(&hello);
    assert_eq!(answer["account"]["name"], name, "{answer}");
    peer
}

/// Traps 15 and 16, and tokens of uploads.
#[test]
fn same_client_slot_identity_name_and_fingerprint_of_another_account_are_others() {
    let accounts = same_root();
    let large = Large::new(1);
    let mut alice = login(&accounts, "alice");
    let (token, held) = open(&mut alice, 1, &large, "large");
    assert_eq!(held, 0);
    assert_eq!(part(&mut alice, 2, &large, &token)["ack"], 2);

    let mut bob = login(&accounts, "bob");
    let (bobs, held) = open(&mut bob, 1, &large, "large");
    assert!(held == 0 && bobs != token, "bob resumes what alice has sent");
    refused(&part(&mut bob, 2, &large, &token), 2, "unknown_upload");
    for (id, cmd) in [(3, "commit"), (4, "abort")] {
        let header = json!({"cmd": cmd, "id": id, "upload": token, "blake3": large.digest});
        refused(&bob.ask(&header, b"").unwrap(), id, "unknown_upload");
    }
    // Alice is neither fenced nor taken over, and goes on.
    let (again, held) = open(&mut alice, 3, &large, "large");
    assert!(held == 1 && again != token);
    // The token that alice has replaced herself is as unknown to bob.
    refused(&part(&mut bob, 5, &large, &token), 5, "unknown_upload");
    refused(&part(&mut alice, 4, &large, &token), 4, "taken_over");
    for (index, id) in [(1, 5), (2, 6)] {
        let bytes = large.part(index);
        let header = json!({
            "cmd": "part", "id": id, "length": bytes.len(), "upload": again, "offset": index * PART,
            "cv": large.cvs[index],
        });
        assert_eq!(alice.ask(&header, bytes).unwrap()["ack"], id);
    }
    let commit = |id| json!({"cmd": "commit", "id": id, "upload": again, "blake3": large.digest});
    assert_eq!(alice.ask(&commit(7), b"").unwrap()["answer"], 7);
    // An answer that was lost is told again to alice, and to nobody else.
    assert_eq!(alice.ask(&commit(8), b"").unwrap()["answer"], 8);
    refused(&bob.ask(&commit(6), b"").unwrap(), 6, "unknown_upload");
    assert_eq!(fs::read(accounts.at("same/large")).unwrap(), large.bytes);
}

/// Trap 17: there is one namespace.
#[test]
fn directory_that_is_published_is_guarded_against_an_account_above_it_and_below_it() {
    let accounts = Accounts::start(&[
        "alice --root teams/alice --rights mirror",
        "boss --root teams --rights mirror",
        "low --root teams/alice/a/deep --rights mirror",
    ]);
    let mut hello = accounts.hello("alice", "c");
    hello["filename"] = json!("a");
    let (mut draft, answer) = accounts.greeted(&hello);
    assert!(answer["hello"].is_u64(), "{answer}");
    let mut boss = accounts.peer("boss");
    let answer = boss.ask(&put(1, "alice/a/x", b""), b"").unwrap();
    refused(&answer, 1, "busy");
    assert!(answer["message"].as_str().unwrap().contains("`alice/a`"), "{answer}");
    let mut low = accounts.peer("low");
    let answer = low.ask(&put(1, "x", b""), b"").unwrap();
    refused(&answer, 1, "busy");
    // The directory is above the root that this account sees.
    assert!(answer["message"].as_str().unwrap().contains("`.`"), "{answer}");
    for (name, path) in [("boss", "alice"), ("boss", "alice/a/b")] {
        let mut hello = accounts.hello(name, "another");
        hello["filename"] = json!(path);
        refused(&accounts.greeted(&hello).1, 0, "busy");
    }
    assert_eq!(draft.ask(&json!({"cmd": "publish", "id": 1}), b"").unwrap()["answer"], 1);
    draft.end().unwrap();
    assert_eq!(boss.ask(&put(2, "alice/a/x", b""), b"").unwrap()["ack"], 2);
}

#[test]
fn names_lead_to_nothing_outside_of_the_root() {
    let accounts = Accounts::start(&["alice --rights mirror", "bob --rights mirror"]);
    fs::write(accounts.at("bob/secret"), "bob's").unwrap();
    symlink("../bob", accounts.at("alice/out")).unwrap();
    let mut alice = accounts.peer("alice");
    let names =
        ["../bob/x", "/bob/x", "out/x", "out/secret", "a/../../bob/x", ".", "..", "", "out"];
    let mut id = 0;
    for name in names {
        for cmd in ["put", "mkdir", "remove", "rename", "list", "setattr", "rollback"] {
            // That one is alice's own symlink.
            if name == "out" && ["put", "remove", "rename"].contains(&cmd) {
                continue;
            }
            id += 1;
            let mut header = json!({"cmd": cmd, "id": id, "filename": name, "to": "mine"});
            if cmd == "put" {
                header = put(id, name, b"");
            }
            alice.send(&header, b"").unwrap();
            let (answer, _) = alice.receive().unwrap();
            assert_eq!(answer["refused"], id, "{header}: {answer}");
            assert!(!answer.to_string().contains("secret") || name.contains("secret"), "{answer}");
        }
    }
    assert_eq!(accounts.text("bob/secret"), "bob's");
    assert_eq!(fs::read_dir(accounts.at("bob")).unwrap().count(), 1);
}

/// Trap 18.
#[test]
fn drop_account_is_answered_alike_whether_something_is_there_or_not() {
    let accounts = Accounts::start(&["box --rights drop", "owner --root box --rights mirror"]);
    let mut owner = accounts.peer("owner");
    assert_eq!(owner.ask(&put(1, "there", b"old"), b"old").unwrap()["ack"], 1);
    let mut peers: Vec<_> =
        ["one", "other"].map(|client| accounts.greeted(&accounts.hello("box", client)).0).into();
    // Answers differ in nothing but what was sent.
    for (id, name) in (1_u64..).zip(["there", "not", "there", "d/there", "d/not"]) {
        for peer in &mut peers {
            let answer = peer.ask(&put(id, name, b"new"), b"new").unwrap();
            assert_eq!(answer, json!({"ack": id}), "{name}");
        }
    }
    for (id, (header, body)) in (6_u64..).zip([
        (json!({"cmd": "list"}), &b""[..]),
        (json!({"cmd": "check", "length": 0}), b""),
        (json!({"cmd": "remove", "filename": "there"}), b""),
        (json!({"cmd": "rename", "filename": "there", "to": "x"}), b""),
        (json!({"cmd": "rollback", "filename": "d"}), b""),
    ]) {
        let mut header = header;
        header["id"] = json!(id);
        refused(&peers[0].ask(&header, body).unwrap(), id, "forbidden");
    }
    assert_eq!(accounts.text("box/there"), "old");
    let fresh = fs::read_dir(accounts.at("box")).unwrap().flatten();
    let fresh: Vec<_> = fresh.filter(|entry| entry.file_name() != "there").collect();
    assert_eq!(fresh.len(), 2, "each client has a directory of its own: {fresh:?}");
    for directory in fresh {
        assert_eq!(fs::read_to_string(directory.path().join("d/there")).unwrap(), "new");
    }
    // The client comes back to its own, and to no other's.
    let (mut again, _) = accounts.greeted(&accounts.hello("box", "one"));
    assert_eq!(again.ask(&put(1, "more", b""), b"").unwrap()["ack"], 1);
    assert_eq!(fs::read_dir(accounts.at("box")).unwrap().count(), 3);
}

#[test]
fn draft_of_another_account_is_neither_gone_on_with_nor_thrown_away() {
    let accounts = same_root();
    let draft = |name: &str| {
        let mut hello = accounts.hello(name, "the same client");
        hello["filename"] = json!("site");
        let (peer, answer) = accounts.greeted(&hello);
        (peer, answer["upload"].clone(), answer["resumed"] == true)
    };
    let (mut alice, token, _) = draft("alice");
    assert_eq!(alice.ask(&put(1, "of alice", b"x"), b"x").unwrap()["ack"], 1);
    alice.end().unwrap();
    let (mut bob, bobs, resumed) = draft("bob");
    assert!(!resumed && bobs != token);
    assert_eq!(bob.ask(&put(1, "of bob", b"x"), b"x").unwrap()["ack"], 1);
    // Nor with her token.
    let mut hello = accounts.hello("bob", "another");
    hello["filename"] = json!("site");
    hello["upload"] = token.clone();
    bob.end().unwrap();
    refused(&accounts.greeted(&hello).1, 0, "taken_over");
    let (mut alice, _, resumed) = draft("alice");
    assert!(resumed);
    assert_eq!(alice.ask(&json!({"cmd": "publish", "id": 1}), b"").unwrap()["answer"], 1);
    alice.end().unwrap();
    assert!(
        accounts.at("same/site/of alice").exists() && !accounts.at("same/site/of bob").exists()
    );
    let (_bob, _, resumed) = draft("bob");
    assert!(resumed);
}
