//! New directories, which are filled before they appear: everything in them, in any order, with whatever
//! else is asked for.

use haul_tests::prelude::*;

/// They appear at once, or when all that is in them has been flushed.
fn servers() -> impl Iterator<Item = Hauld> {
    let start = |durability| Hauld::start(&binaries::get().hauld, &["--durability", durability]);
    ["none", "group"].into_iter().map(move |durability| start(durability).unwrap())
}

fn mkdir(id: u64, name: &str) -> Value {
    json!({"cmd": "mkdir", "id": id, "filename": name, "mode": 0o750})
}

/// Sends all of it in one write, and returns the answers up to the ack of the last.
fn ask(peer: &mut Peer, requests: &[(Value, &[u8])]) -> Vec<Value> {
    let frames: Vec<u8> = requests.iter().flat_map(|(header, body)| frame(header, body)).collect();
    peer.stream.write_all(&frames).unwrap();
    let last = requests.last().unwrap().0["id"].clone();
    let mut answers = Vec::new();
    while answers.last().is_none_or(|answer: &Value| answer["ack"] != last) {
        answers.push(peer.receive().unwrap().0);
    }
    answers
}

fn refusals(answers: &[Value]) -> Vec<(u64, &str)> {
    let refused = answers
        .iter()
        .filter_map(|answer| Some((answer["refused"].as_u64()?, answer["code"].as_str()?)));
    refused.collect()
}

#[test]
fn tree_of_files_links_and_directories_appears() {
    for server in servers() {
        let mut peer = server.peer();
        let mut file = put(3, "new/a", b"bytes");
        file["mode"] = json!(0o604);
        file["mtime"] = json!({"s": -5, "ns": 7});
        let link = json!({
            "cmd": "symlink", "id": 5, "filename": "new/inner/link", "target": "../a",
            "mtime": {"s": 9, "ns": 1},
        });
        let answers = ask(
            &mut peer,
            &[
                (mkdir(1, "new"), b""),
                (mkdir(2, "new/inner"), b""),
                (file, b"bytes"),
                (put(4, "new/inner/empty", b""), b""),
                (link, b""),
                (put(6, "elsewhere", b"x"), b"x"),
                (mkdir(7, "second"), b""),
                (put(8, "second/b", b"y"), b"y"),
                (put(9, "new/inner/late", b"z"), b"z"),
            ],
        );
        assert_eq!(refusals(&answers), []);
        let root = server.root();
        for directory in ["new", "new/inner", "second"] {
            assert_eq!(mode(root.join(directory)), 0o750);
        }
        let a = fs::metadata(root.join("new/a")).unwrap();
        assert_eq!((a.mode() & 0o7777, a.mtime(), a.mtime_nsec()), (0o604, -5, 7));
        let link = root.join("new/inner/link");
        assert_eq!(fs::read_link(&link).unwrap().to_str().unwrap(), "../a");
        assert_eq!(fs::symlink_metadata(&link).unwrap().mtime(), 9);
        for (name, bytes) in [
            ("new/a", "bytes"),
            ("new/inner/empty", ""),
            ("new/inner/late", "z"),
            ("elsewhere", "x"),
            ("second/b", "y"),
        ] {
            assert_eq!(fs::read_to_string(root.join(name)).unwrap(), bytes, "{name}");
        }
        assert!(server.staged().unwrap().is_empty());
    }
}

#[test]
fn only_what_matches_its_digest_is_in_it() {
    for server in servers() {
        let mut peer = server.peer();
        let requests: [(Value, &[u8]); 4] = [
            (mkdir(1, "new"), b""),
            (put(2, "new/good", b"good"), b"good"),
            (put(3, "new/bad", b"good"), b"evil"),
            (put(4, "new/also good", b"good"), b"good"),
        ];
        assert_eq!(refusals(&ask(&mut peer, &requests)), [(3, "digest_mismatch")]);
        let mut names: Vec<_> = fs::read_dir(server.root().join("new"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["also good", "good"]);
    }
}

#[test]
fn requests_for_one_name_take_effect_in_order() {
    for server in servers() {
        let mut peer = server.peer();
        let requests: [(Value, &[u8]); 8] = [
            (mkdir(1, "new"), b""),
            (put(2, "new/twice", b"first"), b"first"),
            (put(3, "new/twice", b"second"), b"second"),
            // A file where the directory is that nobody has seen yet, and the reverse.
            (mkdir(4, "other"), b""),
            (put(5, "other", b"file"), b"file"),
            (put(6, "other/name", b"file"), b"file"),
            (mkdir(7, "other/name"), b""),
            (json!({"cmd": "setattr", "id": 8, "filename": "other", "mode": 0o700}), b""),
        ];
        let answers = ask(&mut peer, &requests);
        assert_eq!(refusals(&answers), [(5, "conflict"), (7, "conflict")]);
        assert_eq!(fs::read_to_string(server.root().join("new/twice")).unwrap(), "second");
        assert_eq!(fs::read_to_string(server.root().join("other/name")).unwrap(), "file");
        assert_eq!(fs::metadata(server.root().join("other")).unwrap().mode() & 0o777, 0o700);
        assert!(server.staged().unwrap().is_empty());
    }
}

#[test]
fn files_that_come_in_pieces_are_in_it_too() {
    for server in servers() {
        let mut peer = server.peer();
        // More than a server reads at once, and more directories than one tree has.
        let bytes = vec![7; 700_000];
        let mut requests = vec![(mkdir(1, "new"), &b""[..])];
        for id in 2..80 {
            requests.push((mkdir(id, &format!("new/{id}")), b""));
        }
        for id in 80..85 {
            let name = format!("new/{}/large", id - 50);
            requests.push((put(id, &name, &bytes), &bytes));
        }
        assert_eq!(refusals(&ask(&mut peer, &requests)), []);
        for id in 80..85 {
            let name = format!("new/{}/large", id - 50);
            assert!(fs::read(server.root().join(name)).unwrap() == bytes);
        }
        assert!(server.root().join("new/79").is_dir());
        assert!(server.staged().unwrap().is_empty());
    }
}

/// A large file that is to be in it keeps what comes next out of sight no less, and comes to it.
#[test]
fn large_file_is_opened_in_it() {
    for (server, at_once) in servers().zip([true, false]) {
        let large = Large::new(0);
        let mut upload = Upload::open(&server, &large).unwrap();
        let open = |id: u64, name: &str| {
            json!({
                "cmd": "open", "id": id, "filename": name, "filesize": large.bytes.len(),
                "fingerprint": name,
            })
        };
        let mut requests: Vec<(Value, &[u8])> = vec![
            (mkdir(2, "new"), b""),
            (put(3, "new/a", b"a"), b"a"),
            (open(4, "new/large"), b""),
            (put(5, "new/b", b"b"), b"b"),
            (mkdir(6, "new/taken"), b""),
        ];
        // What is flushed first is there a little later.
        if at_once {
            requests.push((open(7, "new/taken"), b""));
        } else {
            requests.push((mkdir(7, "new/other"), b""));
        }
        requests.push((put(8, "new/c", b"c"), b"c"));
        let answers = ask(&mut upload.peer, &requests);
        let refused = if at_once { vec![(7, "conflict")] } else { vec![] };
        assert_eq!(refusals(&answers), refused, "{answers:?}");
        let opened = answers.iter().find(|answer| answer["answer"] == 4).unwrap();
        upload.token = opened["upload"].as_str().unwrap().to_owned();
        upload.id = 8;
        for index in 0..3 {
            upload.good(&large, index).unwrap();
        }
        assert!(!server.root().join("new/large").exists());
        let answer = upload.commit(&large.digest).unwrap();
        assert_eq!(answer["answer"], upload.id, "{answer}");
        assert_eq!(fs::read(server.root().join("new/large")).unwrap(), large.bytes);
        for name in ["a", "b", "c"] {
            assert_eq!(fs::read_to_string(server.root().join("new").join(name)).unwrap(), name);
        }
    }
}

#[test]
fn what_came_before_malformed_bytes_is_told_and_stays() {
    for server in servers() {
        let mut peer = server.peer();
        let mut bytes = frame(&mkdir(1, "new"), b"");
        bytes.extend(frame(&put(2, "new/a", b"a"), b"a"));
        bytes.extend([0xff; 8]);
        peer.stream.write_all(&bytes).unwrap();
        assert_eq!(peer.receive().unwrap().0["ack"], 2);
        assert_eq!(peer.receive().unwrap().0["code"], "malformed");
        assert_eq!(fs::read(server.root().join("new/a")).unwrap(), b"a");
    }
}

#[test]
fn what_came_before_the_end_of_the_stream_is_told_and_stays() {
    for server in servers() {
        let mut peer = server.peer();
        let mut bytes = frame(&mkdir(1, "new"), b"");
        bytes.extend(frame(&put(2, "new/a", b"a"), b"a"));
        // Its last byte never comes.
        bytes.extend(frame(&put(3, "new/b", b"bb"), b"b"));
        peer.stream.write_all(&bytes).unwrap();
        let rest = String::from_utf8(peer.end().unwrap()).unwrap();
        assert!(rest.contains(r#"{"ack":2}"#), "{rest}");
        assert_eq!(fs::read(server.root().join("new/a")).unwrap(), b"a");
        assert!(!server.root().join("new/b").exists());
        eventually("nothing stays behind", || server.staged().unwrap().is_empty());
    }
}

/// A directory gets the group of a setgid directory that it is made in, as without haul.
#[test]
fn new_directory_inherits_from_its_parent() {
    for server in servers() {
        let parent = server.root().join("team");
        fs::create_dir(&parent).unwrap();
        set_mode(&parent, 0o2770);
        let mut peer = server.peer();
        let requests: [(Value, &[u8]); 2] =
            [(mkdir(1, "team/new"), b""), (put(2, "team/new/a", b"a"), b"a")];
        assert_eq!(refusals(&ask(&mut peer, &requests)), []);
        assert_eq!(mode(parent.join("new")), 0o2750);
    }
}
