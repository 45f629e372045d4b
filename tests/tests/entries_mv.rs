//! `haul mv`, and `rename` requests beside other changes of the same names.

use haul_tests::prelude::*;

use crate::entries::{SERVERS, at, read, run, write};

#[test]
fn entries_get_other_names_and_nothing_is_replaced_without_f() {
    for words in SERVERS {
        let server = server_with(words);
        for file in ["f", "g", "d/x/y", "e/h", "full/x/z"] {
            write(&server, file, file);
        }
        symlink("f", server.root().join("link")).unwrap();
        fs::create_dir(server.root().join("empty")).unwrap();
        run(&server, &["mv", "@f", "@new/parent/f2"]).success().stdout("").stderr("");
        assert_eq!(read(&server, "new/parent/f2").as_deref(), Some("f"));
        assert_eq!(read(&server, "f"), None);
        // Into a directory, with and without a slash; into the root.
        run(&server, &["mv", "@new/parent/f2", "@e/"]).success();
        run(&server, &["mv", "@e/f2", "@d"]).success();
        run(&server, &["mv", "@d/f2", "@"]).success();
        assert_eq!(read(&server, "f2").as_deref(), Some("f"));
        run(&server, &["mv", "@d", "@moved"]).success();
        assert_eq!(read(&server, "moved/x/y").as_deref(), Some("d/x/y"));
        run(&server, &["mv", "@link", "@link2"]).success();
        assert!(server.root().join("link2").is_symlink());
        run(&server, &["mv", "@f2", "@g"])
            .code(1)
            .stderr(contains("g: is there already; haul mv -f"));
        assert_eq!(read(&server, "g").as_deref(), Some("g"));
        run(&server, &["mv", "-f", "@f2", "@g"]).success();
        assert_eq!((read(&server, "g").as_deref(), read(&server, "f2")), (Some("f"), None));
        // `e/x` and `full/x`: a directory takes the place of an empty one only.
        run(&server, &["mv", "@moved/x", "@full"])
            .code(1)
            .stderr(contains("full/x: is there already"));
        run(&server, &["mv", "-f", "@moved/x", "@full"]).code(1).stderr(contains("not empty"));
        assert_eq!(read(&server, "full/x/z").as_deref(), Some("full/x/z"));
        run(&server, &["mkdir", "@e/x"]).success();
        run(&server, &["mv", "-f", "@moved/x", "@e"]).success();
        assert_eq!(read(&server, "e/x/y").as_deref(), Some("d/x/y"));
    }
}

#[test]
fn move_that_makes_no_sense_is_refused_with_advice() {
    let server = server();
    for file in ["f", "d/x"] {
        write(&server, file, file);
    }
    symlink("d", server.root().join("link")).unwrap();
    let other = server_with(&["--durability", "none"]);
    let there = format!("{}/f", other.address());
    for (words, code, told) in [
        (&["mv", "@none", "@g"][..], 1, "`none` does not exist (not_found)"),
        (&["mv", "@f", "@none/"], 1, "none: there is no such directory; haul mkdir makes it"),
        (&["mv", "@f", "@f/"], 1, "f: is not a directory"),
        (&["mv", "@f", "@f"], 1, "both names are the same"),
        (&["mv", "@f", "@"], 1, "both names are the same"),
        (&["mv", "@d", "@d"], 1, "to be moved into itself"),
        (&["mv", "@d", "@d/y/z"], 1, "to be moved into itself"),
        (&["mv", "@f", "@link/f"], 1, "(escape)"),
        (&["mv", "@link/x", "@x"], 1, "(escape)"),
        (&["mv", "@f", "@d/x/y"], 1, "(conflict)"),
        (&["mv", "@", "@x"], 2, "the server's root can't be moved"),
        (&["mv", "@f", "g"], 2, "HOST/OLD HOST/NEW"),
        (&["mv", "@f", &there], 2, "are not written alike"),
        (&["mv", "@f", "@.haul/x"], 2, "reserved"),
    ] {
        run(&server, words).code(code).stderr(contains(told));
    }
    assert_eq!(read(&server, "f").as_deref(), Some("f"));
    assert!(!server.root().join("d/y").exists());
}

/// The request has happened, and is sent again over a new connection.
#[test]
fn move_whose_answer_was_lost_is_no_failure() {
    for words in SERVERS {
        for (force, from, to) in [(&[][..], "f", "g"), (&["-f"], "f", "h"), (&[], "d", "moved")] {
            let server = server_with(words);
            for file in ["f", "d/x", "h"] {
                write(&server, file, file);
            }
            let lost = Lost::start(server.address(), "rename", || ()).unwrap();
            let (from, to) = (format!("@{from}"), format!("@{to}"));
            at(lost.address(), &[&["mv"], force, &[&from, &to]].concat())
                .success()
                .stderr(contains("reconnecting (attempt 1)"));
            lost.end();
            assert!(!server.root().join(&from[1..]).exists());
            assert!(server.root().join(&to[1..]).exists());
        }
    }
}

/// Nobody can tell then whether it had happened.
#[test]
fn move_whose_answer_was_lost_and_whose_entry_was_moved_on_is_told() {
    let server = server();
    write(&server, "f", "f");
    let root = server.root().to_owned();
    let moved_on = move || fs::rename(root.join("g"), root.join("elsewhere")).unwrap();
    let lost = Lost::start(server.address(), "rename", moved_on).unwrap();
    at(lost.address(), &["mv", "@f", "@g"])
        .code(1)
        .stderr(contains("the connection was lost before the answer").and(contains("haul ls")));
    lost.end();
}

/// A log is rotated, and the next one has begun before the client has connected again.
#[test]
fn move_whose_answer_was_lost_does_not_move_a_newer_entry_over_the_first() {
    for force in [&[][..], &["-f"]] {
        for (old, moved) in [("log", "log.1"), ("d", "d.1/f")] {
            let server = server();
            for file in ["log", "d/f"] {
                write(&server, file, "first");
            }
            let newer = server.root().join(old);
            let meanwhile = move || match old {
                "d" => fs::create_dir(newer).unwrap(),
                _ => fs::write(newer, "of the next one").unwrap(),
            };
            let lost = Lost::start(server.address(), "rename", meanwhile).unwrap();
            let (from, to) = (format!("@{old}"), format!("@{old}.1"));
            at(lost.address(), &[&["mv"], force, &[&from, &to]].concat())
                .code(1)
                .stderr(contains("can't tell whether").and(contains("haul ls")));
            lost.end();
            assert_eq!(read(&server, moved).as_deref(), Some("first"));
            assert!(server.root().join(old).exists());
        }
    }
}

/// The request has not reached the server, and another client has sent a like file to the new name.
#[test]
fn move_whose_request_was_lost_is_told_if_a_like_entry_came_under_the_new_name() {
    let server = server();
    write(&server, "f", "x");
    let root = server.root().to_owned();
    let meanwhile = move || {
        let mtime = fs::metadata(root.join("f")).unwrap().modified().unwrap();
        fs::write(root.join("g"), "x").unwrap();
        fs::File::options().write(true).open(root.join("g")).unwrap().set_modified(mtime).unwrap();
    };
    let lost = Lost::request(server.address(), "rename", meanwhile).unwrap();
    at(lost.address(), &["mv", "@f", "@g"])
        .code(1)
        .stderr(contains("can't tell whether").and(contains("haul ls")));
    lost.end();
    assert!(read(&server, "f").is_some() && read(&server, "g").is_some());
}

#[test]
fn move_whose_request_was_lost_is_sent_again() {
    for force in [&[][..], &["-f"]] {
        let server = server();
        write(&server, "f", "x");
        if !force.is_empty() {
            write(&server, "g", "another");
        }
        let lost = Lost::request(server.address(), "rename", || ()).unwrap();
        at(lost.address(), &[&["mv"], force, &["@f", "@g"]].concat()).success();
        lost.end();
        assert_eq!((read(&server, "f"), read(&server, "g").as_deref()), (None, Some("x")));
    }
}

#[test]
fn server_without_renames_is_told_apart() {
    let fake = haul_tests::fake::Fake::start().unwrap();
    let address = fake.address().unwrap();
    let served = thread::spawn(move || fake.greet().unwrap().0);
    at(&address, &["mv", "@f", "@g"]).code(1).stderr(contains("this server can't rename"));
    served.join().unwrap();
}

/// One of two uploads of a name comes before the rename, or after it: each file is there, whole.
#[test]
fn renames_race_with_uploads_of_the_same_names() {
    for words in SERVERS {
        let server = server_with(words);
        let place = TempDir::new().unwrap();
        let over = AtomicBool::new(false);
        let stored = thread::scope(|scope| {
            let upload = scope.spawn(|| {
                let mut peer = server.peer();
                let mut stored = 0_u64;
                while !over.load(Ordering::Acquire) {
                    stored += 1;
                    let text = format!("{stored:06}").repeat(1000);
                    let answer = peer.ask(&put(stored, "log", text.as_bytes()), text.as_bytes());
                    assert_eq!(answer.unwrap()["ack"], stored);
                }
                stored
            });
            let mut peer = server.peer();
            let mut renamed = 0;
            for id in 1..=300 {
                let request = json!({"cmd": "rename", "id": id, "filename": "log", "to": format!("log.{id}")});
                let answer = peer.ask(&request, b"").unwrap();
                match answer["ack"].as_u64() {
                    Some(_) => renamed += 1,
                    None => refused(&answer, id, "not_found"),
                }
            }
            over.store(true, Ordering::Release);
            assert!(renamed > 0, "nothing was renamed");
            upload.join().unwrap()
        });
        let mut seen = std::collections::BTreeSet::new();
        for entry in fs::read_dir(server.root()).unwrap().map(Result::unwrap) {
            if entry.file_name().to_str().unwrap().starts_with("log") {
                let text = fs::read_to_string(entry.path()).unwrap();
                assert_eq!(text, text[..6].repeat(1000), "a mixture");
                assert!(seen.insert(text[..6].to_owned()), "a version under two names");
            }
        }
        assert!(seen.contains(&format!("{stored:06}")), "the last one is lost");
        drop(place);
    }
}

/// Changes of a directory that is renamed go on under its new name, or make the old one again; none is lost.
#[test]
fn files_that_come_while_their_directory_is_renamed_are_not_lost() {
    for words in SERVERS {
        let server = server_with(words);
        let over = AtomicBool::new(false);
        let stored = thread::scope(|scope| {
            let upload = scope.spawn(|| {
                let mut peer = server.peer();
                let mut stored = 0_u64;
                while !over.load(Ordering::Acquire) || stored == 0 {
                    stored += 1;
                    let name = format!("d/sub/{stored}");
                    let answer = peer.ask(&put(stored, &name, b"bytes"), b"bytes").unwrap();
                    assert_eq!(answer["ack"], stored, "{answer}");
                }
                stored
            });
            let mut peer = server.peer();
            for id in 1..=200 {
                let request = json!({"cmd": "rename", "id": id, "filename": "d", "to": format!("moved/{id}")});
                let answer = peer.ask(&request, b"").unwrap();
                assert!(answer["ack"] == id || answer["code"] == "not_found", "{answer}");
            }
            over.store(true, Ordering::Release);
            upload.join().unwrap()
        });
        let files = walkdir::WalkDir::new(server.root()).into_iter().map(Result::unwrap);
        let files = files.filter(|entry| {
            entry.file_type().is_file() && fs::read(entry.path()).unwrap() == b"bytes"
        });
        let names: std::collections::BTreeSet<_> =
            files.map(|entry| entry.file_name().to_owned()).collect();
        assert_eq!(names.len() as u64, stored);
    }
}

/// An upload under way keeps the name that it was opened with, and makes its directory again.
#[test]
fn large_file_under_way_goes_to_the_name_that_it_was_opened_with() {
    let server = server();
    let large = Large::new(1);
    let mut upload = Upload::open(&server, &large).unwrap();
    write(&server, "dir/kept", "x");
    upload.good(&large, 0).unwrap();
    run(&server, &["mv", "@dir", "@moved"]).success();
    for index in [1, 2] {
        upload.good(&large, index).unwrap();
    }
    let digest = blake3::hash(&large.bytes).to_hex();
    assert!(upload.commit(digest.as_str()).unwrap()["answer"].is_u64());
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
    assert!(read(&server, "moved/kept").is_some());
}

/// Others change nothing in a directory while its next version is put together, and nothing is moved out of its way.
#[test]
fn directory_that_is_being_published_is_not_renamed() {
    let setting = Setting::start();
    setting.version(1);
    setting.published(&[]);
    let mut draft = Peer::connect(setting.server.address()).unwrap();
    let hello = json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": "draft", "slot": 0,
        "must": ["publish", "rename"], "filename": "www/site",
    });
    assert_eq!(draft.ask(&hello, b"").unwrap()["hello"], 1);
    let mut peer = setting.server.peer();
    let mut id = 0;
    for (from, to) in [
        ("www", "w"),
        ("www/site", "s"),
        ("www/site/large", "l"),
        ("x", "www/site/x"),
        ("x", "www"),
    ] {
        id += 1;
        let request =
            json!({"cmd": "rename", "id": id, "filename": from, "to": to, "replace": true});
        refused(&peer.ask(&request, b"").unwrap(), id, "busy");
    }
    // In the draft itself names are those of its own entries.
    assert_eq!(draft.ask(&put(1, "index", b"x"), b"x").unwrap()["ack"], 1);
    let request = json!({"cmd": "rename", "id": 2, "filename": "index", "to": "d0/index"});
    assert_eq!(draft.ask(&request, b"").unwrap()["ack"], 2);
    assert!(draft.ask(&json!({"cmd": "publish", "id": 3}), b"").unwrap()["answer"].is_u64());
    assert_eq!(fs::read(setting.site().join("d0/index")).unwrap(), b"x");
}
