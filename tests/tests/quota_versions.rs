//! Quotas of accounts whose directories have several versions: all that is kept on the disk counts.

use haul_tests::prelude::*;
use haul_tests::quotas::*;

const WORDS: [&str; 2] = ["--durability", "none"];

/// A connection about the next version of `t`.
fn draft(accounts: &Accounts) -> Peer {
    let mut hello = accounts.hello("alice", "publishes");
    hello["filename"] = json!("t");
    hello["must"] = json!(["publish"]);
    let mut begun = None;
    eventually("no connection about the version before is open", || {
        let (peer, answer) = accounts.greeted(&hello);
        assert!(answer["upload"].is_string() || answer["code"] == "busy", "{answer}");
        begun = answer["upload"].is_string().then_some(peer);
        begun.is_some()
    });
    begun.unwrap()
}

fn done(peer: &mut Peer, header: &Value) {
    let answer = peer.ask(header, b"").unwrap();
    assert!(answer["ack"] == header["id"] || answer["answer"] == header["id"], "{answer}");
}

fn publish(accounts: &Accounts, words: &[&str]) {
    let mut haul = haul();
    haul.env("HAUL_TOKEN", accounts.token("alice")).arg("publish").args(words);
    haul.arg(format!("{}/t", accounts.server.address())).assert().success();
}

/// Files that both versions have count once; those of the present one that are removed are still there in the other one.
#[test]
fn previous_version_counts_as_well_as_the_present_one() {
    for durability in ["none", "group"] {
        let words = ["--durability", durability];
        let mut accounts = with_quota(&words, 1 << 30, 10_000);
        let place = TempDir::new().unwrap();
        let source = place.path().join("s");
        fs::create_dir_all(source.join("d")).unwrap();
        for (name, len) in [("d/same", 50_000), ("d/other", 1000), ("gone", 300)] {
            fs::write(source.join(name), vec![b'x'; len]).unwrap();
        }
        let source = source.to_str().unwrap();
        publish(&accounts, &[source]);
        same(&accounts);
        fs::write(place.path().join("s/d/other"), vec![b'y'; 70_000]).unwrap();
        fs::remove_file(place.path().join("s/gone")).unwrap();
        publish(&accounts, &[source]);
        same(&accounts);
        assert!(told(&accounts, "alice").0 > 121_000);
        publish(&accounts, &["--rollback"]);
        same(&accounts);
        let mut peer = accounts.peer("alice");
        for (id, name) in [(1, "t/d/same"), (2, "t/d/other"), (3, "t/d"), (4, "t/gone"), (5, "t")] {
            done(&mut peer, &json!({"cmd": "remove", "id": id, "filename": name}));
        }
        same(&accounts);
        assert!(told(&accounts, "alice").0 >= 120_000);
        again(&mut accounts, &words, Signal::KILL);
        same(&accounts);
    }
}

/// No version takes the place of another one for nothing.
#[test]
fn versions_that_are_published_again_and_again_do_not_pass_a_quota() {
    let accounts = with_quota(&WORDS, 10_000, 100);
    for (at, is_stored) in [(0, true), (1, true), (2, false)] {
        let mut peer = draft(&accounts);
        let bytes = vec![at; 4000];
        let answer = peer.ask(&put(1, "file", &bytes), &bytes).unwrap();
        if is_stored {
            assert_eq!(answer["ack"], 1, "{answer}");
            done(&mut peer, &json!({"cmd": "publish", "id": 2}));
        } else {
            refused(&answer, 1, "quota");
        }
        drop(peer);
        same(&accounts);
    }
}

#[test]
fn entry_of_a_draft_counts_no_more_when_it_is_removed_or_replaced() {
    let accounts = with_quota(&WORDS, 10_000, 10);
    let mut peer = draft(&accounts);
    for round in 0..5 {
        for (at, len) in [(1, 9000), (2, 6000)] {
            let answer = put_file(&mut peer, 4 * round + at, "d/file", len);
            assert_eq!(answer["ack"], 4 * round + at, "{answer}");
            assert_eq!(told(&accounts, "alice"), (len as u64, 2));
        }
        done(&mut peer, &json!({"cmd": "remove", "id": 4 * round + 3, "filename": "d/file"}));
        done(&mut peer, &json!({"cmd": "remove", "id": 4 * round + 4, "filename": "d"}));
        assert_eq!(told(&accounts, "alice"), (0, 0));
    }
}

/// Also before anybody goes on with it, and once afterwards.
#[test]
fn draft_counts_after_the_server_was_killed() {
    let mut accounts = with_quota(&WORDS, 10_000, 10);
    let mut peer = draft(&accounts);
    assert_eq!(put_file(&mut peer, 1, "d/file", 5000)["ack"], 1);
    again(&mut accounts, &WORDS, Signal::KILL);
    drop(peer);
    same(&accounts);
    assert_eq!(told(&accounts, "alice"), (5000, 2));
    let mut peer = draft(&accounts);
    refused(&put_file(&mut peer, 1, "other", 5001), 1, "quota");
    assert_eq!(put_file(&mut peer, 2, "other", 4000)["ack"], 2);
    assert_eq!(told(&accounts, "alice"), (9000, 3));
    done(&mut peer, &json!({"cmd": "publish", "id": 3}));
    same(&accounts);
    assert_eq!(told(&accounts, "alice"), (9000, 4));
}

/// The server keeps one partial for each identity.
#[test]
fn partials_of_many_identities_for_one_file_do_not_pass_a_quota() {
    const SIZE: usize = 3 << 20;
    let accounts = with_quota(&WORDS, SIZE as u64 + 1000, 100);
    assert_eq!(put_file(&mut accounts.peer("alice"), 1, "file", SIZE)["ack"], 1);
    let mut peers = Vec::new();
    let mut opened = 0;
    for at in 0..8 {
        let mut hello = accounts.hello("alice", &format!("c{at}"));
        hello["identity"] = json!(format!("i{at}"));
        let (mut peer, _) = accounts.greeted(&hello);
        let open = json!({
            "cmd": "open", "id": 1, "filename": "file", "filesize": SIZE, "fingerprint": "f",
        });
        let answer = peer.ask(&open, b"").unwrap();
        opened += usize::from(answer["upload"].is_string());
        assert!(answer["upload"].is_string() || answer["code"] == "busy", "{answer}");
        peers.push(peer);
    }
    assert_eq!(opened, 1);
    // The one that is under way counts beside the file.
    assert_eq!(told(&accounts, "alice"), (2 * SIZE as u64, 2));
    drop(peers);
    eventually("its share is back", || told(&accounts, "alice") == (SIZE as u64, 1));
}

/// Takes the file `f` of the present version, with these bytes, over into the draft.
fn adopt(peer: &mut Peer, id: u64, bytes: &[u8]) {
    let digest = blake3::hash(bytes).to_hex();
    let line = json!({
        "kind": "file", "filename": "f", "filesize": bytes.len(), "blake3": digest.as_str(),
    });
    let body = format!("{line}\n");
    let adopt = json!({"cmd": "adopt", "id": id, "length": body.len()});
    peer.send(&adopt, body.as_bytes()).unwrap();
    let (answer, letters) = peer.receive().unwrap();
    assert_eq!((&answer["answer"], &*letters), (&json!(id), &b"="[..]), "{answer}");
}

/// The use that the server tells is never less than what is on the disk.
#[track_caller]
fn not_less(accounts: &Accounts) {
    let (told, disk) = (told(accounts, "alice"), on_disk(accounts.server.root(), "a"));
    assert!(told.0 >= disk.0 && told.1 >= disk.1, "{told:?} for {disk:?}");
}

/// Makes a change in `t` once no connection about its next version is open.
fn done_once_free(accounts: &Accounts, header: &Value, body: &[u8]) {
    eventually("no connection about the next version is open", || {
        let answer = accounts.peer("alice").ask(header, body).unwrap();
        assert!(answer["ack"] == header["id"] || answer["code"] == "busy", "{answer}");
        answer["ack"] == header["id"]
    });
}

/// Puts `t/f`, takes it over into the draft under another name, and removes it under the first one.
fn leave_in_draft(accounts: &Accounts, bytes: &[u8]) {
    done_once_free(accounts, &put(1, "t/f", bytes), bytes);
    let mut next = draft(accounts);
    adopt(&mut next, 1, bytes);
    let rename = json!({"cmd": "rename", "id": 2, "filename": "f", "to": "g", "replace": true});
    done(&mut next, &rename);
    drop(next);
    done_once_free(accounts, &json!({"cmd": "remove", "id": 1, "filename": "t/f"}), b"");
}

#[test]
fn file_that_only_a_draft_has_kept_counts() {
    let accounts = with_quota(&WORDS, 1 << 20, 100);
    let bytes = vec![b'x'; 300_000];
    let mut peer = draft(&accounts);
    assert_eq!(put_file(&mut peer, 1, "own", 1000)["ack"], 1);
    drop(peer);
    leave_in_draft(&accounts, &bytes);
    not_less(&accounts);
    same(&accounts);
    assert!(told(&accounts, "alice").0 == 301_000);
    // The one that came into the draft last takes the place of the one before.
    for _ in 0..3 {
        leave_in_draft(&accounts, &bytes);
        not_less(&accounts);
        same(&accounts);
    }
}

/// It never counted there, so nothing is taken off the draft's other files.
#[test]
fn file_that_only_a_draft_has_kept_is_removed_from_it() {
    let accounts = with_quota(&WORDS, 1 << 20, 100);
    let mut peer = draft(&accounts);
    assert_eq!(put_file(&mut peer, 1, "own", 500_000)["ack"], 1);
    drop(peer);
    for _ in 0..3 {
        leave_in_draft(&accounts, &[b'x'; 150_000]);
        let mut peer = draft(&accounts);
        done(&mut peer, &json!({"cmd": "remove", "id": 1, "filename": "g"}));
        not_less(&accounts);
        drop(peer);
    }
    same(&accounts);
    assert_eq!(told(&accounts, "alice").0, 500_000);
}

/// The draft is left after its publish was refused, and then the directory goes.
#[test]
fn draft_whose_directory_is_gone_counts_and_is_listed_and_removed() {
    let words = [&WORDS[..], &["--grace", "100ms"]].concat();
    let mut accounts = with_quota(&words, 1 << 20, 100);
    let bytes = vec![b'x'; 600_000];
    let mut peer = accounts.peer("alice");
    assert_eq!(peer.ask(&put(1, "t/f", &bytes), &bytes).unwrap()["ack"], 1);
    let mut next = draft(&accounts);
    adopt(&mut next, 1, &bytes);
    refused(&put_file(&mut next, 2, "more", 600_000), 2, "quota");
    drop(next);
    drop(peer);
    let mut haul = haul();
    haul.env("HAUL_TOKEN", accounts.token("alice"));
    haul.args(["rm", "-r", &format!("{}/t", accounts.server.address())]).assert().success();
    not_less(&accounts);
    same(&accounts);
    assert!(told(&accounts, "alice").0 >= 600_000);
    accounts.server.signal(Signal::TERM).unwrap();
    accounts.server.wait().unwrap();
    let root = accounts.server.root().to_str().unwrap().to_owned();
    let partials = |words: &[&str]| {
        let output =
            hauld_command().args(["partials"]).args(words).args(["--root", &root]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let listed = partials(&["list"]);
    let fields: Vec<_> = listed.trim_end().split("  ").collect();
    assert!(matches!(fields[..], [_, "draft", "585.94 KiB in 1 entry", _, "a/t"]), "{listed}");
    assert_eq!(partials(&["clean", "--older-than", "1h"]), "removed 0 partials, 0 B\n");
    assert_eq!(partials(&["clean"]), "removed 0 partials and 1 draft, 585.94 KiB\n");
    assert_eq!(partials(&["list"]), "");
    again(&mut accounts, &words, Signal::TERM);
    eventually("nothing counts", || told(&accounts, "alice") == (0, 0));
}
