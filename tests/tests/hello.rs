//! Who a peer is, and whether it is still there: hello, silence.

use std::net::TcpListener;

use haul_tests::prelude::*;

#[test]
fn hello_of_another_version_or_with_unknown_demands_is_refused_by_name() {
    let server = server();
    let hello = |version: u64, must: &[&str]| {
        let mut peer = Peer::connect(server.address()).unwrap();
        let hello = json!({"cmd": "hello", "version": version, "agent": "t", "client": "c", "slot": 0, "must": must});
        peer.ask(&hello, b"").unwrap()
    };
    refused(&hello(2, &[]), 0, "version");
    let answer = hello(1, &["teleport"]);
    refused(&answer, 0, "unsupported");
    assert!(answer["message"].as_str().unwrap().contains("teleport"));
    let answer = hello(1, &[]);
    assert_eq!(answer["durability"], "group");
    assert!(answer["limits"]["window_bytes"].as_u64() >= answer["limits"]["max_body"].as_u64());
}

/// Who says `hello` reads answers, so it is told what is wrong with the rest of its header.
#[test]
fn hello_with_missing_or_wrong_fields_is_refused_as_malformed() {
    let server = server();
    let sound = json!({"cmd": "hello", "version": 1, "agent": "t", "client": "c", "slot": 0});
    for (field, value) in [
        ("version", json!("1")),
        ("slot", json!(-1)),
        ("agent", json!("")),
        ("client", json!("c".repeat(129))),
        ("must", json!([1])),
        ("length", json!(1_u64 << 40)),
    ] {
        let mut hello = sound.clone();
        hello[field] = value;
        let mut peer = Peer::connect(server.address()).unwrap();
        let answer = peer.ask(&hello, b"").unwrap();
        refused(&answer, 0, "malformed");
    }
    let mut hello = sound;
    hello.as_object_mut().unwrap().remove("client");
    let answer = Peer::connect(server.address()).unwrap().ask(&hello, b"").unwrap();
    refused(&answer, 0, "malformed");
    assert!(answer["message"].as_str().unwrap().contains("client"), "{answer}");
}

/// A client of a later version learns why it is refused, whatever else that version has changed.
#[test]
fn version_is_looked_at_before_everything_else() {
    let server = server();
    let ask = |header: &str| {
        let mut peer = Peer::connect(server.address()).unwrap();
        peer.stream.write_all(&raw_frame(header.as_bytes(), b"")).unwrap();
        peer.receive().unwrap().0
    };
    for (header, code) in [
        (r#"{"cmd":"hello","version":2,"agent":{"name":"a"},"slot":"x"}"#, "version"),
        (r#"{"cmd":"hello","version":2,"must":["teleport"]}"#, "version"),
        (
            r#"{"cmd":"hello","version":2,"version":2,"agent":"a","client":"c","slot":0}"#,
            "malformed",
        ),
        (r#"{"cmd":"hello","version":1,"slot":0,"must":["teleport"]}"#, "malformed"),
        (
            r#"{"cmd":"hello","version":1,"agent":"a","client":"c","slot":0,"must":["teleport"],"filename":"x"}"#,
            "unsupported",
        ),
    ] {
        let answer = ask(header);
        refused(&answer, 0, code);
        assert_eq!(code == "version", answer["message"].as_str().unwrap().contains("version 1 is"));
    }
    // Nobody knows the dialect of a doubled command.
    let mut peer = Peer::connect(server.address()).unwrap();
    let header = br#"{"cmd":"hello","cmd":"hello","version":1,"agent":"a","client":"c","slot":0}"#;
    peer.stream.write_all(&raw_frame(header, b"")).unwrap();
    assert_eq!(peer.end().unwrap(), b"");
}

#[test]
fn silence_in_a_header_a_body_or_between_requests_is_ended_and_told() {
    let server =
        server_with(&["--header-timeout", "1s", "--body-timeout", "1s", "--idle-timeout", "1s"]);
    for bytes in [&b""[..], b"\x10", b"\x10\0\0\0{", &frame(&put(1, "x", b"12"), b"1")] {
        let mut peer = server.peer();
        peer.stream.write_all(bytes).unwrap();
        let answer = peer.receive().unwrap().0;
        refused(&answer, 0, "timeout");
        assert_eq!(answer["retry"], true);
        let mut rest = Vec::new();
        peer.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
    assert!(!server.root().join("x").exists());
}

/// A server that answers with these bytes: at once, or when a request of HTTP has come whole.
fn other(answer: &'static [u8], waits: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
                while waits && !seen.windows(4).any(|four| four == b"\r\n\r\n") {
                    match stream.read(&mut buffer) {
                        Ok(len @ 1..) => seen.extend_from_slice(&buffer[..len]),
                        _ => return,
                    }
                }
                // The client may have gone; it is open until then.
                let _ = stream.write_all(answer);
                let _ = stream.read_to_end(&mut seen);
            });
        }
    });
    address
}

/// Each command that asks a server, and its message within this time.
#[track_caller]
fn tells(address: &str, words: &[&str], within: Duration, said: &str) {
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a"), "x").unwrap();
    let draft = format!("{address}/d");
    for command in [
        &["put", "a", address][..],
        &["sync", "a", address],
        &["verify", "a", address],
        &["publish", ".", &draft],
        &["publish", "--rollback", &draft],
        &["ls", address],
        &["shell", address],
    ] {
        let begun = Instant::now();
        let mut haul = haul();
        haul.current_dir(&source).args(command).args(words).write_stdin("ls\nmkdir b\nput a\n");
        haul.assert().code(3).stderr(contains(said));
        assert!(begun.elapsed() < within, "{command:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn server_of_another_protocol_is_named_without_waiting() {
    for (answer, waits, name) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], true, "the peer speaks HTTP, not haul"),
        (b"<!DOCTYPE HTML>\n<html>", true, "the peer speaks HTTP, not haul"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", false, "the peer speaks SSH, not haul"),
        (b"\x15\x03\x01\x00\x02\x02\x46", false, "the peer speaks TLS, not haul"),
        (b"220 mail.example.org ESMTP\r\n", false, "the peer speaks FTP or SMTP, not haul"),
    ] {
        // All three commands of the shell together take less than one wait for `hello`.
        tells(&other(answer, waits), &[], Duration::from_secs(8), name);
    }
}

#[test]
fn timeout_counts_for_the_first_answer_of_every_command() {
    let silent = other(b"", false);
    tells(
        &silent,
        &["--timeout", "200ms"],
        Duration::from_secs(8),
        "no answer to `hello` in 200ms",
    );
}

/// The line ends in the header of `hello` mean nothing.
#[test]
fn hello_that_ends_with_line_ends_is_greeted() {
    let server = server();
    let mut peer = Peer::connect(server.address()).unwrap();
    let hello = json!({"cmd": "hello", "version": 1, "agent": "t", "client": "c", "slot": 0});
    peer.stream.write_all(&raw_frame(format!("{hello}\r\n\r\n").as_bytes(), b"")).unwrap();
    assert_eq!(peer.receive().unwrap().0["hello"], 1);
}

/// It closes at once, with bytes that it has not read: the connection is reset.
#[test]
fn server_that_closes_without_a_word_is_no_haul_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // One byte of `hello`, and the rest stays unread.
            let _ = stream.unwrap().read(&mut [0]);
        }
    });
    tells(&address, &[], Duration::from_secs(8), "it is stopping, or no haul server (TLS?)");
}
