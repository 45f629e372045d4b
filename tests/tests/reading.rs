//! Files that are read over `get` and `fetch`: their bytes, their state, and what is not read.

use haul_protocol::{Cv, merge};
use haul_tests::bytes::counted;
use haul_tests::prelude::*;

/// The request for the part at an offset.
pub(crate) fn get(id: u64, name: &str, part_size: u64, offset: u64) -> Value {
    json!({"cmd": "get", "id": id, "filename": name, "part_size": part_size, "offset": offset})
}

/// The answer to a request for a part that is the whole file.
pub(crate) fn whole(peer: &mut Peer, id: u64, name: &str) -> (Value, Vec<u8>) {
    peer.send(&get(id, name, 8 << 20, 0), b"").unwrap();
    peer.receive().unwrap()
}

/// Sends a `fetch` of these names.
pub(crate) fn send_fetch(peer: &mut Peer, id: u64, names: &[&str]) {
    let body: String = names.iter().map(|name| format!("{name}\0")).collect();
    peer.send(&json!({"cmd": "fetch", "id": id, "length": body.len()}), body.as_bytes()).unwrap();
}

/// The files of an answer to `fetch`, each with its line; and whether names are left.
pub(crate) fn fetched(peer: &mut Peer, id: u64, names: &[&str]) -> (Vec<(Value, Vec<u8>)>, bool) {
    send_fetch(peer, id, names);
    let (header, body) = peer.receive().unwrap();
    assert_eq!(header["answer"], id, "{header}");
    assert_eq!(header["blake3"], blake3::hash(&body).to_string());
    assert!(body.len() <= 262_144, "{header}");
    let (mut files, mut rest) = (Vec::new(), &body[..]);
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap();
        let line: Value = serde_json::from_slice(&rest[..end]).unwrap();
        let size = if line["code"].is_null() { line["filesize"].as_u64().unwrap() } else { 0 };
        let (bytes, after) = rest[end + 1..].split_at(size.try_into().unwrap());
        files.push((line, bytes.to_vec()));
        rest = after;
    }
    (files, header["more"].as_bool().unwrap())
}

/// Makes a file whose times are those of a change that is over.
fn write(server: &Hauld, name: &str, bytes: &[u8]) {
    let path = server.root().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn file_of_one_part_comes_with_its_digest() {
    let server = server();
    write(&server, "d/file", b"12345");
    write(&server, "empty", b"");
    write(&server, "full", &counted(1024));
    set_mode(server.root().join("d/file"), 0o640);
    let mut peer = server.peer();
    for (id, name, bytes) in [(1, "d/file", &b"12345"[..]), (2, "empty", b"")] {
        let (answer, body) = whole(&mut peer, id, name);
        assert_eq!((&answer["answer"], &body[..]), (&json!(id), bytes), "{answer}");
        assert_eq!(answer["filesize"], bytes.len());
        assert_eq!(answer["blake3"], blake3::hash(bytes).to_string());
        assert!(answer["cv"].is_null() && answer["state"].is_string(), "{answer}");
        let found = fs::metadata(server.root().join(name)).unwrap();
        assert_eq!(answer["mode"], found.mode() & 0o777);
        let mtime = json!({"s": found.mtime(), "ns": found.mtime_nsec()});
        assert_eq!(answer["mtime"], mtime);
    }
    peer.send(&get(3, "full", 1024, 0), b"").unwrap();
    let (answer, body) = peer.receive().unwrap();
    assert_eq!(answer["blake3"], blake3::hash(&body).to_string());
    assert_eq!(body, counted(1024));
}

#[test]
fn chaining_values_of_parts_merge_into_the_digest() {
    let server = server();
    let bytes = counted(2_500_000);
    write(&server, "large", &bytes);
    let (mut peer, mut other) = (server.peer(), server.peer());
    let part_size = 1 << 20;
    let (mut cvs, mut found, mut state) = (Vec::new(), Vec::new(), Value::Null);
    for (id, offset) in [(1, 0), (2, part_size), (3, 2 * part_size)] {
        let mut request = get(id, "large", part_size, offset);
        if id > 1 {
            request["state"] = state.clone();
        }
        // Over any connection.
        let peer = if id == 2 { &mut other } else { &mut peer };
        let id = if id == 2 { 1 } else { id - id / 3 };
        request["id"] = json!(id);
        peer.send(&request, b"").unwrap();
        let (answer, body) = peer.receive().unwrap();
        assert_eq!(answer["answer"], id, "{answer}");
        assert!(answer["blake3"].is_null(), "{answer}");
        assert_eq!(answer["filesize"], bytes.len());
        cvs.push(serde_json::from_value::<String>(answer["cv"].clone()).unwrap());
        found.extend(body);
        state = answer["state"].clone();
    }
    assert!(found == bytes);
    let cvs: Vec<Cv> = cvs.iter().map(|cv| Cv::parse(cv).unwrap()).collect();
    assert_eq!(merge(&cvs).unwrap().to_hex(), blake3::hash(&bytes).to_string());
}

#[test]
fn part_that_the_file_does_not_have_is_a_bad_request() {
    let server = server();
    write(&server, "file", &counted(2048));
    write(&server, "empty", b"");
    let sparse = File::create(server.root().join("sparse")).unwrap();
    sparse.set_len(131_072 * 1024 + 1).unwrap();
    let mut peer = server.peer();
    let wrong = [
        ("file", 1024, 2048),
        ("file", 2048, 2048),
        ("file", 1024, 1 << 40),
        ("file", 1024, 1),
        ("file", 1000, 0),
        ("file", 16 << 20, 0),
        ("file", 512, 0),
        ("empty", 1024, 1024),
        ("sparse", 1024, 0),
    ];
    for (id, (name, part_size, offset)) in (1..).zip(wrong) {
        let answer = peer.ask(&get(id, name, part_size, offset), b"").unwrap();
        refused(&answer, id, "bad_request");
    }
    peer.send(&get(10, "file", 1024, 1024), b"").unwrap();
    assert_eq!(peer.receive().unwrap().1, &counted(2048)[1024..]);
}

#[test]
fn state_is_another_once_the_file_is_replaced_or_changed_in_place() {
    let server = server_with(&["--durability", "none"]);
    let mut peer = server.peer();
    let mut ids = 1_u64..;
    let mut id = || ids.next().unwrap();
    let mut states = Vec::new();
    let path = server.root().join("file");
    write(&server, "file", &counted(3000));
    let other_size: &dyn Fn() = &|| fs::write(&path, counted(2999)).unwrap();
    let in_place: &dyn Fn() = &|| fs::write(&path, vec![b'x'; 2999]).unwrap();
    let mtime_is_kept: &dyn Fn() = &|| {
        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, vec![b'y'; 2999]).unwrap();
        set_mtime(&path, mtime);
    };
    let mode: &dyn Fn() = &|| set_mode(&path, 0o600);
    let replaced: &dyn Fn() = &|| {
        let answer = server.peer().ask(&put(1, "file", &[b'z'; 2999]), &[b'z'; 2999]);
        assert_eq!(answer.unwrap()["ack"], 1);
    };
    let shorter: &dyn Fn() = &|| fs::write(&path, b"x").unwrap();
    for change in [other_size, in_place, mtime_is_kept, mode, replaced, shorter] {
        peer.send(&get(id(), "file", 1024, 0), b"").unwrap();
        let (answer, body) = peer.receive().unwrap();
        assert_eq!(body.len(), 1024, "{answer}");
        let mut again = get(id(), "file", 1024, 1024);
        again["state"] = answer["state"].clone();
        assert_eq!(peer.ask(&again, b"").unwrap()["answer"], again["id"]);
        states.push(answer["state"].clone());
        change();
        again["id"] = json!(id());
        let answer = peer.ask(&again, b"").unwrap();
        refused(&answer, again["id"].as_u64().unwrap(), "changed");
        assert_eq!(answer["retry"], true);
    }
    let count = states.len();
    states.sort_by_key(Value::to_string);
    states.dedup();
    assert_eq!(states.len(), count, "{states:?}");
}

#[test]
fn state_is_the_same_for_each_client_and_after_a_restart() {
    let place = TempDir::new().unwrap();
    let (root, log) = (place.path().join("root"), place.path().join("log"));
    let start = || Hauld::start_at(&root, &log, hauld_command(), &[]).unwrap();
    let server = start();
    write(&server, "file", b"12345");
    let state = |server: &Hauld| whole(&mut server.peer(), 1, "file").0["state"].clone();
    let (one, other) = (state(&server), state(&server));
    drop(server);
    assert!(one.is_string());
    assert_eq!((&one, &one), (&other, &state(&start())));
}

/// Somebody at the server writes into the files all the time.
#[test]
fn file_that_changes_while_it_is_read_is_refused_until_that_is_over() {
    const LEN: usize = 6 << 20;
    let server = server_with(&["--durability", "none"]);
    write(&server, "file", &vec![0; LEN]);
    let ends = AtomicBool::new(false);
    let is_refused = thread::scope(|scope| {
        let file = File::options().write(true).open(server.root().join("file")).unwrap();
        let ends = &ends;
        scope.spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4096], 0).unwrap();
            }
        });
        let mut peer = server.peer();
        let is_refused = (1..100).any(|id| whole(&mut peer, id, "file").0["code"] == "changed");
        ends.store(true, Ordering::Relaxed);
        is_refused
    });
    assert!(is_refused);
    let (answer, bytes) = whole(&mut server.peer(), 1, "file");
    assert_eq!((&answer["answer"], bytes.len()), (&json!(1), LEN), "{answer}");
    assert_eq!(answer["blake3"], blake3::hash(&bytes).to_string());
}

#[test]
fn only_regular_files_are_read_and_through_no_symlink() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("secret"), "secret").unwrap();
    let server = server_with(&["--durability", "none"]);
    let root = server.root();
    write(&server, "file", b"12345");
    fs::create_dir(root.join("directory")).unwrap();
    symlink("file", root.join("link")).unwrap();
    symlink(place.path(), root.join("out")).unwrap();
    symlink("directory", root.join("within")).unwrap();
    write(&server, "directory/file", b"12345");
    let fifo = root.join("fifo");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let expected = [
        ("directory", "conflict"),
        ("link", "conflict"),
        ("fifo", "conflict"),
        ("socket", "conflict"),
        ("file/below", "conflict"),
        ("out/secret", "escape"),
        ("within/file", "escape"),
        ("missing", "not_found"),
        ("missing/below", "not_found"),
    ];
    let mut peer = server.peer();
    for (id, (name, code)) in (1..).zip(expected) {
        refused(&peer.ask(&get(id, name, 1024, 0), b"").unwrap(), id, code);
    }
    for (id, (name, code)) in (expected.len() as u64 + 1..).zip(expected) {
        let (files, more) = fetched(&mut peer, id, &[name, "file"]);
        let line = &files[0].0;
        assert_eq!((&line["code"], more), (&json!(code), false), "{name}: {line}");
        assert!(line["retry"].is_boolean() && line["message"].is_string(), "{line}");
        assert_eq!((files.len(), &files[1].1[..]), (2, &b"12345"[..]));
    }
    for name in ["../out", ".haul/lock", ""] {
        let mut peer = server.peer();
        refused(&peer.ask(&get(1, name, 1024, 0), b"").unwrap(), 1, "bad_name");
        send_fetch(&mut peer, 2, &["file", name]);
        refused(&peer.receive().unwrap().0, 2, "bad_name");
    }
}

#[test]
fn file_that_the_server_may_not_read_is_refused_alone() {
    let user = User::new().unwrap();
    let root = user.path().join("root");
    fs::create_dir(&root).unwrap();
    for name in ["closed", "open"] {
        fs::write(root.join(name), "12345").unwrap();
    }
    let root = user.own_all(root).unwrap();
    set_mode(root.join("closed"), 0o200);
    let log = user.path().join("log");
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let mut peer = server.peer();
    refused(&peer.ask(&get(1, "closed", 1024, 0), b"").unwrap(), 1, "permission");
    let (files, _) = fetched(&mut peer, 2, &["closed", "open"]);
    assert_eq!(files[0].0["code"], "permission");
    assert_eq!(files[1].1, b"12345");
    assert_eq!(whole(&mut peer, 3, "open").1, b"12345");
}

#[test]
fn many_small_files_come_in_the_order_of_their_names() {
    let server = server();
    for number in 0..256 {
        if number % 3 > 0 {
            write(&server, &format!("d/{number}"), format!("bytes of {number}").as_bytes());
        }
    }
    write(&server, "limit", &counted(131_072));
    write(&server, "over", &counted(131_073));
    set_mode(server.root().join("d/1"), 0o600);
    let mut names: Vec<String> = (0..256).map(|number| format!("d/{number}")).collect();
    names[30] = String::from("over");
    names[33] = String::from("d");
    names[36] = String::from("limit");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut peer = server.peer();
    let (files, more) = fetched(&mut peer, 1, &names);
    assert_eq!((files.len(), more), (256, false));
    for (number, (line, bytes)) in files.iter().enumerate() {
        match number {
            30 => assert_eq!(line["code"], "too_large", "{line}"),
            33 => assert_eq!(line["code"], "conflict", "{line}"),
            36 => assert!(*bytes == counted(131_072), "{line}"),
            _ if number % 3 == 0 => assert_eq!(line["code"], "not_found", "{line}"),
            _ => assert_eq!(*bytes, format!("bytes of {number}").as_bytes(), "{line}"),
        }
    }
    let found = fs::metadata(server.root().join("d/1")).unwrap();
    let mtime = json!({"s": found.mtime(), "ns": found.mtime_nsec()});
    assert_eq!(files[1].0, json!({"filesize": 10, "mode": 0o600, "mtime": mtime}));
}

#[test]
fn files_that_do_not_fit_one_answer_come_in_the_next() {
    let server = server();
    let (large, few) = (counted(131_072), counted(130_900));
    write(&server, "large", &large);
    write(&server, "few", &few);
    let mut peer = server.peer();
    let (files, more) = fetched(&mut peer, 1, &["large", "large", "few"]);
    assert_eq!((files.len(), more), (1, true));
    assert!(files[0].1 == large);
    let (files, more) = fetched(&mut peer, 2, &["few", "large"]);
    assert_eq!((files.len(), more), (2, false));
    assert!(files[0].1 == few && files[1].1 == large);
    // Reasons are short: an answer of nothing else has all of them.
    let long: Vec<String> =
        (0..256).map(|number| format!("{}{number}", "\u{1}/".repeat(400))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let (files, more) = fetched(&mut peer, 3, &long);
    assert!(files.iter().all(|(line, _)| line["code"] == "not_found"), "{:?}", files[0]);
    assert_eq!((files.len(), more), (256, false));
}

#[test]
fn names_that_are_none_or_too_many_are_refused_as_a_whole() {
    let server = server();
    write(&server, "a", b"x");
    let mut peer = server.peer();
    let bodies = [
        (String::new(), "bad_request"),
        (String::from("a"), "bad_request"),
        (String::from("a\0a"), "bad_request"),
        ("a\0".repeat(257), "bad_request"),
        ("a\0".repeat(131_073), "bad_request"),
        (String::from("a\0/b\0"), "bad_name"),
        (String::from("\0"), "bad_name"),
    ];
    for (id, (body, code)) in (1..).zip(&bodies) {
        let fetch = json!({"cmd": "fetch", "id": id, "length": body.len()});
        refused(&peer.ask(&fetch, body.as_bytes()).unwrap(), id, code);
    }
    let (files, _) = fetched(&mut peer, 8, &["a"; 256]);
    assert_eq!(files.len(), 256);
}

#[test]
fn file_is_read_as_earlier_requests_of_the_connection_have_left_it() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let mut peer = server.peer();
        let rename = json!({"cmd": "rename", "id": 4, "filename": "new/file", "to": "new/other"});
        let mut requests = frame(&put(1, "new/file", b"12345"), b"12345");
        requests.extend(frame(&get(2, "new/file", 1024, 0), b""));
        requests.extend(frame(&put(3, "new/file", b"other"), b"other"));
        requests.extend(frame(&rename, b""));
        let body = b"new/file\0new/other\0";
        requests.extend(frame(&json!({"cmd": "fetch", "id": 5, "length": body.len()}), body));
        requests.extend(frame(&get(6, "new/other", 1024, 0), b""));
        peer.stream.write_all(&requests).unwrap();
        let mut found = Vec::new();
        while found.len() < 3 {
            let (answer, body) = peer.receive().unwrap();
            assert!(answer["code"].is_null(), "{durability}: {answer}");
            if answer["answer"].is_u64() {
                found.push((answer["answer"].clone(), String::from_utf8(body).unwrap()));
            }
        }
        assert_eq!(found[0], (json!(2), String::from("12345")), "{durability}");
        assert_eq!(found[1].0, 5);
        assert!(found[1].1.contains("\"not_found\"") && found[1].1.ends_with("other"), "{found:?}");
        assert_eq!(found[2], (json!(6), String::from("other")), "{durability}");
    }
}

#[test]
fn account_reads_only_below_its_own_root_and_is_told_names_from_there() {
    let accounts = Accounts::start(&["alice --root teams/alice --rights reader"]);
    let at = |name: &str| accounts.at(name);
    fs::create_dir_all(at("teams/alice/d")).unwrap();
    fs::write(at("teams/alice/d/file"), "of alice").unwrap();
    fs::write(at("teams/secret"), "secret").unwrap();
    symlink("../secret", at("teams/alice/link")).unwrap();
    symlink("..", at("teams/alice/up")).unwrap();
    let mut peer = accounts.peer("alice");
    assert_eq!(whole(&mut peer, 1, "d/file").1, b"of alice");
    let long = "ab/".repeat(1364);
    let long = long.trim_end_matches('/');
    let names = ["d/file", "missing", "d", "link", "up/secret", "teams/alice/d/file", long];
    let (files, more) = fetched(&mut peer, 2, &names);
    assert!(!more && files[0].1 == b"of alice");
    let told: Vec<_> = files[1..].iter().map(|(line, _)| &line["code"]).collect();
    assert_eq!(
        told,
        ["not_found", "conflict", "conflict", "escape", "not_found", "bad_name"],
        "{files:?}"
    );
    for (id, (name, (line, _))) in (3_u64..).zip(names.iter().zip(&files)).skip(1) {
        let answer = peer.ask(&get(id - 1, name, 1024, 0), b"").unwrap();
        refused(&answer, id - 1, line["code"].as_str().unwrap());
        for message in [&answer["message"], &line["message"]] {
            let message = message.as_str().unwrap();
            let is_own = *name == "teams/alice/d/file";
            assert_eq!(message.contains("teams"), is_own, "{name}: {message}");
        }
    }
    // The root itself is gone.
    fs::rename(at("teams/alice"), at("teams/bob")).unwrap();
    let answer = peer.ask(&get(9, "d/file", 1024, 0), b"").unwrap();
    assert_eq!((&answer["refused"], &answer["code"]), (&json!(0), &json!("root_gone")));
}

#[test]
fn connection_that_publishes_a_directory_reads_nothing() {
    let server = server_with(&["--durability", "none"]);
    write(&server, "site/file", b"present");
    let mut peer = Peer::connect(server.address()).unwrap();
    let hello = json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": "me", "slot": 0,
        "filename": "site", "must": ["publish", "get"],
    });
    assert!(peer.ask(&hello, b"").unwrap()["upload"].is_string());
    refused(&peer.ask(&get(1, "file", 1024, 0), b"").unwrap(), 1, "bad_request");
    send_fetch(&mut peer, 2, &["file"]);
    refused(&peer.receive().unwrap().0, 2, "bad_request");
    assert_eq!(peer.ask(&put(3, "file", b"next"), b"next").unwrap()["ack"], 3);
    let mut other = server.peer();
    assert_eq!(whole(&mut other, 1, "site/file").1, b"present");
    assert_eq!(peer.ask(&json!({"cmd": "publish", "id": 4}), b"").unwrap()["answer"], 4);
    assert_eq!(whole(&mut other, 2, "site/file").1, b"next");
}
