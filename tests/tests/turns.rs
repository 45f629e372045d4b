//! A turn is bounded in time: few requests that are cheap to send and dear to carry out keep nobody out.

use std::mem::MaybeUninit;

use haul_tests::prelude::*;
use haul_tests::upload::as_of_another_boot;
use rustix::fs::inotify;

/// As deep as a name can be.
const DEPTH: usize = 2040;

/// A single worker, that whoever holds it holds all.
const ARGS: [&str; 4] = ["--workers", "1", "--grace", "1s"];

fn server(durability: &str) -> Hauld {
    let args = [&ARGS[..], &["--durability", durability]].concat();
    server_with(&args)
}

/// Sends requests from a thread of their own, and another client's hello and ping. Their order tells: the
/// ping is answered before the requests are all carried out.
fn ping_is_answered_before(server: &mut Hauld, requests: Vec<u8>, last: &str) {
    let busy = server.peer();
    ping_is_answered_while(server, busy, requests, last);
}

fn ping_is_answered_while(server: &mut Hauld, busy: Peer, requests: Vec<u8>, last: &str) {
    let mut sending = busy.stream.try_clone().unwrap();
    // Ends when the server has.
    let sender = thread::spawn(move || sending.write_all(&requests).is_ok());
    for _ in 0..5 {
        let mut other = server.peer();
        assert_eq!(other.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
    }
    let last = server.root().join(last);
    assert!(fs::symlink_metadata(&last).is_err(), "all was carried out before the ping");
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    drop(busy);
    sender.join().unwrap();
}

fn symlinks(count: usize) -> (Vec<u8>, String) {
    let name = |number| format!("{number:04}/{}", ["a"; DEPTH - 4].join("/"));
    let frames = (1..=count).map(|id| {
        let name = name(id);
        frame(&json!({"cmd": "symlink", "id": id, "filename": name, "target": "x"}), b"")
    });
    // Of the last one, the first directory of all.
    (frames.collect::<Vec<_>>().concat(), format!("{count:04}"))
}

/// Trap `turn_without_end`.
#[test]
fn turn_without_end_by_requests_that_each_make_two_thousand_directories() {
    let (requests, last) = symlinks(1000);
    ping_is_answered_before(&mut server("none"), requests, &last);
}

#[test]
fn turn_without_end_by_deep_directories_that_are_made_durable() {
    let (requests, last) = symlinks(1000);
    ping_is_answered_before(&mut server("group"), requests, &last);
}

/// The same in the classic dialect, which has no ids; also with durability `group` it ends with its grace.
#[test]
fn turn_without_end_by_classic_files_in_deep_directories() {
    let name = |number| format!("{number:04}/{}", ["a"; DEPTH - 4].join("/"));
    let requests: Vec<u8> = (1..=1000).flat_map(|number| classic(&name(number), b"x")).collect();
    for durability in ["none", "group"] {
        let mut server = server(durability);
        let busy = Peer::connect(server.address()).unwrap();
        ping_is_answered_while(&mut server, busy, requests.clone(), "1000");
    }
}

/// Each entry of the comparison is below thousands of directories; the symlink that is asked for after them is the last
/// thing that happens.
#[test]
fn turn_without_end_by_comparing_what_is_below_thousands_of_directories() {
    let mut server = server("none");
    let deep = ["a"; DEPTH - 5].join("/");
    let mut peer = server.peer();
    let mut made = peer.ask(&json!({"cmd": "mkdir", "id": 1, "filename": deep}), b"").unwrap();
    // A server that is slow repeats its last ack meanwhile.
    while made["ack"] == 0 {
        made = peer.receive().unwrap().0;
    }
    assert_eq!(made["ack"], 1);
    let line = json!({"kind": "file", "filename": format!("{deep}/n/x"), "filesize": 1});
    let body = format!("{line}\n").repeat((4 << 20) / (line.to_string().len() + 1));
    let check = |id: usize| {
        let header = json!({"cmd": "check", "id": id, "length": body.len()});
        frame(&header, body.as_bytes())
    };
    let mut requests = (1..=30).flat_map(check).collect::<Vec<u8>>();
    let last = json!({"cmd": "symlink", "id": 31, "filename": "last", "target": "x"});
    requests.extend(frame(&last, b""));
    ping_is_answered_before(&mut server, requests, "last");
}

/// Each name of a file that is to come back leads through more than a thousand directories.
#[test]
fn turn_without_end_by_files_in_deep_directories_that_come_back() {
    let mut server = server("none");
    let deep = ["a"; 1300].join("/");
    let directory = server.root().join(&deep);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("f"), "").unwrap();
    let wanted = format!("{deep}/f\0");
    let body = wanted.repeat((256 << 10) / wanted.len());
    let fetch = |id: usize| {
        frame(&json!({"cmd": "fetch", "id": id, "length": body.len()}), body.as_bytes())
    };
    let mut requests = (1..=100).flat_map(fetch).collect::<Vec<u8>>();
    let last = json!({"cmd": "symlink", "id": 101, "filename": "last", "target": "x"});
    requests.extend(frame(&last, b""));
    ping_is_answered_before(&mut server, requests, "last");
}

/// Directories in one another that nobody may enter, below `top`; as many as `levels`.
fn closed(user: &User, root: &Path, top: &str, levels: usize) -> String {
    let name = format!("{top}/{}", ["a"; 40][..levels - 1].join("/"));
    fs::create_dir_all(root.join(&name)).unwrap();
    user.own_all(root.join(top)).unwrap();
    for directory in root.join(&name).ancestors().take(levels) {
        set_mode(directory, 0o000);
    }
    name
}

/// Lets its owner remove everything in the end.
fn open_all(root: &Path) {
    for entry in walkdir::WalkDir::new(root).contents_first(false) {
        let entry = entry.unwrap();
        if entry.file_type().is_dir() {
            set_mode(entry.path(), 0o755);
        }
    }
}

/// A server with a single worker and without privileges, and its user.
fn unprivileged() -> (User, Hauld) {
    let user = User::new().unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    fs::create_dir(&root).unwrap();
    user.own(&root).unwrap();
    let args = ["--workers", "1", "--durability", "none"];
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &args).unwrap();
    (user, server)
}

fn check(id: u64, body: &str) -> Vec<u8> {
    frame(&json!({"cmd": "check", "id": id, "length": body.len()}), body.as_bytes())
}

/// Each entry has directories of its own to be opened up. There are few enough to come at once, and enough that another
/// client's hello and ping need not wait for all.
#[test]
fn turn_without_end_by_comparing_in_directories_that_nobody_may_enter() {
    let (user, server) = unprivileged();
    let names: Vec<_> =
        (0..250).map(|top| closed(&user, server.root(), &format!("{top}"), 8)).collect();
    let line = |name: &String| {
        format!("{}\n", json!({"kind": "directory", "filename": format!("{name}/x")}))
    };
    let body: String = names.iter().map(line).collect();
    assert!(body.len() < 16 * 1024);
    let mut busy = server.peer();
    let is_between = (1..=10).any(|id| {
        busy.stream.write_all(&check(id, &body)).unwrap();
        let mut other = server.peer();
        assert_eq!(other.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
        busy.stream.set_nonblocking(true).unwrap();
        let is_answered = busy.stream.peek(&mut [0]).is_ok();
        busy.stream.set_nonblocking(false).unwrap();
        let (answer, letters) = busy.receive().unwrap();
        assert_eq!(answer["answer"], id, "{answer}");
        assert_eq!(letters, b"+".repeat(250));
        !is_answered
    });
    open_all(server.root());
    assert!(is_between, "all was compared before the ping");
}

/// The server notes each directory that it opens up, so the notes tell how many.
#[test]
fn entries_below_directories_that_were_refused_open_nothing_up_again() {
    let (user, server) = unprivileged();
    let name = closed(&user, server.root(), "top", 40);
    let notes = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let opened = server.root().join(".haul/opened");
    inotify::add_watch(&notes, opened, inotify::WatchFlags::CREATE).unwrap();
    let entry =
        |number| json!({"kind": "file", "filename": format!("{name}/{number}/x"), "filesize": 1});
    let body: String = (0..50)
        .flat_map(|number| [entry(number), entry(number)])
        .map(|entry| format!("{entry}\n"))
        .collect();
    let mut peer = server.peer();
    peer.stream.write_all(&check(1, &body)).unwrap();
    assert_eq!(peer.receive().unwrap().1, b"?".repeat(100));
    open_all(server.root());
    let mut count = 0;
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&notes, &mut space);
    while let Ok(event) = reader.next() {
        assert!(!event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW));
        count += 1;
    }
    // 6,300 if each entry opens up all of them, and twice. On a busy machine each entry may have a turn of its own.
    assert!((1..4000).contains(&count), "{count} directories were opened up");
}

/// A directory that was refused is not for long: it has another mode in the same moment.
#[test]
fn directory_whose_mode_is_set_is_refused_no_more() {
    let (user, server) = unprivileged();
    closed(&user, server.root(), "top", 40);
    let mut peer = server.peer();
    let at = |levels: usize| format!("top/{}", ["a"; 40][..levels - 1].join("/"));
    let lines = format!("{}\n", json!({"kind": "directory", "filename": at(20)}));
    let set = |id, levels| {
        let header = json!({"cmd": "setattr", "id": id, "kind": "directory", "filename": at(levels), "mode": 0o700});
        frame(&header, b"")
    };
    let requests =
        [check(1, &lines), set(2, 10), set(3, 11), set(4, 12), set(5, 13), check(6, &lines)];
    peer.stream.write_all(&requests.concat()).unwrap();
    assert_eq!(peer.receive().unwrap().1, b"?");
    let letters = loop {
        let (answer, body) = peer.receive().unwrap();
        if answer["answer"] == 6 {
            break body;
        }
        assert!(answer["ack"].is_u64(), "{answer}");
    };
    open_all(server.root());
    assert_eq!(letters, b"=");
}

/// Parts of a file that a server reads as a whole after a restart of the machine.
const PARTS: usize = 2048;

fn open(id: u64) -> Value {
    json!({
        "cmd": "open", "id": id, "filename": "large", "filesize": PARTS * PART, "fingerprint": "f",
    })
}

/// A connection of the client whose upload this is.
fn owner(server: &Hauld) -> Peer {
    let mut peer = Peer::connect(server.address()).unwrap();
    assert_eq!(peer.say_hello("owner", 0, None).unwrap()["hello"], 1);
    peer
}

/// What the server says other than that it still works.
fn said(peer: &mut Peer) -> (Value, Vec<u8>) {
    loop {
        let said = peer.receive().unwrap();
        if said.0["ack"].is_null() {
            return said;
        }
    }
}

/// A server, started after the machine was, with an upload whose journal says that all parts are held. The bytes are others.
fn server_after_a_restart_of_the_machine(directory: &Path) -> Hauld {
    let (root, log) = (directory.join("root"), directory.join("log"));
    let start = || Hauld::start_at(&root, &log, hauld_command(), &ARGS).unwrap();
    let mut server = start();
    let mut peer = owner(&server);
    let answer = peer.ask(&open(1), b"").unwrap();
    assert!(answer["upload"].is_string(), "{answer}");
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    let partial = root.join(".haul/partials").join(&server.partials().unwrap()[0]);
    let held: Vec<_> =
        (0..PARTS).map(|part| json!({"is": "held", "part": part, "cv": "0".repeat(64)})).collect();
    as_of_another_boot(&partial.with_extension("journal"), &held).unwrap();
    File::options().write(true).open(partial).unwrap().set_len((PARTS * PART) as u64).unwrap();
    start()
}

#[test]
fn turn_without_end_by_reading_what_an_upload_may_hold() {
    let directory = TempDir::new().unwrap();
    let mut server = server_after_a_restart_of_the_machine(directory.path());
    let mut busy = owner(&server);
    busy.send(&open(1), b"").unwrap();
    for _ in 0..5 {
        let mut other = server.peer();
        assert_eq!(other.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
    }
    // On a busy machine the server has repeated its last ack by now.
    while busy.has_word().unwrap() {
        let word = busy.receive().unwrap().0;
        assert_eq!(word["ack"], 0, "all was read before the ping: {word}");
    }
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}

/// The newer connection waits for nothing that is read for the older one, and has the file for itself soon.
#[test]
fn connection_takes_the_place_of_one_for_which_an_upload_is_read() {
    let directory = TempDir::new().unwrap();
    let server = server_after_a_restart_of_the_machine(directory.path());
    let mut older = owner(&server);
    older.send(&open(1), b"").unwrap();
    let mut newer = owner(&server);
    let word = said(&mut older).0;
    assert_eq!((&word["refused"], &word["code"]), (&json!(0), &json!("fenced")), "{word}");
    let mut id = 0;
    eventually("the upload goes on", || {
        id += 1;
        newer.send(&open(id), b"").unwrap();
        let (answer, held) = said(&mut newer);
        if answer["code"] == "busy" {
            return false;
        }
        assert!(answer["upload"].is_string() && held.iter().all(|byte| *byte == 0), "{answer}");
        true
    });
}
