//! Uploads that were interrupted: what is held, who may go on with it, and what it costs.

use haul_tests::prelude::*;
use haul_tests::upload::as_of_another_boot;

fn hauld(directory: &Path, args: &[&str]) -> Hauld {
    let command = hauld_command();
    Hauld::start_at(&directory.join("root"), &directory.join("log"), command, args).unwrap()
}

fn kill(mut server: Hauld) {
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
}

fn commit(upload: &mut Upload, server: &Hauld, large: &Large) {
    let answer = upload.commit(&large.digest).unwrap();
    assert_eq!(answer["answer"], upload.id, "{answer}");
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
}

/// The journal of the only upload.
fn journal(root: &Path) -> PathBuf {
    let entries = fs::read_dir(root.join(".haul/partials")).unwrap();
    let mut journals = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"));
    let journal = journals.next().unwrap();
    assert_eq!(journals.next(), None);
    journal
}

#[test]
fn restarted_server_offers_what_is_held() {
    for (durability, end) in
        [("none", Signal::KILL), ("group", Signal::KILL), ("group", Signal::TERM)]
    {
        let (directory, large) = (TempDir::new().unwrap(), Large::new(0));
        let args = ["--durability", durability, "--grace", "100ms"];
        let mut server = hauld(directory.path(), &args);
        let mut upload = Upload::open(&server, &large).unwrap();
        assert_eq!(upload.held, [0_usize; 0]);
        upload.good(&large, 2).unwrap();
        upload.good(&large, 0).unwrap();
        server.signal(end).unwrap();
        server.wait().unwrap();
        let server = hauld(directory.path(), &args);
        let mut upload = Upload::open(&server, &large).unwrap();
        assert_eq!(upload.held, [0, 2]);
        upload.good(&large, 1).unwrap();
        commit(&mut upload, &server, &large);
        assert!(server.partials().unwrap().is_empty());
    }
}

/// Trap `stale_upload_blocks_takeover`: the connection of the first client still stands; a newer run
/// goes on at once, and the first one can do nothing any more.
#[test]
fn stale_upload_blocks_takeover() {
    let (directory, large) = (TempDir::new().unwrap(), Large::new(0));
    let server = hauld(directory.path(), &[]);
    let mut first = Upload::open(&server, &large).unwrap();
    first.good(&large, 1).unwrap();
    // In the middle of a part.
    let header = json!({
        "cmd": "part", "id": 3, "length": PART, "upload": first.token, "offset": 0,
        "cv": large.cvs[0],
    });
    let bytes = frame(&header, large.part(0));
    first.peer.stream.write_all(&bytes[..PART / 2]).unwrap();
    let mut second = Upload::open(&server, &large).unwrap();
    assert_eq!(second.held, [1]);
    assert_ne!(first.token, second.token);
    first.peer.stream.write_all(&bytes[PART / 2..]).unwrap();
    let answer = first.peer.receive().unwrap().0;
    assert_eq!((&answer["refused"], &answer["code"]), (&json!(3), &json!("taken_over")));
    first.id = 3;
    assert_eq!(first.commit(&large.digest).unwrap()["code"], "taken_over");
    second.good(&large, 0).unwrap();
    second.good(&large, 2).unwrap();
    commit(&mut second, &server, &large);
}

/// Trap `resume_onto_changed_source`: another source, another client or another size has a partial of
/// its own, and the last commit wins whole.
#[test]
fn resume_onto_changed_source() {
    let (directory, large) = (TempDir::new().unwrap(), Large::new(0));
    let server = hauld(directory.path(), &[]);
    let mut old = Upload::open(&server, &large).unwrap();
    for part in [0, 1, 2] {
        old.good(&large, part).unwrap();
    }
    let changed = Large::new(1);
    let mut new = Upload::open(&server, &changed).unwrap();
    assert_eq!(new.held, [0_usize; 0]);
    let mut other = Upload::open_as(&server, &large, "somebody else").unwrap();
    assert_eq!(other.held, [0_usize; 0]);
    for part in [0, 1, 2] {
        new.good(&changed, part).unwrap();
        other.good(&large, part).unwrap();
    }
    commit(&mut old, &server, &large);
    commit(&mut new, &server, &changed);
    commit(&mut other, &server, &large);
}

/// Trap `final_answer_lost`: did it succeed? Asking again is harmless, over the old token, and after
/// a restart with a new one; nothing is uploaded again.
#[test]
fn final_answer_lost() {
    let (directory, large) = (TempDir::new().unwrap(), Large::new(0));
    let server = hauld(directory.path(), &[]);
    let mut upload = Upload::open(&server, &large).unwrap();
    for part in [0, 1, 2] {
        upload.good(&large, part).unwrap();
    }
    let token = upload.token.clone();
    // A file that is complete within the tick of the clock in which it was begun is not known again for sure.
    let (begun, probe) =
        (fs::metadata(journal(server.root())).unwrap(), directory.path().join("tick"));
    let ticks = || fs::write(&probe, "").and_then(|()| fs::metadata(&probe)).unwrap().ctime_nsec();
    while ticks() == begun.ctime_nsec() {}
    commit(&mut upload, &server, &large);
    let path = server.root().join("dir/large");
    let inode = fs::metadata(&path).unwrap().ino();
    let mut again = server.peer();
    let repeated = json!({"cmd": "commit", "id": 1, "upload": token, "blake3": large.digest});
    assert_eq!(again.ask(&repeated, b"").unwrap()["answer"], 1);
    kill(server);
    let server = hauld(directory.path(), &[]);
    let mut again = Upload::open(&server, &large).unwrap();
    assert_eq!(again.held, [0, 1, 2]);
    commit(&mut again, &server, &large);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "it was written again");
    // If somebody has put another file there since, it is not taken for the old one.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another").unwrap();
    kill(server);
    let server = hauld(directory.path(), &[]);
    assert_eq!(Upload::open(&server, &large).unwrap().held, [0_usize; 0]);
}

#[test]
fn torn_journal_costs_the_torn_part_only() {
    let (directory, large) = (TempDir::new().unwrap(), Large::new(0));
    let server = hauld(directory.path(), &[]);
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.good(&large, 0).unwrap();
    upload.good(&large, 1).unwrap();
    let root = server.root().to_owned();
    kill(server);
    let journal = fs::File::options().write(true).open(journal(&root)).unwrap();
    journal.set_len(journal.metadata().unwrap().len() - 3).unwrap();
    let server = hauld(directory.path(), &[]);
    let mut upload = Upload::open(&server, &large).unwrap();
    assert_eq!(upload.held, [0]);
    upload.good(&large, 1).unwrap();
    upload.good(&large, 2).unwrap();
    commit(&mut upload, &server, &large);
}

/// Trap `journal_after_power_cut`: the journal says that a part is held, but the data never reached
/// the disk and reads as zeros of the right length.
#[test]
fn journal_after_power_cut() {
    let (directory, large) = (TempDir::new().unwrap(), Large::new(0));
    let server = hauld(directory.path(), &["--durability", "none"]);
    let mut upload = Upload::open(&server, &large).unwrap();
    for part in [0, 1, 2] {
        upload.good(&large, part).unwrap();
    }
    let root = server.root().to_owned();
    kill(server);
    let journal = journal(&root);
    as_of_another_boot(&journal, &[]).unwrap();
    let partial = journal.with_extension("");
    let mut bytes = fs::read(&partial).unwrap();
    bytes[PART..2 * PART].fill(0);
    fs::write(&partial, bytes).unwrap();
    let server = hauld(directory.path(), &["--durability", "none"]);
    let mut upload = Upload::open(&server, &large).unwrap();
    assert_eq!(upload.held, [0, 2], "the part of zeros is not offered, the others are");
    upload.good(&large, 1).unwrap();
    commit(&mut upload, &server, &large);
}

/// Trap `partials_fill_the_disk`: what nobody comes back for is removed, what is young is not.
#[test]
fn partials_fill_the_disk() {
    let (directory, large) = (TempDir::new().unwrap(), Large::new(0));
    let server = hauld(directory.path(), &[]);
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.good(&large, 0).unwrap();
    let root = server.root().to_owned();
    kill(server);
    let server = hauld(directory.path(), &[]);
    assert_eq!(server.partials().unwrap().len(), 1, "the default is a week");
    kill(server);
    let old = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    fs::File::open(journal(&root)).unwrap().set_modified(old).unwrap();
    let server = hauld(directory.path(), &[]);
    eventually("the sweeper has removed it", || {
        fs::read_dir(root.join(".haul/partials")).unwrap().count() == 0
    });
    // For a moment after that, the sweeper still has it.
    eventually("it begins anew", || {
        Upload::open(&server, &large).is_ok_and(|upload| upload.held.is_empty())
    });
}

/// Trap `one_file_jumps_quota`: refused before the first byte, with the figures.
#[test]
fn one_file_jumps_quota() {
    let directory = TempDir::new().unwrap();
    let stat = rustix::fs::statvfs(directory.path()).unwrap();
    let free = stat.f_bavail * stat.f_frsize;
    let gib = 1 << 30;
    let keep = free.saturating_sub(4 * gib).to_string();
    let server = hauld(directory.path(), &["--keep-free", &keep]);
    let mut peer = server.peer();
    let open = |id: u64, name: &str, size: u64| json!({"cmd": "open", "id": id, "filename": name, "filesize": size, "fingerprint": "f"});
    let answer = peer.ask(&open(1, "a", 5 * gib), b"").unwrap();
    assert_eq!(answer["code"], "no_space", "{answer}");
    let message = answer["message"].as_str().unwrap();
    for figure in ["5.00 GiB needed", " GiB left, ", "kept free"] {
        assert!(message.contains(figure), "{message}");
    }
    // What is announced and not sent keeps the room from nobody else, but for a small advance.
    for id in 2..=9 {
        let answer = peer.ask(&open(id, &format!("b{id}"), 5 * gib / 2), b"").unwrap();
        assert_eq!(answer["answer"], id, "{answer}");
    }
    assert!(server.root().join("a").symlink_metadata().is_err());
}

/// Trap `old_connection_overwrites_new`: bytes that are left in a connection that its client has
/// given up are not published over what was sent again.
#[test]
fn old_connection_overwrites_new() {
    for durability in ["none", "group"] {
        let directory = TempDir::new().unwrap();
        let server = hauld(directory.path(), &["--durability", durability]);
        let mut old = Peer::hello_as(server.address(), "client", 3).unwrap().0;
        let bytes = frame(&haul_tests::peer::put(1, "x", &[b'o'; 100_000]), &[b'o'; 100_000]);
        old.stream.write_all(&bytes[..50_000]).unwrap();
        eventually("the old body is under way", || !server.staged().unwrap().is_empty());
        let mut new = Peer::hello_as(server.address(), "client", 3).unwrap().0;
        let put = haul_tests::peer::put(1, "x", b"new");
        assert_eq!(new.ask(&put, b"new").unwrap()["ack"], 1);
        // The rest may find the connection closed already.
        let _ = old.stream.write_all(&bytes[50_000..]);
        let answer = old.receive().unwrap().0;
        assert_eq!((&answer["refused"], &answer["code"]), (&json!(0), &json!("fenced")));
        eventually("the old body is discarded", || server.staged().unwrap().is_empty());
        assert_eq!(fs::read(server.root().join("x")).unwrap(), b"new");
        // Other slots of the same client are left alone.
        Peer::hello_as(server.address(), "client", 4).unwrap();
        assert_eq!(new.ask(&json!({"cmd": "ping", "id": 2}), b"").unwrap()["answer"], 2);
    }
}

#[test]
fn partials_are_listed_and_cleaned_while_no_server_runs() {
    let (directory, large) = (TempDir::new().unwrap(), Large::new(0));
    let server = hauld(directory.path(), &[]);
    let mut upload = Upload::open(&server, &large).unwrap();
    upload.good(&large, 0).unwrap();
    let root = server.root().to_owned();
    let partials = |args: &[&str]| {
        // Carried out by the hauld beside it.
        let mut command = haul();
        command.arg("partials").args(args).arg("--root").arg(&root).assert()
    };
    let held = predicates::str::contains(format!("process {}", server.pid()));
    partials(&["list"]).code(2).stderr(held);
    kill(server);
    let listed = partials(&["list"]).success().get_output().stdout.clone();
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.contains("1 MiB of 2.00 MiB") && listed.contains("dir/large"), "{listed}");
    partials(&["clean", "--older-than", "1h"])
        .success()
        .stdout(predicates::str::starts_with("removed 0 partials"));
    partials(&["clean"]).success().stdout(predicates::str::starts_with("removed 1 partial,"));
    assert_eq!(fs::read_dir(root.join(".haul/partials")).unwrap().count(), 0);
    let empty = TempDir::new().unwrap();
    let mut command = Client::new(&binaries::get().hauld);
    command.args(["partials", "list", "--root"]).arg(empty.path()).assert().code(2);
}

/// The client is killed at about half, then the server; a new process goes on, and what was under way
/// on each connection is all that is sent twice.
#[test]
fn new_processes_on_both_sides_go_on() {
    const SIZE: u64 = 48 << 20;
    const CONNECTIONS: u64 = 2;
    let (directory, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = source.path().join("big");
    // No two parts are the same.
    let mut bytes = [7; PART].repeat(48);
    for (number, part) in (0..).zip(bytes.chunks_mut(PART)) {
        part[0] = number;
    }
    fs::write(&path, &bytes).unwrap();
    let server = hauld(directory.path(), &[]);
    let relay = Relay::start(server.address(), &[(SIZE / 2, Event::Stall)]).unwrap();
    let put = |address: &str| {
        let mut haul = haul_command();
        haul.args(["put", "--json", "--connections", &CONNECTIONS.to_string()]);
        haul.arg(&path).arg(address).stdout(Stdio::piped());
        haul.spawn().unwrap()
    };
    let mut first = put(relay.address());
    eventually("half has passed", || relay.passed() >= SIZE / 2);
    let held = || match fs::read_to_string(journal(server.root())) {
        Ok(text) => text.lines().filter(|line| line.contains("\"held\"")).count() as u64,
        Err(_) => 0,
    };
    let part = PART as u64;
    // What has passed and is not held is at most a part a connection, and headers.
    let headers = 64 << 10;
    let caught_up = || (held() + CONNECTIONS) * part + headers >= relay.passed();
    eventually("the server has caught up", caught_up);
    first.kill().unwrap();
    first.wait().unwrap();
    let passed = relay.passed();
    kill(server);
    let server = hauld(directory.path(), &[]);
    let output = ended(put(server.address()));
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let number = |key: &str| summary[key].as_u64().unwrap();
    assert_eq!(number("bytes_sent") + number("bytes_resumed"), SIZE, "{summary}");
    let twice = passed + number("bytes_sent") - SIZE;
    // Headers and hellos are little beside a part.
    assert!(twice <= (CONNECTIONS + 1) * part, "{twice} bytes were sent twice");
    assert!(fs::read(server.root().join("big")).unwrap() == bytes);
}

/// A commit that was refused has given the partial its final mode already; a server that is not root
/// goes on with it all the same.
#[test]
fn read_only_partial_can_be_taken_up_again() {
    let user = User::new().unwrap();
    let log = user.path().join("log");
    fs::File::create(&log).unwrap();
    let root = user.path().join("root");
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let large = Large { mode: 0o444, ..Large::new(0) };
    let mut upload = Upload::open(&server, &large).unwrap();
    for part in [0, 1, 2] {
        upload.good(&large, part).unwrap();
    }
    fs::create_dir(root.join("dir/large")).unwrap();
    assert_eq!(upload.commit(&large.digest).unwrap()["code"], "conflict");
    fs::remove_dir(root.join("dir/large")).unwrap();
    let mut upload = Upload::open(&server, &large).unwrap();
    assert_eq!(upload.held, [0, 1, 2]);
    commit(&mut upload, &server, &large);
    assert_eq!(mode(root.join("dir/large")), 0o444);
}
