//! Large files in parts: everything that a client can get wrong, and what the server makes of it.

use haul_protocol::Geometry;
use haul_tests::prelude::*;

#[test]
fn parts_in_any_order_make_the_file() {
    use std::os::unix::fs::MetadataExt;
    let (server, large) = (server(), Large::new(0));
    let mut upload = Upload::open(&server, &large).unwrap();
    for index in [2, 0, 1] {
        upload.good(&large, index).unwrap();
        assert!(!server.root().join("dir/large").exists(), "nothing shows before the commit");
    }
    let answer = upload.commit(&large.digest).unwrap();
    assert_eq!(answer["answer"], upload.id, "{answer}");
    let path = server.root().join("dir/large");
    assert_eq!(fs::read(&path).unwrap(), large.bytes);
    let metadata = fs::metadata(path).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-5, 999_999_999));
    // The answer may have been lost: asking again does no harm, and another digest is not agreed to.
    let answer = upload.commit(&large.digest).unwrap();
    assert_eq!(answer["answer"], upload.id, "{answer}");
    assert_eq!(upload.commit(&"0".repeat(64)).unwrap()["code"], "digest_mismatch");
}

#[test]
fn parts_unaligned_overlapping_or_of_wrong_length_are_refused() {
    let (server, large) = (server(), Large::new(0));
    let mut upload = Upload::open(&server, &large).unwrap();
    for (offset, len) in [
        (1, PART),
        (0, PART - 1),
        (0, PART + 1),
        (PART / 2, PART),
        (2 * PART, 6),
        (3 * PART, 1),
        (0, 0),
    ] {
        let answer = upload.part(offset as u64, &large.cvs[0], &vec![1; len]).unwrap();
        assert_eq!(answer["code"], "bad_part", "{offset}+{len}: {answer}");
    }
    let answer = upload.part((1 << 53) - 1, &large.cvs[0], b"x").unwrap();
    assert_eq!(answer["code"], "bad_part", "{answer}");
}

#[test]
fn part_doubled_is_skipped_and_another_in_its_place_refused() {
    let (server, large) = (server(), Large::new(0));
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.good(&large, 0).unwrap();
    // The same chaining value: acknowledged, and its bytes are not even looked at.
    let answer = upload.part(0, &large.cvs[0], &vec![9; PART]).unwrap();
    assert_eq!(answer["ack"], upload.id, "{answer}");
    let answer = upload.part(0, &large.cvs[1], &vec![9; PART]).unwrap();
    assert_eq!(answer["code"], "bad_part", "{answer}");
    upload.good(&large, 1).unwrap();
    upload.good(&large, 2).unwrap();
    upload.commit(&large.digest).unwrap();
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

#[test]
fn part_with_wrong_cv_is_refused_and_can_be_sent_again() {
    let (server, large) = (server(), Large::new(0));
    let mut upload = Upload::open(&server, &large).unwrap();
    let answer = upload.part(0, &large.cvs[0], &vec![9; PART]).unwrap();
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("digest_mismatch"), &json!(true)));
    for index in 0..3 {
        upload.good(&large, index).unwrap();
    }
    upload.commit(&large.digest).unwrap();
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

#[test]
fn commit_with_missing_parts_or_a_wrong_digest_publishes_nothing() {
    let (server, large) = (server(), Large::new(0));
    fs::create_dir(server.root().join("dir")).unwrap();
    fs::write(server.root().join("dir/large"), "old").unwrap();
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.good(&large, 0).unwrap();
    upload.good(&large, 2).unwrap();
    let answer = upload.commit(&large.digest).unwrap();
    assert_eq!(answer["code"], "incomplete", "{answer}");
    upload.good(&large, 1).unwrap();
    let answer = upload.commit(&"0".repeat(64)).unwrap();
    assert_eq!(answer["code"], "digest_mismatch", "{answer}");
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), b"old");
    upload.commit(&large.digest).unwrap();
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

/// Trap `late_writer_after_commit`: a stalled connection wakes up when the file is published, and
/// writes nothing into it.
#[test]
fn late_writer_after_commit() {
    let (server, large) = (server(), Large::new(0));
    let mut upload = Upload::open(&server, &large).unwrap();
    let mut late = Peer::hello_as(server.address(), "late", 1).unwrap().0;
    let header = json!({
        "cmd": "part", "id": 1, "length": PART, "upload": upload.token, "offset": 0,
        "cv": large.cvs[0],
    });
    let bytes = frame(&header, &vec![b'!'; PART]);
    late.stream.write_all(&bytes[..bytes.len() / 2]).unwrap();
    eventually("the late writer has begun", || {
        let partials = server.partials().unwrap();
        let path = server.root().join(".haul/partials").join(&partials[0]);
        fs::metadata(path).unwrap().len() > 0
    });
    for index in 0..3 {
        upload.good(&large, index).unwrap();
    }
    upload.commit(&large.digest).unwrap();
    late.stream.write_all(&bytes[bytes.len() / 2..]).unwrap();
    let answer = late.receive().unwrap().0;
    assert_eq!(answer["refused"], 1, "{answer}");
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

/// However it is cut on its way; and what has come is written also if nothing follows.
#[test]
fn part_in_pieces_is_the_same() {
    let (server, large) = (server(), Large::new(0));
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.id += 1;
    let header = json!({
        "cmd": "part", "id": upload.id, "length": PART, "upload": upload.token, "offset": 0,
        "cv": large.cvs[0],
    });
    let bytes = frame(&header, large.part(0));
    let before = bytes.len() - PART;
    let partials = server.partials().unwrap();
    let path = server.root().join(".haul/partials").join(&partials[0]);
    let mut sent = 0;
    for piece in [1, 70, 16_384, 50_000, 3, 261_967, 1, 262_144, 400_001] {
        let end = (sent + piece).min(bytes.len());
        upload.peer.stream.write_all(&bytes[sent..end]).unwrap();
        sent = end;
        let body = sent.saturating_sub(before) as u64;
        eventually("what was sent is written", || fs::metadata(&path).unwrap().len() == body);
    }
    upload.peer.stream.write_all(&bytes[sent..]).unwrap();
    assert_eq!(upload.peer.receive().unwrap().0["ack"], upload.id);
    for index in 1..3 {
        upload.good(&large, index).unwrap();
    }
    upload.commit(&large.digest).unwrap();
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

#[test]
fn tokens_that_nobody_was_given_are_unknown() {
    let (server, large) = (server(), Large::new(0));
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.token = String::from("00000000000000000000000000000000");
    assert_eq!(upload.part(0, &large.cvs[0], large.part(0)).unwrap()["code"], "unknown_upload");
    assert_eq!(upload.commit(&large.digest).unwrap()["code"], "unknown_upload");
}

#[test]
fn file_of_one_part_is_not_opened() {
    let server = server();
    let mut peer = server.peer();
    for (id, size) in (1..).zip([0, 1, PART]) {
        let open =
            json!({"cmd": "open", "id": id, "filename": "x", "filesize": size, "fingerprint": "f"});
        assert_eq!(peer.ask(&open, b"").unwrap()["code"], "bad_request", "{size}");
    }
}

#[test]
fn abort_discards_at_once() {
    let (server, large) = (server(), Large::new(0));
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.good(&large, 0).unwrap();
    assert_eq!(server.partials().unwrap().len(), 1);
    upload.id += 1;
    let abort = json!({"cmd": "abort", "id": upload.id, "upload": upload.token});
    assert_eq!(upload.peer.ask(&abort, b"").unwrap()["answer"], upload.id);
    assert_eq!(fs::read_dir(server.root().join(".haul/partials")).unwrap().count(), 0);
}

#[test]
fn check_tells_what_is_missing_or_differs_and_list_pages() {
    let server = server();
    fs::create_dir(server.root().join("d")).unwrap();
    for index in 0..10_500 {
        fs::write(server.root().join(format!("d/{index:05}")), "x").unwrap();
    }
    let mut peer = server.peer();
    let (mut names, mut after, mut id) = (Vec::new(), None, 0);
    loop {
        id += 1;
        let mut list = json!({"cmd": "list", "id": id, "filename": "d"});
        if let Some(after) = &after {
            list["after"] = json!(after);
        }
        peer.send(&list, b"").unwrap();
        let (answer, body) = peer.receive().unwrap();
        for line in String::from_utf8(body).unwrap().lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&entry["kind"], &entry["filesize"]), (&json!("file"), &json!(1)));
            names.push(entry["filename"].as_str().unwrap().to_owned());
        }
        if answer["more"] == false {
            break;
        }
        after = names.last().cloned();
    }
    assert_eq!((names.len(), id), (10_500, 2));
    assert!(names.is_sorted());

    let entries = [
        json!({"kind": "file", "filename": "d/00000", "filesize": 1}),
        json!({"kind": "file", "filename": "d/00001", "filesize": 2}),
        json!({"kind": "directory", "filename": "d"}),
        json!({"kind": "file", "filename": "gone/x", "filesize": 1}),
        json!({"kind": "file", "filename": "d/00002", "filesize": 1, "mtime": {"s": 1, "ns": 2}}),
        json!({"kind": "link", "filename": "d/00003", "target": "x"}),
    ];
    let body: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
    id += 1;
    let check = json!({"cmd": "check", "id": id, "length": body.len()});
    peer.send(&check, body.as_bytes()).unwrap();
    let (answer, letters) = peer.receive().unwrap();
    assert_eq!(answer["answer"], id);
    assert_eq!(String::from_utf8(letters).unwrap(), "=s=+tk");
    id += 1;
    let check = json!({"cmd": "check", "id": id, "length": 7});
    assert_eq!(peer.ask(&check, b"garbage").unwrap()["code"], "bad_request");
}

/// Two files on the disk for a week would cost a peer less than 300 bytes.
#[test]
fn upload_of_which_next_to_nothing_has_come_goes_with_its_client() {
    let server = server();
    let tail = [7];
    for keeps in [false, true] {
        let size = if keeps { PART + (64 << 10) } else { PART + 1 };
        let mut peer = server.peer();
        let open = json!({
            "cmd": "open", "id": 1, "filename": "large", "filesize": size, "fingerprint": "f",
        });
        let answer = peer.ask(&open, b"").unwrap();
        let body = if keeps { vec![7; 64 << 10] } else { tail.to_vec() };
        let geometry = Geometry::new(size as u64, PART as u64).unwrap();
        let mut hasher = geometry.hasher(1).unwrap();
        assert!(hasher.update(&body));
        let cv = hasher.finish().unwrap();
        let part = json!({
            "cmd": "part", "id": 2, "upload": answer["upload"], "offset": PART,
            "length": body.len(), "cv": cv.to_string(),
        });
        let answer = peer.ask(&part, &body).unwrap();
        assert!(answer["code"].is_null(), "{answer}");
        drop(peer);
        eventually("the server has noticed", || server.log_text().contains("is interrupted"));
        eventually("it is kept, or gone", || server.partials().unwrap().is_empty() != keeps);
    }
}

/// A client that has found the bytes of a file to differ must not find them held.
#[test]
fn open_that_replaces_a_file_holds_no_part_that_an_earlier_open_found_there() {
    let (server, large) = (server(), Large::new(1));
    let mut upload = Upload::open(&server, &large).unwrap();
    // The server knows a file later only if the file has changed after the tick of the clock in which it was made.
    let now = || {
        fs::write(server.root().join("clock"), b"x").unwrap();
        fs::metadata(server.root().join("clock")).unwrap().modified().unwrap()
    };
    let made = now();
    eventually("the clock of the file system ticks", || now() > made);
    for index in [0, 1, 2] {
        upload.good(&large, index).unwrap();
    }
    assert!(upload.commit(&large.digest).unwrap()["answer"].is_u64());
    let mut plain = Upload::open(&server, &large).unwrap();
    assert_eq!(plain.held, [0, 1, 2], "it stands there");
    let open = json!({
        "cmd": "open", "id": 2, "filename": "dir/large", "filesize": large.bytes.len(),
        "fingerprint": large.fingerprint, "replace": true,
    });
    plain.peer.send(&open, b"").unwrap();
    let (answer, bitmap) = plain.peer.receive().unwrap();
    assert_eq!((&answer["answer"], &bitmap[..]), (&json!(2), &[][..]), "{answer}");
    plain.id = 2;
    let refused = plain.commit(&large.digest).unwrap();
    assert_eq!(refused["code"], "taken_over", "{refused}");
}
