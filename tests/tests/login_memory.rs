//! The memory of `hauld` after a login: nothing of the token's text is left in it.

use std::os::unix::fs::FileExt;

use haul_tests::http::{HttpPeer, ask};
use haul_tests::needed::is_here;
use haul_tests::prelude::*;

use crate::tls_peer::TlsPeer;

/// A part of every `hello` here that the server keeps while the connection is there.
const KEPT: &str = "client-that-the-server-keeps-in-mind";

/// Whether the memory of a process may be read that this one has started.
fn may_look() -> bool {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let is_allowed = matches!(scope.trim(), "" | "0" | "1");
    is_here(is_allowed || rustix::process::geteuid().is_root(), "the right to read memory")
}

/// How often each text is in the memory that a process can write to.
fn count<const N: usize>(server: &Hauld, texts: [&str; N]) -> [usize; N] {
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.pid())).unwrap();
    let memory = File::open(format!("/proc/{}/mem", server.pid())).unwrap();
    let mut found = [0; N];
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let at = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (begin, end) = range.split_once('-').map(|(one, other)| (at(one), at(other))).unwrap();
        let mut bytes = vec![0; usize::try_from(end - begin).unwrap()];
        // A mapping may go meanwhile.
        let len = memory.read_at(&mut bytes, begin).unwrap_or(0);
        // Most of it is zeros.
        for (at, _) in bytes[..len].iter().enumerate().filter(|(_, byte)| **byte != 0) {
            for (found, text) in found.iter_mut().zip(texts) {
                *found += usize::from(bytes[at..len].starts_with(text.as_bytes()));
            }
        }
    }
    found
}

/// Parts of a token's text without which a reader could not do: the begin of its secret, and its end.
fn needles(token: &str) -> [&str; 2] {
    [&token[14..34], &token[37..]]
}

#[track_caller]
fn is_gone(server: &Hauld, token: &str, how: &str) {
    assert_eq!(count(server, needles(token)), [0; 2], "the begin and the end of the token, {how}");
}

/// A token that no account has, with the id of one that an account has.
fn wrong(token: &str) -> String {
    let turned: String = token[14..56].chars().rev().collect();
    format!("{}{turned}A", &token[..14])
}

fn hello(accounts: &Accounts, token: &str) -> Value {
    let mut hello = accounts.hello("alice", KEPT);
    hello["token"] = json!(token);
    hello
}

/// The token comes whole, byte by byte, with requests behind it, and in text that is no `hello`.
#[test]
fn token_that_came_in_clear_is_in_the_memory_of_the_server_no_more() {
    if !may_look() {
        return;
    }
    let accounts = Accounts::start(&["alice"]);
    let (server, token) = (&accounts.server, accounts.token("alice"));
    let wrong = wrong(token);
    for used in [token, &wrong] {
        let hello = frame(&hello(&accounts, used), b"");
        let ping = frame(&json!({"cmd": "ping", "id": 1}), b"");
        let halves = [&hello[..hello.len() / 2], &hello[hello.len() / 2..]];
        let bytes: Vec<_> = hello.chunks(1).collect();
        let behind = [&hello[..], &ping].concat();
        for (how, pieces) in [
            ("whole", vec![&hello[..]]),
            ("in halves", halves.to_vec()),
            ("byte by byte", bytes),
            ("with a request behind it", vec![&behind[..]]),
        ] {
            let mut peer = Peer::connect(server.address()).unwrap();
            for piece in pieces {
                peer.stream.write_all(piece).unwrap();
            }
            let (answer, _) = peer.receive().unwrap();
            if used == token {
                assert_eq!(answer["account"]["name"], "alice", "{answer}");
                // The same look finds a text that the server keeps.
                assert_ne!(count(server, [KEPT]), [0]);
            } else {
                refused(&answer, 0, "unauthorized");
            }
            is_gone(server, used, how);
            drop(peer);
        }
    }
    // Peers that go in the midst of it, and one whose frame is none.
    let whole = frame(&hello(&accounts, token), b"");
    let mut other = whole.clone();
    other[4] = b'[';
    for (how, bytes) in [("cut off", &whole[..whole.len() - 2]), ("no object", &other)] {
        let mut peer = Peer::connect(server.address()).unwrap();
        peer.stream.write_all(bytes).unwrap();
        let _ = peer.end();
        is_gone(server, token, how);
    }
}

#[test]
fn token_that_came_over_tls_is_in_the_memory_of_the_server_no_more() {
    if !may_look() {
        return;
    }
    let accounts = Accounts::start_with(&["--durability", "none", "--tls", "always"], &["alice"]);
    let (server, token) = (&accounts.server, accounts.token("alice"));
    let mut peer = TlsPeer::connect(server.address());
    assert_eq!(peer.ask(&hello(&accounts, token), b"")["account"]["name"], "alice");
    assert_ne!(count(server, [KEPT]), [0]);
    is_gone(server, token, "whole");
    let mut pieces = TlsPeer::connect(server.address());
    for piece in frame(&hello(&accounts, token), b"").chunks(60) {
        pieces.stream.write_all(piece).unwrap();
        pieces.stream.flush().unwrap();
    }
    assert_eq!(pieces.receive()["account"]["name"], "alice");
    is_gone(server, token, "in several records");
    let mut http = HttpPeer::on(TlsPeer::connect(server.address()).stream);
    let field = format!("Authorization: Bearer {token}\r\n");
    for _ in 0..3 {
        http.ask("GET /", &field, b"");
        assert_eq!(http.receive().status, 200);
        is_gone(server, token, "over HTTP");
    }
}

/// Requests come one after the other, many at once, in pieces, and with a body; a browser sends the token in a form.
#[test]
fn token_that_came_over_http_is_in_the_memory_of_the_server_no_more() {
    if !may_look() {
        return;
    }
    let accounts = Accounts::start(&["alice --rights mirror"]);
    let (server, token) = (&accounts.server, accounts.token("alice"));
    let field = format!("Authorization: Bearer {token}\r\n");
    let mut peer = HttpPeer::connect(server.address());
    for round in 0..3 {
        peer.ask("GET /", &field, b"");
        assert_eq!(peer.receive().status, 200);
        is_gone(server, token, &format!("request {round}"));
    }
    let body = vec![7; 300_000];
    peer.ask("PUT /f", &format!("{field}Content-Length: {}\r\n", body.len()), &body);
    assert_eq!(peer.receive().status, 201);
    is_gone(server, token, "with a body");
    let one = format!("GET /f HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-0\r\n{field}\r\n");
    peer.send(one.repeat(20));
    for _ in 0..20 {
        assert_eq!(peer.receive().status, 206);
    }
    is_gone(server, token, "twenty at once");
    for piece in one.as_bytes().chunks(9) {
        peer.send(piece);
    }
    assert_eq!(peer.receive().status, 206);
    is_gone(server, token, "in pieces");
    // Refused for another field.
    let twice = format!("{field}Host: other\r\n");
    assert_eq!(ask(server.address(), "GET /", &twice, b"").status, 400);
    is_gone(server, token, "in a head that is refused");
    let form = format!("token={token}&to=%2F");
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let fields = format!("{kind}Content-Length: {}\r\n", form.len());
    let reply = ask(server.address(), "POST /.haul/login", &fields, form.as_bytes());
    assert_eq!(reply.status, 303, "{}", reply.text());
    is_gone(server, token, "in a form");
}

/// As curl sends it with `-u`: the name and the token, encoded.
#[test]
fn encoded_token_is_in_the_memory_of_the_server_no_more() {
    if !may_look() {
        return;
    }
    let accounts = Accounts::start(&["alice"]);
    let (server, token) = (&accounts.server, accounts.token("alice"));
    let user = format!("alice:{token}");
    let mut encode = Command::new("base64");
    encode.arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut encode = encode.spawn().unwrap();
    encode.stdin.take().unwrap().write_all(user.as_bytes()).unwrap();
    let encoded = String::from_utf8(encode.wait_with_output().unwrap().stdout).unwrap();
    let field = format!("Authorization: Basic {encoded}\r\n");
    assert_eq!(ask(server.address(), "GET /", &field, b"").status, 200);
    is_gone(server, token, "encoded");
    assert_eq!(count(server, [&encoded[28..60]]), [0]);
}
