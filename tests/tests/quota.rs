//! Quotas of accounts: what counts, and who is refused.

use haul_tests::prelude::*;
use haul_tests::quotas::*;

#[test]
fn use_is_that_of_the_disk_whatever_is_done() {
    for words in [&["--durability", "none"][..], &["--durability", "group"]] {
        let mut accounts = with_quota(words, 1 << 30, 10_000);
        let mut peer = accounts.peer("alice");
        let mut id = 0;
        let mut done = |peer: &mut Peer, mut header: Value, body: &[u8]| {
            id += 1;
            header["id"] = json!(id);
            let answer = peer.ask(&header, body).unwrap();
            assert!(answer["ack"] == id || answer["answer"] == id, "{answer}");
        };
        done(&mut peer, put(0, "d/e/f", &[1; 1000]), &[1; 1000]);
        same(&accounts);
        done(&mut peer, put(0, "d/e/f", &[1; 10]), &[1; 10]);
        same(&accounts);
        done(&mut peer, json!({"cmd": "mkdir", "filename": "new"}), b"");
        done(&mut peer, json!({"cmd": "mkdir", "filename": "d/e"}), b"");
        done(&mut peer, json!({"cmd": "mkdir", "filename": "d/e/f", "replace": true}), b"");
        same(&accounts);
        done(&mut peer, json!({"cmd": "symlink", "filename": "d/l", "target": "e"}), b"");
        done(&mut peer, json!({"cmd": "symlink", "filename": "d/l", "target": "e/f"}), b"");
        same(&accounts);
        done(&mut peer, put(0, "x", &[1; 300]), &[1; 300]);
        done(&mut peer, put(0, "y", &[1; 500]), &[1; 500]);
        let rename = json!({"cmd": "rename", "filename": "x", "to": "y", "replace": true});
        done(&mut peer, rename, b"");
        done(&mut peer, json!({"cmd": "rename", "filename": "d", "to": "new/d"}), b"");
        same(&accounts);
        done(&mut peer, json!({"cmd": "remove", "filename": "new/d/e/f"}), b"");
        done(&mut peer, json!({"cmd": "remove", "filename": "y"}), b"");
        done(&mut peer, json!({"cmd": "remove", "filename": "is not there"}), b"");
        same(&accounts);
        again(&mut accounts, words, Signal::KILL);
        same(&accounts);
    }
}

/// Many small files come as bundles and staged trees, several clients merge into one directory, and large ones come in parts.
#[test]
fn use_is_right_for_trees_of_a_client_too() {
    for durability in ["none", "group"] {
        let accounts = with_quota(&["--durability", durability], 1 << 30, 100_000);
        let place = TempDir::new().unwrap();
        let source = place.path().join("s");
        for at in 0..300 {
            let file = source.join(format!("{}/{}/{at}", at % 5, at % 3));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, vec![b'x'; at * 20]).unwrap();
        }
        fs::write(source.join("large"), vec![b'y'; 9 << 20]).unwrap();
        symlink("large", source.join("link")).unwrap();
        let run = |verb: &str, words: &[&str]| {
            let mut haul = haul();
            haul.env("HAUL_TOKEN", accounts.token("alice")).arg(verb).args(words);
            haul.arg(&source).arg(format!("{}/t", accounts.server.address()));
            haul.assert().success();
        };
        run("sync", &["--connections", "4"]);
        same(&accounts);
        fs::remove_dir_all(source.join("1")).unwrap();
        fs::write(source.join("2/0/0"), "other").unwrap();
        fs::write(source.join("large"), vec![b'z'; 8 << 20]).unwrap();
        run("sync", &["--delete"]);
        same(&accounts);
        for text in ["one", "two"] {
            fs::write(source.join("version"), text).unwrap();
            run("publish", &[]);
            same(&accounts);
        }
        let mut haul = haul();
        haul.env("HAUL_TOKEN", accounts.token("alice")).args(["publish", "--rollback"]);
        haul.arg(format!("{}/t", accounts.server.address())).assert().success();
        same(&accounts);
    }
}

#[test]
fn change_beyond_the_quota_is_refused_with_its_use_and_smaller_ones_go_on() {
    let accounts = with_quota(&["--durability", "none"], 10_000, 5);
    let mut peer = accounts.peer("alice");
    assert_eq!(put_file(&mut peer, 1, "one", 6000)["ack"], 1);
    let answer = put_file(&mut peer, 2, "two", 5000);
    refused(&answer, 2, "quota");
    assert_eq!(answer["retry"], false);
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("account `alice`") && message.contains("5.86 KiB of 9.77 KiB"),
        "{message}"
    );
    assert_eq!(put_file(&mut peer, 3, "two", 4000)["ack"], 3);
    // Only the difference counts.
    assert_eq!(put_file(&mut peer, 4, "one", 5999)["ack"], 4);
    refused(&put_file(&mut peer, 5, "one", 6001), 5, "quota");
    assert_eq!(fs::metadata(accounts.at("a/one")).unwrap().len(), 5999);
    for id in 6..9 {
        let mkdir = json!({"cmd": "mkdir", "id": id, "filename": format!("{id}")});
        assert_eq!(peer.ask(&mkdir, b"").unwrap()["ack"], id);
    }
    let mkdir = json!({"cmd": "mkdir", "id": 9, "filename": "more"});
    let answer = peer.ask(&mkdir, b"").unwrap();
    refused(&answer, 9, "quota");
    assert!(answer["message"].as_str().unwrap().contains("5 files of 5 files"), "{answer}");
    let remove = json!({"cmd": "remove", "id": 10, "filename": "two"});
    assert_eq!(peer.ask(&remove, b"").unwrap()["ack"], 10);
    assert_eq!(put_file(&mut peer, 11, "three", 3000)["ack"], 11);
    same(&accounts);
}

/// Trap 20, with small files and with large ones.
#[test]
fn eight_connections_at_once_do_not_pass_a_quota_together() {
    const EACH: usize = 300_000;
    for durability in ["none", "group"] {
        let accounts = with_quota(&["--durability", durability], 1_000_000, 100);
        let barrier = std::sync::Barrier::new(8);
        let stored = AtomicUsize::new(0);
        thread::scope(|scope| {
            for at in 0..8 {
                let (accounts, barrier, stored) = (&accounts, &barrier, &stored);
                scope.spawn(move || {
                    let mut peer = accounts.peer("alice");
                    barrier.wait();
                    let answer = put_file(&mut peer, 1, &format!("d/{at}"), EACH);
                    match answer["ack"].is_u64() {
                        true => drop(stored.fetch_add(1, Ordering::SeqCst)),
                        false => refused(&answer, 1, "quota"),
                    }
                });
            }
        });
        assert_eq!(stored.load(Ordering::SeqCst), 3);
        same(&accounts);
    }
}

fn open(peer: &mut Peer, id: u64, name: &str, size: usize) -> Value {
    let open = json!({
        "cmd": "open", "id": id, "filename": name, "filesize": size, "fingerprint": "f",
    });
    peer.ask(&open, b"").unwrap()
}

#[test]
fn parallel_opens_reserve_all_of_their_files_and_give_back_what_they_leave() {
    let accounts = with_quota(&["--durability", "none"], 10 << 20, 100);
    let mut peers: Vec<_> = (0..8).map(|_| accounts.peer("alice")).collect();
    let opened = (0..8).map(|at| open(&mut peers[at], 1, &format!("{at}"), 3 << 20));
    let answers: Vec<_> = opened.collect();
    let refusals = answers.iter().filter(|answer| answer["code"] == "quota").count();
    assert_eq!(refusals, 5, "{answers:?}");
    assert_eq!(told(&accounts, "alice").0, 9 << 20);
    // Nothing has come, so nothing is kept.
    drop(peers);
    eventually("the shares are back", || told(&accounts, "alice") == (0, 0));
    let mut peer = accounts.peer("alice");
    let answer = open(&mut peer, 1, "large", 10 << 20);
    assert!(answer["upload"].is_string(), "{answer}");
    let abort = json!({"cmd": "abort", "id": 2, "upload": answer["upload"]});
    assert_eq!(peer.ask(&abort, b"").unwrap()["answer"], 2);
    assert_eq!(told(&accounts, "alice"), (0, 0));
}

/// An upload that goes on, also after a restart, has its share already; and so has a partial that nobody comes back for,
/// until it is swept.
#[test]
fn upload_that_goes_on_is_not_counted_twice_and_an_abandoned_partial_counts_until_it_is_swept() {
    const SIZE: usize = 3 << 20;
    let words = ["--durability", "none"];
    let mut accounts = with_quota(&words, SIZE as u64, 10);
    let bytes = vec![b'x'; SIZE];
    let begin = |accounts: &Accounts| {
        let mut hello = accounts.hello("alice", "c");
        hello["identity"] = json!("me");
        let (mut peer, _) = accounts.greeted(&hello);
        let answer = open(&mut peer, 1, "large", SIZE);
        assert!(answer["upload"].is_string(), "{answer}");
        (peer, answer)
    };
    let send = |peer: &mut Peer, id: u64, answer: &Value, part: usize| {
        use blake3::hazmat::HasherExt;
        let piece = &bytes[part * PART..(part + 1) * PART];
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset((part * PART) as u64).update(piece);
        let cv = blake3::Hash::from_bytes(hasher.finalize_non_root()).to_string();
        let header = json!({
            "cmd": "part", "id": id, "length": PART, "upload": answer["upload"], "offset": part * PART,
            "cv": cv,
        });
        assert_eq!(peer.ask(&header, piece).unwrap()["ack"], id);
    };
    let (mut peer, answer) = begin(&accounts);
    send(&mut peer, 2, &answer, 0);
    drop(peer);
    eventually("as much is promised as has come", || {
        let used = told(&accounts, "alice").0;
        (PART as u64..2 * PART as u64).contains(&used)
    });
    for signal in [Signal::TERM, Signal::KILL] {
        let (mut peer, answer) = begin(&accounts);
        assert_eq!(told(&accounts, "alice"), (SIZE as u64, 1));
        refused(&open(&mut accounts.peer("alice"), 1, "other", 2 << 20), 1, "quota");
        send(&mut peer, 2, &answer, 1);
        drop(peer);
        again(&mut accounts, &words, signal);
        let used = told(&accounts, "alice");
        assert!(used.0 >= PART as u64 && used.1 == 1, "{used:?}");
    }
    let (mut peer, answer) = begin(&accounts);
    send(&mut peer, 2, &answer, 2);
    let digest = blake3::hash(&bytes).to_string();
    let commit = json!({"cmd": "commit", "id": 3, "upload": answer["upload"], "blake3": digest});
    assert_eq!(peer.ask(&commit, b"").unwrap()["answer"], 3);
    same(&accounts);
    refused(&put_file(&mut peer, 4, "more", 1), 4, "quota");
    let remove = json!({"cmd": "remove", "id": 5, "filename": "large"});
    assert_eq!(peer.ask(&remove, b"").unwrap()["ack"], 5);
    drop(peer);
    let (mut peer, answer) = begin(&accounts);
    send(&mut peer, 2, &answer, 0);
    drop(peer);
    eventually("it is interrupted", || told(&accounts, "alice").0 < SIZE as u64);
    assert!(told(&accounts, "alice").0 >= PART as u64);
    again(&mut accounts, &[&words[..], &["--keep-partials", "1ms"]].concat(), Signal::TERM);
    eventually("its share is back", || told(&accounts, "alice") == (0, 0));
}

#[test]
fn quota_that_is_lowered_below_the_use_refuses_puts_and_nothing_else() {
    let accounts = with_quota(&["--durability", "none"], 10_000, 10);
    let mut peer = accounts.peer("alice");
    assert_eq!(put_file(&mut peer, 1, "one", 6000)["ack"], 1);
    assert_eq!(put_file(&mut peer, 2, "two", 1000)["ack"], 2);
    let readings = accounts.readings();
    accounts.set_users(&accounts.users().replace("10000", "5000"));
    accounts.are_read_after(readings);
    eventually("the quota is lower", || {
        let (_, answer) = accounts.greeted(&accounts.hello("alice", "asks"));
        answer["account"]["quota_bytes"] == 5000
    });
    refused(&put_file(&mut peer, 3, "three", 1), 3, "quota");
    assert_eq!(put_file(&mut peer, 4, "one", 5000)["ack"], 4);
    peer.send(&json!({"cmd": "list", "id": 5}), b"").unwrap();
    assert_eq!(peer.receive().unwrap().0["answer"], 5);
    let remove = json!({"cmd": "remove", "id": 6, "filename": "one"});
    assert_eq!(peer.ask(&remove, b"").unwrap()["ack"], 6);
    assert_eq!(put_file(&mut peer, 7, "three", 3000)["ack"], 7);
    same(&accounts);
}

/// A quota of a root that is within another one's counts for both, and tells the other nothing.
#[test]
fn change_counts_for_each_account_whose_root_is_above_and_tells_no_other_account() {
    let accounts = Accounts::start(&[
        "boss --root team --rights mirror --quota-bytes 10000",
        "alice --root team/alice --rights mirror --quota-bytes 3000",
        "bob --root team/bob --rights mirror",
    ]);
    let used = |name: &str| {
        let (peer, answer) = accounts.greeted(&accounts.hello(name, "asks"));
        drop(peer.end());
        answer["account"]["used_bytes"].as_u64()
    };
    let (mut alice, mut bob) = (accounts.peer("alice"), accounts.peer("bob"));
    let mut boss = accounts.peer("boss");
    assert_eq!(put_file(&mut alice, 1, "a", 2500)["ack"], 1);
    assert_eq!((used("alice"), used("boss"), used("bob")), (Some(2500), Some(2500), None));
    let answer = put_file(&mut boss, 1, "alice/b", 1000);
    refused(&answer, 1, "quota");
    let message = answer["message"].as_str().unwrap();
    assert!(!message.contains("alice") && !message.contains("KiB"), "{message}");
    assert_eq!(put_file(&mut bob, 1, "b", 7000)["ack"], 1);
    refused(&put_file(&mut bob, 2, "c", 1000), 2, "quota");
    // A file that leaves one root for another.
    let rename = json!({"cmd": "rename", "id": 2, "filename": "alice/a", "to": "bob/a"});
    assert_eq!(boss.ask(&rename, b"").unwrap()["ack"], 2);
    assert_eq!((used("alice"), used("boss")), (Some(0), Some(9500)));
    let rename = json!({"cmd": "rename", "id": 3, "filename": "bob/b", "to": "alice/b"});
    refused(&boss.ask(&rename, b"").unwrap(), 3, "quota");
    assert_eq!(fs::metadata(accounts.at("team/bob/b")).unwrap().len(), 7000);
    // Of a directory only a count can tell.
    let rename = json!({"cmd": "rename", "id": 4, "filename": "bob/b", "to": "d/b"});
    assert_eq!(boss.ask(&rename, b"").unwrap()["ack"], 4);
    let rename = json!({"cmd": "rename", "id": 5, "filename": "d", "to": "alice/d"});
    assert_eq!(boss.ask(&rename, b"").unwrap()["ack"], 5);
    eventually("it is counted", || used("alice") == Some(7000));
    assert_eq!(used("boss"), Some(9500));
}

/// Eight connections send until the quota is full, and the server is killed meanwhile.
#[test]
fn server_that_is_killed_while_a_quota_fills_counts_right_afterwards() {
    let words = ["--durability", "group"];
    let mut accounts = with_quota(&words, 2_000_000, 10_000);
    thread::scope(|scope| {
        for at in 0..8 {
            let accounts = &accounts;
            scope.spawn(move || {
                let mut peer = accounts.peer("alice");
                for id in 1.. {
                    let bytes = vec![b'x'; 5000];
                    let name = format!("{at}/{}/{id}", id % 3);
                    match peer.ask(&put(id, &name, &bytes), &bytes) {
                        Ok(answer) if answer["code"] == "quota" => break,
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
            });
        }
        eventually("some have come", || counted(&accounts.at("a")).0 > 500_000);
        accounts.server.signal(Signal::KILL).unwrap();
    });
    again(&mut accounts, &words, Signal::KILL);
    assert!(counted(&accounts.at("a")).0 <= 2_000_000);
    same(&accounts);
}

/// With the client itself: each file that finds no room is told, none is there in part, and with more room the same command sends
/// only the rest.
#[test]
fn eight_connections_of_haul_keep_a_quota_and_the_next_run_sends_the_rest() {
    const QUOTA: u64 = 12_000_000;
    let accounts = with_quota(&["--durability", "none"], QUOTA, 1000);
    let place = TempDir::new().unwrap();
    let source = place.path().join("s");
    fs::create_dir(&source).unwrap();
    let sizes = (0..200).map(|_| 20_000).chain([5_000_000; 4]);
    for (at, size) in (0_u8..).zip(sizes) {
        fs::write(source.join(format!("f{at}")), vec![at; size]).unwrap();
    }
    let run = || {
        let mut haul = haul();
        haul.env("HAUL_TOKEN", accounts.token("alice"));
        haul.args(["sync", "--connections", "8", "--json"]).arg(&source);
        haul.arg(accounts.server.address()).output()
    };
    let output = run();
    let summary = last(&output.stdout);
    assert_eq!((output.status.code(), &summary["reason"]), (Some(1), &json!("failed")));
    let events = String::from_utf8(output.stdout).unwrap();
    let failed = events.lines().filter(|line| line.contains("\"event\":\"failed\""));
    let failed: Vec<_> =
        failed.inspect(|line| assert!(line.contains("(quota)"), "{line}")).collect();
    assert_eq!(summary["failed"], failed.len());
    assert!(!failed.is_empty() && failed.len() < 204, "{}", failed.len());
    let there = accounts.at("a/s");
    let mut stored = 0;
    for entry in fs::read_dir(&there).unwrap() {
        let entry = entry.unwrap();
        assert!(
            fs::read(entry.path()).unwrap() == fs::read(source.join(entry.file_name())).unwrap()
        );
        stored += 1;
    }
    assert_eq!(stored + failed.len(), 204, "each file is there or told");
    assert!(told(&accounts, "alice").0 <= QUOTA);
    same(&accounts);
    let readings = accounts.readings();
    assert!(accounts.hauld(&["user", "change", "alice", "--quota-bytes", "none"]).status.success());
    accounts.are_read_after(readings);
    let output = run();
    let summary = last(&output.stdout);
    assert_eq!((output.status.code(), &summary["files"]), (Some(0), &json!(failed.len())));
    tree::compare(&source, &there).unwrap();
}
