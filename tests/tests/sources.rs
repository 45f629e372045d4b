//! What can be wrong on the client's side: sources, servers, signals; each is named, and the exit
//! code says which kind it was.

use haul_tests::bytes::counted;
use haul_tests::fake::nobody;
use haul_tests::prelude::*;
use rustix::process::{Pid, kill_process};
use std::net::TcpListener;

#[test]
fn source_missing_is_named_and_the_others_go() {
    let (server, source) = (server(), TempDir::new().unwrap());
    fs::write(source.path().join("there"), "x").unwrap();
    haul()
        .current_dir(&source)
        .args(["put", "missing", "there", server.address()])
        .assert()
        .code(1)
        .stderr("haul: missing: could not read: No such file or directory\n")
        .stdout(contains("1 failed"));
    assert!(server.root().join("there").exists());
}

#[test]
fn source_unreadable_is_named_and_the_others_go() {
    let (server, user) = (server(), User::new().unwrap());
    let source = user.path().join("source");
    fs::create_dir_all(source.join("closed")).unwrap();
    for name in ["secret", "open", "closed/inside"] {
        fs::write(source.join(name), name).unwrap();
    }
    let source = user.own_all(source).unwrap();
    let mode = |name: &str, mode| {
        set_mode(source.join(name), mode);
    };
    mode("secret", 0);
    mode("closed", 0);
    let mut haul = user.command("haul");
    haul.arg("put").arg(&source).arg(server.address());
    Client::from_std(haul).assert().code(1).stderr(
        contains("secret: could not open: Permission denied")
            .and(contains("closed: could not read: Permission denied")),
    );
    assert_eq!(fs::read(server.root().join("source/open")).unwrap(), b"open");
    assert!(!server.root().join("source/secret").exists());
    mode("closed", 0o755);
}

/// A file is rewritten all the time while it is uploaded: either a version that stood still for long
/// enough arrives whole, or the file fails by name; never a mixture.
#[test]
fn source_shrinking_and_growing_is_never_torn() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let path = source.path().join("file");
    let versions = [vec![b'a'; 6 << 20], vec![b'b'; 3 << 20], vec![b'c'; 500_000]];
    fs::write(&path, &versions[0]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for version in versions.iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                fs::write(&path, version).unwrap();
            }
        });
        for _ in 0..10 {
            let output = haul().arg("put").arg(&path).arg(server.address()).output();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            match output.status.code() {
                Some(0) => {}
                Some(1) if text.contains("changed while it was read") => {}
                code => {
                    done.store(true, Ordering::Relaxed);
                    panic!("{code:?}: {text}");
                }
            }
            if let Ok(there) = fs::read(server.root().join("file"))
                && there.iter().any(|byte| *byte != there[0])
            {
                done.store(true, Ordering::Relaxed);
                panic!("a mixture of versions was published");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(server.staged().unwrap().is_empty());
}

#[test]
fn loop_through_links_ends() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let root = source.path().join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    symlink("../..", root.join("a/b/up")).unwrap();
    symlink("self", root.join("self")).unwrap();
    haul().arg("put").arg(&root).arg(server.address()).assert().success();
    tree::compare(&root, &server.root().join("root")).unwrap();
    // A link to itself can't be followed; that is told, not tried for ever.
    let followed = format!("{}/", root.join("self").display());
    haul().arg("put").arg(followed).arg(server.address()).assert().code(1);
}

#[test]
fn many_large_files_go_with_few_open_files() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let root = source.path().join("root");
    fs::create_dir(&root).unwrap();
    for index in 0..400 {
        let file = fs::File::create(root.join(index.to_string())).unwrap();
        file.set_len((1 << 20) + 1 + index).unwrap();
    }
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(&binaries::get().haul);
    limited.arg("put").arg(&root).arg(server.address());
    Client::from_std(limited).assert().success().stdout(predicate::str::starts_with("400 files"));
    tree::compare(&root, &server.root().join("root")).unwrap();
}

/// Trap `exit_code_says_too_little`: every kind of end has its own code, and says what to do.
#[test]
fn exit_code_says_too_little() {
    let (server, source) = (server(), TempDir::new().unwrap());
    fs::write(source.path().join("a"), "x").unwrap();
    let put = |args: &[&str]| haul().current_dir(&source).arg("put").args(args).assert();
    put(&["a", server.address()]).code(0);
    put(&["missing", server.address()]).code(1);
    put(&["a"]).code(2).stderr(contains("HOST/PATH"));
    put(&["a", "/tmp/x"]).code(2).stderr(contains("HOST[:PORT][/PATH]"));
    put(&["a", "::1:8080"]).code(2).stderr(contains("[::1]:8080"));
    put(&["a", "host:99999"]).code(2);
    put(&["--teleport", "a", "host"]).code(2);
    put(&["a", "unix:/nowhere/s"]).code(3).stderr(contains("could not reach"));
}

#[test]
fn server_not_there_is_exit_3_and_named() {
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a"), "x").unwrap();
    let (_port, address) = nobody().unwrap();
    haul()
        .current_dir(&source)
        .args(["put", "a", &address])
        .assert()
        .code(3)
        .stderr(contains(format!("haul: could not reach {address}: ")));
}

/// Answers every connection with some bytes.
fn impostor(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut prefix = [0; 4];
            let _ = stream.read_exact(&mut prefix);
            let _ = stream.write_all(answer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

#[test]
fn server_that_is_not_haul_is_named_as_such() {
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a"), "x").unwrap();
    for (answer, said) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "the peer speaks HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "this is no haul server"),
        (b"", "--classic"),
    ] {
        haul()
            .current_dir(&source)
            .args(["put", "a", &impostor(answer)])
            .assert()
            .code(3)
            .stderr(contains(said));
    }
}

/// A server that promises nothing of its disk, so its root is in memory.
fn forgetful() -> Hauld {
    server_with(&["--durability", "none"])
}

/// A tree that takes a while.
fn large_tree() -> TempDir {
    let source = place::in_memory().unwrap();
    for directory in 0..50 {
        let parent = source.path().join(format!("d{directory}"));
        fs::create_dir(&parent).unwrap();
        for index in 0..100 {
            fs::write(parent.join(format!("f{index}")), vec![b'x'; 20_000]).unwrap();
        }
    }
    let bytes = counted(64 << 20);
    fs::write(source.path().join("large"), bytes).unwrap();
    source
}

/// Everything that shows under a final name is whole.
fn whole(source: &std::path::Path, target: &std::path::Path) -> usize {
    let mut count = 0;
    for entry in walkdir::WalkDir::new(target) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let below = entry.path().strip_prefix(target).unwrap();
            let same = fs::read(entry.path()).unwrap() == fs::read(source.join(below)).unwrap();
            assert!(same, "{} is not whole", entry.path().display());
            count += 1;
        }
    }
    count
}

/// Also trap `stale_upload_blocks_takeover`: what a crash left is in nobody's way.
#[test]
fn server_killed_in_the_middle_leaves_no_partial_file() {
    let (source, directory) = (large_tree(), place::in_memory().unwrap());
    let (root, log) = (directory.path().join("root"), directory.path().join("log"));
    let start = || Hauld::start_at(&root, &log, hauld_command(), &[]).unwrap();
    let there = root.join("to");
    let count = || {
        let files = walkdir::WalkDir::new(&there).into_iter().filter_map(Result::ok);
        files.filter(|entry| entry.file_type().is_file()).count()
    };
    for _ in 0..3 {
        // New directories appear with all that is in them, so some rounds may be enough.
        let before = count();
        if before == 5001 {
            break;
        }
        let mut server = start();
        let haul = haul_command()
            .args(["put", "--quiet", "--retries", "1"])
            .arg(source.path().join("."))
            .arg(format!("{}/to", server.address()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the upload is under way", || count() > before);
        server.signal(Signal::KILL).unwrap();
        server.wait().unwrap();
        let output = ended(haul);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The last rounds may have been faster than the signal.
        assert!(matches!(output.status.code(), Some(3 | 0)), "{said}");
        assert!(output.status.success() || said.contains("server"), "{said}");
        assert!(whole(source.path(), &there) > before);
    }
    let server = start();
    assert!(server.staged().unwrap().is_empty(), "leftovers are swept");
    let destination = format!("{}/to", server.address());
    haul().args(["put"]).arg(source.path().join(".")).arg(destination).assert().success();
    assert_eq!(whole(source.path(), &there), 5001);
}

#[test]
fn ctrl_c_ends_with_130_and_a_hint() {
    let (server, source) = (forgetful(), large_tree());
    let haul = haul_command()
        .args(["put", "-v"])
        .arg(source.path().join("."))
        .arg(format!("{}/to", server.address()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&haul);
    let mut haul = haul;
    let mut err = BufReader::new(haul.stderr.take().unwrap());
    // Two files are committed: the run is under way, and the summary counts in the plural.
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    err.read_line(&mut line).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    err.read_to_string(&mut line).unwrap();
    let output = ended(haul);
    assert_eq!(output.status.code(), Some(130), "{line}");
    assert!(
        line.contains("interrupted; ") && line.contains("run the same command again"),
        "{line}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains(" files"), "the summary still comes");
    whole(source.path(), &server.root().join("to"));
    eventually("partials are removed", || server.staged().unwrap().is_empty());
}

/// Trap `stall_looks_alive`: when no byte moves, progress says so.
#[test]
fn stall_looks_alive() {
    let (server, source) = (forgetful(), large_tree());
    let relay = Relay::start(server.address(), &[(64 << 10, Event::Stall)]).unwrap();
    let mut haul = haul_command()
        .arg("put")
        .arg(source.path().join("."))
        .arg(relay.address())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(haul.stderr.take().unwrap()).lines();
    let mut stalled = false;
    for line in lines.map_while(Result::ok) {
        if line.contains("stalled") {
            stalled = true;
            relay.now(Event::Resume);
        }
    }
    assert!(haul.wait().unwrap().success());
    assert!(stalled, "nothing said that nothing moves");
}
