//! Places for open files: peers that do nothing keep none, whatever they have asked for.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use haul_tests::http::HttpPeer;
use haul_tests::prelude::*;

use crate::reading::get;
use crate::reading_whole::keep;

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

/// A connection over a Unix socket: the system gives it no more room for bytes on their way than it has at first, as it does
/// with one of TCP.
fn connect(path: &Path) -> Peer {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut peer = Peer { stream: TcpStream::from(OwnedFd::from(stream)) };
    let client = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    peer.say_hello(&client, 0, None).unwrap();
    peer
}

/// A peer that pings: the single worker answers it when it has done what others have asked for before.
struct Pinging(Peer, u64);

impl Pinging {
    fn turn(&mut self) {
        for _ in 0..2 {
            self.1 += 1;
            let answer = self.0.ask(&json!({"cmd": "ping", "id": self.1}), b"").unwrap();
            assert_eq!(answer["answer"], self.1, "{answer}");
        }
    }
}

/// A peer that has a file read for a `check`, and leaves so many answers unread before that no more of them go into its
/// socket.
fn stalled(server: &Hauld, socket: &Path) -> Peer {
    let before = reading(server);
    let (mut peer, mut other) = (connect(socket), Pinging(server.peer(), 0));
    let mut ids = 1_u64..;
    let (mut queued, mut full) = (0, 0);
    // Until the answers of many rounds wait in the server itself.
    while full < 10 {
        let lists = ids.by_ref().take(2);
        let lists: Vec<u8> = lists
            .flat_map(|id| frame(&json!({"cmd": "list", "id": id, "filename": "long"}), b""))
            .collect();
        peer.stream.write_all(&lists).unwrap();
        other.turn();
        let now = rustix::io::ioctl_fionread(&peer.stream).unwrap();
        full = if now == queued { full + 1 } else { 0 };
        queued = now;
    }
    let id = ids.next();
    let line = json!({"kind": "file", "filename": "f", "filesize": SIZE, "blake3": "0".repeat(64)});
    let line = line.to_string();
    let check = json!({"cmd": "check", "id": id, "length": line.len()});
    peer.send(&check, line.as_bytes()).unwrap();
    other.turn();
    // If so many answers wait in the server that it reads no request, it goes on when a few of them are taken.
    let mut piece = [0; 1024];
    while reading(server) == before {
        peer.stream.read_exact(&mut piece).unwrap();
        other.turn();
    }
    peer
}

/// A file that does not come whole in one read has a place; whether there was one.
fn is_stored(server: &Hauld) -> bool {
    let body = vec![7; 300_000];
    let answer = server.peer().ask(&put(1, "new", &body), &body).unwrap();
    assert!(answer["ack"] == 1 || answer["code"] == "busy", "{answer}");
    answer["ack"] == 1
}

/// A peer that takes none of a part of a file, which the server sends from the file.
fn unread(server: &Hauld, socket: &Path) -> Peer {
    keep(&server.root().join("f"), [7; 32]);
    let before = reading(server);
    let mut peer = connect(socket);
    let mut part = get(1, "f", 8 << 20, 0);
    part["whole"] = json!(true);
    peer.send(&part, b"").unwrap();
    eventually("the file is open", || reading(server) > before);
    peer
}

#[test]
fn peers_that_read_no_answers_while_a_file_is_read_for_them_make_room_for_another() {
    room_is_made(stalled);
}

#[test]
fn peers_that_take_no_bytes_of_a_file_make_room_for_another() {
    room_is_made(unread);
}

fn room_is_made(stalled: fn(&Hauld, &Path) -> Peer) {
    // So few open files that there are only some places.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 56; exec \"$HAULD\" \"$@\"", "sh"]);
    command.env("HAULD", &binaries::get().hauld);
    let place = TempDir::new().unwrap();
    let socket = place.path().join("socket");
    let unix = format!("unix:{}", socket.display());
    let words = ["--workers", "1", "--durability", "none", "--body-timeout", "1h"];
    let words = [&words[..], &["--listen", "127.0.0.1:0", "--listen", &unix]].concat();
    let server = Hauld::start_in(TempDir::new().unwrap(), command, &words).unwrap();
    fs::File::create(server.root().join("f")).unwrap().set_len(SIZE).unwrap();
    fs::create_dir(server.root().join("long")).unwrap();
    for number in 0..NAMES {
        fs::write(server.root().join(format!("long/{number:0200}")), "").unwrap();
    }
    let mut peers = Vec::new();
    while is_stored(&server) {
        peers.push(stalled(&server, &socket));
        assert!(peers.len() < 20, "there is no end of places");
    }
    eventually("there is room", || is_stored(&server));
    drop(peers);
}

/// A file of this account that does not come whole in one read; whether it had a place.
fn is_stored_by(accounts: &Accounts, name: &str) -> bool {
    let body = vec![7; 300_000];
    let answer = accounts.peer(name).ask(&put(1, "new", &body), &body).unwrap();
    assert!(answer["ack"] == 1 || answer["code"] == "busy", "{answer}");
    answer["ack"] == 1
}

/// A file of this account that has no end here, and its first bytes.
fn half_written(accounts: &Accounts, name: &str, file: usize) -> HttpPeer {
    let token = accounts.token(name);
    let fields = format!("Authorization: Bearer {token}\r\nContent-Length: {SIZE}\r\n");
    let mut peer = HttpPeer::connect(accounts.server.address());
    peer.ask(&format!("PUT /{file}"), &fields, &[7; 1000]);
    peer
}

/// Whether it has had a word: there was no place for its file, or it had to leave.
fn is_refused(peer: &HttpPeer) -> bool {
    let stream = peer.stream();
    stream.set_nonblocking(true).unwrap();
    let has_word = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).unwrap();
    has_word
}

/// Peers that go on, each after a while.
struct Going(Vec<HttpPeer>, Instant);

impl Going {
    fn go_on(&mut self) {
        if self.1.elapsed() < Duration::from_millis(500) {
            return;
        }
        for peer in &self.0 {
            // Some have to leave.
            let _ = peer.stream().write_all(&[7; 150_000]);
        }
        self.1 = Instant::now();
    }
}

/// Nothing comes from it because of its own rate, so the server does nothing for it.
#[test]
fn account_that_waits_for_its_rate_makes_room_for_files_of_another() {
    let words = ["--workers", "1", "--durability", "none", "--body-timeout", "1h"];
    let users = ["alice --root alice", "bob --root bob --rate 1000000000"];
    let accounts = Accounts::start_with_few_files(100, &words, &users);
    let (mut going, mut waiting) = (Going(Vec::new(), Instant::now()), Vec::new());
    // Each has as many as the other, so nobody has more than a fair share.
    while !waiting.iter().chain(&going.0).any(is_refused) {
        waiting.push(half_written(&accounts, "bob", waiting.len()));
        going.0.push(half_written(&accounts, "alice", waiting.len()));
        assert!(waiting.len() < 1000, "there is no end of places");
    }
    let readings = accounts.readings();
    accounts.set_users(&accounts.users().replace("rate = 1000000000", "rate = 1"));
    accounts.are_read_after(readings);
    // All but one of them wait for the byte of this second.
    for peer in &mut waiting {
        peer.send([7; 1000]);
    }
    Pinging(accounts.peer("alice"), 0).turn();
    eventually("there is room", || {
        going.go_on();
        is_stored_by(&accounts, "alice")
    });
}

/// None of its places is ever idle.
#[test]
fn account_that_uses_all_places_gives_some_to_another() {
    let words = ["--workers", "1", "--durability", "none", "--body-timeout", "1h"];
    let users = ["alice --root alice", "bob --root bob"];
    let accounts = Accounts::start_with_few_files(100, &words, &users);
    let mut going = Going(Vec::new(), Instant::now());
    while !going.0.iter().any(is_refused) {
        going.0.push(half_written(&accounts, "bob", going.0.len()));
        assert!(going.0.len() < 1000, "there is no end of places");
    }
    eventually("there is room", || {
        going.go_on();
        is_stored_by(&accounts, "alice")
    });
}
