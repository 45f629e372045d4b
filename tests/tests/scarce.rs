//! Connections are scarce: nobody keeps others out, by whatever means.

use std::net::TcpStream;

use haul_tests::prelude::*;

use crate::tls_peer;

/// A server with accounts and few places, which waits for silent peers for hours.
fn accounts(most: &str, users: &[&str]) -> Accounts {
    let words = ["--durability", "none", "--max-connections", most];
    let patient = ["--header-timeout", "1h", "--body-timeout", "1h", "--idle-timeout", "1h"];
    Accounts::start_with(&[&words[..], &patient].concat(), users)
}

/// All bytes that come until the server ends the stream.
fn rest_of(peer: &mut Peer) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = peer.stream.read_to_end(&mut rest);
    rest
}

/// The account may send one byte a second, so the server itself keeps its connections from going on.
#[test]
fn account_with_a_rate_that_holds_all_connections_keeps_no_other_account_out() {
    let accounts = accounts("4", &["alice --rate 1", "bob"]);
    let bytes = vec![b'x'; 100_000];
    let mut alices: Vec<_> = (0..4).map(|_| accounts.peer("alice")).collect();
    for (slot, peer) in alices.iter_mut().enumerate() {
        peer.send(&put(1, &format!("a{slot}"), &bytes), &bytes[..50_000]).unwrap();
    }
    let mut bobs: Vec<_> = (0..2).map(|_| accounts.peer("bob")).collect();
    for (slot, peer) in bobs.iter_mut().enumerate() {
        assert_eq!(peer.ask(&put(1, &format!("b{slot}"), b"x"), b"x").unwrap()["ack"], 1);
    }
    let mut told = Vec::new();
    eventually("two make way", || {
        alices.retain_mut(|peer| {
            let word = peer.has_word().unwrap().then(|| peer.receive().unwrap().0);
            // An ack may be repeated: the server is there.
            let word = word.filter(|word| word["ack"] != 0);
            told.extend(word.clone());
            word.is_none()
        });
        told.len() == 2
    });
    assert_eq!(alices.len(), 2);
    for answer in told {
        refused(&answer, 0, "busy");
        assert!(answer["message"].as_str().unwrap().contains("this account has most"), "{answer}");
    }
}

/// Its connections may do whatever they like.
#[test]
fn busy_connections_of_the_account_that_has_most_make_way_one_by_one_until_shares_are_equal() {
    let accounts = accounts("4", &["alice", "bob"]);
    let mut alices: Vec<_> = (0..4).map(|_| accounts.peer("alice")).collect();
    // Those that go on, of peers that have all asked as often.
    let ping = |peers: &mut Vec<Peer>, id: &mut u64| {
        *id += 1;
        peers.retain_mut(|peer| {
            let answer = peer.ask(&json!({"cmd": "ping", "id": *id}), b"");
            answer.is_ok_and(|answer| answer["answer"] == *id)
        });
        peers.len()
    };
    let (mut bobs, mut id) = (Vec::new(), 0);
    for left in [3, 2] {
        bobs.push(accounts.peer("bob"));
        eventually("one makes way", || ping(&mut alices, &mut id) == left);
    }
    // Bob has as many as alice: his next one waits until somebody leaves.
    let mut waiting = Peer::connect(accounts.server.address()).unwrap();
    waiting.send(&accounts.hello("bob", "waiting"), b"").unwrap();
    assert!(!waiting.has_word().unwrap());
    assert_eq!((ping(&mut alices, &mut id), ping(&mut bobs, &mut 0)), (2, 2));
    drop(alices);
    assert_eq!(waiting.receive().unwrap().0["account"]["name"], "bob");
}

/// A client that has logged in waits for its turn, and is told when there is none.
#[test]
fn client_for_which_there_is_no_seat_is_told_so() {
    let words = ["--durability", "none", "--max-connections", "1", "--header-timeout", "1s"];
    let accounts = Accounts::start_with(&words, &["alice"]);
    let mut first = accounts.peer("alice");
    let body = vec![b'x'; 1000];
    // In the midst of a body nobody is idle.
    first.send(&put(1, "x", &body), &body[..500]).unwrap();
    let (mut second, answer) = accounts.greeted(&accounts.hello("alice", "second"));
    refused(&answer, 0, "busy");
    assert_eq!(answer["retry"], true);
    assert_eq!(rest_of(&mut second), b"");
    first.stream.write_all(&body[500..]).unwrap();
    assert_eq!(first.receive().unwrap().0["ack"], 1);
}

/// More than there are places, of one address, with and without TLS, silent or in the midst of anything; and a client that comes
/// from there, too.
#[test]
fn peers_that_do_not_come_in_make_way_for_those_that_do() {
    let mut hello = Vec::new();
    tls_peer::session(tls_peer::usual()).write_tls(&mut hello).unwrap();
    let accounts = accounts("4", &["alice", "bob"]);
    let login = frame(&accounts.hello("alice", "half"), b"");
    let wrong = json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": "c", "slot": 0, "must": [],
        "token": "haul_a4dqobyh_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk",
    });
    let wrong = frame(&wrong, b"");
    let beginnings =
        [&b""[..], &hello[..1], &hello[..100], &hello, &login[..3], &login[..50], &wrong];
    let _inside: Vec<_> = (0..4).map(|_| accounts.peer("alice")).collect();
    let _stalled: Vec<_> = (0..140)
        .map(|index| {
            let mut stream = TcpStream::connect(accounts.server.address()).unwrap();
            stream.write_all(beginnings[index % beginnings.len()]).unwrap();
            stream
        })
        .collect();
    let mut bob = accounts.peer("bob");
    assert_eq!(bob.ask(&put(1, "b", b"x"), b"x").unwrap()["ack"], 1);
}

/// The same where nobody needs an account.
#[test]
fn peers_that_never_send_a_whole_header_make_way_without_accounts_too() {
    let server = server_with(&["--max-connections", "4", "--header-timeout", "1h"]);
    let _stalled: Vec<_> = (0..8)
        .map(|index| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(&b"\x50\0\0\0{"[..index % 6]).unwrap();
            stream
        })
        .collect();
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "f", b"x"), b"x").unwrap()["ack"], 1);
}

/// The server waits until the refused client closes; its connection takes nothing from the next one.
#[test]
fn connection_that_was_refused_counts_no_more_for_its_account() {
    let accounts = Accounts::start(&["alice --connections 1"]);
    let mut first = accounts.peer("alice");
    first.stream.write_all(b"\0\0\0\0").unwrap();
    refused(&first.receive().unwrap().0, 0, "malformed");
    let (mut next, answer) = accounts.greeted(&accounts.hello("alice", "next"));
    assert!(answer["hello"].is_u64(), "{answer}");
    assert_eq!(next.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
}

/// Wherever it is throttled, a refused connection ends in its time.
#[test]
fn refused_connection_of_an_account_with_a_rate_ends() {
    let words = ["--durability", "none", "--header-timeout", "1s"];
    let accounts = Accounts::start_with(&words, &["alice --rate 1000"]);
    let mut peer = accounts.peer("alice");
    peer.stream.write_all(&[&b"\0\0\0\0"[..], &vec![0; 50_000]].concat()).unwrap();
    refused(&peer.receive().unwrap().0, 0, "malformed");
    let mut sender = peer.stream.try_clone().unwrap();
    eventually("the server closes", || sender.write(b"x").is_err());
}
