//! The classic dialect, both ways, with peers written in Python from the specification alone.

use haul_tests::prelude::*;

/// A peer in `tests/peers`. Without python3 the tests fail and say so: they can't be skipped.
fn python(peer: &str) -> Command {
    let found = Command::new("python3").arg("--version").output();
    assert!(found.is_ok(), "python3 is needed for the classic peers and was not found");
    let mut command = Command::new("python3");
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer));
    command
}

/// A classic server in Python, and where its files go.
struct Tutorial {
    child: Child,
    address: String,
    directory: TempDir,
}

impl Tutorial {
    fn start(connections: usize) -> Self {
        let directory = TempDir::new().unwrap();
        let mut child = python("classic_server.py")
            .arg(directory.path())
            .arg(connections.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, address: format!("127.0.0.1:{}", port.trim()), directory }
    }

    fn ended_well(mut self) -> TempDir {
        assert!(self.child.wait().unwrap().success());
        self.directory
    }
}

/// Trap `body_swallows_next_header`: three files on one connection, everything in one segment.
#[test]
fn body_swallows_next_header_classic_client_three_files() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let contents = [("one", vec![1; 10]), ("two", vec![2; 300_000]), ("three", vec![])];
    for segments in [&["--one-segment"][..], &[]] {
        let mut client = python("classic_client.py");
        client.args(segments).arg(server.address());
        for (name, bytes) in &contents {
            fs::write(source.path().join(name), bytes).unwrap();
            client.arg(source.path().join(name));
        }
        assert!(client.status().unwrap().success());
        for (name, bytes) in &contents {
            let path = server.root().join(name);
            eventually("the file arrives", || fs::read(&path).is_ok_and(|there| there == *bytes));
            fs::remove_file(path).unwrap();
        }
    }
}

/// Trap `answer_to_peer_that_never_reads`: the server writes nothing, whatever it is sent.
#[test]
fn answer_to_peer_that_never_reads() {
    let server = server();
    let stream = [
        classic("good", b"good"),
        classic("../escape", b"skipped"),
        classic(".haul/x", b"skipped"),
        frame(&json!({"cmd": "dir"}), b""),
        classic("d/last", b"last"),
    ];
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.write_all(&stream.concat()).unwrap();
    assert_eq!(peer.end().unwrap(), b"", "the server has written to a classic client");
    assert_eq!(fs::read(server.root().join("good")).unwrap(), b"good");
    assert_eq!(fs::read(server.root().join("d/last")).unwrap(), b"last");
    let log = server.log_text();
    assert!(log.contains("refused a classic put") && log.contains("ignored a classic"), "{log}");
    // A malformed request ends the connection, in silence too.
    let mut peer = Peer::connect(server.address()).unwrap();
    let bad = frame(&json!({"cmd": "put", "filename": "x"}), b"");
    peer.stream.write_all(&[classic("before", b"x"), bad].concat()).unwrap();
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    let before = server.root().join("before");
    eventually("what came before is stored", || fs::read(&before).is_ok_and(|b| b == b"x"));
}

#[test]
fn classic_client_at_its_prompt_is_not_timed_out() {
    let server = server_with(&["--idle-timeout", "1s", "--header-timeout", "1s"]);
    let mut silent = Peer::connect(server.address()).unwrap();
    let mut between = Peer::connect(server.address()).unwrap();
    between.stream.write_all(&classic("first", b"1")).unwrap();
    // A haul client is ended after that time; by then the classic ones would have been as well.
    let mut haul = server.peer();
    assert_eq!(haul.receive().unwrap().0["code"], "timeout");
    silent.stream.write_all(&classic("a", b"a")).unwrap();
    between.stream.write_all(&classic("b", b"b")).unwrap();
    for name in ["a", "b", "first"] {
        eventually("the file arrives", || server.root().join(name).exists());
    }
}

#[test]
fn classic_body_cut_short_publishes_nothing() {
    let server = server();
    let mut peer = Peer::connect(server.address()).unwrap();
    let whole = classic("x", &[1; 100_000]);
    peer.stream.write_all(&whole[..whole.len() - 1]).unwrap();
    assert_eq!(peer.end().unwrap(), b"");
    eventually("the partial is removed", || server.staged().unwrap().is_empty());
    assert!(!server.root().join("x").exists());
}

#[test]
fn classic_file_over_the_limit_is_skipped_and_logged() {
    let server = server_with(&["--max-file", "10KB"]);
    let mut peer = Peer::connect(server.address()).unwrap();
    let all = [classic("big", &[1; 20_000]), classic("small", b"x")];
    peer.stream.write_all(&all.concat()).unwrap();
    assert_eq!(peer.end().unwrap(), b"");
    assert!(server.root().join("small").exists() && !server.root().join("big").exists());
    assert!(server.log_text().contains("over the server's limit"));
}

#[test]
fn haul_put_classic_to_a_classic_server() {
    let (tutorial, source) = (Tutorial::start(2), TempDir::new().unwrap());
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    fs::write(source.path().join("big"), &bytes).unwrap();
    fs::write(source.path().join("empty"), "").unwrap();
    haul()
        .args(["put", "--classic"])
        .args([source.path().join("big"), source.path().join("empty")])
        .arg(&tutorial.address)
        .assert()
        .success()
        .stdout(predicate::str::starts_with("2 files"))
        .stderr(contains("acknowledges nothing"));
    let there = tutorial.ended_well();
    assert_eq!(fs::read(there.path().join("big")).unwrap(), bytes);
    assert_eq!(fs::read(there.path().join("empty")).unwrap(), b"");
}

#[test]
fn haul_put_classic_refuses_directories() {
    let source = TempDir::new().unwrap();
    haul()
        .args(["put", "--classic"])
        .arg(source.path())
        .arg("127.0.0.1:1")
        .assert()
        .code(1)
        .stderr(contains("files only, not directories"));
}

#[test]
fn haul_shell_classic_takes_piped_commands() {
    let (tutorial, source) = (Tutorial::start(1), TempDir::new().unwrap());
    fs::write(source.path().join("a b"), "x").unwrap();
    haul()
        .current_dir(&source)
        .args(["shell", "--classic", &tutorial.address])
        .write_stdin("put 'a b'\nquit\nput never\n")
        .assert()
        .success();
    assert_eq!(fs::read(tutorial.ended_well().path().join("a b")).unwrap(), b"x");
}

#[test]
fn haul_without_classic_names_it_when_a_server_does_not_answer() {
    // The tutorial's server takes hello for a file's header, fails on it and closes.
    let tutorial = Tutorial::start(1);
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a"), "x").unwrap();
    haul()
        .args(["put", "--connections", "1"])
        .arg(source.path().join("a"))
        .arg(&tutorial.address)
        .assert()
        .code(3)
        .stderr(contains("use --classic"));
    let mut tutorial = tutorial;
    assert!(!tutorial.child.wait().unwrap().success());
}

/// A peer must not make the log grow by ten times the bytes that it sends.
#[test]
fn unknown_commands_do_not_fill_the_log() {
    let server = server();
    let mut peer = Peer::connect(server.address()).unwrap();
    let command = frame(&json!({"cmd": "\u{1b}".repeat(9000)}), b"");
    for _ in 0..1000 {
        peer.stream.write_all(&command).unwrap();
    }
    peer.stream.write_all(&classic("last", b"x")).unwrap();
    eventually("all has been read", || server.root().join("last").exists());
    let log = server.log_text();
    assert!(log.contains("ignored a classic command") && log.contains("tells no more"), "{log}");
    assert!(log.len() < 200_000, "{} bytes", log.len());
}
