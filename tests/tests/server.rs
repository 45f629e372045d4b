//! `hauld` as a program: addresses, lock, threads, signals, and what it says.

use std::os::unix::net::UnixListener;

use haul_tests::prelude::*;

fn hauld() -> Client {
    Client::new(&binaries::get().hauld)
}

#[test]
fn listens_on_v4_v6_and_unix_at_once() {
    let (directory, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let socket = format!("unix:{}", directory.path().join("s").display());
    // A socket that a dead server left is replaced.
    drop(UnixListener::bind(directory.path().join("s")).unwrap());
    let listens = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", &socket];
    let mut server = server_with(&listens);
    let mode = fs::metadata(directory.path().join("s")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (index, address) in server.addresses.clone().iter().enumerate() {
        let name = index.to_string();
        fs::write(source.path().join(&name), &name).unwrap();
        let separator = if address.starts_with("unix:") { ":/" } else { "/" };
        let destination = format!("{address}{separator}in");
        haul().current_dir(&source).args(["put", &name, &destination]).assert().success();
        assert_eq!(fs::read(server.root().join("in").join(&name)).unwrap(), name.as_bytes());
    }
    // A live one is not.
    let other = TempDir::new().unwrap();
    hauld()
        .args(["--listen", &socket, "--root"])
        .arg(other.path())
        .assert()
        .code(2)
        .stderr(contains("--listen"));
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(!directory.path().join("s").exists());
}

#[test]
fn taken_port_names_itself_and_the_option() {
    let (server, root) = (server(), TempDir::new().unwrap());
    hauld()
        .args(["--listen", server.address(), "--root"])
        .arg(root.path())
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains(server.address()).and(contains("--listen")));
}

/// Trap `two_servers_one_root`: the second is refused and touches nothing.
#[test]
fn two_servers_one_root() {
    let server = server();
    let mut peer = server.peer();
    let open =
        json!({"cmd": "open", "id": 1, "filename": "x", "filesize": 9_999_999, "fingerprint": "f"});
    peer.ask(&open, b"").unwrap();
    assert_eq!(server.partials().unwrap().len(), 1);
    hauld()
        .args(["--listen", "127.0.0.1:0", "--root"])
        .arg(server.root())
        .assert()
        .code(2)
        .stderr(contains(format!("process {}", server.pid())));
    assert_eq!(server.partials().unwrap().len(), 1, "the live upload was swept away");
}

#[test]
fn leftovers_of_an_earlier_server_are_swept() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join(".haul/staged/3")).unwrap();
    fs::write(root.join(".haul/staged/3/7b"), "half").unwrap();
    fs::create_dir_all(root.join(".haul/staged/0/1/new/inner")).unwrap();
    fs::write(root.join(".haul/staged/0/1/new/inner/file"), "whole, but nobody was told").unwrap();
    fs::write(root.join("kept"), "whole").unwrap();
    let log = directory.path().join("log");
    let server = Hauld::start_at(&root, &log, hauld_command(), &[]).unwrap();
    assert!(server.staged().unwrap().is_empty());
    assert_eq!(fs::read(root.join("kept")).unwrap(), b"whole");
    assert!(server.log_text().contains("removed half-written files"));
}

#[test]
fn address_that_others_reach_needs_insecure() {
    let (root, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    hauld()
        .args(["--listen", "0.0.0.0:0", "--root"])
        .arg(root.path())
        .arg("--config-dir")
        .arg(config.path())
        .assert()
        .code(2)
        .stderr(contains("--insecure"));
    assert!(!root.path().join(".haul").exists());
}

#[test]
fn help_explains_itself() {
    for (mut program, words) in [
        (hauld(), &["--listen", "--root", "--durability", "127.0.0.1:8080", "SIGTERM"][..]),
        (haul(), &["put", "shell", "Exit codes"]),
    ] {
        let output = program.arg("--help").assert().success().get_output().stdout.clone();
        let text = String::from_utf8(output).unwrap();
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    let output = haul().args(["put", "--help"]).assert().success().get_output().stdout.clone();
    let text = String::from_utf8(output).unwrap();
    for word in ["--connections", "--quiet", "--verbose", "--json", "--as", "--classic", "HOST"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn start_is_logged_with_absolute_root_durability_and_workers() {
    let server = server_with(&["--workers", "3"]);
    let log = server.log_text();
    let first = log.lines().next().unwrap();
    for word in [&format!("root={}", server.root().display()), "durability=\"group\"", "workers=3"]
    {
        assert!(first.contains(word), "{word}: {first}");
    }
}

/// What the limit of open files leaves for half-written files is bounded apart from connections: one more
/// is refused and can come again, and files that come whole are not concerned.
#[test]
fn half_written_files_over_the_bound_are_refused_and_may_come_again() {
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -n 160; exec "$0" "$@""#]).arg(&binaries::get().hauld);
    let args = ["--durability", "none", "--workers", "1", "--max-connections", "30"];
    let server = Hauld::start_in(TempDir::new().unwrap(), limited, &args).unwrap();
    let bytes = [7; 1000];
    let mut begun = Vec::new();
    let mut refused = loop {
        assert!(begun.len() < 30, "no bound");
        let mut peer = server.peer();
        let name = format!("file-{}", begun.len());
        // What is half written is so once something else is answered.
        peer.send(&put(1, &name, &bytes), &bytes[..500]).unwrap();
        let staged = begun.len() + 1;
        let mut answer = None;
        peer.stream.set_nonblocking(true).unwrap();
        eventually("it is staged, or refused", || {
            let mut byte = [0];
            answer = peer.stream.peek(&mut byte).ok();
            answer.is_some() || server.staged().unwrap().len() == staged
        });
        peer.stream.set_nonblocking(false).unwrap();
        if answer.is_some() {
            break peer;
        }
        begun.push(peer);
    };
    let answer = refused.receive().unwrap().0;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("busy"), &json!(true)), "{answer}");
    // The rest of the body is skipped; a file that comes whole has its place.
    refused.stream.write_all(&bytes[500..]).unwrap();
    assert_eq!(refused.ask(&put(2, "whole", b"whole"), b"whole").unwrap()["ack"], 2);
    let mut first = begun.swap_remove(0);
    first.stream.write_all(&bytes[500..]).unwrap();
    assert_eq!(first.receive().unwrap().0["ack"], 1);
    refused.send(&put(3, "again", &bytes), &bytes[..500]).unwrap();
    eventually("it is staged", || server.staged().unwrap().len() == begun.len() + 1);
    refused.stream.write_all(&bytes[500..]).unwrap();
    assert_eq!(refused.receive().unwrap().0["ack"], 3);
}

/// Trap `thread_per_connection`: hundreds of connections, as many threads as before, and all work.
#[test]
fn thread_per_connection() {
    let server = server();
    let threads = server.status("Threads").unwrap();
    let mut peers: Vec<Peer> = (0..300).map(|_| server.peer()).collect();
    assert_eq!(server.status("Threads").unwrap(), threads);
    for peer in &mut peers {
        assert_eq!(peer.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
    }
    assert_eq!(server.status("Threads").unwrap(), threads);
    drop(peers);
    let open = || fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    eventually("connections are closed", || open() < 50);
}

#[test]
fn connections_over_the_bound_wait_and_silent_ones_make_room() {
    let server = server_with(&["--max-connections", "2", "--header-timeout", "1s"]);
    let first = server.peer();
    let _silent = Peer::connect(server.address()).unwrap();
    // Served when the one that has never said anything is ended.
    let mut third = server.peer();
    assert_eq!(third.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
    // And this one when another leaves.
    drop(first);
    drop(server.peer());
}

/// A request whose answer fills the outbox is over all the same, so that the connection is between two frames.
#[test]
fn long_answer_keeps_no_server_from_stopping() {
    let mut server = server_with(&["--grace", "50s"]);
    for index in 0..2000 {
        fs::write(server.root().join(format!("a file with a rather long name {index}")), b"")
            .unwrap();
    }
    let mut peer = server.peer();
    let (answer, body) = {
        peer.send(&json!({"cmd": "list", "id": 1}), b"").unwrap();
        peer.receive().unwrap()
    };
    assert_eq!(answer["answer"], 1);
    assert!(body.len() > 64 * 1024, "{} bytes", body.len());
    server.signal(Signal::TERM).unwrap();
    assert_eq!(peer.receive().unwrap().0["code"], "shutting_down");
    drop(peer);
    assert!(server.wait().unwrap().success());
}

#[test]
fn sigterm_lets_a_transfer_finish_and_then_exits_0() {
    let mut server = server_with(&["--grace", "50s"]);
    let body = vec![7; 100_000];
    let put = json!({
        "cmd": "put", "id": 1, "length": body.len(), "filename": "x", "filesize": body.len(),
        "blake3": blake3::hash(&body).to_string(),
    });
    let bytes = frame(&put, &body);
    let mut idle = Peer::hello_as(server.address(), "idle", 0).unwrap().0;
    let mut busy = Peer::hello_as(server.address(), "busy", 0).unwrap().0;
    busy.stream.write_all(&bytes[..50_000]).unwrap();
    eventually("the body is under way", || !server.staged().unwrap().is_empty());
    server.signal(Signal::TERM).unwrap();
    assert_eq!(idle.receive().unwrap().0["code"], "shutting_down");
    busy.stream.write_all(&bytes[50_000..]).unwrap();
    assert_eq!(busy.receive().unwrap().0["ack"], 1);
    drop(idle.end());
    drop(busy.end());
    assert!(server.wait().unwrap().success());
    assert_eq!(fs::read(server.root().join("x")).unwrap(), body);
}

#[test]
fn grace_time_ends_and_a_second_signal_does_at_once() {
    for (grace, signals) in [("100ms", 1), ("1h", 2)] {
        let mut server = server_with(&["--grace", grace]);
        let mut stuck = server.peer();
        stuck.stream.write_all(b"\x10").unwrap();
        for _ in 0..signals {
            server.signal(Signal::TERM).unwrap();
            eventually("the signal is seen", || server.log_text().contains("stopping"));
        }
        server.wait().unwrap();
    }
}

/// Also where containers may open no more than that.
#[test]
fn few_open_files_are_enough_for_some_connections() {
    for durability in ["group", "none"] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 1024; exec \"$HAULD\" \"$@\"", "sh"]);
        command.env("HAULD", &binaries::get().hauld);
        let directory = TempDir::new().unwrap();
        let server = Hauld::start_in(directory, command, &["--durability", durability]).unwrap();
        let mut peers: Vec<_> = (0..100).map(|_| server.peer()).collect();
        for (id, peer) in peers.iter_mut().enumerate() {
            let name = format!("{id}");
            assert_eq!(peer.ask(&put(1, &name, b"x"), b"x").unwrap()["ack"], 1);
        }
        assert!(server.log_text().contains("so few files may be open"), "{}", server.log_text());
    }
}

#[test]
fn connections_that_the_limit_of_open_files_does_not_allow_are_told_at_the_start() {
    let started = |files: &str, wanted: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$HAULD\" \"$@\""), "sh"]);
        command.env("HAULD", &binaries::get().hauld);
        let words = ["--max-connections", wanted, "--workers", "4"];
        let server = Hauld::start_in(TempDir::new().unwrap(), command, &words).unwrap();
        server.log_text()
    };
    let told = "fewer connections than the settings say";
    let log = started("1024", "5000");
    let line = log.lines().find(|line| line.contains(told)).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("wanted=5000") && line.contains("files=1024"), "{line}");
    let most = line.split("max_connections=").nth(1).unwrap();
    let most = most.split(' ').next().unwrap();
    assert!(log.matches(&format!("max_connections={most}")).count() == 2, "{log}");
    // As many as there may be are no fewer than the settings say.
    let log = started("1024", most);
    assert!(!log.contains(told), "{log}");
}

/// `script` gives it a terminal. Nothing is made in the directory that one happens to be in.
#[test]
fn bare_hauld_in_a_terminal_says_how_to_start_it() {
    let directory = TempDir::new().unwrap();
    let on_terminal = |words: &str| {
        let line = format!("{} {words}", binaries::get().hauld.display());
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).current_dir(&directory);
        output_of(script.env_remove("HAULD_ROOT"))
    };
    let output = on_terminal("");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("hauld --root DIR") && said.contains("hauld --help"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    // Standard input alone may be the terminal.
    let output = on_terminal("> out");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "`out` alone");
}

#[test]
fn bare_hauld_without_a_terminal_serves_with_the_defaults() {
    let directory = TempDir::new().unwrap();
    let mut command = hauld_command();
    command.current_dir(&directory).env_remove("HAULD_ROOT").env("HAULD_LISTEN", "127.0.0.1:0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut hauld = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(hauld.stdout.take().unwrap()).read_line(&mut line).unwrap();
    hauld.kill().unwrap();
    hauld.wait().unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    assert!(directory.path().join("uploads").is_dir());
}
