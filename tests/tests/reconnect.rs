//! A lost connection, a restarted server, a stalled network: each costs the requests that had no
//! answer, and nothing else.

use std::collections::HashSet;

use haul_tests::bytes::counted;
use haul_tests::fake::{Fake, refusal};
use haul_tests::prelude::*;

const MIB: u64 = 1 << 20;

/// `haul put`, with the paths of its sources relative to a directory.
fn put(directory: &Path, args: &[&str]) -> Child {
    haul_command()
        .current_dir(directory)
        .arg("put")
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The objects that `--json` has printed.
fn events(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn exits(output: &Output, code: i32) {
    let told = text(&output.stdout);
    // With `--json` failures are told there.
    let failed: Vec<&str> = told.lines().filter(|line| line.contains("\"failed\"")).collect();
    let told = format!("{}{failed:#?}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{told}");
}

/// Directories, small files, links, and a file in parts: some 50 MB.
fn tree() -> TempDir {
    let source = TempDir::new().unwrap();
    for directory in 0..20 {
        let parent = source.path().join(format!("t/d{directory}"));
        fs::create_dir_all(&parent).unwrap();
        for index in 0..50 {
            fs::write(parent.join(format!("f{index}")), vec![b'x'; 20_000 + index]).unwrap();
        }
        std::os::unix::fs::symlink("f0", parent.join("link")).unwrap();
    }
    let bytes = counted(30 << 20);
    fs::write(source.path().join("t/large"), bytes).unwrap();
    source
}

/// Everything has arrived, and was counted once.
#[track_caller]
fn arrived(source: &TempDir, server: &Path, output: &Output) {
    exits(output, 0);
    let compared = tree::compare(&source.path().join("t"), &server.join("t")).unwrap();
    let events = events(output);
    let summary = events.last().unwrap();
    assert_eq!(summary["files"], compared.files, "{summary}");
    assert_eq!(summary["links"], compared.links, "{summary}");
    assert_eq!(summary["directories"], compared.directories, "{summary}");
    assert_eq!(summary["bytes_total"], compared.bytes, "{summary}");
    assert_eq!(summary["failed"], 0, "{summary}");
    let mut names = HashSet::new();
    for event in events.iter().filter(|event| event["event"] == "committed") {
        assert!(names.insert(event["name"].as_str().unwrap().to_owned()), "{event} twice");
    }
    assert_eq!(names.len() as u64, compared.files + compared.links + compared.directories);
}

/// Trap `connection_loss_ends_run`: connections that break in the middle are replaced.
#[test]
fn connection_loss_ends_run() {
    let (server, source) = (server(), tree());
    let cuts: Vec<(u64, Event)> = (1..=6).map(|n| (n * 7 * MIB, Event::Cut)).collect();
    let relay = Relay::start(server.address(), &cuts).unwrap();
    let args = ["t", relay.address(), "--connections", "3", "--json", "-v"];
    let output = ended(put(source.path(), &args));
    arrived(&source, server.root(), &output);
    assert!(relay.accepted() >= 3 + 6, "{} connections", relay.accepted());
}

/// A frame that ends in the middle is not carried out, and its rest does not begin another.
#[test]
fn truncated_frames_are_sent_again_whole() {
    let (server, source) = (server(), tree());
    let plan: Vec<(u64, Event)> = (1..=6).map(|n| (n * 7 * MIB, Event::Truncate)).collect();
    let relay = Relay::start(server.address(), &plan).unwrap();
    relay.delay(Duration::from_micros(100));
    let args = ["t", relay.address(), "--connections", "3", "--json", "-v"];
    let output = ended(put(source.path(), &args));
    arrived(&source, server.root(), &output);
    assert!(relay.accepted() >= 3 + 6, "{} connections", relay.accepted());
}

#[test]
fn server_killed_and_started_again_is_gone_on_with() {
    let (source, directory) = (tree(), TempDir::new().unwrap());
    let (root, log) = (directory.path().join("root"), directory.path().join("log"));
    let start = || Hauld::start_at(&root, &log, hauld_command(), &[]).unwrap();
    let mut server = start();
    // The relay holds the client back in the middle, until the server has been replaced.
    let relay = Relay::start(server.address(), &[(20 * MIB, Event::Stall)]).unwrap();
    let haul = put(source.path(), &["t", relay.address(), "--json", "-v"]);
    eventually("the upload is under way", || relay.passed() >= 20 * MIB);
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    relay.now(Event::Cut);
    // On a port of its own: that of the dead server may be somebody else's by now.
    let server = start();
    relay.lead_to(server.address());
    arrived(&source, &root, &ended(haul));
}

#[test]
fn stalled_connection_is_replaced() {
    let (server, source) = (server(), tree());
    let plan = [(10 * MIB, Event::Stall), (25 * MIB, Event::Stall)];
    let relay = Relay::start(server.address(), &plan).unwrap();
    // A server that is there repeats its last ack every five seconds, also while its disk is slow.
    let args = ["t", relay.address(), "--connections", "2", "--timeout", "8s", "--json", "-v"];
    let output = ended(put(source.path(), &args));
    arrived(&source, server.root(), &output);
    assert!(relay.accepted() >= 2 + 2, "{} connections", relay.accepted());
}

/// A file in a directory, to be sent to a fake server.
fn one_file(name: &str) -> TempDir {
    let source = TempDir::new().unwrap();
    fs::write(source.path().join(name), name).unwrap();
    source
}

/// A client that was greeted once by a server that is gone since.
fn abandoned(source: &TempDir, args: &[&str]) -> Child {
    let fake = Fake::start().unwrap();
    let address = fake.address().unwrap();
    let args = [&["a", &address, "--connections", "1"], args].concat();
    let haul = put(source.path(), &args);
    fake.greet().unwrap();
    fake.leaves();
    haul
}

#[test]
fn server_gone_for_good_is_exit_3_and_says_what_to_do() {
    let source = one_file("a");
    let haul = abandoned(&source, &["--retries", "2", "--json"]);
    let output = ended(haul);
    exits(&output, 3);
    let said = text(&output.stderr);
    assert!(said.contains("2 attempts to reconnect failed; run the same command again"), "{said}");
    let events = events(&output);
    let tries: Vec<_> = events.iter().filter(|event| event["event"] == "reconnecting").collect();
    let counts: Vec<_> = tries.iter().map(|event| (&event["attempt"], &event["of"])).collect();
    assert_eq!(counts, [(&json!(1), &json!(2)), (&json!(2), &json!(2))]);
    let left: Vec<_> = tries.iter().map(|event| event["seconds_left"].as_u64().unwrap()).collect();
    assert!(left.iter().all(|left| (200..=300).contains(left)), "{left:?}");
    assert_eq!(events.last().unwrap()["files"], 0);
}

#[test]
fn time_for_attempts_ends_them_and_none_at_all_means_none() {
    let source = one_file("a");
    let output = ended(abandoned(&source, &["--retry-for", "700ms"]));
    exits(&output, 3);
    let said = text(&output.stderr);
    assert!(said.contains("reconnecting (attempt 1), trying again for another 1 s"), "{said}");
    assert!(said.contains("to reconnect failed; run the same command again"), "{said}");
    let output = ended(abandoned(&source, &["--retry-for", "0"]));
    exits(&output, 3);
    assert!(!text(&output.stderr).contains("reconnecting"), "{}", text(&output.stderr));
}

/// By default attempts go on for five minutes, however many they are, and Ctrl-C ends them at once.
#[test]
fn attempts_are_counted_by_time_alone() {
    let source = one_file("a");
    let mut haul = abandoned(&source, &[]);
    let mut lines = BufReader::new(haul.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("reconnecting (attempt 5)")).unwrap();
    assert!([" 4 min ", " 5 min"].iter().any(|left| line.contains(left)), "{line}");
    signal(&haul, Signal::INT);
    let line = lines.find(|line| line.contains("run the same command again")).unwrap();
    assert!(!line.contains("large files"), "{line}");
    assert_eq!(haul.wait().unwrap().code(), Some(130));
}

/// A server that is killed, and started again after several attempts, has all files in the end.
#[test]
fn server_that_comes_back_after_several_attempts_is_gone_on_with() {
    let (source, directory) = (tree(), TempDir::new().unwrap());
    let (root, log) = (directory.path().join("root"), directory.path().join("log"));
    let start = || Hauld::start_at(&root, &log, hauld_command(), &[]).unwrap();
    let mut server = start();
    let relay = Relay::start(server.address(), &[(10 * MIB, Event::Stall)]).unwrap();
    let mut haul = put(source.path(), &["t", relay.address(), "--json", "-v"]);
    eventually("the upload is under way", || relay.passed() >= 10 * MIB);
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    relay.now(Event::Cut);
    let mut out = BufReader::new(haul.stdout.take().unwrap());
    let mut told = Vec::new();
    while !text(&told).contains("\"attempt\":4,") {
        assert_ne!(out.read_until(b'\n', &mut told).unwrap(), 0, "{}", text(&told));
    }
    let server = start();
    relay.lead_to(server.address());
    out.read_to_end(&mut told).unwrap();
    let mut output = ended(haul);
    output.stdout = told;
    arrived(&source, &root, &output);
}

#[test]
fn ctrl_c_ends_a_pause_between_attempts() {
    let source = one_file("a");
    let mut haul = abandoned(&source, &["--retries", "1000"]);
    let mut lines = BufReader::new(haul.stderr.take().unwrap()).lines().map_while(Result::ok);
    // From here on the pauses are seconds long.
    lines.find(|line| line.contains("reconnecting (7 of 1000)")).unwrap();
    signal(&haul, Signal::INT);
    assert!(lines.any(|line| line.contains("run the same command again")));
    assert_eq!(haul.wait().unwrap().code(), Some(130));
}

/// A server that takes no connection holds nobody up: not the first Ctrl-C either.
#[test]
fn ctrl_c_ends_an_attempt_to_connect() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let source = one_file("a");
    let path = source.path().join("socket");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    // The only one that gets a place: whoever comes next would wait for ever.
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let destination = format!("unix:{}", path.display());
    let mut haul = put(source.path(), &["a", &destination, "--connections", "1"]);
    let threads = format!("/proc/{}/task", haul.id());
    eventually("the client connects", || {
        let threads = fs::read_dir(&threads).unwrap().filter_map(Result::ok);
        let mut names = threads.filter_map(|one| fs::read_to_string(one.path().join("comm")).ok());
        names.any(|name| name.starts_with("connection"))
    });
    signal(&haul, Signal::INT);
    eventually("the client ends", || haul.try_wait().unwrap().is_some());
    assert_eq!(haul.wait().unwrap().code(), Some(130));
}

/// Trap `slow_flush_times_out`: a server that repeats its last ack is alive, also if its disk takes longer than
/// a server may be silent.
#[test]
fn slow_flush_times_out() {
    let (fake, source) = (Fake::start().unwrap(), one_file("a"));
    let args = ["a", &fake.address().unwrap(), "--connections", "1", "--timeout", "4s"];
    let haul = put(source.path(), &args);
    let (mut peer, _) = fake.greet().unwrap();
    assert_eq!(peer.receive().unwrap().0["cmd"], "put");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        peer.send(&json!({"ack": 0}), b"").unwrap();
        assert!(!peer.has_word().unwrap(), "nothing is sent again");
    }
    peer.send(&json!({"ack": 1}), b"").unwrap();
    exits(&ended(haul), 0);
}

/// A server that is silent while it owes an answer is lost; what it owes is asked again with the same
/// client and slot, so that the old connection is fenced.
#[test]
fn silent_server_is_asked_again_on_the_same_slot() {
    let (fake, source) = (Fake::start().unwrap(), one_file("a"));
    let args = ["a", &fake.address().unwrap(), "--connections", "1", "--timeout", "200ms"];
    let haul = put(source.path(), &args);
    let (mut silent, first) = fake.greet().unwrap();
    assert_eq!(silent.receive().unwrap().0["filename"], "a");
    let (mut peer, again) = fake.greet().unwrap();
    for field in ["client", "slot", "identity"] {
        assert!(!first[field].is_null());
        assert_eq!(first[field], again[field], "{field}");
    }
    assert_eq!(peer.receive().unwrap().0["filename"], "a");
    // On a busy machine this server may look silent as well, and be asked once more.
    let _ = peer.send(&json!({"ack": 1}), b"");
    std::thread::spawn(move || {
        while let Ok((mut peer, _)) = fake.greet() {
            if peer.receive().is_ok() {
                let _ = peer.send(&json!({"ack": 1}), b"");
            }
        }
    });
    exits(&ended(haul), 0);
}

/// What is unanswered waits for the fence: another connection must not send it while the server may
/// still read it from the old one.
#[test]
fn nothing_unanswered_is_sent_again_before_the_old_connection_is_fenced() {
    let (fake, source) = (Fake::start().unwrap(), one_file("a"));
    let haul = put(source.path(), &["a", &fake.address().unwrap(), "--connections", "2"]);
    let mut peers = vec![fake.greet().unwrap(), fake.greet().unwrap()];
    let mut receiving = 0;
    eventually("one of them gets the file", || {
        receiving = 1 - receiving;
        peers[receiving].0.has_word().unwrap()
    });
    let (lost, hello) = peers.remove(receiving);
    drop(lost);
    let mut waiting = fake.accept().unwrap();
    let again = waiting.receive().unwrap().0;
    assert_eq!((&again["client"], &again["slot"]), (&hello["client"], &hello["slot"]));
    assert!(!peers[0].0.has_word().unwrap(), "the other one has nothing to send");
    waiting.send(&haul_tests::fake::hello_answer(), b"").unwrap();
    let mut everybody = [waiting, peers.remove(0).0];
    let mut receiving = 0;
    eventually("one of them gets the file again", || {
        receiving = 1 - receiving;
        everybody[receiving].has_word().unwrap()
    });
    everybody[receiving].receive().unwrap();
    everybody[receiving].send(&json!({"ack": 1}), b"").unwrap();
    exits(&ended(haul), 0);
}

#[test]
fn refusal_of_the_connection_ends_the_run_only_if_trying_again_is_no_use() {
    for (code, retry, exit) in [("shutting_down", true, 0), ("busy", true, 0), ("window", false, 3)]
    {
        let (fake, source) = (Fake::start().unwrap(), one_file("a"));
        let haul = put(source.path(), &["a", &fake.address().unwrap(), "--connections", "1"]);
        let (mut peer, _) = fake.greet().unwrap();
        peer.receive().unwrap();
        peer.send(&refusal(&json!(0), code, retry), b"").unwrap();
        drop(peer);
        if retry {
            let (mut peer, _) = fake.greet().unwrap();
            assert_eq!(peer.receive().unwrap().0["filename"], "a");
            peer.send(&json!({"ack": 1}), b"").unwrap();
        }
        let output = ended(haul);
        exits(&output, exit);
        assert!(retry || text(&output.stderr).contains(code), "{}", text(&output.stderr));
    }
}

/// Such as one that has not noticed yet that the run before has ended.
#[test]
fn server_that_is_busy_when_a_run_begins_is_asked_again() {
    let (fake, source) = (Fake::start().unwrap(), one_file("a"));
    let haul = put(source.path(), &["a", &fake.address().unwrap(), "--connections", "1"]);
    for _ in 0..2 {
        let mut peer = fake.accept().unwrap();
        assert_eq!(peer.receive().unwrap().0["cmd"], "hello");
        peer.send(&refusal(&json!(0), "busy", true), b"").unwrap();
    }
    let (mut peer, _) = fake.greet().unwrap();
    assert_eq!(peer.receive().unwrap().0["filename"], "a");
    peer.send(&json!({"ack": 1}), b"").unwrap();
    let output = ended(haul);
    exits(&output, 0);
    assert_eq!(text(&output.stderr), "");
}

/// A file that the server has no room for is sent again for as long as a lost server is tried again, however often.
#[test]
fn file_that_the_server_is_too_busy_for_waits_for_the_same_time() {
    for (time, refusals, exit) in [("60s", 5, 0), ("300ms", 2, 1)] {
        let (fake, source) = (Fake::start().unwrap(), one_file("a"));
        let address = fake.address().unwrap();
        let haul = put(source.path(), &["a", &address, "--connections", "1", "--retry-for", time]);
        let (mut peer, _) = fake.greet().unwrap();
        for id in 1..=refusals {
            assert_eq!(peer.receive().unwrap().0["filename"], "a");
            peer.send(&refusal(&json!(id), "busy", true), b"").unwrap();
        }
        if exit == 0 {
            assert_eq!(peer.receive().unwrap().0["filename"], "a");
            peer.send(&json!({"ack": refusals + 1}), b"").unwrap();
        }
        let output = ended(haul);
        exits(&output, exit);
        assert_eq!(text(&output.stderr).contains("busy"), exit == 1, "{}", text(&output.stderr));
    }
}

/// Whatever breaks every connection that it is sent on is given up; the others arrive.
#[test]
fn file_that_breaks_every_connection_fails_and_is_named() {
    let (fake, source) = (Fake::start().unwrap(), TempDir::new().unwrap());
    let names = ["a", "b", "c", "poison"];
    for name in names {
        fs::write(source.path().join(name), name).unwrap();
    }
    let address = fake.address().unwrap();
    let options = [address.as_str(), "--connections", "1", "--retries", "2"];
    let haul = put(source.path(), &[&names[..], &options].concat());
    for round in 0..5 {
        let (mut peer, _) = fake.greet().unwrap();
        while peer.receive().unwrap().0["filename"] != "poison" {}
        // What is before it arrives, one each time; from then on nothing does.
        if round < 3 {
            peer.send(&json!({"ack": 1}), b"").unwrap();
        }
    }
    let output = ended(haul);
    exits(&output, 1);
    let said = text(&output.stderr);
    assert!(
        said.contains("poison: the connection was lost 3 times while this waited for its answer"),
        "{said}"
    );
    assert!(text(&output.stdout).starts_with("3 files"), "{}", text(&output.stdout));
}

#[test]
fn change_that_may_not_be_durable_is_sent_again() {
    let (fake, source) = (Fake::start().unwrap(), one_file("a"));
    let haul = put(source.path(), &["a", &fake.address().unwrap(), "--connections", "1"]);
    let (mut peer, _) = fake.greet().unwrap();
    peer.receive().unwrap();
    peer.send(&refusal(&json!(1), "uncertain", true), b"").unwrap();
    assert_eq!(peer.receive().unwrap().0["filename"], "a");
    peer.send(&json!({"ack": 2}), b"").unwrap();
    exits(&ended(haul), 0);
}
