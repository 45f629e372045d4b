//! Answers that tell nothing to an account about things that it must not know: they are the same words, and the same work. The work
//! is the system calls of the worker, which a test counts without a clock.

use haul_tests::http::HttpPeer;
use haul_tests::prelude::*;
use nix::libc::c_long;

use crate::stuck::{Stopped, thread_of};

/// Attempts to see the same work: something else may come in between, of a machine that is busy.
const ATTEMPTS: u64 = 10;

fn start(users: &[&str]) -> Accounts {
    Accounts::start_with(&["--durability", "none", "--workers", "1"], users)
}

/// The system calls of the only worker from a request to its answer.
fn work(accounts: &Accounts, peer: &mut Peer, header: &Value, body: &[u8]) -> (Vec<c_long>, Value) {
    let worker = thread_of(&accounts.server, "worker-0");
    let stopped = Stopped::at_rest(&accounts.server, worker);
    peer.send(header, body).unwrap();
    let calls = stopped.calls(&accounts.server, || {
        peer.stream.set_nonblocking(true).unwrap();
        let is_there = peer.stream.peek(&mut [0]).is_ok();
        peer.stream.set_nonblocking(false).unwrap();
        is_there
    });
    drop(stopped);
    (calls, peer.receive().unwrap().0)
}

/// Asserts that two kinds of requests cost the worker the same system calls: `ask` makes a request of one kind and says how it was
/// answered.
#[track_caller]
fn same_work(mut ask: impl FnMut(bool, u64) -> (Vec<c_long>, Value)) {
    let (mut there, mut not_there) = (Vec::new(), Vec::new());
    for attempt in 0..ATTEMPTS {
        let (one, other) = (ask(true, 2 * attempt + 1), ask(false, 2 * attempt + 2));
        assert_eq!(one.1, other.1);
        there.push(one.0);
        not_there.push(other.0);
        if there.iter().any(|calls| not_there.contains(calls)) {
            return;
        }
    }
    panic!("the work differs in each of {ATTEMPTS} attempts: {there:?}; {not_there:?}");
}

/// The answer without the number of its request.
fn without_id((calls, mut answer): (Vec<c_long>, Value)) -> (Vec<c_long>, Value) {
    for field in ["ack", "refused", "answer"] {
        if answer[field].is_u64() {
            answer[field] = json!("id");
        }
    }
    (calls, answer)
}

/// Trap 18.
#[test]
fn put_of_a_drop_account_is_the_same_work_whether_the_name_stands_in_its_root_or_not() {
    let accounts = start(&["box --rights drop", "owner --root box --rights mirror"]);
    let mut owner = accounts.peer("owner");
    for id in 1..=2 * ATTEMPTS {
        let name = format!("there{id:02}");
        assert_eq!(owner.ask(&put(id, &name, b"old"), b"old").unwrap()["ack"], id);
    }
    let (mut drop_box, _) = accounts.greeted(&accounts.hello("box", "one"));
    // Its own directory is made.
    assert_eq!(drop_box.ask(&put(1, "first", b""), b"").unwrap()["ack"], 1);
    same_work(|is_there, id| {
        let name = format!("{}{id:02}", if is_there { "there" } else { "never" });
        without_id(work(&accounts, &mut drop_box, &put(1 + id, &name, b"new"), b"new"))
    });
}

#[test]
fn request_for_something_of_another_account_is_the_same_work_as_one_for_nothing() {
    let accounts = start(&["alice --rights mirror", "bob --rights mirror"]);
    fs::create_dir(accounts.at("alice/there")).unwrap();
    fs::write(accounts.at("alice/there/file"), "secret").unwrap();
    // A symlink that somebody of the machine has made: bob's names don't go through it.
    symlink("../alice", accounts.at("bob/out")).unwrap();
    let mut bob = accounts.peer("bob");
    for (cmd, more) in [
        ("list", json!({})),
        ("get", json!({"offset": 0, "part_size": 1 << 20})),
        ("remove", json!({})),
        ("mkdir", json!({})),
    ] {
        let mut next = 0;
        same_work(|is_there, _| {
            next += 1;
            // Each `mkdir` and `remove` is refused as well: the symlink is no directory.
            let name = if is_there { "out/there/file" } else { "out/never/file" };
            let mut header = json!({"cmd": cmd, "id": next, "filename": name});
            header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let (calls, mut answer) = without_id(work(&accounts, &mut bob, &header, b""));
            assert_eq!(answer["refused"], "id", "{answer}");
            let message = answer["message"].as_str().unwrap().replace(name, "NAME");
            answer["message"] = json!(message);
            (calls, answer)
        });
        bob = accounts.peer("bob");
    }
}

/// Trap 22.
#[test]
fn refused_login_is_the_same_work_whether_the_account_is_there_or_not() {
    let accounts = start(&["alice"]);
    let token = accounts.token("alice");
    let turned: String = token[14..56].chars().rev().collect();
    let wrong_secret = format!("{}{turned}A", &token[..14]);
    let other_id: String = token[5..13].chars().rev().collect();
    let unknown = format!("haul_{other_id}_{}", &token[14..]);
    assert_ne!(&unknown, token);
    // Fewer than the refused logins that are answered in a minute.
    let mut left = 8;
    let before = accounts.server.sockets().unwrap();
    same_work(|is_there, _| {
        left -= 1;
        assert!(left >= 0, "the work differs");
        let mut hello = accounts.hello("alice", "client");
        hello["token"] = json!(if is_there { &wrong_secret } else { &unknown });
        eventually("the one before has ended", || accounts.server.sockets().unwrap() == before);
        let mut peer = Peer::connect(accounts.server.address()).unwrap();
        eventually("it is accepted", || accounts.server.sockets().unwrap() > before);
        work(&accounts, &mut peer, &hello, b"")
    });
}

/// The whole answers, but for what is another one each time.
#[test]
fn drop_account_gets_the_same_words_for_every_request_whether_the_name_stands_there_or_not() {
    let accounts = Accounts::start(&["box --rights drop", "owner --root box --rights mirror"]);
    let mut owner = accounts.peer("owner");
    for (id, name) in (1..).zip(["there", "d/there"]) {
        assert_eq!(owner.ask(&put(id, name, b"old"), b"old").unwrap()["ack"], id);
    }
    let large = Large::new(6);
    let requests = [
        json!({"cmd": "mkdir"}),
        json!({"cmd": "symlink", "target": "x"}),
        json!({"cmd": "setattr", "mode": 0o600}),
        json!({"cmd": "setattr", "mode": 0o600, "kind": "file"}),
        json!({"cmd": "open", "filesize": large.bytes.len(), "fingerprint": "f"}),
        json!({"cmd": "remove"}),
        json!({"cmd": "rename", "to": "x"}),
        json!({"cmd": "rollback"}),
        json!({"cmd": "list"}),
        json!({"cmd": "get", "offset": 0, "part_size": 1 << 20}),
    ];
    for request in requests {
        let answers = ["there", "never", "d/there", "d/never"].map(|name| {
            // Of a client of its own, whose directory is empty.
            let (mut peer, _) =
                accounts.greeted(&accounts.hello("box", &format!("{request}{name}")));
            let mut header = request.clone();
            (header["id"], header["filename"]) = (json!(1), json!(name));
            let mut answer = peer.ask(&header, b"").unwrap();
            if answer["upload"].is_string() {
                answer["upload"] = json!("random");
            }
            answer.to_string().replace(name, &"NAME"[..name.len().min(4)])
        });
        assert_eq!(answers[0], answers[1], "{request}");
        assert_eq!(answers[2], answers[3], "{request}");
    }
    let field = format!("Authorization: Bearer {}\r\n", accounts.token("box"));
    for first in ["PUT", "GET", "HEAD", "DELETE", "MKCOL", "PROPFIND", "OPTIONS"] {
        let answers = ["there", "never"].map(|name| {
            let mut peer = HttpPeer::connect(accounts.server.address());
            let length = if first == "PUT" { "Content-Length: 3\r\n" } else { "" };
            let body = if first == "PUT" { &b"new"[..] } else { b"" };
            peer.ask(&format!("{first} /{name}"), &format!("{field}{length}"), body);
            let reply = peer.receive_of(first);
            let head = reply.head.lines().filter(|line| {
                // The moment is another one.
                !line.starts_with("Date:")
                    && !line.starts_with("Last-Modified:")
                    && !line.starts_with("ETag:")
            });
            let head: Vec<_> = head.collect();
            (head.join("\n").replace(name, "NAME"), reply.text().replace(name, "NAME"))
        });
        assert_eq!(answers[0], answers[1], "{first}");
    }
    assert_eq!(accounts.text("box/there"), "old");
}
