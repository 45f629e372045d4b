//! A turn is bounded in time: few requests that are cheap to send and dear to carry out keep nobody out.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::fs;
use std::io::Write;
use std::thread;

use haul_tests::binaries;
use haul_tests::hauld::Hauld;
use haul_tests::peer::{Peer, classic, frame};
use rustix::process::Signal;
use serde_json::json;

/// As deep as a name can be.
const DEPTH: usize = 2040;

/// A server with a single worker, that whoever holds it holds all.
fn server(durability: &str) -> Hauld {
    let args = ["--workers", "1", "--durability", durability, "--grace", "1s"];
    Hauld::start(&binaries::get().hauld, &args).unwrap()
}

/// Sends requests from a thread of their own, and another client's hello and ping. Their order tells: the
/// ping is answered before the requests are all carried out.
fn ping_is_answered_before(server: &mut Hauld, requests: Vec<u8>, last: &str) {
    let busy = Peer::hello(server.address()).unwrap();
    ping_is_answered_while(server, busy, requests, last);
}

fn ping_is_answered_while(server: &mut Hauld, busy: Peer, requests: Vec<u8>, last: &str) {
    let mut sending = busy.stream.try_clone().unwrap();
    // Ends when the server has.
    let sender = thread::spawn(move || sending.write_all(&requests).is_ok());
    for _ in 0..5 {
        let mut other = Peer::hello(server.address()).unwrap();
        assert_eq!(other.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
    }
    let last = server.root().join(last);
    assert!(fs::symlink_metadata(&last).is_err(), "all was carried out before the ping");
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    drop(busy);
    sender.join().unwrap();
}

fn symlinks(count: usize) -> (Vec<u8>, String) {
    let name = |number| format!("{number:04}/{}", ["a"; DEPTH - 4].join("/"));
    let frames = (1..=count).map(|id| {
        let name = name(id);
        frame(&json!({"cmd": "symlink", "id": id, "filename": name, "target": "x"}), b"")
    });
    // Of the last one, the first directory of all.
    (frames.collect::<Vec<_>>().concat(), format!("{count:04}"))
}

/// Trap `turn_without_end`.
#[test]
fn turn_without_end_by_requests_that_each_make_two_thousand_directories() {
    let (requests, last) = symlinks(1000);
    ping_is_answered_before(&mut server("none"), requests, &last);
}

#[test]
fn turn_without_end_by_deep_directories_that_are_made_durable() {
    let (requests, last) = symlinks(1000);
    ping_is_answered_before(&mut server("group"), requests, &last);
}

/// The same in the classic dialect, which has no ids; also with durability `group` it ends with its grace.
#[test]
fn turn_without_end_by_classic_files_in_deep_directories() {
    let name = |number| format!("{number:04}/{}", ["a"; DEPTH - 4].join("/"));
    let requests: Vec<u8> = (1..=1000).flat_map(|number| classic(&name(number), b"x")).collect();
    for durability in ["none", "group"] {
        let mut server = server(durability);
        let busy = Peer::connect(server.address()).unwrap();
        ping_is_answered_while(&mut server, busy, requests.clone(), "1000");
    }
}

/// Each entry of the comparison is below thousands of directories; the symlink that is asked for after them is the last
/// thing that happens.
#[test]
fn turn_without_end_by_comparing_what_is_below_thousands_of_directories() {
    let mut server = server("none");
    let deep = ["a"; DEPTH - 5].join("/");
    let mut peer = Peer::hello(server.address()).unwrap();
    let made = peer.ask(&json!({"cmd": "mkdir", "id": 1, "filename": deep}), b"").unwrap();
    assert_eq!(made["ack"], 1);
    let line = json!({"kind": "file", "filename": format!("{deep}/n/x"), "filesize": 1});
    let body = format!("{line}\n").repeat((4 << 20) / (line.to_string().len() + 1));
    let check = |id: usize| {
        let header = json!({"cmd": "check", "id": id, "length": body.len()});
        frame(&header, body.as_bytes())
    };
    let mut requests = (1..=30).flat_map(check).collect::<Vec<u8>>();
    let last = json!({"cmd": "symlink", "id": 31, "filename": "last", "target": "x"});
    requests.extend(frame(&last, b""));
    ping_is_answered_before(&mut server, requests, "last");
}
