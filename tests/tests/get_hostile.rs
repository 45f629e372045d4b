//! `haul get` and `haul cat` from a server that means harm: nothing comes to be outside of the target, nothing wrong under a
//! final name, and the client ends.

use haul_tests::bytes::counted;
use haul_tests::fake::refusal;
use haul_tests::prelude::*;
use haul_tests::scripted::{
    Answer, STATE, Scripted, directory, fetched, file, finished, link, page, part, whole,
};

const MIB: usize = 1 << 20;

/// A server with a single large file, whose parts are changed by the test.
fn large(change: impl Fn(&Value, &mut Answer) + Send + Sync + 'static) -> Scripted {
    let bytes = counted(5 * MIB);
    Scripted::start(move |request, _| match request["cmd"].as_str() {
        Some("list") => page(&[file("large", bytes.len() as u64)]),
        _ => {
            let mut answer = part(&bytes, request);
            change(request, &mut answer);
            answer
        }
    })
}

/// A server with a single small file, whose answers are these.
fn small(answer: impl Fn(&[u8]) -> Answer + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |request, body| match request["cmd"].as_str() {
        Some("list") => page(&[file("a", 3), file("b", 3)]),
        Some("fetch") => answer(body),
        _ => (refusal(&json!(0), "not_found", false), Vec::new()),
    })
}

#[test]
fn scripted_server_that_is_honest_gives_its_files() {
    let large = large(|_, _| {});
    let (code, told) = large.run(&["get", &large.address, "d"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(fs::read(large.place.path().join("d/large")).unwrap() == counted(5 * MIB));
    let small = small(|_| fetched([whole(b"one"), whole(b"two")].concat()));
    let (code, told) = small.run(&["get", &small.address, "d"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(fs::read(small.place.path().join("d/b")).unwrap(), b"two");
}

#[test]
fn names_that_lead_elsewhere_or_are_in_no_order_end_the_run() {
    let odd = [
        vec![file("../outside/file", 3)],
        vec![file("..", 3)],
        vec![directory("..")],
        vec![link("../link", "x")],
        vec![file("/tmp/haul-hostile", 3)],
        vec![file("other/file", 3)],
        vec![file("", 3)],
        vec![file(".", 3)],
        vec![file("a\u{0}b", 3)],
        vec![file("b", 3), file("a", 3)],
        vec![file("a", 3), file("a", 3)],
        vec![directory("a"), link("a", "outside")],
        vec![json!({"kind": "file", "filename": "a"})],
        vec![json!({"kind": "file", "filename": "a", "filesize": -1})],
        vec![json!({"kind": "file", "filename": "a", "filesize": 1e300})],
        vec![json!({"kind": "link", "filename": "a"})],
        vec![json!("a")],
    ];
    for entries in odd {
        let shown = format!("{entries:?}");
        let server = Scripted::start(move |request, _| match request["cmd"].as_str() {
            Some("list") => page(&entries),
            _ => fetched([whole(b"one"), whole(b"two")].concat()),
        });
        let told = server.fails(&[]);
        assert!(!told.is_empty(), "{shown}");
    }
}

/// Trap `symlink_swapped_in`.
#[test]
fn entry_of_a_directory_that_is_a_symlink_here_does_not_come() {
    // First the list has a symlink, then it is read as a directory, in the same run by another source.
    let server = Scripted::start(|request, _| match request["filename"].as_str() {
        None => fetched(whole(b"bad")),
        Some("p") => page(&[directory("p/a")]),
        Some("q") => page(&[directory("q/b")]),
        Some("p/a") => page(&[link("p/a/x", "../outside")]),
        Some("q/b") => page(&[directory("q/b/x")]),
        Some("q/b/x") => page(&[file("q/b/x/file", 3)]),
        _ => page(&[]),
    });
    let [link, directory] = ["p/a/", "q/b/"].map(|name| format!("{}/{name}", server.address));
    let words = ["get", &link, &directory, "d"];
    let (code, told) = server.run(&words);
    // The symlink may come first, or the directory.
    let came = finished(&server.place.path().join("d"));
    assert!(code == Some(1) && (came == ["x"] || came == ["x/file"]), "{code:?} {came:?} {told}");
    // What an earlier run has made is not gone through either.
    fs::remove_dir_all(server.place.path().join("d")).unwrap();
    fs::create_dir(server.place.path().join("d")).unwrap();
    symlink("../outside", server.place.path().join("d/x")).unwrap();
    let (code, told) = server.run(&["get", &directory, "d"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("d/x: a symlink is in its place"), "{told}");
}

#[test]
fn size_that_is_not_that_of_the_list_does_no_harm() {
    // Listed as small, and larger than an answer may be.
    let grown = Scripted::start(|request, _| match request["cmd"].as_str() {
        Some("list") => page(&[file("a", 3)]),
        Some("fetch") => fetched(
            format!("{}\n", json!({"code": "too_large", "message": "x", "retry": false})).into(),
        ),
        _ => part(&counted(5 * MIB), request),
    });
    let (code, told) = grown.run(&["get", &grown.address, "d"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(fs::read(grown.place.path().join("d/a")).unwrap() == counted(5 * MIB));
    // Listed as large, and small.
    let shrunk = Scripted::start(|request, _| match request["cmd"].as_str() {
        Some("list") => page(&[file("a", 1 << 30)]),
        _ => {
            let digest = blake3::hash(b"one").to_string();
            (json!({"filesize": 3, "state": STATE, "blake3": digest}), b"one".to_vec())
        }
    });
    let (code, told) = shrunk.run(&["get", &shrunk.address, "d"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(fs::read(shrunk.place.path().join("d/a")).unwrap(), b"one");
}

#[test]
fn sizes_that_no_number_can_hold_together_do_no_harm() {
    let most = (1_u64 << 53) - 1;
    let server = Scripted::start(move |request, _| match request["cmd"].as_str() {
        Some("list") => {
            let entries: Vec<_> = (0..3000).map(|n| file(&format!("{n:05}"), most)).collect();
            page(&entries)
        }
        _ => (refusal(&json!(0), "not_found", false), Vec::new()),
    });
    let _ = server.fails(&[]);
    let (code, told) = server.run(&["get", "-n", &server.address, "d"]);
    assert!(matches!(code, Some(0 | 1)), "{told}");
}

#[test]
fn answer_about_small_files_that_is_not_theirs_brings_none() {
    let answers: [fn() -> Answer; 8] = [
        // A digest of other bytes.
        || {
            (
                json!({"more": false, "blake3": "0".repeat(64)}),
                [whole(b"one"), whole(b"two")].concat(),
            )
        },
        // Too few, too many, none.
        || fetched(whole(b"one")),
        || fetched([whole(b"one"), whole(b"two"), whole(b"six")].concat()),
        || fetched(Vec::new()),
        || (json!({"more": true, "blake3": blake3::hash(b"").to_string()}), Vec::new()),
        // More bytes than it may have.
        || fetched(vec![b' '; 8 * MIB]),
        // Fewer bytes behind a line than it says.
        || fetched(b"{\"filesize\": 3}\nxx".to_vec()),
        || fetched(b"{\"filesize\": 9007199254740991}\nxx".to_vec()),
    ];
    for answer in answers {
        let told = small(move |_| answer()).fails(&[]);
        assert!(!told.is_empty());
    }
}

#[test]
fn part_that_is_not_right_is_never_in_a_file() {
    let changes: [fn(&Value, &mut Answer); 8] = [
        |_, answer| answer.0["cv"] = json!("0".repeat(64)),
        |_, answer| answer.0["cv"] = Value::Null,
        |request, answer| {
            if request["offset"] != 0 {
                answer.1[7] ^= 1;
            }
        },
        |request, answer| {
            if request["offset"] != 0 {
                answer.1.pop();
            }
        },
        |request, answer| {
            if request["offset"] != 0 {
                answer.1.resize(8 * MIB, 0);
            }
        },
        |request, answer| {
            if request["offset"] != 0 {
                answer.0["state"] = json!("f".repeat(32));
            }
        },
        |request, answer| {
            if request["offset"] != 0 {
                answer.0["filesize"] = json!(6 * MIB);
            }
        },
        // All parts are right, and the file is another one.
        |_, answer| answer.0["blake3"] = json!("0".repeat(64)),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let server = large(change);
        let told = server.fails(&[]);
        assert!(!told.is_empty(), "{number}");
        let address = format!("{}/large", server.address);
        let (code, told) = server.run(&["cat", &address]);
        assert!(matches!(code, Some(1 | 3)), "{number} {code:?} {told}");
    }
}

/// Such an answer is none, so nothing else is asked over that connection.
#[test]
fn answer_to_cat_without_its_digest_or_its_bytes_ends_the_connection() {
    let digest = || json!(blake3::hash(b"one").to_string());
    let answers: [(Value, &[u8]); 3] = [
        (json!({"filesize": 3, "state": STATE}), b"one"),
        (json!({"filesize": 3, "state": STATE, "blake3": digest()}), b"on"),
        (json!({"filesize": 8 * MIB, "state": STATE, "blake3": digest()}), &[0; 1 << 20]),
    ];
    for (answer, body) in answers {
        let server = Scripted::start(move |_, _| (answer.clone(), body.to_vec()));
        let names = ["a", "b"].map(|name| format!("{}/{name}", server.address));
        let (code, told) = server.run(&["cat", &names[0], &names[1]]);
        assert_eq!(code, Some(3), "{told}");
        assert!(!told.contains("damaged"), "{told}");
    }
}

/// Trap `peer_sized_allocation`.
#[test]
fn size_of_a_file_makes_nothing_of_that_size() {
    for size in [(1_u64 << 53) - 1, 1 << 40, (1 << 40) + 1] {
        let server = Scripted::start(move |request, _| match request["cmd"].as_str() {
            Some("list") => page(&[file("a", size)]),
            _ => {
                let mut answer = part(&counted(8 * MIB), request);
                answer.0["filesize"] = size.into();
                if request["offset"] == 0 {
                    answer
                } else {
                    (refusal(&json!(0), "io", false), Vec::new())
                }
            }
        });
        assert!(!server.fails(&[]).is_empty());
    }
}

#[test]
fn list_that_does_not_go_on_ends_the_run() {
    let pages: [fn() -> Answer; 3] = [
        || (json!({"more": true}), Vec::new()),
        || (json!({"more": true}), page(&[file("a", 3)]).1),
        || (json!({"more": true}), page(&[directory("a")]).1),
    ];
    for answer in pages {
        let server = Scripted::start(move |request, _| match request["cmd"].as_str() {
            Some("list") if request["filename"].is_null() => answer(),
            Some("list") => page(&[]),
            _ => fetched(whole(b"one")),
        });
        let (code, told) = server.run(&["get", &server.address, "d"]);
        assert!(matches!(code, Some(1 | 3)), "{code:?} {told}");
    }
}

#[test]
fn answer_of_another_kind_ends_the_run() {
    let answers: [fn() -> Answer; 5] = [
        || (json!({}), Vec::new()),
        || (json!({"more": "yes"}), Vec::new()),
        || (json!({"upload": STATE, "part_size": 1, "more": 1}), Vec::new()),
        || (json!({"filesize": 1, "state": STATE}), vec![1]),
        || (json!({"more": false}), vec![0xff; 100]),
    ];
    for answer in answers {
        for at in ["list", "fetch", "get"] {
            let bytes = counted(5 * MIB);
            let server = Scripted::start(move |request, _| match request["cmd"].as_str() {
                Some(command) if command == at => answer(),
                Some("list") => page(&[file("a", 3), file("b", 5 * MIB as u64)]),
                Some("fetch") => fetched(whole(b"one")),
                _ => part(&bytes, request),
            });
            let (code, told) = server.run(&["get", &server.address, "d"]);
            assert!(matches!(code, Some(1 | 3)), "{at} {code:?} {told}");
            let came = finished(&server.place.path().join("d"));
            assert!(
                came.iter()
                    .all(|name| (name == "a" && at != "fetch") || (name == "b" && at != "get")),
                "{at} {came:?}"
            );
        }
    }
}

/// Trap `terminal_escape`.
#[test]
fn names_and_targets_and_reasons_are_shown_without_control_characters() {
    let server = Scripted::start(|request, _| match request["cmd"].as_str() {
        Some("list") => page(&[
            file("a\u{1b}[2J\u{202e}", 3),
            link("l\u{1b}[31m", "/etc/\u{1b}]0;title\u{7}\nx"),
            json!({"kind": "other", "filename": "o\u{1b}[31m"}),
        ]),
        _ => fetched(
            format!("{}\n", json!({"code": "io", "message": "\u{1b}[31mred\r\n", "retry": false}))
                .into(),
        ),
    });
    for words in [&["-v"][..], &["-n", "-v"], &["--json"]] {
        let words = [&["get", &server.address, "d"][..], words].concat();
        let mut client = haul();
        client.current_dir(server.place.path()).args(&words);
        let output = client.output();
        let told = [&output.stdout[..], &output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        let is_bad = |character: char| {
            (character.is_control() && character != '\n') || character == '\u{202e}'
        };
        assert!(!told.contains(is_bad), "{told:?}");
        assert!(told.contains("[2J"), "{told:?}");
    }
}

/// The temporary names of haul are its own: no file of the server is under one.
#[test]
fn files_with_names_as_hauls_own_do_not_come() {
    let server = Scripted::start(|request, _| match request["cmd"].as_str() {
        Some("list") => page(&[
            file(&format!(".haul-arrives-p{}", "0".repeat(32)), 3),
            link(&format!(".haul-arrives-w{}", "0".repeat(32)), "../outside"),
        ]),
        _ => fetched(whole(b"one")),
    });
    let (code, told) = server.run(&["get", &server.address, "d"]);
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(fs::read_dir(server.place.path().join("d")).unwrap().count(), 0);
}

/// Trap `early_eof_is_not_success`: an answer that ends within its body is none.
#[test]
fn early_eof_is_not_success_within_an_answer() {
    for at in ["list", "fetch", "get"] {
        let bytes = counted(5 * MIB);
        let server = Scripted::start(move |request, _| {
            let mut answer = match request["cmd"].as_str() {
                Some("list") => page(&[file("a", 3), file("b", 5 * MIB as u64)]),
                Some("fetch") => fetched(whole(b"one")),
                _ => part(&bytes, request),
            };
            // The client asks for a small file alone if it has come with no others.
            if request["cmd"] == at || (at == "fetch" && request["filename"] == "a") {
                answer.0["cut"] = json!(true);
            }
            answer
        });
        let (code, told) = server.run(&["get", &server.address, "d"]);
        assert!(matches!(code, Some(1 | 3)), "{at} {code:?} {told}");
        let came = finished(&server.place.path().join("d"));
        let may_come: &[&str] = match at {
            "list" => &[],
            "fetch" => &["b"],
            _ => &["a"],
        };
        assert!(came.iter().all(|name| may_come.contains(&&**name)), "{at} {came:?}");
        let address = format!("{}/b", server.address);
        let (code, told) = server.run(&["cat", &address]);
        assert_eq!(code, Some(if at == "get" { 3 } else { 0 }), "{at} {told}");
    }
}

/// A letter too few or too many, or one that nobody knows: only `=` spares a file.
#[test]
fn verdicts_that_are_no_answer_never_spare_a_file() {
    for letters in ["", "==", "=", "d", "!"] {
        let hostile = Scripted::start(move |request, _| match request["cmd"].as_str() {
            Some("list") => page(&[file("f", 3)]),
            Some("check") => (json!({}), letters.as_bytes().to_vec()),
            _ => (refusal(&json!(0), "not_found", false), Vec::new()),
        });
        let place = hostile.place.path().join("d");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("f"), "old").unwrap();
        let from = format!("haul://{}/", hostile.address);
        let (code, told) = hostile.run(&["sync", "--checksum", &from, "d"]);
        let expected = match letters {
            "=" => 0,
            "d" | "!" => 1,
            _ => 3,
        };
        assert_eq!(code, Some(expected), "{letters}: {told}");
        assert_eq!(fs::read_to_string(place.join("f")).unwrap(), "old");
    }
}

#[test]
fn file_that_changes_here_while_the_server_compares_it_comes() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("f");
    fs::write(&path, "old").unwrap();
    let file_here = File::options().write(true).open(&path).unwrap();
    file_here.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let changes = path.clone();
    let server = Scripted::start(move |request, _| match request["cmd"].as_str() {
        Some("list") => page(&[file("f", 3)]),
        Some("check") => {
            fs::write(&changes, "mix").unwrap();
            (json!({}), b"=".to_vec())
        }
        Some("fetch") => fetched(whole(b"new")),
        _ => (refusal(&json!(0), "not_found", false), Vec::new()),
    });
    let from = format!("haul://{}/", server.address);
    let words = ["sync", "--checksum", &from, place.path().to_str().unwrap()];
    let (code, told) = server.run(&words);
    assert_eq!((code, fs::read(&path).unwrap().as_slice()), (Some(0), b"new".as_slice()), "{told}");
}
