//! Large files in parts: everything that a client can get wrong, and what the server makes of it.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::fs;
use std::io::Write;

use haul_protocol::Geometry;
use haul_tests::hauld::Hauld;
use haul_tests::peer::{Peer, frame};
use haul_tests::{binaries, eventually};
use serde_json::{Value, json};

const PART: usize = 1 << 20;

/// A file of two whole parts and a bit.
struct Large {
    bytes: Vec<u8>,
    cvs: Vec<String>,
    digest: String,
}

impl Large {
    fn new() -> Self {
        let bytes: Vec<u8> = (0..=250).cycle().take(2 * PART + 5).collect();
        let geometry = Geometry::new(bytes.len() as u64, PART as u64).unwrap();
        let cvs = bytes.chunks(PART).enumerate().map(|(index, part)| {
            let mut hasher = geometry.hasher(index).unwrap();
            assert!(hasher.update(part));
            hasher.finish().unwrap().to_string()
        });
        let (cvs, digest) = (cvs.collect(), blake3::hash(&bytes).to_string());
        Self { bytes, cvs, digest }
    }

    fn part(&self, index: usize) -> &[u8] {
        self.bytes.chunks(PART).nth(index).unwrap()
    }
}

/// A connection with an upload opened, and the next id.
struct Upload {
    peer: Peer,
    token: String,
    id: u64,
}

impl Upload {
    fn open(server: &Hauld, large: &Large) -> Self {
        let mut peer = Peer::hello(server.address()).unwrap();
        let answer = peer
            .ask(
                &json!({
                    "cmd": "open", "id": 1, "filename": "dir/large", "mode": 0o640,
                    "filesize": large.bytes.len(), "mtime": {"s": -5, "ns": 999_999_999},
                    "fingerprint": "f",
                }),
                b"",
            )
            .unwrap();
        assert_eq!(
            (&answer["answer"], &answer["part_size"]),
            (&json!(1), &json!(PART)),
            "{answer}"
        );
        let token = answer["upload"].as_str().unwrap().to_owned();
        assert_eq!(token.len(), 32);
        Self { peer, token, id: 1 }
    }

    fn part(&mut self, offset: u64, cv: &str, body: &[u8]) -> Value {
        self.id += 1;
        let header = json!({
            "cmd": "part", "id": self.id, "length": body.len(), "upload": self.token,
            "offset": offset, "cv": cv,
        });
        self.peer.ask(&header, body).unwrap()
    }

    fn good(&mut self, large: &Large, index: usize) {
        let offset = (index * PART) as u64;
        let answer = self.part(offset, &large.cvs[index], large.part(index));
        assert_eq!(answer["ack"], self.id, "{answer}");
    }

    fn commit(&mut self, digest: &str) -> Value {
        self.id += 1;
        let header =
            json!({"cmd": "commit", "id": self.id, "upload": self.token, "blake3": digest});
        self.peer.ask(&header, b"").unwrap()
    }
}

fn server() -> Hauld {
    Hauld::start(&binaries::get().hauld, &[]).unwrap()
}

#[test]
fn parts_in_any_order_make_the_file() {
    use std::os::unix::fs::MetadataExt;
    let (server, large) = (server(), Large::new());
    let mut upload = Upload::open(&server, &large);
    for index in [2, 0, 1] {
        upload.good(&large, index);
        assert!(!server.root().join("dir/large").exists(), "nothing shows before the commit");
    }
    let answer = upload.commit(&large.digest);
    assert_eq!(answer["answer"], upload.id, "{answer}");
    let path = server.root().join("dir/large");
    assert_eq!(fs::read(&path).unwrap(), large.bytes);
    let metadata = fs::metadata(path).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-5, 999_999_999));
    assert_eq!(upload.commit(&large.digest)["code"], "unknown_upload");
}

#[test]
fn parts_unaligned_overlapping_or_of_wrong_length_are_refused() {
    let (server, large) = (server(), Large::new());
    let mut upload = Upload::open(&server, &large);
    for (offset, len) in [
        (1, PART),
        (0, PART - 1),
        (0, PART + 1),
        (PART / 2, PART),
        (2 * PART, 6),
        (3 * PART, 1),
        (0, 0),
    ] {
        let answer = upload.part(offset as u64, &large.cvs[0], &vec![1; len]);
        assert_eq!(answer["code"], "bad_part", "{offset}+{len}: {answer}");
    }
    let answer = upload.part((1 << 53) - 1, &large.cvs[0], b"x");
    assert_eq!(answer["code"], "bad_part", "{answer}");
}

#[test]
fn part_doubled_is_skipped_and_another_in_its_place_refused() {
    let (server, large) = (server(), Large::new());
    let mut upload = Upload::open(&server, &large);
    upload.good(&large, 0);
    // The same chaining value: acknowledged, and its bytes are not even looked at.
    let answer = upload.part(0, &large.cvs[0], &vec![9; PART]);
    assert_eq!(answer["ack"], upload.id, "{answer}");
    let answer = upload.part(0, &large.cvs[1], &vec![9; PART]);
    assert_eq!(answer["code"], "bad_part", "{answer}");
    upload.good(&large, 1);
    upload.good(&large, 2);
    upload.commit(&large.digest);
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

#[test]
fn part_with_wrong_cv_is_refused_and_can_be_sent_again() {
    let (server, large) = (server(), Large::new());
    let mut upload = Upload::open(&server, &large);
    let answer = upload.part(0, &large.cvs[0], &vec![9; PART]);
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("digest_mismatch"), &json!(true)));
    for index in 0..3 {
        upload.good(&large, index);
    }
    upload.commit(&large.digest);
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

#[test]
fn commit_with_missing_parts_or_a_wrong_digest_publishes_nothing() {
    let (server, large) = (server(), Large::new());
    fs::create_dir(server.root().join("dir")).unwrap();
    fs::write(server.root().join("dir/large"), "old").unwrap();
    let mut upload = Upload::open(&server, &large);
    upload.good(&large, 0);
    upload.good(&large, 2);
    let answer = upload.commit(&large.digest);
    assert_eq!(answer["code"], "incomplete", "{answer}");
    upload.good(&large, 1);
    let answer = upload.commit(&"0".repeat(64));
    assert_eq!(answer["code"], "digest_mismatch", "{answer}");
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), b"old");
    upload.commit(&large.digest);
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

/// Trap `late_writer_after_commit`: a stalled connection wakes up when the file is published, and
/// writes nothing into it.
#[test]
fn late_writer_after_commit() {
    let (server, large) = (server(), Large::new());
    let mut upload = Upload::open(&server, &large);
    let mut late = Peer::hello_as(server.address(), "late", 1).unwrap().0;
    let header = json!({
        "cmd": "part", "id": 1, "length": PART, "upload": upload.token, "offset": 0,
        "cv": large.cvs[0],
    });
    let bytes = frame(&header, &vec![b'!'; PART]);
    late.stream.write_all(&bytes[..bytes.len() / 2]).unwrap();
    eventually("the late writer has begun", || {
        let staged = server.staged().unwrap();
        let path = server.root().join(".haul/staged").join(&staged[0]);
        fs::metadata(path).unwrap().len() > 0
    });
    for index in 0..3 {
        upload.good(&large, index);
    }
    upload.commit(&large.digest);
    late.stream.write_all(&bytes[bytes.len() / 2..]).unwrap();
    let answer = late.receive().unwrap().0;
    assert_eq!(answer["refused"], 1, "{answer}");
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

#[test]
fn tokens_that_nobody_was_given_are_unknown() {
    let (server, large) = (server(), Large::new());
    let mut upload = Upload::open(&server, &large);
    upload.token = String::from("00000000000000000000000000000000");
    assert_eq!(upload.part(0, &large.cvs[0], large.part(0))["code"], "unknown_upload");
    assert_eq!(upload.commit(&large.digest)["code"], "unknown_upload");
}

#[test]
fn file_of_one_part_is_not_opened() {
    let server = server();
    let mut peer = Peer::hello(server.address()).unwrap();
    for (id, size) in (1..).zip([0, 1, PART]) {
        let open =
            json!({"cmd": "open", "id": id, "filename": "x", "filesize": size, "fingerprint": "f"});
        assert_eq!(peer.ask(&open, b"").unwrap()["code"], "bad_request", "{size}");
    }
}

/// Trap `partials_fill_the_disk`: what a client leaves unfinished goes when the client does; and an
/// abort discards at once.
#[test]
fn partials_fill_the_disk() {
    let (server, large) = (server(), Large::new());
    let mut upload = Upload::open(&server, &large);
    upload.good(&large, 0);
    assert_eq!(server.staged().unwrap().len(), 1);
    drop(upload);
    eventually("the partial goes with its client", || server.staged().unwrap().is_empty());
    let mut upload = Upload::open(&server, &large);
    let abort = json!({"cmd": "abort", "id": 2, "upload": upload.token});
    assert_eq!(upload.peer.ask(&abort, b"").unwrap()["answer"], 2);
    assert!(server.staged().unwrap().is_empty());
}

#[test]
fn check_tells_what_is_missing_or_differs_and_list_pages() {
    let server = server();
    fs::create_dir(server.root().join("d")).unwrap();
    for index in 0..1500 {
        fs::write(server.root().join(format!("d/{index:04}")), "x").unwrap();
    }
    let mut peer = Peer::hello(server.address()).unwrap();
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
    assert_eq!((names.len(), id), (1500, 2));
    assert!(names.is_sorted());

    let entries = [
        json!({"kind": "file", "filename": "d/0000", "filesize": 1}),
        json!({"kind": "file", "filename": "d/0001", "filesize": 2}),
        json!({"kind": "directory", "filename": "d"}),
        json!({"kind": "file", "filename": "gone/x", "filesize": 1}),
        json!({"kind": "file", "filename": "d/0002", "filesize": 1, "mtime": {"s": 1, "ns": 2}}),
        json!({"kind": "link", "filename": "d/0003", "target": "x"}),
    ];
    let body: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
    id += 1;
    let check = json!({"cmd": "check", "id": id, "length": body.len()});
    peer.send(&check, body.as_bytes()).unwrap();
    let (answer, differing) = peer.receive().unwrap();
    assert_eq!(answer["answer"], id);
    assert_eq!(differing, [0b11_1010]);
    id += 1;
    let check = json!({"cmd": "check", "id": id, "length": 7});
    assert_eq!(peer.ask(&check, b"garbage").unwrap()["code"], "bad_request");
}
