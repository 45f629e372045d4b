//! Signals, and limits of the process that are told by one.

use haul_tests::prelude::*;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// A server that a shell script starts.
fn started_by(script: &str, words: &[&str]) -> Hauld {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{script}; exec \"$HAULD\" \"$@\""), "sh"]);
    command.env("HAULD", &binaries::get().hauld);
    Hauld::start_in(TempDir::new().unwrap(), command, words).unwrap()
}

#[test]
fn hangup_and_a_used_up_processor_time_stop_in_order_and_say_so() {
    for (signal, said) in [(Signal::HUP, "nothing to reload"), (Signal::XCPU, "processor time")] {
        let mut server = server_with(&["--grace", "50s"]);
        let body = vec![7; 100_000];
        let bytes = frame(&put(1, "x", &body), &body);
        let mut busy = server.peer();
        busy.stream.write_all(&bytes[..50_000]).unwrap();
        eventually("the body is under way", || !server.staged().unwrap().is_empty());
        server.signal(signal).unwrap();
        eventually("the server stops", || server.log_text().contains("stopping"));
        assert!(server.log_text().contains(said), "{}", server.log_text());
        busy.stream.write_all(&bytes[50_000..]).unwrap();
        assert_eq!(busy.receive().unwrap().0["ack"], 1);
        drop(busy.end());
        assert!(server.wait().unwrap().success());
        assert_eq!(fs::read(server.root().join("x")).unwrap(), body);
    }
}

#[test]
fn hangup_that_was_ignored_from_the_start_stays_so() {
    let server = started_by("trap '' HUP", &[]);
    server.signal(Signal::HUP).unwrap();
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    assert!(!server.log_text().contains("stopping"), "{}", server.log_text());
}

#[test]
fn signals_that_mean_nothing_end_nothing() {
    let server = server();
    let mut peer = server.peer();
    let signals = [
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::VTALARM, "SIGVTALRM"),
        (Signal::PROF, "SIGPROF"),
        (Signal::IO, "SIGIO"),
    ];
    for (id, (signal, name)) in (1..).zip(signals) {
        server.signal(signal).unwrap();
        eventually("the signal is seen", || server.log_text().contains(name));
        assert_eq!(peer.ask(&put(id, "x", b"x"), b"x").unwrap()["ack"], id);
    }
    // Those tell of what the server finds out by itself.
    for (id, signal) in (7..).zip([Signal::PIPE, Signal::XFSZ]) {
        server.signal(signal).unwrap();
        assert_eq!(peer.ask(&put(id, "x", b"x"), b"x").unwrap()["ack"], id);
    }
}

/// Trap `limit_signal_ends_server`: a file over the process's limit of file sizes is refused, and nothing else ends.
#[test]
fn limit_signal_ends_server() {
    // In blocks of 512 bytes.
    let server = started_by("ulimit -c 0; ulimit -f 2000", &[]);
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("big"), vec![7; 3_000_000]).unwrap();
    fs::write(source.path().join("small"), "small").unwrap();
    haul()
        .arg("put")
        .arg(source.path().join("."))
        .arg(server.address())
        .assert()
        .code(1)
        .stderr(contains("big").and(contains("1024000")));
    assert_eq!(fs::read(server.root().join("small")).unwrap(), b"small");
    assert!(!server.root().join("big").exists());
    assert!(server.log_text().contains("ulimit -f"), "{}", server.log_text());
}

/// The kernel refuses the write, which the server could not know before: the refusal names the limit, and the upload
/// goes on when there is a larger one.
#[test]
fn upload_that_meets_a_limit_of_file_sizes_goes_on_later() {
    for durability in ["group", "none"] {
        let server = server_with(&["--durability", durability]);
        let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
        let limit = |bytes| {
            let limit = Rlimit { current: bytes, maximum: None };
            prlimit(pid, Resource::Fsize, limit).unwrap();
        };
        fs::write(server.root().join("streamed"), "old").unwrap();
        limit(Some(2_500_000));
        let body = vec![7; 3_000_000];
        let mut peer = server.peer();
        let answer = peer.ask(&put(1, "streamed", &body), &body).unwrap();
        assert_eq!((&answer["refused"], &answer["code"]), (&json!(1), &json!("too_large")));
        assert!(answer["message"].as_str().unwrap().contains("2500000 bytes"), "{answer}");
        assert_eq!(fs::read(server.root().join("streamed")).unwrap(), b"old");
        assert!(server.staged().unwrap().is_empty());
        let source = TempDir::new().unwrap();
        let bytes: Vec<u8> = (0..12_000_000_u32).map(|i| (i / 7 % 251) as u8).collect();
        fs::write(source.path().join("large"), &bytes).unwrap();
        let put = || {
            let mut haul = haul();
            haul.arg("put").arg(source.path().join("large")).arg(server.address()).assert()
        };
        put().code(1).stderr(contains("large").and(contains("2500000 bytes")));
        assert!(!server.root().join("large").exists());
        limit(None);
        put().success();
        assert!(fs::read(server.root().join("large")).unwrap() == bytes, "{durability}");
        assert!(server.partials().unwrap().is_empty());
    }
}

/// The grace time is over at once, while hundreds of connections have something to do: those whose turn would be later
/// have none.
#[test]
fn server_ends_with_its_grace_time_and_not_when_all_busy_connections_have_had_a_turn() {
    let words = ["--workers", "1", "--durability", "none", "--grace", "0s"];
    let mut server = server_with(&words);
    fs::File::create(server.root().join("f")).unwrap().set_len(256 * 1024).unwrap();
    let digest = "0".repeat(64);
    let line = json!({"kind": "file", "filename": "f", "filesize": 256 * 1024, "blake3": digest})
        .to_string();
    let requests: Vec<u8> = (1..=40)
        .flat_map(|id| {
            frame(&json!({"cmd": "check", "id": id, "length": line.len()}), line.as_bytes())
        })
        .collect();
    let mut peers: Vec<_> = (0..300).map(|_| server.peer()).collect();
    for peer in &mut peers {
        peer.stream.write_all(&requests).unwrap();
    }
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    let had_a_turn = |peer: &&Peer| peer.stream.peek(&mut [0]).is_ok_and(|len| len > 0);
    let count = peers.iter().filter(had_a_turn).count();
    assert!(count < peers.len(), "all {count} had a turn");
}
