//! Large files that go on where they stopped: what the server holds is not sent again, and the digest
//! is still that of the whole file.

use haul_tests::bytes::counted;
use haul_tests::fake::{Fake, PART_SIZE, opened, refusal};
use haul_tests::prelude::*;

/// Parts of the file that tests send; the last one is short.
const PARTS: u64 = 6;

const SIZE: u64 = (PARTS - 1) * PART_SIZE + 5;

struct Upload {
    fake: Fake,
    haul: Child,
    _source: TempDir,
    digest: String,
}

impl Upload {
    /// Starts a client with one connection and one large file.
    fn start() -> Self {
        let (fake, source) = (Fake::start().unwrap(), TempDir::new().unwrap());
        let bytes = counted(usize::try_from(SIZE).unwrap());
        fs::write(source.path().join("large"), &bytes).unwrap();
        let haul = put(&source, &fake, &["--json"]);
        Self { fake, haul, _source: source, digest: blake3::hash(&bytes).to_string() }
    }

    fn end(self) -> (Output, Value) {
        let output = ended(self.haul);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        (output, summary)
    }
}

fn put(source: &TempDir, fake: &Fake, args: &[&str]) -> Child {
    haul_command()
        .current_dir(source.path())
        .args(["put", "large", &fake.address().unwrap(), "--connections", "1"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads a request that must be of this kind.
#[track_caller]
fn expect(peer: &mut Peer, cmd: &str) -> Value {
    let (header, _) = peer.receive().unwrap();
    assert_eq!(header["cmd"], cmd, "{header}");
    header
}

/// Reads parts and acknowledges them; returns which they were.
fn parts(peer: &mut Peer, count: u64) -> Vec<u64> {
    let mut parts: Vec<u64> = (0..count)
        .map(|_| {
            let part = expect(peer, "part");
            peer.send(&json!({"ack": part["id"]}), b"").unwrap();
            part["offset"].as_u64().unwrap() / PART_SIZE
        })
        .collect();
    parts.sort_unstable();
    parts
}

fn done(peer: &mut Peer, request: &Value) {
    peer.send(&json!({"answer": request["id"]}), b"").unwrap();
}

/// All parts are held, so the client asks whether they are those of the file itself; they are not.
fn is_missing(peer: &mut Peer) {
    let check = expect(peer, "check");
    peer.send(&json!({"answer": check["id"], "length": 1}), b"+").unwrap();
}

#[test]
fn parts_that_are_held_are_not_sent_and_count_for_the_digest() {
    for held in [&[0, 2, 5][..], &[1], &[0, 1, 2, 3, 4, 5], &[]] {
        let upload = Upload::start();
        let (mut peer, _) = upload.fake.greet().unwrap();
        let open = expect(&mut peer, "open");
        opened(&mut peer, &open["id"], PART_SIZE, held).unwrap();
        if held.len() as u64 == PARTS {
            is_missing(&mut peer);
        }
        let missing: Vec<u64> = (0..PARTS).filter(|part| !held.contains(part)).collect();
        assert_eq!(parts(&mut peer, missing.len() as u64), missing);
        let commit = expect(&mut peer, "commit");
        assert_eq!(commit["blake3"], upload.digest);
        done(&mut peer, &commit);
        let (output, summary) = upload.end();
        assert_eq!(output.status.code(), Some(0));
        let size = |part: &u64| if *part == PARTS - 1 { 5 } else { PART_SIZE };
        assert_eq!(summary["bytes_sent"], missing.iter().map(size).sum::<u64>());
        assert_eq!(summary["bytes_resumed"], held.iter().map(size).sum::<u64>());
        assert_eq!(summary["bytes_total"], SIZE);
        assert_eq!(summary["durability"], "group");
    }
}

#[test]
fn summary_says_what_was_resumed() {
    let (fake, source) = (Fake::start().unwrap(), TempDir::new().unwrap());
    fs::write(source.path().join("large"), vec![0; 1 << 21]).unwrap();
    let haul = put(&source, &fake, &[]);
    let (mut peer, _) = fake.greet().unwrap();
    let open = expect(&mut peer, "open");
    opened(&mut peer, &open["id"], PART_SIZE, &[0]).unwrap();
    parts(&mut peer, 1);
    let commit = expect(&mut peer, "commit");
    done(&mut peer, &commit);
    let output = ended(haul);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("1 file, 2 MiB in ") && text.contains(", 1 MiB resumed"), "{text}");
}

/// Trap `resume_rehashes_everything`: what is missing goes out first, however much there is to hash.
/// Hashing the terabyte of holes that is held would take minutes.
#[test]
fn resume_rehashes_everything() {
    let (fake, source) = (Fake::start().unwrap(), TempDir::new().unwrap());
    let (part_size, parts) = (8 << 20, 131_000);
    let file = fs::File::create(source.path().join("large")).unwrap();
    file.set_len(part_size * parts).unwrap();
    let mut haul = put(&source, &fake, &[]);
    let (mut peer, _) = fake.greet().unwrap();
    let open = expect(&mut peer, "open");
    assert_eq!(open["filesize"], part_size * parts);
    let mut held = vec![0xff; usize::try_from(parts / 8).unwrap()];
    *held.last_mut().unwrap() = 0x7f;
    let answer = json!({
        "answer": open["id"], "upload": haul_tests::fake::TOKEN, "part_size": part_size,
        "length": held.len(),
    });
    peer.send(&answer, &held).unwrap();
    let part = expect(&mut peer, "part");
    assert_eq!(part["offset"], part_size * (parts - 1));
    haul.kill().unwrap();
    haul.wait().unwrap();
}

/// A server that was started again doesn't know its tokens: the file is opened again, and what the
/// server still holds is neither sent nor hashed again, nor counted as found there.
#[test]
fn upload_that_is_unknown_is_opened_again() {
    let upload = Upload::start();
    let (mut peer, _) = upload.fake.greet().unwrap();
    // More often than a file may fail: there is progress in between.
    for round in 0..5 {
        let open = expect(&mut peer, "open");
        opened(&mut peer, &open["id"], PART_SIZE, &(0..round).collect::<Vec<_>>()).unwrap();
        let sent = PARTS - round;
        let requests: Vec<Value> = (0..sent).map(|_| expect(&mut peer, "part")).collect();
        peer.send(&json!({"ack": requests[0]["id"]}), b"").unwrap();
        for request in &requests[1..] {
            peer.send(&refusal(&request["id"], "unknown_upload", true), b"").unwrap();
        }
    }
    let open = expect(&mut peer, "open");
    opened(&mut peer, &open["id"], PART_SIZE, &[0, 1, 2, 3, 4]).unwrap();
    parts(&mut peer, 1);
    let commit = expect(&mut peer, "commit");
    assert_eq!(commit["blake3"], upload.digest);
    done(&mut peer, &commit);
    let (output, summary) = upload.end();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((&summary["bytes_resumed"], &summary["files"]), (&json!(0), &json!(1)));
}

/// A server that is started again and again between `open` and `commit` is no fault of the file.
#[test]
fn upload_that_is_unknown_after_each_restart_is_opened_again() {
    let upload = Upload::start();
    let (mut peer, _) = upload.fake.greet().unwrap();
    // More often than a file may be refused.
    for _ in 0..5 {
        let open = expect(&mut peer, "open");
        opened(&mut peer, &open["id"], PART_SIZE, &[0, 1, 2, 3, 4, 5]).unwrap();
        is_missing(&mut peer);
        expect(&mut peer, "commit");
        drop(peer);
        (peer, _) = upload.fake.greet().unwrap();
        let commit = expect(&mut peer, "commit");
        peer.send(&refusal(&commit["id"], "unknown_upload", true), b"").unwrap();
    }
    let open = expect(&mut peer, "open");
    opened(&mut peer, &open["id"], PART_SIZE, &[0, 1, 2, 3, 4, 5]).unwrap();
    is_missing(&mut peer);
    let commit = expect(&mut peer, "commit");
    done(&mut peer, &commit);
    let (output, _) = upload.end();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn upload_that_is_unknown_again_and_again_fails() {
    let upload = Upload::start();
    let (mut peer, _) = upload.fake.greet().unwrap();
    for _ in 0..4 {
        let open = expect(&mut peer, "open");
        opened(&mut peer, &open["id"], PART_SIZE, &[0, 1, 2, 3, 4]).unwrap();
        let part = expect(&mut peer, "part");
        peer.send(&refusal(&part["id"], "unknown_upload", true), b"").unwrap();
    }
    let (output, summary) = upload.end();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(summary["failed"], 1);
}

/// A server may choose parts that are as long as the file, and the client can't know that before.
#[test]
fn file_that_would_be_one_part_is_sent_in_one_request() {
    let upload = Upload::start();
    let (mut peer, _) = upload.fake.greet().unwrap();
    let open = expect(&mut peer, "open");
    peer.send(&refusal(&open["id"], "bad_request", false), b"").unwrap();
    let put = expect(&mut peer, "put");
    assert_eq!((&put["blake3"], &put["filename"]), (&json!(upload.digest), &open["filename"]));
    peer.send(&json!({"ack": put["id"]}), b"").unwrap();
    let (output, summary) = upload.end();
    assert_eq!((output.status.code(), &summary["files"]), (Some(0), &1.into()), "{summary}");
}

#[test]
fn upload_that_a_newer_run_has_taken_over_is_left_to_it() {
    let upload = Upload::start();
    let (mut peer, _) = upload.fake.greet().unwrap();
    let open = expect(&mut peer, "open");
    opened(&mut peer, &open["id"], PART_SIZE, &[]).unwrap();
    // Only parts come, and no abort, which would be the other one's end too.
    let mut count = 0;
    while let Ok((part, _)) = peer.receive() {
        assert_eq!(part["cmd"], "part", "{part}");
        peer.send(&refusal(&part["id"], "taken_over", false), b"").unwrap();
        count += 1;
    }
    assert!(count > 0);
    let (output, _) = upload.end();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("a newer run sends this file"), "{said}");
}

/// What the server holds is not this file after all: it is discarded, and only then opened again.
#[test]
fn upload_of_a_wrong_digest_is_discarded_and_starts_over() {
    let upload = Upload::start();
    let (mut peer, _) = upload.fake.greet().unwrap();
    let open = expect(&mut peer, "open");
    opened(&mut peer, &open["id"], PART_SIZE, &[0, 1, 2, 3, 4]).unwrap();
    parts(&mut peer, 1);
    let commit = expect(&mut peer, "commit");
    peer.send(&refusal(&commit["id"], "digest_mismatch", true), b"").unwrap();
    let abort = expect(&mut peer, "abort");
    done(&mut peer, &abort);
    let open = expect(&mut peer, "open");
    opened(&mut peer, &open["id"], PART_SIZE, &[]).unwrap();
    parts(&mut peer, PARTS);
    let commit = expect(&mut peer, "commit");
    assert_eq!(commit["blake3"], upload.digest);
    done(&mut peer, &commit);
    let (output, summary) = upload.end();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(summary["bytes_resumed"], 0);
}

#[test]
fn commit_without_an_answer_is_sent_again() {
    let upload = Upload::start();
    let (mut peer, _) = upload.fake.greet().unwrap();
    let open = expect(&mut peer, "open");
    opened(&mut peer, &open["id"], PART_SIZE, &[1, 2, 3, 4, 5]).unwrap();
    parts(&mut peer, 1);
    let commit = expect(&mut peer, "commit");
    drop(peer);
    let (mut peer, _) = upload.fake.greet().unwrap();
    let again = expect(&mut peer, "commit");
    assert_eq!((&again["upload"], &again["blake3"]), (&commit["upload"], &commit["blake3"]));
    done(&mut peer, &again);
    let (output, summary) = upload.end();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(summary["files"], 1);
}
