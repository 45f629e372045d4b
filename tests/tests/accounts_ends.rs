//! The ends of accounts, tokens and logins.

use haul_tests::prelude::*;
use haul_tests::upload;

/// Time within which a connection ends whose account is gone: two seconds, but a busy machine may be late. The end by a timeout
/// would tell another reason.
const SOON: Duration = Duration::from_secs(20);

/// Waits for the end of a connection, which tells why.
fn ends(peer: &mut Peer, since: Instant) -> Value {
    let (answer, _) = peer.receive().unwrap();
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    answer
}

/// Trap 23.
#[test]
fn removed_accounts_upload_ends_and_goes_on_after_the_next_login() {
    let accounts = Accounts::start(&["alice", "bob"]);
    let users = accounts.users();
    let large = Large::new(3);
    let hello = |accounts: &Accounts, client: &str| {
        let mut hello = accounts.hello("alice", client);
        hello["identity"] = json!("laptop");
        hello
    };
    let open = json!({
        "cmd": "open", "id": 1, "filename": "large", "filesize": large.bytes.len(),
        "fingerprint": large.fingerprint,
    });
    let (mut peer, _) = accounts.greeted(&hello(&accounts, "first"));
    let token = peer.ask(&open, b"").unwrap()["upload"].clone();
    let part = json!({
        "cmd": "part", "id": 2, "length": PART, "upload": token, "offset": 0, "cv": large.cvs[0],
    });
    assert_eq!(peer.ask(&part, large.part(0)).unwrap()["ack"], 2);
    // In the middle of a part.
    let mut half = frame(
        &json!({
            "cmd": "part", "id": 3, "length": PART, "upload": token, "offset": PART, "cv": large.cvs[1],
        }),
        b"",
    );
    half.extend_from_slice(&large.part(1)[..PART / 2]);
    peer.stream.write_all(&half).unwrap();
    let since = Instant::now();
    assert!(accounts.hauld(&["user", "remove", "alice"]).status.success());
    let told = ends(&mut peer, since);
    refused(&told, 0, "unauthorized");
    let message =
        "this login has ended: the account or the token was changed or removed, or has ended";
    assert_eq!(told["message"], message);
    refused(&accounts.greeted(&hello(&accounts, "second")).1, 0, "unauthorized");
    let _ = accounts.peer("bob");

    accounts.set_users(&users);
    accounts.are_read_after(1);
    let (mut peer, _) = accounts.greeted(&hello(&accounts, "third"));
    peer.send(&open, b"").unwrap();
    let (answer, held) = peer.receive().unwrap();
    assert_eq!((&answer["answer"], &held[..]), (&json!(1), &[1][..]), "{answer}");
}

#[test]
fn rotation_ends_connections_unless_it_keeps_the_old_token() {
    let mut accounts = Accounts::start(&["alice"]);
    let mut old = accounts.peer("alice");
    let output = accounts.hauld(&["user", "rotate", "alice", "--keep-old", "7d"]);
    accounts.are_read_after(0);
    let before = accounts.token("alice").to_owned();
    accounts.has_token("alice", &output);
    assert_eq!(old.ask(&put(1, "f", b""), b"").unwrap()["ack"], 1);
    let mut hello = accounts.hello("alice", "y");
    hello["token"] = json!(before);
    let (mut second, answer) = accounts.greeted(&hello);
    assert!(answer["account"]["expires"].is_u64(), "{answer}");

    let mut new = accounts.peer("alice");
    let since = Instant::now();
    let output = accounts.hauld(&["user", "rotate", "alice"]);
    accounts.has_token("alice", &output);
    for peer in [&mut old, &mut second, &mut new] {
        refused(&ends(peer, since), 0, "unauthorized");
    }
    let _ = accounts.peer("alice");
}

#[test]
fn change_of_root_or_rights_ends_connections_and_another_change_does_not() {
    let accounts = Accounts::start(&["alice --quota-files 5", "bob"]);
    let users = accounts.users();
    let mut bob = accounts.peer("bob");
    for (from, to) in [("root = \"alice\"", "root = \"other\""), ("[\"put\", ", "[\"publish\", ")] {
        let mut alice = accounts.peer("alice");
        let (readings, since) = (accounts.readings(), Instant::now());
        accounts.set_users(&users.replacen(from, to, 1));
        refused(&ends(&mut alice, since), 0, "unauthorized");
        accounts.set_users(&users);
        accounts.are_read_after(readings + 1);
    }
    let mut alice = accounts.peer("alice");
    let readings = accounts.readings();
    accounts.set_users(&users.replace("quota_files = 5", "quota_files = 6"));
    accounts.are_read_after(readings);
    for peer in [&mut alice, &mut bob] {
        assert_eq!(peer.ask(&put(1, "f", b""), b"").unwrap()["ack"], 1);
    }
}

/// The end comes by the clock alone: nothing is changed when it does.
#[test]
fn account_or_token_that_expires_in_the_middle_of_a_part_ends_the_upload_which_goes_on_later() {
    for of_token in [false, true] {
        let mut accounts = Accounts::start(&["alice"]);
        let large = Large::new(5);
        let hello = |accounts: &Accounts| {
            let mut hello = accounts.hello("alice", "laptop");
            hello["identity"] = json!("laptop");
            hello
        };
        let (mut peer, _) = accounts.greeted(&hello(&accounts));
        let (answer, _) = upload::open(&mut peer, 1, &large, "large").unwrap();
        let part = |id: u64, index: usize| {
            json!({
                "cmd": "part", "id": id, "length": PART, "upload": answer["upload"],
                "offset": index * PART, "cv": large.cvs[index],
            })
        };
        assert_eq!(peer.ask(&part(2, 0), large.part(0)).unwrap()["ack"], 2);
        peer.stream.write_all(&frame(&part(3, 1), &large.part(1)[..PART / 2])).unwrap();
        let next = match of_token {
            true => accounts.hauld(&["user", "rotate", "alice", "--keep-old", "2s"]),
            false => accounts.hauld(&["user", "change", "alice", "--expires", "2s"]),
        };
        assert!(next.status.success(), "{next:?}");
        let (told, _) = peer.receive().unwrap();
        refused(&told, 0, "unauthorized");
        assert!(told["message"].as_str().unwrap().contains("this login has ended"), "{told}");
        refused(&accounts.greeted(&hello(&accounts)).1, 0, "unauthorized");
        if of_token {
            accounts.has_token("alice", &next);
        } else {
            let readings = accounts.readings();
            assert!(
                accounts.hauld(&["user", "change", "alice", "--expires", "1h"]).status.success()
            );
            accounts.are_read_after(readings);
        }
        let (mut peer, _) = accounts.greeted(&hello(&accounts));
        let (answer, held) = upload::open(&mut peer, 1, &large, "large").unwrap();
        assert_eq!((&answer["answer"], held), (&json!(1), 1), "{answer}");
    }
}

#[test]
fn token_that_ends_in_the_middle_ends_its_connection() {
    let accounts = Accounts::start(&["alice"]);
    let mut alice = accounts.peer("alice");
    let since = Instant::now();
    accounts.set_users(&(accounts.users() + "expires = 2020-01-01\n"));
    refused(&ends(&mut alice, since), 0, "unauthorized");
}

#[test]
fn first_account_ends_connections_without_one_and_the_last_one_opens_nothing() {
    let server = server_with(&["--durability", "none"]);
    let config = server.log.with_file_name("config");
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "before", b""), b"").unwrap()["ack"], 1);
    let mut idle = Peer::connect(server.address()).unwrap();
    idle.stream.write_all(&classic("classic", b"x")).unwrap();
    eventually("a classic file is there", || server.root().join("classic").exists());
    let hauld = |words: &[&str]| {
        let mut command = hauld_command();
        command.current_dir(config.parent().unwrap()).args(words);
        assert!(command.arg("--config-dir").arg(&config).output().unwrap().status.success());
    };
    hauld(&["user", "add", "alice"]);
    eventually("accounts are needed", || {
        Peer::hello(server.address()).unwrap();
        server.log_text().contains("other accounts hold")
    });
    let answer = peer.ask(&put(2, "after", b""), b"").unwrap();
    refused(&answer, 0, "unauthorized");
    idle.stream.write_all(&classic("after", b"x")).unwrap();
    let _ = idle.stream.read_to_end(&mut Vec::new());
    hauld(&["user", "remove", "alice"]);
    eventually("the last account is gone", || {
        server.log_text().matches("other accounts hold").count() == 2
    });
    let (_, answer) = Peer::hello_as(server.address(), "c", 0).unwrap();
    refused(&answer, 0, "unauthorized");
    assert!(!server.root().join("after").exists());
}

/// Nothing that comes later finds an empty directory, or makes the root again.
#[test]
fn connection_ends_whose_account_has_lost_its_root() {
    for lose in [
        |root: &Path| fs::remove_dir_all(root).unwrap(),
        |root: &Path| fs::rename(root, root.with_extension("away")).unwrap(),
        |root: &Path| {
            fs::rename(root, root.with_extension("away")).unwrap();
            symlink(root.with_extension("away"), root).unwrap();
        },
    ] {
        for request in [put(2, "b", b""), json!({"cmd": "list", "id": 2})] {
            let accounts = Accounts::start(&["alice --root teams/alice", "bob"]);
            let (mut alice, mut bob) = (accounts.peer("alice"), accounts.peer("bob"));
            assert_eq!(alice.ask(&put(1, "a", b""), b"").unwrap()["ack"], 1);
            let root = accounts.at("teams/alice");
            lose(&root);
            let told = alice.ask(&request, b"").unwrap();
            refused(&told, 0, "root_gone");
            assert!(!told.to_string().contains("teams"), "{told}");
            assert!(!root.is_dir() || root.is_symlink());
            assert!(!root.with_extension("away").join("b").exists());
            assert_eq!(bob.ask(&put(1, "a", b""), b"").unwrap()["ack"], 1);
        }
    }
}

#[test]
fn drop_account_has_lost_its_root_and_not_the_directory_of_a_client() {
    let accounts = Accounts::start(&["box --rights drop"]);
    let (mut one, _) = accounts.greeted(&accounts.hello("box", "one"));
    assert_eq!(one.ask(&put(1, "a", b""), b"").unwrap()["ack"], 1);
    // Somebody has taken what came.
    let first = fs::read_dir(accounts.at("box")).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(&first).unwrap();
    assert_eq!(one.ask(&put(2, "b", b""), b"").unwrap()["ack"], 2);
    assert!(first.join("b").exists() && !first.join("a").exists());
    fs::remove_dir_all(accounts.at("box")).unwrap();
    refused(&one.ask(&put(3, "c", b""), b"").unwrap(), 0, "root_gone");
    assert!(!accounts.at("box").exists());
}
