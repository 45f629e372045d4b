//! `hauld` over TLS, with a client that is not haul. The numbers are those of the traps that each test is about.

use haul_tests::prelude::*;
use rustls::{AlertDescription, CipherSuite, Error};

use crate::tls_peer::{self, TlsPeer, hello_of};

/// A server that takes nothing but TLS.
fn tls_server(args: &[&str]) -> Hauld {
    server_with(&[&["--tls", "always"], args].concat())
}

/// The error of rustls that is in one of the system's.
fn tls_error(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[test]
fn file_and_large_upload_come_over_tls_byte_by_byte() {
    let server = tls_server(&[]);
    let mut peer = TlsPeer::hello(server.address());
    peer.put(1, "a", b"hello");
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"hello");
    let large = Large::new(7);
    let open = json!({
        "cmd": "open", "id": 2, "filename": "dir/large", "filesize": large.bytes.len(),
        "fingerprint": "f",
    });
    let token = peer.ask(&open, b"")["upload"].clone();
    for index in 0..3 {
        let (part, id) = (large.part(index), 3 + index);
        let header = json!({
            "cmd": "part", "id": id, "length": part.len(), "upload": token,
            "offset": index * PART, "cv": large.cvs[index],
        });
        assert_eq!(peer.ask(&header, part)["ack"], id);
    }
    let commit = json!({"cmd": "commit", "id": 6, "upload": token, "blake3": large.digest});
    assert_eq!(peer.ask(&commit, b"")["answer"], 6);
    assert!(fs::read(server.root().join("dir/large")).unwrap() == large.bytes);
    assert_eq!(peer.end().unwrap(), b"");
    assert!(!server.log_text().contains("without the words of TLS"), "{}", server.log_text());
}

#[test]
fn every_cipher_suite_of_the_three_and_no_other_is_taken_in_the_order_of_the_client() {
    use CipherSuite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    let server = tls_server(&[]);
    let all = [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    for (first, rest) in [(0, [1, 2]), (1, [0, 2]), (2, [1, 0])] {
        let offered = [all[first], all[rest[0]], all[rest[1]]];
        let mut peer =
            TlsPeer::connect_with(server.address(), tls_peer::offering(&offered)).unwrap();
        let conn = &peer.stream.conn;
        assert_eq!(conn.negotiated_cipher_suite().unwrap().suite(), all[first]);
        assert_eq!(conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(peer.say_hello()["hello"], 1);
        // Nothing is kept for a session to be resumed.
        assert_eq!(peer.stream.conn.tls13_tickets_received(), 0);
    }
}

/// Trap 3: also when the turns of the server end while whole records are left.
#[test]
fn turn_that_ends_between_records_leaves_none_behind() {
    let server = tls_server(&["--durability", "none", "--workers", "1"]);
    let mut peer = TlsPeer::hello(server.address());
    peer.stream.conn.set_buffer_limit(None);
    // Each request is a record of its own.
    for id in 1..=4000_u64 {
        let mkdir = json!({"cmd": "mkdir", "id": id, "filename": format!("d{}/e{id}", id % 7)});
        peer.stream.conn.writer().write_all(&frame(&mkdir, b"")).unwrap();
    }
    peer.stream.flush().unwrap();
    let mut acked = 0;
    while acked < 4000 {
        let answer = peer.receive();
        acked = answer["ack"].as_u64().unwrap_or_else(|| panic!("{answer}"));
    }
}

/// Trap 5.
#[test]
fn key_update_in_the_middle_of_a_body_is_answered_at_once() {
    let server = tls_server(&[]);
    let mut peer = TlsPeer::hello(server.address());
    let body = vec![7; 500_000];
    peer.stream.write_all(&frame(&put(1, "a", &body), &body[..200_000])).unwrap();
    peer.stream.conn.refresh_traffic_keys().unwrap();
    peer.stream.write_all(&body[200_000..300_000]).unwrap();
    peer.stream.flush().unwrap();
    // No ack is due, so these bytes are the answer.
    assert!(peer.stream.sock.peek(&mut [0]).unwrap() > 0);
    peer.stream.write_all(&body[300_000..]).unwrap();
    assert_eq!(peer.receive()["ack"], 1);
    assert!(fs::read(server.root().join("a")).unwrap() == body);
}

/// Traps 6 and 7: answers that the socket does not take come later, once, and in order.
#[test]
fn answers_that_the_peer_reads_late_all_come() {
    let server = tls_server(&[]);
    for index in 0..3000 {
        fs::write(server.root().join(format!("{index:0100}")), "").unwrap();
    }
    let mut peer = TlsPeer::hello(server.address());
    rustix::net::sockopt::set_socket_recv_buffer_size(&peer.stream.sock, 64 << 10).unwrap();
    for id in 1..=6 {
        peer.stream.write_all(&frame(&json!({"cmd": "list", "id": id}), b"")).unwrap();
    }
    peer.stream.flush().unwrap();
    for id in 1..=6 {
        let answer = peer.receive();
        assert_eq!((&answer["answer"], &answer["more"]), (&json!(id), &json!(false)), "{answer}");
        assert!(answer["length"].as_u64().unwrap() > 300_000, "{answer}");
    }
    peer.put(7, "after", b"wards");
}

/// Trap 8: although the client goes on sending.
#[test]
fn refusal_reaches_a_client_that_goes_on_sending() {
    let server = tls_server(&[]);
    let mut peer = TlsPeer::connect(server.address());
    let mut hello = hello_of("eager");
    hello["must"] = json!(["nothing of that kind"]);
    peer.stream.write_all(&frame(&hello, b"")).unwrap();
    for _ in 0..30 {
        peer.stream.write_all(&vec![7; 100_000]).unwrap();
    }
    refused(&peer.receive(), 0, "unsupported");
    // The end is said, and does not just happen.
    let mut rest = Vec::new();
    assert_eq!(peer.stream.read_to_end(&mut rest).unwrap(), 0);
}

/// Trap 9.
#[test]
fn peer_that_stops_in_the_handshake_ends_though_connections_are_not_scarce() {
    let server = tls_server(&["--header-timeout", "1s"]);
    let mut hello = Vec::new();
    tls_peer::session(tls_peer::usual()).write_tls(&mut hello).unwrap();
    for sent in [1, 2, 5, hello.len() - 1, hello.len()] {
        let mut peer = Peer::connect(server.address()).unwrap();
        peer.stream.write_all(&hello[..sent]).unwrap();
        let mut answer = Vec::new();
        peer.stream.read_to_end(&mut answer).unwrap();
        // The server's part of the handshake, if all was sent.
        assert_eq!(answer.is_empty(), sent < hello.len(), "{sent}");
    }
    let log = server.log_text();
    assert_eq!(log.matches("the TLS handshake took too long").count(), 5, "{log}");
}

/// Trap 9: each byte in time does not help, because the handshake as a whole has to be.
#[test]
fn peer_whose_handshake_comes_byte_by_byte_ends_as_well() {
    let output = output_of(hauld_command().args(["config", "show"]));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.lines().any(|line| line.starts_with("header-timeout = \"10s\" ")), "{told}");
    let server = tls_server(&["--header-timeout", "1s"]);
    let mut hello = vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc];
    hello.resize(9 + 0x3ffc, 7);
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut bytes = hello.iter();
    // It ends long before the last byte of 16,384 has come.
    let ended = loop {
        let byte = bytes.next().expect("the server takes byte after byte");
        if peer.stream.write_all(&[*byte]).is_err() {
            break true;
        }
        match peer.stream.read(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(1..) => {}
            _ => break true,
        }
    };
    assert!(ended);
    eventually("it is told", || server.log_text().contains("the TLS handshake took too long"));
}

/// Trap 10.
#[test]
fn plain_client_is_told_that_an_address_takes_only_tls() {
    let server = tls_server(&[]);
    let mut peer = Peer::connect(server.address()).unwrap();
    let answer = peer.say_hello("plain", 0, None).unwrap();
    refused(&answer, 0, "tls");
    assert_eq!(answer["message"], "this server takes only TLS here");
    assert_eq!(peer.end().unwrap(), b"");
    // Before anything else is said about its `hello`.
    let mut peer = Peer::connect(server.address()).unwrap();
    refused(&peer.ask(&json!({"cmd": "hello", "version": 2}), b"").unwrap(), 0, "tls");
    let mut peer = Peer::connect(server.address()).unwrap();
    refused(&peer.ask(&json!({"cmd": "hello", "version": 1}), b"").unwrap(), 0, "tls");
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.write_all(&classic("a", b"secret")).unwrap();
    // An end in order would look as if the file were stored.
    assert_eq!(peer.end().unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(!server.root().join("a").exists());
    let log = server.log_text();
    assert_eq!(log.matches("at an address that takes only TLS").count(), 4, "{log}");
}

/// Trap 10, the other way round.
#[test]
fn tls_client_is_told_that_an_address_takes_none() {
    let server = server();
    let error = TlsPeer::connect_with(server.address(), tls_peer::usual()).err().unwrap();
    let expected = Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(tls_error(&error), Some(&expected), "{error}");
    let log = server.log_text();
    assert_eq!(log.matches("speaks TLS at an address that takes none").count(), 1, "{log}");
    // A header whose length begins as TLS does is still one.
    let mut header = json!({"cmd": "put", "filename": "a", "filesize": 1, "x": ""}).to_string();
    header = header.replace("\"x\":\"\"", &format!("\"x\":\"{}\"", "y".repeat(790 - header.len())));
    assert_eq!(u32::try_from(header.len()).unwrap().to_le_bytes(), [22, 3, 0, 0]);
    let mut peer = Peer::connect(server.address()).unwrap();
    for byte in raw_frame(header.as_bytes(), b"b") {
        peer.stream.write_all(&[byte]).unwrap();
    }
    peer.end().unwrap();
    eventually("the file is there", || server.root().join("a").exists());
}

#[test]
fn loopback_takes_both_if_there_is_a_key_and_a_unix_socket_never_takes_tls() {
    let config = TempDir::new().unwrap();
    let dir = config.path().to_str().unwrap();
    let socket = format!("unix:{}", config.path().join("socket").display());
    let words = ["--config-dir", dir, "--listen", "127.0.0.1:0", "--listen", &socket];
    let before = server_with(&words);
    assert!(TlsPeer::connect_with(before.address(), tls_peer::usual()).is_err());
    assert!(!config.path().join("key.pem").exists());
    drop(before);
    let mut fingerprint = hauld_command();
    fingerprint.args(["fingerprint", "--config-dir", dir]);
    assert!(output_of(&mut fingerprint).status.success());
    let server = server_with(&words);
    TlsPeer::hello(server.address()).put(1, "a", b"tls");
    server.peer().ask(&put(1, "b", b"plain"), b"plain").unwrap();
    let path = config.path().join("socket");
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    tls_peer::session(tls_peer::usual()).write_tls(&mut stream).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, [21, 3, 1, 0, 2, 2, 70]);
}

#[test]
fn classic_files_come_over_tls_as_well() {
    let server = tls_server(&[]);
    let mut peer = TlsPeer::connect(server.address());
    peer.stream.write_all(&classic("a", b"classic")).unwrap();
    peer.stream.flush().unwrap();
    assert_eq!(peer.end().unwrap(), b"");
    eventually("the file is there", || server.root().join("a").exists());
}

#[test]
fn stopping_server_says_goodbye_over_tls() {
    let mut server = tls_server(&[]);
    let mut peer = TlsPeer::hello(server.address());
    server.signal(Signal::TERM).unwrap();
    refused(&peer.receive(), 0, "shutting_down");
    assert_eq!(peer.stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    drop(peer);
    assert!(server.wait().unwrap().success());
}

/// Trap 4: what a connection costs beyond a plain one, before and after traffic.
#[test]
fn idle_tls_connection_costs_less_than_six_kibibytes() {
    const COUNT: u64 = 300;
    let growth = |args: &[&str], connect: &dyn Fn(&Hauld) -> Box<dyn std::any::Any>| {
        let server = server_with(args);
        // The first ones make the buffers of all workers.
        let warm: Vec<_> = (0..20).map(|_| connect(&server)).collect();
        let before = server.status("VmRSS").unwrap();
        let peers: Vec<_> = (0..COUNT).map(|_| connect(&server)).collect();
        let after = server.status("VmRSS").unwrap();
        drop((warm, peers));
        after.saturating_sub(before)
    };
    let body = vec![7; 100_000];
    let plain = growth(&[], &|server| {
        let mut peer = server.peer();
        peer.ask(&put(1, "a", &body), &body).unwrap();
        Box::new(peer)
    });
    let tls = growth(&["--tls", "always"], &|server| {
        let mut peer = TlsPeer::hello(server.address());
        peer.put(1, "a", &body);
        Box::new(peer.stream)
    });
    let each = 1024 * tls.saturating_sub(plain) / COUNT;
    assert!(each < 6 * 1024, "{each} bytes: {tls} KiB over TLS, {plain} KiB without");
}
