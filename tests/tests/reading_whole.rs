//! Parts of a file of which the server knows the digest, for a peer that needs no chaining values: they are sent from the file.

use haul_tests::bytes::counted;
use haul_tests::prelude::*;
use rustix::fs::XattrFlags;

use crate::reading::{get, whole};

const PART: u64 = 8 << 20;

/// The request for a part, without a chaining value if the server can.
fn ask(id: u64, name: &str, part_size: u64, offset: u64) -> Value {
    let mut request = get(id, name, part_size, offset);
    request["whole"] = json!(true);
    request
}

/// Makes a file with this digest in its attribute, as if it had come so.
pub(crate) fn keep(path: &Path, digest: [u8; 32]) {
    let mtime = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    set_mtime(path, mtime);
    let found = path.metadata().unwrap();
    let value = [
        &[1][..],
        &found.len().to_be_bytes()[1..],
        &1_500_000_000_u64.to_be_bytes(),
        &[0; 4],
        &found.ino().to_be_bytes(),
        &digest,
    ];
    let value = value.concat();
    rustix::fs::setxattr(path, "user.haul.blake3", &value, XattrFlags::empty()).unwrap();
}

/// A server without durability that has the sparse file `sparse`, of a thousand parts.
fn sparse(words: &[&str]) -> Hauld {
    let server = server_with(&[&["--durability", "none"], words].concat());
    let path = server.root().join("sparse");
    File::create(&path).unwrap().set_len(PART * 1000).unwrap();
    keep(&path, [7; 32]);
    server
}

#[test]
fn answer_has_the_digest_and_no_chaining_value_only_if_the_client_asks_so_and_the_server_knows() {
    let server = server_with(&["--durability", "none"]);
    let bytes = counted(2_500_000);
    for name in ["known", "unknown"] {
        fs::write(server.root().join(name), &bytes).unwrap();
    }
    let digest = blake3::hash(&bytes);
    keep(&server.root().join("known"), *digest.as_bytes());
    let mut peer = server.peer();
    let (mut found, mut id) = (Vec::new(), 0);
    for offset in [0, 1 << 20, 2 << 20] {
        let mut answers = Vec::new();
        for request in [
            ask(id + 1, "known", 1 << 20, offset),
            get(id + 2, "known", 1 << 20, offset),
            ask(id + 3, "unknown", 1 << 20, offset),
        ] {
            peer.send(&request, b"").unwrap();
            answers.push(peer.receive().unwrap());
        }
        id += 3;
        let has = |at: usize| ["cv", "blake3"].map(|field| answers[at].0[field].is_string());
        assert_eq!([has(0), has(1), has(2)], [[false, true], [true, true], [true, false]]);
        assert_eq!(answers[0].0["blake3"], digest.to_string());
        for field in ["state", "filesize", "mode", "mtime"] {
            assert_eq!(answers[0].0[field], answers[1].0[field], "{field}");
        }
        assert!(answers.iter().all(|(_, body)| *body == answers[0].1));
        found.extend(std::mem::take(&mut answers[0].1));
    }
    assert!(found == bytes);
    // A file of one part has no chaining value in any case, and its bytes are read.
    let (answer, body) = whole(&mut peer, id + 1, "known");
    assert_eq!(answer["blake3"], blake3::hash(&body).to_string());
    peer.send(&ask(id + 2, "known", 4 << 20, 0), b"").unwrap();
    let (answer, body) = peer.receive().unwrap();
    assert!(answer["cv"].is_null() && body == bytes, "{answer}");
    // The state counts as ever.
    let mut request = ask(id + 3, "known", 1 << 20, 0);
    request["state"] = json!("0".repeat(32));
    refused(&peer.ask(&request, b"").unwrap(), id + 3, "changed");
}

#[test]
fn answers_around_one_that_is_sent_from_its_file_keep_their_order() {
    let server = sparse(&["--workers", "1"]);
    let mut peer = server.peer();
    let requests = [
        json!({"cmd": "list", "id": 1}),
        ask(2, "sparse", PART, 0),
        put(3, "new", b"12345"),
        ask(4, "sparse", PART, PART),
        json!({"cmd": "ping", "id": 5}),
        get(6, "sparse", 1024, 0),
    ];
    let frames: Vec<u8> = requests
        .iter()
        .flat_map(|request| frame(request, if request["id"] == 3 { b"12345" } else { b"" }))
        .collect();
    peer.stream.write_all(&frames).unwrap();
    for id in 1..=5 {
        let (answer, body) = peer.receive().unwrap();
        let expected = if id == 3 { json!({"ack": 3}) } else { json!({"answer": id}) };
        let field = if id == 3 { "ack" } else { "answer" };
        assert_eq!(answer[field], expected[field], "{answer}");
        if id % 2 == 0 {
            assert!(body.len() == 8 << 20 && body.iter().all(|byte| *byte == 0), "{answer}");
            assert_eq!(answer["blake3"], "07".repeat(32));
        }
    }
    refused(&peer.receive().unwrap().0, 6, "bad_request");
}

/// A peer that has asked for a thousand parts, and reads none.
fn greedy(server: &Hauld) -> Peer {
    let mut peer = server.peer();
    let requests: Vec<u8> =
        (0..1000).flat_map(|at| frame(&ask(at + 1, "sparse", PART, at * PART), b"")).collect();
    peer.stream.write_all(&requests).unwrap();
    peer
}

#[test]
fn peers_that_read_nothing_hold_neither_memory_nor_the_worker() {
    let server = sparse(&["--workers", "1"]);
    fs::write(server.root().join("small"), "12345").unwrap();
    let mut peers: Vec<Peer> = (0..20).map(|_| greedy(&server)).collect();
    let mut other = server.peer();
    for id in 1..=50 {
        assert_eq!(whole(&mut other, id, "small").1, b"12345");
    }
    let most = server.status("VmHWM").unwrap();
    assert!(most < 32 * 1024, "{most} kB");
    // All come once a peer reads.
    for id in 1..=20 {
        let (answer, body) = peers[7].receive().unwrap();
        assert_eq!((&answer["answer"], body.len()), (&json!(id), 8 << 20), "{answer}");
    }
}

#[test]
fn peer_that_never_reads_the_bytes_of_a_file_is_sent_away() {
    let server = sparse(&["--body-timeout", "1s"]);
    let before = server.sockets().unwrap();
    let peer = greedy(&server);
    eventually("the server has closed the connection", || server.sockets().unwrap() == before);
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().flatten();
    let path = server.root().join("sparse");
    assert!(open.filter_map(|entry| fs::read_link(entry.path()).ok()).all(|open| open != path));
    drop(peer);
}

/// The answer says how many bytes come, and they can't come.
#[test]
fn file_that_becomes_shorter_while_it_is_sent_ends_the_connection_within_the_answer() {
    let server = sparse(&[]);
    let mut peer = server.peer();
    peer.send(&ask(1, "sparse", PART, 0), b"").unwrap();
    // The answer has begun, and the rest of the part waits for the peer.
    let mut first = [0; 1024];
    peer.stream.read_exact(&mut first).unwrap();
    let path = server.root().join("sparse");
    File::options().write(true).open(&path).unwrap().set_len(1_000_000).unwrap();
    let mut rest = Vec::new();
    let ended = peer.stream.read_to_end(&mut rest);
    assert!(rest.len() < 8 << 20, "{ended:?} {}", rest.len());
    eventually("the log tells it", || server.log_text().contains("could not send the rest"));
    // The next request is told what has happened.
    let mut request = ask(1, "sparse", PART, 0);
    request["state"] = json!("0".repeat(32));
    refused(&server.peer().ask(&request, b"").unwrap(), 1, "changed");
}
