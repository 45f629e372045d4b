//! `hauld user change` while the server runs.

use haul_tests::prelude::*;

#[test]
fn changed_rights_end_connections_and_hold_for_the_next_ones() {
    let accounts = Accounts::start(&["alice --rights reader"]);
    let mut old = accounts.peer("alice");
    refused(&old.ask(&put(1, "f", b"x"), b"x").unwrap(), 1, "forbidden");
    let output = accounts.hauld(&["user", "change", "alice", "--rights", "writer"]);
    assert!(output.status.success(), "{output:?}");
    refused(&old.receive().unwrap().0, 0, "unauthorized");
    let mut new = accounts.peer("alice");
    assert_eq!(new.ask(&put(1, "f", b"x"), b"x").unwrap()["ack"], 1);
}

#[test]
fn changed_limits_hold_for_connections_that_are_there() {
    let accounts = Accounts::start(&["alice --quota-files 1"]);
    let mut alice = accounts.peer("alice");
    assert_eq!(alice.ask(&put(1, "a", b""), b"").unwrap()["ack"], 1);
    refused(&alice.ask(&put(2, "b", b""), b"").unwrap(), 2, "quota");
    let change = |words: &[&str]| {
        let readings = accounts.readings();
        let output = accounts.hauld(&[&["user", "change", "alice"], words].concat());
        assert!(output.status.success(), "{output:?}");
        accounts.are_read_after(readings);
    };
    change(&["--quota-files", "none", "--expires", "2100-01-01"]);
    let put_it = |peer: &mut Peer, id, name| peer.ask(&put(id, name, b""), b"").unwrap();
    let mut answer = Value::Null;
    let mut id = 2;
    eventually("the quota is gone", || {
        id += 1;
        answer = put_it(&mut alice, id, "b");
        answer["ack"] == id
    });
    // The end is prolonged, and then comes.
    let (_, answer) = accounts.greeted(&accounts.hello("alice", "x"));
    assert_eq!(answer["account"]["expires"], 4_102_444_800_u64, "{answer}");
    change(&["--expires", "never", "--connections", "1"]);
    assert_eq!(put_it(&mut alice, id + 1, "c")["ack"], id + 1);
    let (_, answer) = accounts.greeted(&accounts.hello("alice", "y"));
    refused(&answer, 0, "busy");
    let users = accounts.users();
    assert!(!users.contains("expires") && !users.contains("quota"), "{users}");
    let soon = accounts.hauld(&["user", "change", "alice", "--expires", "1s"]);
    assert!(soon.status.success(), "{soon:?}");
    refused(&alice.receive().unwrap().0, 0, "unauthorized");
}
