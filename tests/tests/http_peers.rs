//! Peers that speak HTTP, right or wrong: what is told apart, how often they are answered, and how long they may take.

use haul_tests::http::{HttpPeer, ask};
use haul_tests::prelude::*;
use haul_tests::tls::{TlsPeer, usual};

const OTHER: &str = "GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn requests_over_one_connection_are_answered_in_their_order() {
    let server = server();
    fs::write(server.root().join("a"), "aaa").unwrap();
    let mut peer = HttpPeer::connect(server.address());
    assert_eq!(peer.get("GET /a").body, b"aaa");
    assert_eq!(peer.get("GET /none").status, 404);
    assert_eq!(peer.get("HEAD /a").field("Content-Length"), "3");
    assert_eq!(peer.get("OPTIONS *").status, 204);
    // All at once, in one write.
    let put = "PUT /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nbb";
    let get = |name: &str| format!("GET /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let all = [put.to_owned(), get("b"), get("none"), put.to_owned(), get("a")].concat();
    peer.send(&all);
    let statuses: Vec<u16> = (0..5).map(|_| peer.receive().status).collect();
    assert_eq!(statuses, [201, 200, 404, 204, 200]);
    // GET with a body swallows it.
    peer.ask("GET /a", "Content-Length: 5\r\n", b"GET /");
    assert_eq!(peer.receive().body, b"aaa");
    // So does HEAD, whose answer has no body, also in pieces behind its head.
    peer.ask("HEAD /a", "Content-Length: 5\r\n", b"GET");
    peer.send(b" /");
    assert_eq!(peer.receive_of("HEAD").field("Content-Length"), "3");
    peer.ask("HEAD /a", "Transfer-Encoding: chunked\r\n", b"5\r\nGET /\r\n0\r\n\r\n");
    assert_eq!(peer.receive_of("HEAD").field("Content-Length"), "3");
    peer.ask("PROPFIND /a", "Content-Length: 5\r\nDepth: 0\r\n", b"GET /");
    // Its body is to be XML.
    assert_eq!(peer.receive().status, 400);
    peer.ask("GET /a", "Connection: close\r\n", b"");
    let last = peer.receive();
    assert_eq!((last.status, last.field("Connection")), (200, "close"));
    assert_eq!(peer.rest(), b"");
}

#[test]
fn client_that_ends_its_side_behind_a_request_is_answered() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let mut peer = HttpPeer::connect(server.address());
        peer.ask("PUT /a", "Content-Length: 300000\r\n", &[7; 300_000]);
        let text = String::from_utf8(peer.end()).unwrap();
        assert!(text.starts_with("HTTP/1.1 201 "), "{text}");
        let mut peer = HttpPeer::connect(server.address());
        peer.ask("GET /a", "", b"");
        let bytes = peer.end();
        assert!(bytes.starts_with(b"HTTP/1.1 200 ") && bytes.ends_with(&[7; 300_000]));
    }
}

#[test]
fn http_is_spoken_over_unix_sockets() {
    let place = TempDir::new().unwrap();
    let socket = place.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let server = server_with(&["--listen", &listen, "--no-sandbox"]);
    fs::write(server.root().join("a"), "bytes").unwrap();
    let words = ["--unix-socket", socket.to_str().unwrap(), "http://localhost/a"];
    assert_eq!(haul_tests::http::curled(&words), b"bytes");
}

/// The first bytes tell HTTP from frames, however they are cut, and a method that is not served is answered too.
#[test]
fn requests_of_every_method_are_told_from_frames_and_answered() {
    let server = server();
    for (method, status) in [
        ("GET", 404),
        ("HEAD", 404),
        ("DELETE", 404),
        ("POST", 405),
        ("PROPFIND", 404),
        ("LOCK", 400),
        ("PATCH", 405),
        ("CONNECT", 405),
        ("TRACE", 405),
        ("OPTIONS", 204),
        ("BREW", 501),
        ("X", 501),
    ] {
        let mut peer = HttpPeer::connect(server.address());
        for byte in format!("{method} /none HTTP/1.1\r\nHost: localhost\r\n\r\n").bytes() {
            peer.send([byte]);
        }
        let reply = peer.receive_of(method);
        assert_eq!(reply.status, status, "{method}");
        assert_eq!(reply.field("Allow").is_empty(), !matches!(status, 204 | 405), "{method}");
    }
    let mut peer = HttpPeer::connect(server.address());
    peer.send(format!("\r\n{OTHER}"));
    assert_eq!(peer.receive().status, 404);
    let mut old = HttpPeer::connect(server.address());
    old.send("GET /none HTTP/1.0\r\n\r\n");
    assert_eq!(old.receive().status, 404);
    assert_eq!(old.rest(), b"");
    // A haul client on the same port, whose first prefix may have any of those bytes.
    assert!(server.peer().ask(&json!({"cmd": "ping", "id": 1}), b"").is_ok());
}

#[test]
fn smuggled_requests_get_one_answer_and_a_close() {
    let server = server();
    let put = |fields: &str, body: &str| {
        format!("PUT /a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}")
    };
    let chunked = |body: &str| put("Transfer-Encoding: chunked\r\n", body);
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    for (name, request) in [
        (
            "length and chunks",
            put("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        ("two lengths", put("Content-Length: 0\r\nContent-Length: 4\r\n", "")),
        ("the same length twice", put("Content-Length: 0\r\nContent-Length: 0\r\n", "")),
        ("a list of lengths", put("Content-Length: 3, 3\r\n", "abc")),
        ("a sign", put("Content-Length: +3\r\n", "abc")),
        ("hex", put("Content-Length: 0x3\r\n", "abc")),
        ("below zero", put("Content-Length: -1\r\n", "")),
        ("2^64", put("Content-Length: 18446744073709551616\r\n", "")),
        ("an empty length", put("Content-Length:\r\n", "")),
        ("xchunked", put("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("chunked, gzip", put("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
        ("gzip, chunked", put("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        (
            "chunked twice",
            put("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "chunked in 1.0",
            "PUT /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("a space before the colon", put("Content-Length : 0\r\n", "")),
        ("a folded line", put("x: y\r\n z\r\nContent-Length: 0\r\n", "")),
        ("no Host", "GET /a HTTP/1.1\r\n\r\n".to_owned()),
        ("two Hosts", put("Host: localhost\r\n", "")),
        ("a bare LF", "GET /a HTTP/1.1\nHost: localhost\n\n".to_owned()),
        ("a bare CR in a value", put("x: y\rz\r\n", "")),
        ("a NUL in a value", put("x: y\0z\r\n", "")),
        ("chunk 0x3", chunked("0x3\r\nabc\r\n0\r\n\r\n")),
        ("chunk +3", chunked("+3\r\nabc\r\n0\r\n\r\n")),
        ("chunk over 2^64", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n")),
        ("chunk without CRLF", chunked("3\r\nabc0\r\n\r\n")),
        ("chunk with bare LF", chunked("3\nabc\n0\n\n")),
        ("200 fields", put(&many, "")),
        ("64 KiB of head", put(&format!("x: {}\r\n", "y".repeat(64 * 1024)), "")),
        ("HTTP/2.0", "GET /a HTTP/2.0\r\nHost: localhost\r\n\r\n".to_owned()),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ] {
        for pieces in [1_000_000, 1000] {
            let mut peer = HttpPeer::connect(server.address());
            for piece in [request.as_bytes(), OTHER.as_bytes()].concat().chunks(pieces) {
                peer.send(piece);
            }
            let reply = peer.receive();
            assert!([400, 431, 501].contains(&reply.status), "{name}: {}", reply.head);
            assert_eq!(reply.field("Connection"), "close", "{name}");
            // All that the client may still send is dropped, and nothing of it answered.
            assert_eq!(peer.end(), b"", "{name}");
            assert!(!server.root().join("a").exists(), "{name}");
        }
    }
    assert!(server.staged().unwrap().is_empty());
}

#[test]
fn head_that_does_not_come_whole_in_time_is_told_so() {
    let server = server_with(&["--header-timeout", "1s"]);
    for begun in ["G", "GET / HTTP/1.1\r\nHost: loc", "\r"] {
        let mut peer = HttpPeer::connect(server.address());
        peer.send(begun);
        let rest = String::from_utf8(peer.rest()).unwrap();
        // Of too few bytes nobody can say that they are HTTP.
        let is_told = rest.starts_with("HTTP/1.1 408 ") && rest.contains("Connection: close");
        assert!(is_told || (begun.len() == 1 && rest.is_empty()), "{begun}: {rest}");
    }
    // Each byte in time does not help: the head as a whole has to be.
    let mut peer = HttpPeer::connect(server.address());
    peer.send("GET / HTTP/1.1\r\nx: ");
    let begun = Instant::now();
    peer.stream().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while peer.stream().peek(&mut [0]).is_err() && begun.elapsed() < DEADLINE / 2 {
        peer.send("y");
    }
    peer.stream().set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(peer.receive().status, 408);
    assert!(begun.elapsed() < DEADLINE / 2);
}

#[test]
fn body_that_stops_coming_ends_the_connection() {
    let server = server_with(&["--body-timeout", "1s", "--header-timeout", "1h"]);
    let mut peer = HttpPeer::connect(server.address());
    peer.ask("PUT /a", "Content-Length: 9\r\n", b"some");
    let reply = peer.receive();
    assert_eq!((reply.status, reply.field("Connection")), (408, "close"));
    assert!(!server.root().join("a").exists());
}

#[test]
fn idle_connection_ends_without_a_word() {
    let server = server_with(&["--idle-timeout", "1s"]);
    let mut peer = HttpPeer::connect(server.address());
    assert_eq!(peer.get("GET /none").status, 404);
    assert_eq!(peer.rest(), b"");
}

#[test]
fn many_idle_connections_cost_no_thread_and_little_memory() {
    let server = server();
    let mut peers: Vec<HttpPeer> = Vec::new();
    let mut first = HttpPeer::connect(server.address());
    assert_eq!(first.get("GET /").status, 200);
    let before = (server.status("Threads").unwrap(), server.status("VmRSS").unwrap());
    for _ in 0..400 {
        let mut peer = HttpPeer::connect(server.address());
        assert_eq!(peer.get("GET /").status, 200);
        peers.push(peer);
    }
    assert_eq!(server.status("Threads").unwrap(), before.0);
    let grown = server.status("VmRSS").unwrap().saturating_sub(before.1);
    assert!(grown < 400 * 16, "{grown} KiB");
    assert_eq!(peers[0].get("GET /").status, 200);
    assert_eq!(first.get("GET /").status, 200);
}

#[test]
fn server_that_stops_ends_idle_connections_and_finishes_others() {
    let mut server = server();
    let mut idle = HttpPeer::connect(server.address());
    assert_eq!(idle.get("GET /none").status, 404);
    let mut busy = HttpPeer::connect(server.address());
    busy.ask("PUT /a", "Content-Length: 4\r\nExpect: 100-continue\r\n", b"");
    assert_eq!(busy.receive().status, 100);
    server.signal(Signal::TERM).unwrap();
    assert_eq!(idle.rest(), b"");
    busy.send("body");
    assert_eq!(busy.receive().status, 201);
    drop((idle, busy));
    assert!(server.wait().unwrap().success());
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"body");
}

#[test]
fn names_that_nobody_has_given_the_server_are_not_served() {
    let server = server_with(&["--http-host", "Files.example"]);
    let status = |host: &str| {
        let mut peer = HttpPeer::connect(server.address());
        peer.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        peer.receive().status
    };
    for host in ["localhost", "127.0.0.1:8080", "[::1]", "10.1.2.3", "files.example:80"] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in ["evil.example", "files.example.evil", "localhost.evil", ""] {
        assert_eq!(status(host), 421, "{host}");
    }
    let mut peer = HttpPeer::connect(server.address());
    peer.send("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(peer.receive().status, 400);
}

#[test]
fn pages_of_other_servers_change_nothing() {
    let server = server();
    let put = |origin: &str| {
        let fields = format!("Content-Length: 1\r\nOrigin: {origin}\r\n");
        ask(server.address(), "PUT /a", &fields, b"1").status
    };
    for origin in ["http://evil.example", "null", "https://localhost:99"] {
        assert_eq!(put(origin), 403, "{origin}");
    }
    assert!(!server.root().join("a").exists());
    let delete = ask(server.address(), "DELETE /a", "Origin: http://evil.example\r\n", b"");
    assert_eq!(delete.status, 403);
    assert_eq!(put("http://localhost"), 201);
    // A question is answered, and no other page may read the answer.
    let get = ask(server.address(), "GET /a", "Origin: http://evil.example\r\n", b"");
    assert_eq!((get.status, get.field("Access-Control-Allow-Origin")), (200, ""));
}

#[test]
fn http_is_spoken_in_tls_and_sent_away_where_it_has_to_be() {
    let server = server_with(&["--tls", "always"]);
    fs::write(server.root().join("a"), "bytes").unwrap();
    let url = format!("https://{}/a", server.address());
    let output = haul_tests::http::curled(&["-k", "-w", " %{http_version}", &url]);
    assert_eq!(output, b"bytes 1.1");
    // A client that would rather speak HTTP/2 is told that it is not spoken, and one that speaks nothing else gets no connection.
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(Some("http/1.1"))),
        (&["http/1.1"], Some(Some("http/1.1"))),
        (&[], Some(None)),
        (&["h2"], None),
    ] {
        let mut config = usual();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let peer = TlsPeer::connect_with(server.address(), config).ok();
        let spoken = peer.as_ref().map(|peer| peer.stream.conn.alpn_protocol());
        let spoken = spoken.map(|name| name.map(|name| std::str::from_utf8(name).unwrap()));
        assert_eq!(spoken, chosen, "{offered:?}");
    }
    let mut plain = HttpPeer::connect(server.address());
    plain.send("GET /a HT");
    let reply = plain.receive();
    assert!(reply.status == 400 && reply.text().contains("only TLS"), "{}", reply.text());
    assert_eq!(plain.end(), b"");
    // Bytes in clear behind a handshake that has failed are no request.
    let mut broken = HttpPeer::connect(server.address());
    broken.send([&[22, 3, 1, 0, 200][..], &[9; 200], OTHER.as_bytes()].concat());
    broken.send(OTHER);
    let rest = broken.end();
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP"), "{rest:?}");
    let mut peer = TlsPeer::connect(server.address());
    peer.stream.write_all(OTHER.as_bytes()).unwrap();
    let text = String::from_utf8(peer.end().unwrap()).unwrap();
    assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
}
