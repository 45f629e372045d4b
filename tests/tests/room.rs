//! Memory and places that peers take without need: whoever holds most for longest makes room, not whoever comes next.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use haul_tests::prelude::*;

/// Kilobytes that the server may have in memory: what all connections may hold, and the allocator's share.
const MOST: u64 = 300 * 1024;

/// A server that waits for peers however long a busy machine makes them: who leaves makes room, and is not late.
fn patient() -> Hauld {
    server_with(&["--durability", "none", "--header-timeout", "1h", "--body-timeout", "1h"])
}

/// Connects peers that each send `bytes` after their hello, and then an honest one, until one of the first has been told to
/// leave. The honest ones send a header in two pieces each time, and are always served.
fn fill(server: &Hauld, bytes: &[u8], most: usize) -> (Vec<Peer>, Value) {
    let mut peers = Vec::new();
    loop {
        let mut peer = server.peer();
        peer.stream.write_all(bytes).unwrap();
        peers.push(peer);
        if peers.len() % 16 == 0 {
            let mut honest = server.peer();
            let name = format!("honest{}", peers.len());
            let frame = frame(&put(1, &name, b"x"), b"x");
            let (one, other) = frame.split_at(40);
            honest.stream.write_all(one).unwrap();
            // Answered when all that came before it has been read.
            let mut third = server.peer();
            third.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap();
            honest.stream.write_all(other).unwrap();
            assert_eq!(honest.receive().unwrap().0["ack"], 1);
            for peer in &mut peers {
                peer.stream.set_nonblocking(true).unwrap();
                let has_word = peer.stream.peek(&mut [0]).is_ok();
                peer.stream.set_nonblocking(false).unwrap();
                if has_word {
                    let word = peer.receive().unwrap().0;
                    return (peers, word);
                }
            }
        }
        assert!(peers.len() < most, "nobody makes room");
    }
}

/// Trap `newest_pays_for_scarcity`.
#[test]
fn newest_pays_for_scarcity_never_but_who_holds_an_unfinished_header_for_longest() {
    let server = patient();
    let mut bytes = 65_536_i32.to_le_bytes().to_vec();
    bytes.resize(4 + 65_530, b'{');
    let (peers, word) = fill(&server, &bytes, 4000);
    assert_eq!((&word["refused"], &word["code"]), (&json!(0), &json!("busy")), "{word}");
    assert!(peers.len() > 1800, "only {} fit", peers.len());
    assert!(server.status("VmHWM").unwrap() < MOST, "kB");
}

#[test]
fn half_bundles_of_many_make_room_for_an_honest_client() {
    let server = patient();
    let header = json!({
        "cmd": "bundle", "id": 1, "length": 260_000, "count": 1, "blake3": "0".repeat(64),
    });
    let (peers, word) = fill(&server, &[frame(&header, &[1; 250_000])].concat(), 1200);
    assert_eq!((&word["refused"], &word["code"]), (&json!(0), &json!("busy")), "{word}");
    assert!(peers.len() > 400, "only {} fit", peers.len());
    assert!(server.status("VmHWM").unwrap() < MOST, "kB");
}

/// What it has asked for is held for as long as the server reads files for it, and that is not the client's doing.
#[test]
fn client_for_which_the_server_reads_files_makes_no_room_for_peers_that_hold_unfinished_headers() {
    let server = patient();
    // Sparse, and so large that it is not read to its end here.
    let size = 1_u64 << 40;
    fs::File::create(server.root().join("f")).unwrap().set_len(size).unwrap();
    let line = json!({"kind": "file", "filename": "f", "filesize": size, "blake3": "0".repeat(64)});
    let body = format!("{line}\n").repeat(8192);
    let mut honest = server.peer();
    let check = json!({"cmd": "check", "id": 1, "length": body.len()});
    honest.send(&check, body.as_bytes()).unwrap();
    let mut bytes = 65_536_i32.to_le_bytes().to_vec();
    bytes.resize(4 + 65_530, b'{');
    let (_peers, word) = fill(&server, &bytes, 4000);
    assert_eq!((&word["refused"], &word["code"]), (&json!(0), &json!("busy")), "{word}");
    while honest.has_word().unwrap() {
        // A sign of life.
        assert_eq!(honest.receive().unwrap().0, json!({"ack": 0}));
    }
}

/// A classic user may sit at a prompt for ever, but not while nobody else can come in.
#[test]
fn classic_peer_that_asks_for_nothing_makes_room_when_connections_are_scarce() {
    let server = server_with(&["--max-connections", "8", "--header-timeout", "1s"]);
    let mut peers: Vec<_> = (0..8).map(|_| Peer::connect(server.address()).unwrap()).collect();
    for peer in &mut peers {
        peer.stream.write_all(&frame(&json!({"cmd": "nothing"}), b"")).unwrap();
    }
    let mut new = server.peer();
    assert_eq!(new.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
}

/// The same for a haul client that has said hello.
#[test]
fn haul_peer_that_asks_for_nothing_makes_room_when_connections_are_scarce() {
    let server = server_with(&["--max-connections", "8", "--header-timeout", "1s"]);
    let peers: Vec<_> = (0..8).map(|_| server.peer()).collect();
    let mut new = server.peer();
    assert_eq!(new.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
    drop(peers);
}

/// A peer may be gone before its connection is watched, and the end is told all the same.
#[test]
fn connections_whose_peers_are_gone_at_once_keep_no_room() {
    let place = tempfile::TempDir::new().unwrap();
    let path = place.path().join("s");
    let socket = format!("unix:{}", path.display());
    let words = ["--listen", "127.0.0.1:0", "--listen", &socket, "--max-connections", "10"];
    let mut server = server_with(&[&words[..], &["--grace", "1h"]].concat());
    for _ in 0..500 {
        drop(UnixStream::connect(&path).unwrap());
        drop(TcpStream::connect(server.address()).unwrap());
    }
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "f", b"x"), b"x").unwrap()["ack"], 1);
    drop(peer);
    server.signal(Signal::TERM).unwrap();
    eventually("it has ended long before its grace time", || server.ended().unwrap().is_some());
}

/// A body that comes byte by byte is no reason to keep others out: neither of a file, nor of one that was refused, whose
/// bytes are thrown away.
#[test]
fn peers_whose_bodies_come_byte_by_byte_make_room_when_connections_are_scarce() {
    for name in ["file", "../refused"] {
        let server = server_with(&["--max-connections", "4", "--header-timeout", "1s"]);
        let mut peers: Vec<_> = (0..4).map(|_| Peer::connect(server.address()).unwrap()).collect();
        for peer in &mut peers {
            let put = json!({"cmd": "put", "filename": name, "filesize": 1 << 30});
            peer.stream.write_all(&frame(&put, b"x")).unwrap();
        }
        let mut new = Peer::connect(server.address()).unwrap();
        let hello = json!({
            "cmd": "hello", "version": 1, "agent": "test/1", "client": "new", "slot": 0,
        });
        new.send(&hello, b"").unwrap();
        new.stream.set_nonblocking(true).unwrap();
        eventually("a new client is served", || {
            // Those that have been ended take no more.
            peers.iter_mut().for_each(|peer| drop(peer.stream.write(b"x")));
            new.stream.peek(&mut [0]).is_ok()
        });
    }
}

fn open(peer: &mut Peer, id: u64, name: &str, size: u64) -> Value {
    let open = json!({
        "cmd": "open", "id": id, "filename": name, "filesize": size, "fingerprint": "f",
    });
    peer.ask(&open, b"").unwrap()
}

#[test]
fn one_client_leaves_uploads_for_others_and_no_empty_partial_behind() {
    let server = server();
    let mut greedy = server.peer();
    let codes: Vec<_> = (1..=400)
        .map(|id| open(&mut greedy, id, &format!("o{id}"), (1 << 20) + 1)["code"].clone())
        .collect();
    assert!(codes[..64].iter().all(Value::is_null), "{codes:?}");
    assert!(codes[64..].iter().all(|code| code == "busy"), "{codes:?}");
    let mut other = server.peer();
    assert!(open(&mut other, 1, "other", 2 << 20)["code"].is_null());
    // What is held stays, the rest goes with its client.
    let large = Large::new(0);
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.good(&large, 1).unwrap();
    drop((greedy, other, upload));
    eventually("the empty partials are gone", || server.partials().unwrap().len() == 1);
    // Until the server has noticed that its client is gone, the file is busy.
    eventually("the upload goes on", || {
        Upload::open(&server, &large).is_ok_and(|upload| upload.held == [1])
    });
}

/// Sixty-four each, by clients of other names: those of which nothing comes make room.
#[test]
fn uploads_of_which_nothing_comes_make_room_for_another() {
    let server = server();
    let mut greedy: Vec<_> = (0..4).map(|_| server.peer()).collect();
    for (client, peer) in greedy.iter_mut().enumerate() {
        for id in 1..=64 {
            let answer = open(peer, id, &format!("o{client}-{id}"), (1 << 20) + 1);
            assert!(answer["code"].is_null(), "{answer}");
        }
    }
    let mut other = server.peer();
    let mut id = 0;
    eventually("there is room", || {
        id += 1;
        open(&mut other, id, "other", 2 << 20)["code"].is_null()
    });
}

/// Opening the same files again and again is no sign of life: a client that has fewer takes one of them.
#[test]
fn uploads_that_are_opened_again_and_again_make_room_for_a_client_that_has_none() {
    let server = server();
    let mut greedy: Vec<_> = (0..4).map(|_| server.peer()).collect();
    for round in 0..2 {
        for (client, peer) in greedy.iter_mut().enumerate() {
            for number in 1..=64 {
                let name = format!("o{client}-{number}");
                let answer = open(peer, 64 * round + number, &name, (1 << 20) + 1);
                assert!(answer["code"].is_null(), "{answer}");
            }
        }
    }
    let mut other = server.peer();
    for id in 1..=32 {
        let answer = open(&mut other, id, &format!("other{id}"), 2 << 20);
        assert!(answer["code"].is_null(), "{answer}");
    }
}

/// Each client has one upload, of which nothing has come, and has just opened it: whether they have all uploads that there
/// may be or all parts, a client that has none takes one of them.
#[test]
fn uploads_of_which_nothing_has_come_make_room_at_once_for_a_client_that_has_none() {
    for (clients, size) in [(256, 2 << 20), (128, 4 << 30)] {
        let server = server();
        let mut peers: Vec<_> = (0..clients).map(|_| server.peer()).collect();
        for (client, peer) in peers.iter_mut().enumerate() {
            let answer = open(peer, 1, &format!("o{client}"), size);
            assert!(answer["code"].is_null(), "{answer}");
        }
        for size in [2 << 20, size] {
            let mut other = server.peer();
            let answer = open(&mut other, 1, &format!("other {size}"), size);
            assert!(answer["code"].is_null(), "{clients} clients, {size} bytes: {answer}");
        }
    }
}

/// Directories with millions of entries are listed a little in each turn.
#[test]
fn list_of_a_large_directory_is_whole_though_it_takes_many_turns() {
    let server = server();
    let large = server.root().join("large");
    fs::create_dir(&large).unwrap();
    let mut names: Vec<_> = (0..25_000).map(|number| format!("large/{number:x}")).collect();
    for name in &names {
        fs::File::create(server.root().join(name)).unwrap();
    }
    names.sort_unstable();
    let mut peer = server.peer();
    let (mut found, mut id) = (Vec::<String>::new(), 0);
    loop {
        id += 1;
        let mut list = json!({"cmd": "list", "id": id, "filename": "large"});
        if let Some(last) = found.last() {
            list["after"] = last.as_str().into();
        }
        peer.send(&list, b"").unwrap();
        let (answer, body) = peer.receive().unwrap();
        assert_eq!(answer["answer"], id, "{answer}");
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: Value = serde_json::from_slice(line).unwrap();
            found.push(entry["filename"].as_str().unwrap().to_owned());
        }
        if answer["more"] != true {
            break;
        }
    }
    assert_eq!(found, names);
}
