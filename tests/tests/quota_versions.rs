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
