//! Tokens of uploads and drafts: an account changes meanwhile, or another one publishes.

use haul_tests::prelude::*;
use haul_tests::upload;

fn open(peer: &mut Peer, id: u64, large: &Large, name: &str) -> (Value, u32) {
    upload::open(peer, id, large, name).unwrap()
}

/// A server where alice may change everything, and a file stands under the name of the large one that she will send.
fn with_an_old_file() -> Accounts {
    let accounts = Accounts::start(&["alice --root in --rights mirror"]);
    fs::write(accounts.at("in/large"), "old").unwrap();
    accounts
}

/// Gives alice other rights.
fn set_rights(accounts: &Accounts, rights: &str) {
    let output = accounts.hauld(&["user", "change", "alice", "--rights", rights]);
    assert!(output.status.success(), "{output:?}");
}

fn part(peer: &mut Peer, id: u64, large: &Large, token: &Value, index: usize) -> Value {
    let bytes = large.part(index);
    let header = json!({
        "cmd": "part", "id": id, "length": bytes.len(), "upload": token, "offset": index * PART,
        "cv": large.cvs[index],
    });
    peer.ask(&header, bytes).unwrap()
}

fn commit(peer: &mut Peer, id: u64, large: &Large, token: &Value) -> Value {
    let header = json!({"cmd": "commit", "id": id, "upload": token, "blake3": large.digest});
    peer.ask(&header, b"").unwrap()
}

/// All that a token is good for is refused.
#[track_caller]
fn is_unknown(peer: &mut Peer, id: u64, large: &Large, token: &Value) {
    refused(&part(peer, id, large, token, 0), id, "unknown_upload");
    refused(&commit(peer, id + 1, large, token), id + 1, "unknown_upload");
    let abort = json!({"cmd": "abort", "id": id + 2, "upload": token});
    refused(&peer.ask(&abort, b"").unwrap(), id + 2, "unknown_upload");
}

fn login(accounts: &Accounts, slot: u64) -> Peer {
    let mut hello = accounts.hello("alice", "the same client");
    (hello["slot"], hello["identity"]) = (json!(slot), json!("laptop"));
    let (peer, answer) = accounts.greeted(&hello);
    assert_eq!(answer["account"]["name"], "alice", "{answer}");
    peer
}

/// A client has sent all parts of `large`, and then its account changes. Returns the connection as it ends, which the client
/// does not close, the one that comes after it, and the token.
fn changed(accounts: &Accounts, large: &Large, change: impl FnOnce()) -> (Peer, Peer, Value) {
    let mut old = login(accounts, 0);
    let token = open(&mut old, 1, large, "large").0["upload"].clone();
    for index in 0..3 {
        let id = index as u64 + 2;
        assert_eq!(part(&mut old, id, large, &token, index)["ack"], id);
    }
    change();
    refused(&old.receive().unwrap().0, 0, "unauthorized");
    let new = login(accounts, 1);
    (old, new, token)
}

#[test]
fn upload_that_was_opened_below_another_root_goes_on_no_more() {
    let accounts = Accounts::start(&["alice --root former --rights mirror"]);
    let large = Large::new(1);
    let (_old, mut new, token) = changed(&accounts, &large, || {
        let users = accounts.users().replace("root = \"former\"", "root = \"present\"");
        assert!(users.contains("present"), "{users}");
        accounts.set_users(&users);
    });
    is_unknown(&mut new, 1, &large, &token);
    assert!(!accounts.at("former/large").exists());
    // The client opens the file again, as for any unknown upload.
    let (answer, held) = open(&mut new, 4, &large, "large");
    assert_eq!(held, 0, "the parts are below the former root: {answer}");
    for index in 0..3 {
        let id = index as u64 + 5;
        assert_eq!(part(&mut new, id, &large, &answer["upload"], index)["ack"], id);
    }
    assert_eq!(commit(&mut new, 8, &large, &answer["upload"])["answer"], 8);
    assert_eq!(fs::read(accounts.at("present/large")).unwrap(), large.bytes);
    assert!(!accounts.at("former/large").exists());
}

/// The answer that was lost was about a file below the former root.
#[test]
fn commit_below_another_root_is_not_told_again() {
    let accounts = Accounts::start(&["alice --root former --rights mirror"]);
    let large = Large::new(2);
    let mut old = login(&accounts, 0);
    let token = open(&mut old, 1, &large, "large").0["upload"].clone();
    for index in 0..3 {
        let id = index as u64 + 2;
        assert_eq!(part(&mut old, id, &large, &token, index)["ack"], id);
    }
    assert_eq!(commit(&mut old, 5, &large, &token)["answer"], 5);
    accounts.set_users(&accounts.users().replace("\"former\"", "\"present\""));
    refused(&old.receive().unwrap().0, 0, "unauthorized");
    refused(&commit(&mut login(&accounts, 1), 1, &large, &token), 1, "unknown_upload");
}

#[test]
fn upload_of_an_account_that_may_only_add_by_now_replaces_nothing() {
    let (accounts, large) = (with_an_old_file(), Large::new(3));
    let change = || set_rights(&accounts, "drop");
    let (_old, mut new, token) = changed(&accounts, &large, change);
    is_unknown(&mut new, 1, &large, &token);
    // It goes on with what it has sent, into the directory of its run.
    let (answer, held) = open(&mut new, 4, &large, "large");
    assert_eq!(held, 3, "{answer}");
    assert_eq!(commit(&mut new, 5, &large, &answer["upload"])["answer"], 5);
    assert_eq!(accounts.text("in/large"), "old");
    assert_eq!(fs::read_dir(accounts.at("in")).unwrap().count(), 2);
}

/// Before the first byte, as if nothing had been open.
#[test]
fn file_is_opened_again_with_the_rights_that_hold_now() {
    let (accounts, large) = (with_an_old_file(), Large::new(4));
    let change = || set_rights(&accounts, "put,list");
    let (_old, mut new, token) = changed(&accounts, &large, change);
    refused(&open(&mut new, 1, &large, "large").0, 1, "exists");
    is_unknown(&mut new, 2, &large, &token);
    assert_eq!(accounts.text("in/large"), "old");
}

/// A connection of an account about the next version of `site`, and the answer to its `hello`, once no other one is about it.
fn draft(accounts: &Accounts, name: &str, client: &str, upload: &Value) -> (Peer, Value) {
    let mut hello = accounts.hello(name, client);
    hello["filename"] = json!("site");
    hello["must"] = json!(["publish"]);
    if !upload.is_null() {
        hello["upload"] = upload.clone();
    }
    let mut greeted = None;
    eventually("the connection before has left the directory", || {
        let (peer, answer) = accounts.greeted(&hello);
        let is_busy = answer["code"] == "busy";
        greeted = Some((peer, answer));
        !is_busy
    });
    greeted.unwrap()
}

/// The same with a name of the client that no other has, and an entry in it; it has ended. Returns the token of the draft.
fn left(accounts: &Accounts, name: &str, entry: &str) -> Value {
    let (mut peer, answer) = draft(accounts, name, entry, &Value::Null);
    assert!(answer["upload"].is_string(), "{answer}");
    assert_eq!(peer.ask(&put(1, entry, b"x"), b"x").unwrap()["ack"], 1);
    peer.end().unwrap();
    answer["upload"].clone()
}

fn published(accounts: &Accounts, name: &str, client: &str, upload: &Value) {
    let (mut peer, answer) = draft(accounts, name, client, upload);
    assert!(answer["upload"].is_string(), "{answer}");
    assert_eq!(peer.ask(&json!({"cmd": "publish", "id": 1}), b"").unwrap()["answer"], 1);
    peer.end().unwrap();
}

/// Names in a draft are below the draft, and those of an account below its root: a token must not lead from one to the other.
#[test]
fn upload_of_a_draft_is_unknown_outside_of_it_and_one_of_no_draft_inside() {
    let accounts = Accounts::start(&["alice --root alice --rights mirror", "bob --root bob"]);
    let large = Large::new(5);
    fs::write(accounts.at("bob/large"), "bob's").unwrap();
    let (mut inside, _) = draft(&accounts, "alice", "c", &Value::Null);
    let mut outside = login(&accounts, 0);
    let in_draft = open(&mut inside, 1, &large, "bob/large").0["upload"].clone();
    for index in 0..3 {
        let id = index as u64 + 2;
        assert_eq!(part(&mut inside, id, &large, &in_draft, index)["ack"], id);
    }
    is_unknown(&mut outside, 1, &large, &in_draft);
    assert_eq!(accounts.text("bob/large"), "bob's");
    let in_root = open(&mut outside, 4, &large, "large").0["upload"].clone();
    is_unknown(&mut inside, 5, &large, &in_root);
    // Another connection of the draft knows its token.
    let mut hello = accounts.hello("alice", "c");
    (hello["filename"], hello["slot"]) = (json!("site"), json!(1));
    let (mut other, answer) = accounts.greeted(&hello);
    assert_eq!(commit(&mut other, 1, &large, &in_draft)["answer"], 1, "{answer}");
    assert_eq!(other.ask(&json!({"cmd": "publish", "id": 2}), b"").unwrap()["answer"], 2);
    assert_eq!(fs::read(accounts.at("alice/site/bob/large")).unwrap(), large.bytes);
}

fn two(durability: &str) -> Accounts {
    let users = ["alice --root same --rights mirror", "bob --root same --rights mirror"];
    Accounts::start_with(&["--durability", durability], &users)
}

#[test]
fn draft_does_not_undo_a_version_that_another_account_has_published_since() {
    for durability in ["none", "group"] {
        let accounts = two(durability);
        // The first version is moved to its name, later ones change names with the present one.
        for (alices, bobs) in [("a1", "b1"), ("a2", "b2")] {
            let token = left(&accounts, "alice", alices);
            let there = left(&accounts, "bob", bobs);
            // So far nothing was published, and neither draft knows of the other.
            let (peer, answer) = draft(&accounts, "alice", alices, &token);
            assert_eq!((&answer["upload"], &answer["resumed"]), (&token, &json!(true)), "{answer}");
            peer.end().unwrap();
            published(&accounts, "bob", bobs, &there);
            refused(&draft(&accounts, "alice", alices, &token).1, 0, "taken_over");
            let files = fs::read_dir(accounts.at("same/site")).unwrap();
            let files: Vec<_> = files.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(files, [bobs], "{durability}");
            // Nothing is lost: the next run goes on with it, and knows that.
            let (mut peer, answer) = draft(&accounts, "alice", "next", &Value::Null);
            assert!(answer["resumed"] == true && answer["upload"] != token, "{answer}");
            let remove = json!({"cmd": "remove", "id": 1, "filename": alices});
            assert_eq!(peer.ask(&remove, b"").unwrap()["ack"], 1);
            peer.end().unwrap();
            // The answer to bob's publish may have been lost.
            published(&accounts, "bob", bobs, &there);
        }
    }
}

/// It can't begin again as if nothing had happened since.
#[test]
fn empty_draft_begins_again_unless_a_version_was_published_since() {
    let accounts = two("none");
    for other in ["alice", "bob"] {
        let (peer, answer) = draft(&accounts, "alice", "c", &Value::Null);
        let token = answer["upload"].clone();
        peer.end().unwrap();
        let (peer, answer) = draft(&accounts, other, "other", &Value::Null);
        assert!(answer["upload"].is_string(), "{answer}");
        peer.end().unwrap();
        let (peer, answer) = draft(&accounts, "alice", "c", &token);
        assert_eq!(answer["upload"], token, "nothing was published: {answer}");
        peer.end().unwrap();
        let (peer, answer) = draft(&accounts, other, "other", &Value::Null);
        peer.end().unwrap();
        published(&accounts, other, "other", &answer["upload"]);
        refused(&draft(&accounts, "alice", "c", &token).1, 0, "taken_over");
        // A version that was published before hurts no draft of later.
        let (peer, begun) = draft(&accounts, "alice", "c", &Value::Null);
        peer.end().unwrap();
        published(&accounts, other, "other", &answer["upload"]);
        let (peer, again) = draft(&accounts, "alice", "c", &begun["upload"]);
        assert_eq!(again["upload"], begun["upload"], "{again}");
        peer.end().unwrap();
    }
}
