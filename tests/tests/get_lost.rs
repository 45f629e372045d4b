//! Entries that break each connection which asks for them: `haul get` gives them up and brings the rest.

use haul_tests::bytes::counted;
use haul_tests::fake::refusal;
use haul_tests::prelude::*;
use haul_tests::scripted::{
    Answer, Scripted, directory, fetched, file, finished, page, part, whole,
};

const MIB: usize = 1 << 20;

/// A server with a file `good/y` beside a directory `bad`; the list of `bad` breaks each connection.
fn list_breaks() -> Scripted {
    Scripted::breaking(|request, _| match request["filename"].as_str() {
        Some("bad") => None,
        Some("good") => Some(page(&[file("good/y", 3)])),
        _ if request["cmd"] == "list" => Some(page(&[directory("bad"), directory("good")])),
        _ => Some(fetched(whole(b"one"))),
    })
}

/// Only one entry has failed, because its connections were lost, and only these files are here.
#[track_caller]
fn failed_alone(server: &Scripted, words: &[&str], path: &str, here: &[&str]) {
    let (code, told) = server.run(words);
    assert_eq!(code, Some(1), "{told}");
    let failures: Vec<_> = told.lines().filter(|line| line.contains("3 times")).collect();
    assert_eq!(failures.len(), 1, "{told}");
    let why = format!("{path}: the connection was lost 3 times while this waited for its answer");
    assert!(failures[0].contains(&why), "{told}");
    assert_eq!(finished(&server.place.path().join("d")), here, "{told}");
}

#[test]
fn list_that_breaks_connections_is_given_up() {
    for connections in ["1", "3"] {
        let server = list_breaks();
        let words = ["get", &server.address, "d", "--connections", connections];
        failed_alone(&server, &words, "d/bad", &["good/y"]);
    }
}

#[test]
fn directory_whose_list_breaks_connections_loses_nothing_here() {
    let server = list_breaks();
    let own = server.place.path().join("d/bad/own");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "own").unwrap();
    let from = format!("haul://{}/", server.address);
    let words = ["sync", "--delete", &from, "d"];
    failed_alone(&server, &words, "d/bad", &["bad/own", "good/y"]);
    assert_eq!(fs::read_to_string(own).unwrap(), "own");
}

#[test]
fn source_that_breaks_connections_is_given_up() {
    let server = Scripted::breaking(|request, _| match request["filename"].as_str() {
        Some("bad") => None,
        Some("good") => Some(page(&[file("good/y", 3)])),
        _ => Some(fetched(whole(b"one"))),
    });
    let [bad, good] = ["bad/x", "good/y"].map(|name| format!("{}/{name}", server.address));
    failed_alone(&server, &["get", &bad, &good, "d"], "bad/x", &["y"]);
}

/// A server with a small file and a large one, of which one part breaks each connection.
fn part_breaks(offset: usize) -> Scripted {
    let bytes = counted(9 * MIB);
    Scripted::breaking(move |request, _| -> Option<Answer> {
        match request["cmd"].as_str() {
            Some("list") => Some(page(&[file("large", bytes.len() as u64), file("small", 3)])),
            Some("fetch") => Some(fetched(whole(b"one"))),
            _ if request["offset"] == offset => None,
            _ => Some(part(&bytes, request)),
        }
    })
}

#[test]
fn file_with_a_part_that_breaks_connections_is_given_up() {
    for offset in [0, 4 * MIB] {
        for connections in ["1", "3"] {
            let server = part_breaks(offset);
            let words = ["get", &server.address, "d", "--connections", connections];
            failed_alone(&server, &words, "d/large", &["small"]);
        }
    }
}

/// A server with a file `a` and a directory `bad`, of which it refuses the only page, or the second one.
fn list_is_refused(second: bool) -> Scripted {
    Scripted::start(move |request, body| match request["filename"].as_str() {
        Some("bad") if second && request["after"].is_null() => {
            (json!({"more": true}), page(&[file("bad/listed", 3)]).1)
        }
        Some("bad") => (refusal(&json!(0), "permission", false), Vec::new()),
        _ if request["cmd"] == "list" => page(&[file("a", 3), directory("bad")]),
        _ => fetched(whole(b"one").repeat(body.iter().filter(|byte| **byte == 0).count())),
    })
}

#[test]
fn directory_that_is_not_listed_to_its_end_loses_nothing_whatever_the_flags() {
    for second in [false, true] {
        let server = list_is_refused(second);
        let place = server.place.path().join("d");
        fs::create_dir_all(place.join("bad")).unwrap();
        for own in ["bad/own", "extra"] {
            fs::write(place.join(own), "own").unwrap();
        }
        let from = format!("haul://{}/", server.address);
        for flags in [&[][..], &["--force-delete", "--delete-all"]] {
            let words = [&["sync", "--delete"], flags, &[&from, "d"]].concat();
            let (code, told) = server.run(&words);
            assert_eq!(code, Some(1), "{told}");
            assert!(told.contains("haul: d/bad: ") && told.contains("(permission)"), "{told}");
            let mut here = vec!["a", "bad/own"];
            here.splice(1..1, second.then_some("bad/listed"));
            here.extend(flags.is_empty().then_some("extra"));
            assert_eq!(finished(&place), here, "{told}");
        }
    }
}
