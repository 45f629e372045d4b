//! The connections and the rate of an account.

use haul_tests::http::HttpPeer;
use haul_tests::prelude::*;

use crate::tls_peer::TlsPeer;

fn hello(accounts: &Accounts, name: &str, client: &str, slot: u64) -> (Peer, Value) {
    let mut hello = accounts.hello(name, client);
    hello["slot"] = json!(slot);
    accounts.greeted(&hello)
}

#[test]
fn connection_beyond_those_of_the_account_is_busy_and_one_that_replaces_another_is_not() {
    let accounts = Accounts::start(&["alice --connections 2", "bob"]);
    let (first, _) = hello(&accounts, "alice", "c", 0);
    let (_second, answer) = hello(&accounts, "alice", "c", 1);
    assert!(answer["hello"].is_u64(), "{answer}");
    let (beyond, answer) = hello(&accounts, "alice", "c", 2);
    refused(&answer, 0, "busy");
    assert_eq!(answer["retry"], true);
    assert!(answer["message"].as_str().unwrap().contains("`alice` has 2 connections"), "{answer}");
    assert_eq!(beyond.end().unwrap(), b"");
    let (mut newer, answer) = hello(&accounts, "alice", "c", 0);
    assert!(answer["hello"].is_u64(), "{answer}");
    assert_eq!(newer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    drop(first);
    let (_, answer) = hello(&accounts, "alice", "other", 0);
    refused(&answer, 0, "busy");
    let (_bobs, answer) = hello(&accounts, "bob", "c", 2);
    assert!(answer["hello"].is_u64(), "{answer}");
    drop(newer);
    eventually("a place is free", || hello(&accounts, "alice", "d", 0).1["hello"].is_u64());
}

/// Two seconds' worth over four connections takes the account a second, and nobody else. The client whose bytes wait was
/// silent for longer than a body may pause, for no fault of its own.
#[test]
fn account_sends_no_faster_than_its_rate_over_all_connections_and_is_not_called_slow() {
    const EACH: usize = 600_000;
    let words = ["--durability", "none", "--body-timeout", "300ms", "--header-timeout", "300ms"];
    let accounts = Accounts::start_with(&words, &["alice --rate 800000", "bob"]);
    let start = Instant::now();
    thread::scope(|scope| {
        let send = |name: &'static str, slot: usize| {
            let accounts = &accounts;
            move || {
                let mut peer = accounts.peer(name);
                let bytes = vec![b'x'; EACH];
                let answer = peer.ask(&put(1, &format!("{slot}"), &bytes), &bytes).unwrap();
                assert_eq!(answer["ack"], 1, "{answer}");
                start.elapsed()
            }
        };
        let alices: Vec<_> = (0..4).map(|slot| scope.spawn(send("alice", slot))).collect();
        let bobs = scope.spawn(send("bob", 0)).join().unwrap();
        let alices = alices.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
        // 2.4 MB, of which 0.8 may come at once.
        assert!(alices >= Duration::from_millis(1900), "{alices:?}");
        assert!(alices < Duration::from_secs(20) && bobs < alices, "{bobs:?} {alices:?}");
    });
}

#[test]
fn rate_and_connections_that_are_changed_hold_for_connections_that_are_there() {
    let accounts = Accounts::start(&["alice --rate 1000"]);
    let mut peer = accounts.peer("alice");
    let bytes = vec![b'x'; 100_000];
    peer.send(&put(1, "x", &bytes), &bytes).unwrap();
    let users = accounts.users().replace("rate = 1000", "connections = 1");
    assert_ne!(users, accounts.users());
    accounts.set_users(&users);
    let start = Instant::now();
    assert_eq!(peer.receive().unwrap().0["ack"], 1);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let (_, answer) = hello(&accounts, "alice", "other", 0);
    refused(&answer, 0, "busy");
    assert!(answer["message"].as_str().unwrap().contains("has 1 connection, and"), "{answer}");
}

/// One byte a record: the line carries twenty times as much as the plaintext, which alone would be within the rate.
#[test]
fn rate_counts_what_encryption_adds() {
    let accounts = Accounts::start(&["alice --rate 1000", "bob"]);
    let mut alice = TlsPeer::connect(accounts.server.address());
    let answer = alice.ask(&accounts.hello("alice", "c"), b"");
    assert!(answer["account"].is_object(), "{answer}");
    let bytes = [b'x'; 500];
    alice.send(&put(1, "x", &bytes), b"");
    for byte in bytes {
        alice.stream.write_all(&[byte]).unwrap();
        alice.stream.flush().unwrap();
    }
    let mut bob = accounts.peer("bob");
    for id in 1..=200 {
        assert_eq!(bob.ask(&put(id, "y", b"y"), b"y").unwrap()["ack"], id);
    }
    assert!(!accounts.at("alice/x").exists());
}

/// Three seconds' worth would take days. So much comes with the first read of each connection.
#[test]
fn bytes_that_come_with_the_login_wait_for_the_rate_as_all_others() {
    let accounts = Accounts::start(&["alice --root alice --rate 1", "bob --root bob"]);
    let bytes = [b'x'; 5000];
    let mut peers: Vec<_> = (0..3)
        .map(|number| {
            let mut peer = Peer::connect(accounts.server.address()).unwrap();
            let hello = frame(&accounts.hello("alice", &peer.unique()), b"");
            let file = frame(&put(1, &format!("haul{number}"), &bytes), &bytes);
            peer.stream.write_all(&[hello, file].concat()).unwrap();
            assert_eq!(peer.receive().unwrap().0["account"]["name"], "alice");
            peer
        })
        .collect();
    let token = accounts.token("alice");
    let fields = format!("Authorization: Bearer {token}\r\nContent-Length: 5000\r\n");
    let mut browsers: Vec<_> = (0..3)
        .map(|number| {
            let mut browser = HttpPeer::connect(accounts.server.address());
            // Nobody asks first, which gives the connection up.
            browser.ask("GET /.haul/login", "", b"");
            assert_eq!(browser.receive().status, 200);
            browser.ask(&format!("PUT /http{number}"), &fields, &bytes);
            browser
        })
        .collect();
    // The server does at once what others ask for.
    let mut bob = accounts.peer("bob");
    for id in 1..=200 {
        assert_eq!(bob.ask(&put(id, "y", b"y"), b"y").unwrap()["ack"], id);
    }
    assert_eq!(fs::read_dir(accounts.at("alice")).unwrap().count(), 0);
    // Nothing of it is lost.
    accounts.set_users(&accounts.users().replace("rate = 1\n", ""));
    for peer in &mut peers {
        let mut word = peer.receive().unwrap().0;
        while word["ack"] == 0 {
            word = peer.receive().unwrap().0;
        }
        assert_eq!(word["ack"], 1, "{word}");
    }
    for browser in &mut browsers {
        assert_eq!(browser.receive().status, 201);
    }
}

/// Over one connection of a proxy come requests of many.
#[test]
fn debt_of_one_account_keeps_no_request_of_another_waiting_that_comes_over_the_same_connection() {
    let accounts = Accounts::start(&["alice --root alice --rate 2000000", "bob --root bob"]);
    let mut proxy = HttpPeer::connect(accounts.server.address());
    let bearer = |name: &str| format!("Authorization: Bearer {}\r\n", accounts.token(name));
    proxy.ask("GET /", &bearer("alice"), b"");
    assert_eq!(proxy.receive().status, 200);
    // Over another connection, she goes into debt for hours.
    let readings = accounts.readings();
    accounts.set_users(&accounts.users().replace("rate = 2000000", "rate = 1"));
    accounts.are_read_after(readings);
    let mut other = HttpPeer::connect(accounts.server.address());
    let fields = format!("{}Content-Length: 10000\r\n", bearer("alice"));
    other.ask("PUT /z", &fields, &[b'x'; 10_000]);
    for number in 0..20 {
        let fields = format!("{}Content-Length: 1\r\n", bearer("bob"));
        proxy.ask(&format!("PUT /{number}"), &fields, b"y");
        assert_eq!(proxy.receive().status, 201);
    }
    assert!(!accounts.at("alice/z").exists());
}
