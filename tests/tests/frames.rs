//! Bad input from a peer: a clear refusal, nothing lost, and the server goes on.

use haul_tests::prelude::*;

/// After hello and one good put, these bytes end the connection with that code; the server goes on.
#[track_caller]
fn ends(server: &Hauld, bytes: &[u8], code: &str) {
    let mut peer = server.peer();
    let good = frame(&put(1, "good", b"good"), b"good");
    peer.stream.write_all(&[&good, bytes].concat()).unwrap();
    assert_eq!(peer.receive().unwrap().0["ack"], 1);
    refused(&peer.receive().unwrap().0, 0, code);
    assert_eq!(peer.end().unwrap(), b"", "nothing follows the last refusal");
    assert_eq!(fs::read(server.root().join("good")).unwrap(), b"good");
    let mut next = server.peer();
    assert_eq!(next.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
}

#[test]
fn prefix_negative_zero_or_over_the_limit() {
    let server = server();
    for len in [-1, 0, i32::MIN, 65_537, i32::MAX] {
        ends(&server, &len.to_le_bytes(), "malformed");
    }
}

#[test]
fn header_not_utf8_not_json_not_an_object_or_too_deep() {
    let server = server();
    let deep = [
        b"{\"cmd\":\"ping\",\"id\":2,\"x\":".to_vec(),
        [b'['; 200].to_vec(),
        [b']'; 200].to_vec(),
        b"}".to_vec(),
    ]
    .concat();
    for header in [
        &b"{\"cmd\":\"\xff\"}"[..],
        b"{\"cmd\":",
        b"garbage",
        b"[]",
        b"\"ping\"",
        b"null",
        b"[\"ping\",2]",
        b" ",
        &deep,
    ] {
        ends(&server, &raw_frame(header, b""), "malformed");
    }
}

#[test]
fn fields_missing_doubled_or_of_the_wrong_type() {
    let server = server();
    for header in [
        r#"{"id":2}"#,
        r#"{"cmd":"ping"}"#,
        r#"{"cmd":"put","id":2,"filename":"x","filesize":0}"#,
        r#"{"cmd":"put","id":2,"filesize":0,"blake3":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"}"#,
        r#"{"cmd":"ping","id":2,"id":2}"#,
        r#"{"cmd":"ping","cmd":"ping","id":2}"#,
        r#"{"cmd":"ping","id":"2"}"#,
        r#"{"cmd":"ping","id":null}"#,
        r#"{"cmd":7,"id":2}"#,
        r#"{"cmd":"mkdir","id":2,"filename":"x","mode":"755"}"#,
        r#"{"cmd":"mkdir","id":2,"filename":"x","mode":65536}"#,
        r#"{"cmd":"setattr","id":2,"filename":"x","mtime":{"s":0,"ns":1000000000}}"#,
        r#"{"cmd":"commit","id":2,"upload":"00","blake3":"AF"}"#,
    ] {
        ends(&server, &raw_frame(header.as_bytes(), b""), "malformed");
    }
}

#[test]
fn sizes_negative_fractional_or_over_2_to_the_53() {
    let server = server();
    for size in ["-1", "0.5", "1.0", "1e3", "9007199254740992", "18446744073709551615", "1e400"] {
        let header = format!(
            r#"{{"cmd":"open","id":2,"filename":"x","filesize":{size},"fingerprint":"f"}}"#
        );
        ends(&server, &raw_frame(header.as_bytes(), b""), "malformed");
    }
}

/// Trap `peer_sized_allocation`: a length that a peer sends sizes nothing.
#[test]
fn peer_sized_allocation_length_over_max_body() {
    let server = server();
    for length in [8 * 1024 * 1024 + 1, 9_007_199_254_740_991_u64] {
        let header = json!({"cmd": "ping", "id": 2, "length": length});
        ends(&server, &frame(&header, b""), "malformed");
    }
    let huge = json!({"cmd": "open", "id": 1, "filename": "x", "filesize": 9_007_199_254_740_991_u64, "fingerprint": "f"});
    let mut peer = server.peer();
    refused(&peer.ask(&huge, b"").unwrap(), 1, "too_large");
    let large = json!({"cmd": "open", "id": 2, "filename": "x", "filesize": 1_u64 << 40, "fingerprint": "f"});
    let answer = peer.ask(&large, b"").unwrap();
    // Few disks have a TiB to spare.
    assert!(answer["part_size"] == 8 * 1024 * 1024 || answer["code"] == "no_space", "{answer}");
    let memory = server.status("VmRSS").unwrap();
    assert!(memory < 64 * 1024, "{memory} KiB");
}

#[test]
fn length_that_is_not_the_filesize_is_refused_and_skipped() {
    let server = server();
    let mut peer = server.peer();
    let mut wrong = put(1, "wrong", b"12345");
    wrong["filesize"] = json!(4);
    refused(&peer.ask(&wrong, b"12345").unwrap(), 1, "bad_request");
    let with_body = json!({"cmd": "ping", "id": 2, "length": 5});
    refused(&peer.ask(&with_body, b"12345").unwrap(), 2, "bad_request");
    assert_eq!(peer.ask(&put(3, "right", b"x"), b"x").unwrap()["ack"], 3);
    assert!(!server.root().join("wrong").exists());
}

/// Trap `early_eof_is_not_success`: a stream that ends in a prefix, a header or a body publishes
/// nothing, and what stood there stays.
#[test]
fn early_eof_is_not_success() {
    let server = server();
    fs::write(server.root().join("file"), "old").unwrap();
    let body = vec![b'n'; 1 << 20];
    let whole = frame(&put(1, "file", &body), &body);
    for end in [2, 4, 50, whole.len() - body.len(), whole.len() - 1000, whole.len() - 1] {
        let mut peer = server.peer();
        peer.stream.write_all(&whole[..end]).unwrap();
        assert_eq!(peer.end().unwrap(), b"", "{end}");
        assert_eq!(fs::read(server.root().join("file")).unwrap(), b"old", "{end}");
    }
    eventually("nothing stays behind", || server.staged().unwrap().is_empty());
}

/// Trap `old_file_truncated_first`: while a new version comes, the old one is whole.
#[test]
fn old_file_truncated_first() {
    let server = server();
    fs::write(server.root().join("file"), "old").unwrap();
    let body = vec![b'n'; 1 << 20];
    let whole = frame(&put(1, "file", &body), &body);
    let mut peer = server.peer();
    peer.stream.write_all(&whole[..whole.len() - 1]).unwrap();
    eventually("bytes are staged", || {
        let staged = server.staged().unwrap();
        staged.iter().any(|path| fs::metadata(path).is_ok_and(|file| file.len() > 500_000))
    });
    assert_eq!(fs::read(server.root().join("file")).unwrap(), b"old");
    peer.stream.write_all(&whole[whole.len() - 1..]).unwrap();
    assert_eq!(peer.receive().unwrap().0["ack"], 1);
    assert_eq!(fs::read(server.root().join("file")).unwrap(), body);
}

/// Trap `prefix_in_pieces`: one byte at a time is as good as all at once.
#[test]
fn prefix_in_pieces_one_byte_at_a_time() {
    let server = server();
    let mut peer = Peer::connect(server.address()).unwrap();
    let hello = json!({"cmd": "hello", "version": 1, "agent": "t/1", "client": "c", "slot": 0});
    let stream = [
        frame(&hello, b""),
        frame(&put(1, "a", b"hello"), b"hello"),
        frame(&put(2, "b", b""), b""),
    ];
    for byte in stream.concat() {
        peer.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(peer.receive().unwrap().0["hello"], 1);
    while peer.receive().unwrap().0["ack"] != 2 {}
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"hello");
}

#[test]
fn names_that_break_the_rules() {
    let server = server();
    let mut peer = server.peer();
    let (component, long) = ("x".repeat(256), "xy/".repeat(1400));
    let names = [
        "",
        "/etc/passwd",
        "/",
        "..",
        "../x",
        "a/../b",
        "a/..",
        ".",
        "./a",
        "a/.",
        "a//b",
        "a/",
        "a\0b",
        ".haul",
        ".haul/lock",
        ".HAUL/staged/x",
        ".Haul",
        &component,
        &long,
    ];
    let mut id = 0;
    for name in names {
        id += 1;
        refused(&peer.ask(&put(id, name, b"body"), b"body").unwrap(), id, "bad_name");
    }
    for (both, b64) in [
        (true, "/w=="),
        (false, "/w"),
        (false, "/x=="),
        (false, "!"),
        (false, "YQ=="),
        (false, "Li4v/w=="),
    ] {
        id += 1;
        let mut request = put(id, "x", b"body");
        request["filename_b64"] = json!(b64);
        if !both {
            request.as_object_mut().unwrap().remove("filename");
        }
        refused(&peer.ask(&request, b"body").unwrap(), id, "bad_name");
    }
    for target in ["", "a\0b", &"x".repeat(4096)] {
        id += 1;
        let link = json!({"cmd": "symlink", "id": id, "filename": "x", "target": target});
        refused(&peer.ask(&link, b"").unwrap(), id, "bad_name");
    }
    assert_eq!(fs::read_dir(server.root()).unwrap().count(), 1, "only .haul is there");
    // A name that is not UTF-8 is a name.
    let mut request = put(id + 1, "x", b"");
    request.as_object_mut().unwrap().remove("filename");
    request["filename_b64"] = json!("/w==");
    assert_eq!(peer.ask(&request, b"").unwrap()["ack"], id + 1);
}

/// Trap `peer_name_aborts_server`: whatever a peer calls a file, the server lives.
#[test]
fn peer_name_aborts_server() {
    let server = server();
    for name in ["/", "//", "/../", "\u{0}", "\u{feff}", "%n%s", "-rf", "\u{1b}[2J", "a\nb", "💥"]
    {
        let mut peer = server.peer();
        let answer = peer.ask(&put(1, name, b"x"), b"x").unwrap();
        assert!(answer["ack"] == 1 || answer["code"] == "bad_name", "{answer}");
    }
    assert!(!server.log_text().contains("panicked"), "{}", server.log_text());
    assert!(!server.log_text().contains("\u{1b}[2J"), "a name garbles the log");
}

#[test]
fn unknown_commands_are_refused_and_their_bodies_skipped() {
    let server = server();
    let mut peer = server.peer();
    let request = json!({"cmd": "teleport", "id": 1, "length": 4, "new field": [1]});
    refused(&peer.ask(&request, b"body").unwrap(), 1, "unknown_command");
    assert_eq!(peer.ask(&json!({"cmd": "ping", "id": 2, "extra": {}}), b"").unwrap()["answer"], 2);
}

#[test]
fn ids_that_repeat_go_back_or_skip_end_the_connection() {
    let server = server();
    for id in [0, 1, 3, 9_007_199_254_740_991_u64] {
        ends(&server, &frame(&json!({"cmd": "ping", "id": id}), b""), "bad_id");
    }
}

#[test]
fn window_exceeded_ends_the_connection() {
    let server = server_with(&["--window-requests", "4"]);
    let (mut peer, answer) = Peer::hello_as(server.address(), "c", 0).unwrap();
    assert_eq!(answer["limits"]["window_requests"], 4);
    let pings: Vec<u8> = (1..=5)
        .flat_map(|id| frame(&json!({"cmd": "mkdir", "id": id, "filename": format!("d{id}")}), b""))
        .collect();
    peer.stream.write_all(&pings).unwrap();
    // What was within it is done, told in one ack or in several.
    let mut ack = 0;
    while ack < 4 {
        ack = peer.receive().unwrap().0["ack"].as_u64().unwrap();
    }
    refused(&peer.receive().unwrap().0, 0, "window");
    assert!(!server.root().join("d5").exists());
    // Within it, everything goes.
    let mut peer = Peer::hello_as(server.address(), "d", 0).unwrap().0;
    for id in 1..=20 {
        assert_eq!(peer.ask(&json!({"cmd": "ping", "id": id}), b"").unwrap()["answer"], id);
    }
}

#[test]
fn body_that_does_not_match_is_refused_alone() {
    let server = server();
    fs::write(server.root().join("a"), "old").unwrap();
    for len in [10, 2 << 20] {
        let body = vec![b'x'; len];
        let mut wrong = put(2, "a", &body);
        wrong["blake3"] = json!("0".repeat(64));
        let mut peer = server.peer();
        let all = [
            frame(&put(1, "b", b"1"), b"1"),
            frame(&wrong, &body),
            frame(&put(3, "c", b"3"), b"3"),
        ];
        peer.stream.write_all(&all.concat()).unwrap();
        let mut answers = Vec::new();
        while !answers.last().is_some_and(|answer: &Value| answer["ack"] == 3) {
            answers.push(peer.receive().unwrap().0);
        }
        let at = answers.iter().position(|answer| answer["refused"] == 2).unwrap();
        refused(&answers[at], 2, "digest_mismatch");
        assert_eq!(answers[at]["retry"], true);
        assert!(answers[..at].iter().all(|answer| answer["ack"].as_u64() < Some(2)), "{answers:?}");
        assert_eq!(fs::read(server.root().join("a")).unwrap(), b"old");
        assert_eq!(fs::read(server.root().join("c")).unwrap(), b"3");
    }
    assert!(server.staged().unwrap().is_empty());
}

#[test]
fn client_that_never_reads_is_ended_and_costs_nothing() {
    let server = server_with(&["--body-timeout", "1s"]);
    let mut peer = server.peer();
    let before = server.status("VmRSS").unwrap();
    // Long answers fill the socket, then the outbox; then the server reads no more. With changes in
    // between, some are pending when it stops.
    for index in 0..1000 {
        fs::write(server.root().join(format!("{index:0>250}")), "").unwrap();
    }
    let mut id = 0;
    loop {
        id += 1;
        let command = if id % 8 == 0 { "mkdir" } else { "list" };
        let mut request = json!({"cmd": command, "id": id});
        if command == "mkdir" {
            request["filename"] = json!(format!("d{id}"));
        }
        if peer.stream.write_all(&frame(&request, b"")).is_err() {
            break;
        }
        assert!(id < 1_000_000, "the server reads for ever");
    }
    let grown = server.status("VmRSS").unwrap().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    let mut next = server.peer();
    assert_eq!(next.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
}
