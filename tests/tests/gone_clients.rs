//! Requests that take long, of clients that wait and of clients that are gone, keep nobody else waiting.

use std::net::Shutdown;

use haul_tests::http::HttpPeer;
use haul_tests::peer::end_sending;
use haul_tests::prelude::*;

/// Bytes of a file whose comparison takes a minute or more.
const LONG: u64 = 64 << 30;

/// A server with a file of so many bytes, none of which are on the disk.
fn server_of(args: &[&str], size: u64) -> Hauld {
    let server = server_with(args);
    File::create(server.root().join("large")).unwrap().set_len(size).unwrap();
    server
}

/// A client that has asked for a comparison of the file, for which the server reads all of it.
fn comparing(server: &Hauld, size: u64) -> Peer {
    let mut peer = server.peer();
    let entry = json!({
        "kind": "file", "filename": "large", "filesize": size, "blake3": "0".repeat(64),
    });
    let line = format!("{entry}\n");
    let header = json!({"cmd": "check", "id": 1, "length": line.len(), "reread": true});
    peer.send(&header, line.as_bytes()).unwrap();
    peer
}

/// Pings of other clients that are answered, one after the other, until the first of so many comparisons is over.
fn pings_beside(server: &Hauld, comparisons: usize, size: u64) -> usize {
    let is_over = |peer: &mut Peer| {
        peer.stream.set_nonblocking(true).unwrap();
        let has_word = peer.stream.peek(&mut [0]).is_ok();
        peer.stream.set_nonblocking(false).unwrap();
        // On a busy machine the server repeats its last ack meanwhile.
        has_word && peer.receive().unwrap().0["answer"] == 1
    };
    let mut busy: Vec<_> = (0..comparisons).map(|_| comparing(server, size)).collect();
    let mut pings = 0;
    while !busy.iter_mut().any(is_over) {
        let mut other = server.peer();
        assert_eq!(other.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
        pings += 1;
    }
    pings
}

/// If each ping waited for a turn of each comparison, there would be as many beside sixteen as beside one. As it is, there are
/// many times as many.
#[test]
fn pings_wait_no_longer_for_many_comparisons_than_for_one() {
    const SIZE: u64 = 256 << 20;
    let server = server_of(&["--workers", "1"], SIZE);
    // Another program may take the processor during one of them.
    eventually("there are many more", || {
        let beside_one = pings_beside(&server, 1, SIZE);
        pings_beside(&server, 16, SIZE) > 3 * beside_one
    });
}

/// A client that waits is told every five seconds that the server still works. The one here has begun to wait first.
#[test]
fn requests_of_clients_that_are_gone_end_before_one_that_waits_is_told_to_go_on_waiting() {
    let server = server_of(&[], LONG);
    let before = server.sockets().unwrap();
    // On a machine that is busy for five seconds, once more.
    eventually("they have ended first", || {
        let waiting = comparing(&server, LONG);
        (0..8).for_each(|_| drop(comparing(&server, LONG)));
        eventually("they have ended", || server.sockets().unwrap() <= before + 1);
        let is_first = !waiting.has_word().unwrap();
        drop(waiting);
        eventually("it has ended", || server.sockets().unwrap() <= before);
        is_first
    });
}

#[test]
fn client_that_has_ended_its_sending_side_is_told_at_once_that_its_request_goes_on_and_then_the_answer()
 {
    const SIZE: u64 = 128 << 20;
    let server = server_of(&[], SIZE);
    // The end may come after the comparison is over.
    eventually("it is told", || {
        let mut peer = comparing(&server, SIZE);
        end_sending(&peer.stream).unwrap();
        let mut acks = 0;
        let (answer, letters) = loop {
            match peer.receive().unwrap() {
                (word, _) if word["ack"] == 0 => acks += 1,
                answer => break answer,
            }
        };
        assert_eq!((&answer["answer"], letters.len()), (&json!(1), 1), "{answer}");
        assert_eq!(peer.stream.read(&mut [0]).unwrap(), 0);
        acks > 0
    });
}

/// A space before the first entry, while the names are sorted.
#[test]
fn list_for_a_client_of_http_that_has_ended_its_sending_side_begins_with_a_word_and_is_whole() {
    let server = server();
    let mut count = 0;
    eventually("it is told", || {
        for _ in 0..20_000 {
            File::create(server.root().join(count.to_string())).unwrap();
            count += 1;
        }
        let mut peer = HttpPeer::connect(server.address());
        peer.ask("GET /?json", "", b"");
        peer.stream().shutdown(Shutdown::Write).unwrap();
        let reply = peer.receive();
        assert_eq!(reply.status, 200);
        let list: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(list["entries"].as_array().unwrap().len(), count);
        reply.body.starts_with(b"{\"entries\":[ ")
    });
}
