//! Places for open files: peers that do nothing keep none, whatever they have asked for.

use haul_tests::prelude::*;

/// Sparse, and so large that it is not read to its end here.
const SIZE: u64 = 1 << 40;

/// Names in the directory that fills a socket with answers, of 200 bytes each.
const NAMES: u64 = 30;

/// How often the server has the file `f` open.
fn reading(server: &Hauld) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().flatten();
    let places = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    places.filter(|place| *place == server.root().join("f")).count()
}

/// Bytes that wait in the sockets of a connection for its peer to read them.
fn unread(server: &Hauld, peer: &Peer) -> u64 {
    let port = |address: &str| {
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        format!(":{port:04X}")
    };
    let (here, there) =
        (port(server.address()), port(&peer.stream.local_addr().unwrap().to_string()));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let queue = table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_it = words[1].ends_with(&here) && words[2].ends_with(&there);
        is_it.then(|| u64::from_str_radix(words[4].split(':').next().unwrap(), 16).unwrap())
    });
    queue.unwrap() + rustix::io::ioctl_fionread(&peer.stream).unwrap()
}

/// A peer that has a file read for a `check`, and leaves so many answers unread before that no more of them go into its
/// socket.
fn stalled(server: &Hauld) -> Peer {
    let before = reading(server);
    let mut peer = server.peer();
    rustix::net::sockopt::set_socket_recv_buffer_size(&peer.stream, 4096).unwrap();
    let mut other = server.peer();
    let (mut ids, mut asked, mut before_these, mut full) = (1.., 0, 0, 0);
    // Bytes on their way may be counted twice, so the socket counts as full when it has twice taken few of the answers. Then
    // some wait in the server.
    while full < 2 {
        let lists = ids.by_ref().take(2);
        let lists: Vec<u8> = lists
            .flat_map(|id| frame(&json!({"cmd": "list", "id": id, "filename": "long"}), b""))
            .collect();
        peer.stream.write_all(&lists).unwrap();
        // The single worker answers these after those.
        for _ in 0..2 {
            asked += 1;
            let answer = other.ask(&json!({"cmd": "ping", "id": asked}), b"").unwrap();
            assert_eq!(answer["answer"], asked, "{answer}");
        }
        let now = unread(server, &peer);
        full = if now < before_these + 2 * NAMES * 100 { full + 1 } else { 0 };
        before_these = now;
    }
    let id = ids.next();
    let line = json!({"kind": "file", "filename": "f", "filesize": SIZE, "blake3": "0".repeat(64)});
    let line = line.to_string();
    let check = json!({"cmd": "check", "id": id, "length": line.len()});
    peer.send(&check, line.as_bytes()).unwrap();
    // If so many answers wait in the server that it reads nothing, it goes on when a few of them are taken.
    let mut piece = [0; 1024];
    peer.stream.set_nonblocking(true).unwrap();
    eventually("the file is read", || {
        reading(server) > before || {
            let _ = peer.stream.read(&mut piece);
            false
        }
    });
    peer
}

/// A file that does not come whole in one read has a place; whether there was one.
fn is_stored(server: &Hauld) -> bool {
    let body = vec![7; 300_000];
    let answer = server.peer().ask(&put(1, "new", &body), &body).unwrap();
    assert!(answer["ack"] == 1 || answer["code"] == "busy", "{answer}");
    answer["ack"] == 1
}

#[test]
fn peers_that_read_no_answers_while_a_file_is_read_for_them_make_room_for_another() {
    // So few open files that there are only some places.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 56; exec \"$HAULD\" \"$@\"", "sh"]);
    command.env("HAULD", &binaries::get().hauld);
    let words = ["--workers", "1", "--durability", "none", "--body-timeout", "1h"];
    let server = Hauld::start_in(TempDir::new().unwrap(), command, &words).unwrap();
    fs::File::create(server.root().join("f")).unwrap().set_len(SIZE).unwrap();
    fs::create_dir(server.root().join("long")).unwrap();
    for number in 0..NAMES {
        fs::write(server.root().join(format!("long/{number:0200}")), "").unwrap();
    }
    let mut peers = Vec::new();
    while is_stored(&server) {
        peers.push(stalled(&server));
        assert!(peers.len() < 20, "there is no end of places");
    }
    eventually("there is room", || is_stored(&server));
    drop(peers);
}
