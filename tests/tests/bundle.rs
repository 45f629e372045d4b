//! Small files in one frame: each is a file of its own, and all of them are right or none is there.

use haul_tests::bundles::{body, header};
use haul_tests::fake::{Fake, hello_answer, refusal};
use haul_tests::prelude::*;

/// Reads what becomes of the requests up to an id, all of them changes: a code for each that is refused.
fn outcome(peer: &mut Peer, last: u64) -> Vec<(u64, String)> {
    let mut refused = Vec::new();
    loop {
        let (answer, _) = peer.receive().unwrap();
        if let Some(id) = answer["refused"].as_u64() {
            assert_eq!(answer["retry"], answer["code"] == "digest_mismatch", "{answer}");
            refused.push((id, answer["code"].as_str().unwrap().to_owned()));
        }
        let acked = answer["ack"].as_u64();
        if acked == Some(last) || refused.last().is_some_and(|(id, _)| *id == last) {
            return refused;
        }
    }
}

fn all(ids: std::ops::RangeInclusive<u64>, code: &str) -> Vec<(u64, String)> {
    ids.map(|id| (id, code.to_owned())).collect()
}

#[test]
fn every_file_of_a_bundle_arrives_as_if_it_were_put_alone() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        fs::write(server.root().join("a"), "before").unwrap();
        let mut peer = server.peer();
        let body = body(&[("a", b"hello"), ("new/deep/b", b""), ("new/c", &[7; 9000])]);
        peer.send(&header(1, 3, &body), &body).unwrap();
        assert_eq!(outcome(&mut peer, 3), []);
        let root = server.root();
        assert_eq!(fs::read(root.join("a")).unwrap(), b"hello");
        assert_eq!(fs::read(root.join("new/deep/b")).unwrap(), b"");
        assert_eq!(fs::read(root.join("new/c")).unwrap(), [7; 9000]);
        for name in ["a", "new/deep/b", "new/c"] {
            let metadata = root.join(name).metadata().unwrap();
            let attributes = (metadata.mode() & 0o7777, metadata.mtime(), metadata.mtime_nsec());
            assert_eq!(attributes, (0o640, 1_700_000_000, 5), "{name}");
        }
        // The next request has the id behind that of the last file.
        peer.send(&put(4, "d", b"x"), b"x").unwrap();
        assert_eq!(outcome(&mut peer, 4), []);
        assert_eq!(fs::read(root.join("d")).unwrap(), b"x");
    }
}

/// In whatever pieces it comes, and also if it is longer than what waits for its end in one turn.
#[test]
fn pieces_make_no_difference() {
    let server = server_with(&["--durability", "none"]);
    let mut peer = server.peer();
    let large = vec![3; 200_000];
    let mut wire = Vec::new();
    let mut id = 1;
    for round in 0..4 {
        let names = ["mkdir", "small", "large"].map(|name| format!("{round}/{name}"));
        let mkdir = json!({"cmd": "mkdir", "id": id, "filename": format!("{round}")});
        wire.extend(frame(&mkdir, b""));
        let body = body(&[(&names[0], b"one"), (&names[1], &[5; 3000]), (&names[2], &large)]);
        wire.extend(frame(&header(id + 1, 3, &body), &body));
        id += 4;
    }
    let (first, rest) = wire.split_at(5000);
    for byte in first {
        peer.stream.write_all(&[*byte]).unwrap();
    }
    for piece in rest.chunks(70_001) {
        peer.stream.write_all(piece).unwrap();
    }
    assert_eq!(outcome(&mut peer, id - 1), []);
    for round in 0..4 {
        let directory = server.root().join(round.to_string());
        assert_eq!(fs::read(directory.join("mkdir")).unwrap(), b"one");
        assert_eq!(fs::read(directory.join("small")).unwrap(), [5; 3000]);
        assert!(fs::read(directory.join("large")).unwrap() == large);
    }
}

#[test]
fn nothing_of_a_bundle_is_stored_that_is_not_all_right() {
    let server = server();
    fs::write(server.root().join("a"), "before").unwrap();
    let mut peer = server.peer();
    let good = body(&[("a", b"hello"), ("b", b"world")]);

    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let with = |line: Value| [&body(&[("a", b"hello")]), format!("{line}\n").as_bytes()].concat();
    let cases = [
        // More files, fewer, a file that is cut, bytes behind the last one, nothing at all.
        (3, good.clone()),
        (1, good.clone()),
        (2, good[..good.len() - 1].to_vec()),
        (2, [&good[..], b"x"].concat()),
        (2, Vec::new()),
        (2, with(json!({"kind": "directory", "filename": "d"}))),
        (2, with(json!({"kind": "file", "filename": "../e", "filesize": 0}))),
        (2, with(json!({"kind": "file", "filename": ".haul/x", "filesize": 0}))),
        (2, with(json!({"kind": "file", "filename": "b", "filesize": u64::MAX >> 11}))),
        // Longer than a bundle may be.
        (1, body(&[("a", &vec![1; 262_144])])),
    ];
    peer.send(&header(1, 2, &good), &flipped).unwrap();
    assert_eq!(outcome(&mut peer, 2), all(1..=2, "digest_mismatch"));
    let mut id = 3;
    for (count, body) in cases {
        let last = id + count as u64 - 1;
        peer.send(&header(id, count, &body), &body).unwrap();
        assert_eq!(outcome(&mut peer, last), all(id..=last, "bad_request"), "from {id} on");
        id = last + 1;
    }

    let there: Vec<_> =
        fs::read_dir(server.root()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(there.iter().filter(|name| *name != ".haul").count(), 1, "{there:?}");
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"before");
    // And the connection goes on.
    peer.send(&header(id, 2, &good), &good).unwrap();
    assert_eq!(outcome(&mut peer, id + 1), []);
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"hello");
}

/// The reason repeats what the peer has sent, once and not for each file.
#[test]
fn one_small_bundle_makes_no_large_answer() {
    let server = server();
    let mut peer = server.peer();
    let line = json!({"kind": "file", "filename": "a", "filesize": "x".repeat(20_000)});
    let body = format!("{line}\n").into_bytes();
    peer.send(&header(1, 256, &body), &body).unwrap();
    let refusals: Vec<Value> = (1..=256).map(|_| peer.receive().unwrap().0).collect();
    assert!(refusals.iter().all(|refusal| refusal["code"] == "bad_request"));
    assert_eq!(refusals[255]["refused"], 256);
    let told: usize = refusals.iter().map(|refusal| refusal.to_string().len()).sum();
    assert!(told < 64 * 1024, "{told} bytes");
}

#[test]
fn file_that_is_refused_takes_no_other_with_it() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability, "--max-file", "100"]);
        let (root, outside) = (server.root(), TempDir::new().unwrap());
        fs::create_dir(root.join("directory")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        let mut peer = server.peer();
        let mut body = body(&[
            ("first", b"1"),
            ("directory", b"in the way"),
            ("out/of/the/root", b"never"),
            ("large", &[0; 101]),
            ("last", b"2"),
        ]);
        // One with a digest of its own, which is not that of its bytes.
        let digest = blake3::hash(b"other").to_hex();
        let own =
            json!({"kind": "file", "filename": "own", "filesize": 1, "blake3": digest.as_str()});
        body.extend_from_slice(format!("{own}\nx").as_bytes());
        peer.send(&header(1, 6, &body), &body).unwrap();
        peer.send(&put(7, "end", b"x"), b"x").unwrap();
        let mut refused = outcome(&mut peer, 7);
        refused.sort();
        let codes = [(2, "conflict"), (3, "escape"), (4, "too_large"), (6, "digest_mismatch")];
        assert_eq!(refused, codes.map(|(id, code)| (id, code.to_owned())), "{durability}");
        assert_eq!(fs::read(root.join("first")).unwrap(), b"1");
        assert_eq!(fs::read(root.join("last")).unwrap(), b"2");
        assert!(!root.join("large").exists() && !root.join("own").exists());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
fn bundle_counts_for_the_window_with_each_of_its_files() {
    let server = server_with(&["--window-requests", "3"]);
    let mut peer = server.peer();
    let files: Vec<_> = ["a", "b", "c", "d"].map(|name| (name, &b"x"[..])).to_vec();
    let three = body(&files[..3]);
    peer.send(&header(1, 3, &three), &three).unwrap();
    assert_eq!(outcome(&mut peer, 3), []);
    let four = body(&files);
    let answer = peer.ask(&header(4, 4, &four), &four).unwrap();
    assert_eq!((&answer["refused"], &answer["code"]), (&json!(0), &json!("window")));
    assert!(!server.root().join("d").exists());
}

fn tree(directory: &Path) {
    fs::create_dir(directory).unwrap();
    for (name, size) in [("one", 1), ("two", 2000), ("edge", 32 * 1024), ("over", 32 * 1024 + 1)] {
        fs::write(directory.join(name), vec![9; size]).unwrap();
    }
}

fn greet(fake: &Fake, features: &[&str]) -> Peer {
    let mut peer = fake.accept().unwrap();
    peer.receive().unwrap();
    let mut hello = hello_answer();
    hello["features"] = json!(features);
    peer.send(&hello, b"").unwrap();
    peer
}

/// Reads requests up to the `setattr` in the end; acknowledges all of them but those that `refuse` has a code
/// for. Returns the commands, each with its `count`, and the connection, which ends when the client has.
fn serve(
    fake: &Fake,
    features: &[&str],
    mut refuse: impl FnMut(&Value) -> Option<&'static str>,
) -> (Vec<(String, u64)>, Peer) {
    let mut peer = greet(fake, features);
    let mut commands = Vec::new();
    loop {
        let (request, _) = peer.receive().unwrap();
        let (id, count) = (request["id"].as_u64().unwrap(), request["count"].as_u64().unwrap_or(1));
        let command = request["cmd"].as_str().unwrap().to_owned();
        for id in id..id + count {
            let answer = match refuse(&request) {
                Some(code) => refusal(&json!(id), code, true),
                None => json!({"ack": id}),
            };
            peer.send(&answer, b"").unwrap();
        }
        let is_last = command == "setattr";
        commands.push((command, count));
        if is_last {
            return (commands, peer);
        }
    }
}

/// `haul put` of a small tree over one connection, while a server does what it is told to. Returns the commands that
/// the server was given.
fn put_while(server: impl FnOnce(&Fake) -> (Vec<(String, u64)>, Peer)) -> Vec<(String, u64)> {
    let (fake, source) = (Fake::start().unwrap(), TempDir::new().unwrap());
    let root = source.path().join("tree");
    tree(&root);
    let mut command = haul();
    command.args(["put", "--quiet", "--connections", "1"]).arg(root).arg(fake.address().unwrap());
    std::thread::scope(|scope| {
        let client = scope.spawn(move || command.assert().success());
        let (commands, _open) = server(&fake);
        client.join().unwrap();
        commands
    })
}

fn alone(commands: &[(String, u64)]) -> usize {
    commands.iter().filter(|(command, _)| command == "put").count()
}

#[test]
fn client_bundles_what_is_small_where_the_server_takes_it() {
    for features in [&["publish", "bundle"][..], &[]] {
        let commands = put_while(|fake| serve(fake, features, |_| None));
        let bundled: u64 = commands.iter().filter(|(c, _)| c == "bundle").map(|(_, n)| n).sum();
        let expected = if features.is_empty() { (0, 4) } else { (3, 1) };
        assert_eq!((bundled, alone(&commands)), expected);
    }
}

#[test]
fn files_of_a_refused_bundle_are_sent_again_alone() {
    let commands = put_while(|fake| {
        serve(fake, &["bundle"], |request| {
            (request["cmd"] == "bundle").then_some("digest_mismatch")
        })
    });
    assert_eq!(alone(&commands), 4, "{commands:?}");
}

/// Where connections don't last for a bundle, each of them still brings something.
#[test]
fn files_of_a_lost_bundle_are_sent_again_alone() {
    let commands = put_while(|fake| {
        let mut lost = greet(fake, &["bundle"]);
        while lost.receive().unwrap().0["cmd"] != "bundle" {}
        drop(lost);
        serve(fake, &["bundle"], |_| None)
    });
    assert!(!commands.iter().any(|(command, _)| command == "bundle"), "{commands:?}");
    assert_eq!(alone(&commands), 4);
}
