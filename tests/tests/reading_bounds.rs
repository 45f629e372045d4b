//! Files that are read cost the server bounded memory and time, whatever the peer does.

use haul_tests::bytes::counted;
use haul_tests::prelude::*;

use crate::reading::{get, send_fetch, whole};

const PART: u64 = 8 << 20;

/// Sparse, with very many parts.
fn sparse(server: &Hauld) {
    File::create(server.root().join("sparse")).unwrap().set_len(PART * 1000).unwrap();
}

/// A peer that has asked for a thousand parts, and reads none.
fn greedy(server: &Hauld) -> Peer {
    let mut peer = server.peer();
    let requests: Vec<u8> =
        (0..1000).flat_map(|at| frame(&get(at + 1, "sparse", PART, at * PART), b"")).collect();
    peer.stream.write_all(&requests).unwrap();
    peer
}

/// Waits until no more bytes come for any of these peers, while another one is served by the single worker.
fn settle(peers: &[Peer], other: &mut Peer, ids: &mut impl Iterator<Item = u64>) {
    let (mut before, mut same) = (0, 0);
    while same < 20 {
        for _ in 0..2 {
            let id = ids.next().unwrap();
            let answer = other.ask(&json!({"cmd": "ping", "id": id}), b"").unwrap();
            assert_eq!(answer["answer"], id, "{answer}");
        }
        let waiting = |peer: &Peer| rustix::io::ioctl_fionread(&peer.stream).unwrap_or(0);
        let now: u64 = peers.iter().map(waiting).sum();
        same = if now == before && now > 0 { same + 1 } else { 0 };
        before = now;
    }
}

#[test]
fn peer_that_asks_for_a_thousand_parts_and_reads_none_holds_one() {
    let server = server_with(&["--durability", "none", "--workers", "1"]);
    sparse(&server);
    fs::write(server.root().join("small"), "12345").unwrap();
    let (mut other, mut ids) = (server.peer(), 1..);
    let peers = [greedy(&server)];
    settle(&peers, &mut other, &mut ids);
    // A part while it is read, its copy among the answers, and what the server has without any peer.
    let most = server.status("VmHWM").unwrap();
    assert!(most < 48 * 1024, "{most} kB");
    assert_eq!(whole(&mut other, ids.next().unwrap(), "small").1, b"12345");
    // All of them come once the peer reads.
    let [mut peer] = peers;
    for id in 1..=40 {
        let (answer, body) = peer.receive().unwrap();
        assert_eq!((&answer["answer"], body.len()), (&json!(id), 8 << 20), "{answer}");
    }
    let most = server.status("VmHWM").unwrap();
    assert!(most < 64 * 1024, "{most} kB");
}

/// Trap `newest_pays_for_scarcity`.
#[test]
fn many_peers_that_read_no_parts_make_room_for_an_honest_one() {
    let server = server_with(&["--durability", "none", "--workers", "1"]);
    sparse(&server);
    let bytes = counted(5 << 20);
    fs::write(server.root().join("file"), &bytes).unwrap();
    let (mut other, mut ids) = (server.peer(), 1..);
    let mut peers = Vec::new();
    for _ in 0..30 {
        peers.push(greedy(&server));
        settle(&peers[peers.len() - 1..], &mut other, &mut ids);
    }
    let (answer, body) = whole(&mut server.peer(), 1, "file");
    assert!(body == bytes, "{answer}");
    // All connections may hold 128 MiB, and the allocator has its share.
    let most = server.status("VmHWM").unwrap();
    assert!(most < 300 * 1024, "{most} kB");
}

/// Trap `answer_to_peer_that_never_reads`.
#[test]
fn peer_that_never_reads_its_part_is_sent_away() {
    let server = server_with(&["--durability", "none", "--body-timeout", "1s"]);
    sparse(&server);
    let before = server.sockets().unwrap();
    let peer = greedy(&server);
    eventually("the server has closed the connection", || server.sockets().unwrap() == before);
    let mut other = server.peer();
    fs::write(server.root().join("small"), "12345").unwrap();
    assert_eq!(whole(&mut other, 1, "small").1, b"12345");
    drop(peer);
}

/// A fetch of files that take many turns.
#[test]
fn peer_that_fetches_without_end_keeps_nobody_waiting() {
    let server = server_with(&["--durability", "none", "--workers", "1"]);
    fs::write(server.root().join("file"), counted(1000)).unwrap();
    let (mut other, mut ids) = (server.peer(), 1..);
    let mut peers = [server.peer()];
    // So few bytes that the system takes them all, whatever the server reads.
    for id in 1..=100 {
        send_fetch(&mut peers[0], id, &["file"; 256]);
    }
    settle(&peers, &mut other, &mut ids);
    let most = server.status("VmHWM").unwrap();
    assert!(most < 48 * 1024, "{most} kB");
    for id in 1..=100 {
        let (answer, body) = peers[0].receive().unwrap();
        assert_eq!((&answer["answer"], answer["more"].as_bool()), (&json!(id), Some(true)));
        assert!(body.len() <= 262_144);
    }
}
