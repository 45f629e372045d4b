//! Rights of an account, as a client heeds them: it asks only questions that it may ask, and begins nothing that it can't end.
//! The server follows a script.

use haul_tests::fake;
use haul_tests::login::{Place, TOKEN, answer, told};
use haul_tests::prelude::*;

fn logged_in() -> Place {
    let place = Place::start();
    place.write(&format!("% alice {TOKEN}\n"));
    fs::create_dir(place.directory.path().join("s")).unwrap();
    fs::write(place.directory.path().join("s/f"), "x").unwrap();
    place
}

/// Serves one connection of an account with these rights, to its end; answers every change, and returns the commands.
fn serve(place: &Place, rights: &[&str]) -> Vec<String> {
    let mut peer = place.fake.accept().unwrap();
    peer.receive().unwrap();
    let mut answer = answer("alice", rights);
    answer["features"] = json!(["accounts", "rename"]);
    peer.send(&answer, b"").unwrap();
    let mut commands = Vec::new();
    while let Ok((request, _)) = peer.receive() {
        commands.push(request["cmd"].as_str().unwrap().to_owned());
        let answer = match request["cmd"].as_str().unwrap() {
            "ping" => json!({"answer": request["id"]}),
            _ => json!({"ack": request["id"]}),
        };
        peer.send(&answer, b"").unwrap();
    }
    commands
}

/// Runs `haul` as an account with these rights; returns its output and the requests that it has sent.
fn run(place: &Place, rights: &[&str], words: &[&str]) -> (Output, Vec<String>) {
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(place, rights));
        let output = place.haul(words).output();
        (output, server.join().unwrap())
    })
}

#[test]
fn command_that_needs_a_right_that_is_not_there_ends_at_the_start_and_asks_nothing() {
    let place = logged_in();
    let one = ["--connections", "1"];
    for (rights, words, right, need) in [
        (&["put", "replace"][..], &["sync", "s", "%"][..], "list", "sync"),
        (&["put", "replace"], &["verify", "s", "%"], "list", "verify"),
        (&["put", "replace"], &["put", "-n", "s", "%"], "list", "--dry-run"),
        (&["put", "replace"], &["put", "--ignore-existing", "s", "%"], "list", "--ignore-existing"),
        (&["put", "list"], &["sync", "--delete", "s", "%"], "delete", "--delete"),
        (&["list", "get"], &["put", "s", "%"], "put", "put"),
        (&["list", "get"], &["sync", "s", "%"], "put", "sync"),
        (&["put", "list"], &["publish", "s", "%/d"], "publish", "publish"),
    ] {
        let (output, requests) = run(&place, rights, &[words, &one].concat());
        let expected = format!(
            "haul: account alice at {} lacks the right `{right}`, which {need} needs, so nothing is done",
            place.address()
        );
        assert!(told(&output).contains(&expected), "{}", told(&output));
        assert_eq!((output.status.code(), requests), (Some(3), Vec::new()), "{words:?}");
    }
    for (words, right) in [
        (&["ls", "%"][..], "list"),
        (&["mkdir", "%/d"], "put"),
        (&["rm", "%/f"], "delete"),
        (&["mv", "%/f", "%/g"], "put"),
        (&["publish", "--rollback", "%/d"], "publish"),
    ] {
        let (output, requests) = run(&place, &["get"], words);
        assert!(told(&output).contains(&format!("lacks the right `{right}`")), "{}", told(&output));
        assert_eq!((output.status.code(), requests), (Some(3), Vec::new()), "{words:?}");
    }
}

#[test]
fn reader_may_compare_and_a_dry_run_needs_no_right_to_change() {
    let place = logged_in();
    let same = |words: &[&str]| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = place.fake.accept().unwrap();
                peer.receive().unwrap();
                peer.send(&answer("alice", &["list"]), b"").unwrap();
                while let Ok((request, body)) = peer.receive() {
                    let answered = match request["cmd"].as_str().unwrap() {
                        "check" => {
                            let lines = body.iter().filter(|byte| **byte == b'\n').count();
                            let letters = "=".repeat(lines);
                            (json!({"answer": request["id"], "length": lines}), letters)
                        }
                        "list" => (json!({"answer": request["id"], "more": false}), String::new()),
                        other => panic!("{other}"),
                    };
                    peer.send(&answered.0, answered.1.as_bytes()).unwrap();
                }
            });
            place.haul(words).assert().success();
        });
    };
    same(&["verify", "s", "%", "--connections", "1"]);
    same(&["sync", "-n", "--delete", "s", "%", "--connections", "1"]);
}

/// Serves one connection of an account with these rights, whose server answers each comparison with these letters; returns
/// the events of the client, and its exit code.
fn dry_run(place: &Place, rights: &[&str], letters: char, words: &[&str]) -> (Vec<Value>, i32) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = place.fake.accept().unwrap();
            peer.receive().unwrap();
            peer.send(&answer("alice", rights), b"").unwrap();
            while let Ok((request, body)) = peer.receive() {
                let lines = body.iter().filter(|byte| **byte == b'\n').count();
                let (answered, body) = match request["cmd"].as_str().unwrap() {
                    "check" => {
                        let letters: String = std::iter::repeat_n(letters, lines).collect();
                        (json!({"answer": request["id"], "length": lines}), letters)
                    }
                    "list" => (json!({"answer": request["id"], "more": false}), String::new()),
                    other => panic!("{other}"),
                };
                peer.send(&answered, body.as_bytes()).unwrap();
            }
        });
        let output = place.haul(&[words, &["--json", "--connections", "1"]].concat()).output();
        let lines = String::from_utf8(output.stdout).unwrap();
        let events = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (events, output.status.code().unwrap())
    })
}

#[test]
fn dry_run_tells_the_refusal_that_the_run_itself_would_get() {
    let place = logged_in();
    let lacks = |right: &str, need: &str| {
        let address = place.address();
        format!(
            "account alice at {address} lacks the right `{right}`, which {need} needs: the run itself would be refused"
        )
    };
    let told = |events: &[Value], event: &str, field: &str| -> Vec<String> {
        let told = events.iter().filter(|one| one["event"] == event);
        told.map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    for (rights, words, right, need) in [
        (&["list"][..], &["sync", "-n", "s", "%"][..], "put", "sync"),
        (&["list", "put"], &["sync", "-n", "--delete", "s", "%"], "delete", "--delete"),
        (&["list"], &["put", "-n", "s", "%"], "put", "put"),
        (&["list", "put", "replace"], &["publish", "-n", "s", "%/d"], "publish", "publish"),
    ] {
        let (events, code) = dry_run(&place, rights, '+', words);
        assert_eq!(told(&events, "failed", "error"), [lacks(right, need)], "{words:?} {events:?}");
        assert_eq!(told(&events, "failed", "source"), ["--dry-run"], "{words:?}");
        assert!(!told(&events, "would", "name").is_empty(), "{words:?}");
        let last = events.last().unwrap();
        assert_eq!((code, &last["exit"], &last["reason"]), (1, &json!(1), &json!("failed")));
    }
    // The run itself would change nothing, and would be refused all the same.
    let (events, code) = dry_run(&place, &["list"], '=', &["sync", "-n", "s", "%"]);
    assert_eq!(told(&events, "note", "text"), [lacks("put", "sync")]);
    assert_eq!((code, told(&events, "failed", "error")), (0, Vec::new()));
    // An account that may do all has nothing to hear.
    let all = ["list", "put", "replace", "delete"];
    let (events, code) = dry_run(&place, &all, '+', &["sync", "-n", "--delete", "s", "%"]);
    assert_eq!((code, told(&events, "note", "text")), (0, Vec::new()));
}

#[test]
fn dry_run_of_an_account_that_may_not_replace_tells_each_entry_that_stands_there() {
    let place = logged_in();
    symlink("f", place.directory.path().join("s/l")).unwrap();
    let (events, code) = dry_run(&place, &["list", "put"], 's', &["sync", "-n", "s/", "%/d"]);
    let failed: Vec<_> = events.iter().filter(|event| event["event"] == "failed").collect();
    assert_eq!((failed.len(), code), (2, 1), "{events:?}");
    for failed in failed {
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("lacks the right `replace`"), "{error}");
    }
    assert!(!events.iter().any(|event| event["do"] == "send"), "{events:?}");
    let (events, code) = dry_run(&place, &["list", "put"], '+', &["sync", "-n", "s/", "%/d"]);
    assert_eq!(code, 0, "{events:?}");
}

#[test]
fn publish_that_the_server_forbids_ends_as_every_other_command_without_its_right() {
    let place = logged_in();
    thread::scope(|scope| {
        scope.spawn(|| place.refuse("forbidden", "account `alice` may not publish here"));
        let words = ["publish", "s", "%/d", "--connections", "1", "--json"];
        let output = place.haul(&words).assert().code(3).get_output().clone();
        assert_eq!(last(&output.stdout)["reason"], "refused");
        let expected = format!(
            "haul: account alice at {} lacks the right `publish`, which publish needs, so nothing is done; the server's \
             administrator gives rights",
            place.address()
        );
        assert_eq!(told(&output), expected);
    });
}

#[test]
fn account_that_may_only_put_is_asked_for_nothing() {
    let place = logged_in();
    fs::create_dir(place.directory.path().join("s/d")).unwrap();
    symlink("f", place.directory.path().join("s/l")).unwrap();
    for words in [
        &["put", "s", "%"][..],
        &["put", "s/", "%/below/it"],
        &["put", "--remove-source", "s/f", "%"],
    ] {
        let (output, requests) = run(&place, &["put"], &[words, &["--connections", "1"]].concat());
        assert!(output.status.success(), "{}", told(&output));
        let known = ["put", "mkdir", "symlink", "setattr"];
        assert!(requests.iter().all(|request| known.contains(&&**request)), "{requests:?}");
        assert!(requests.contains(&String::from("put")), "{requests:?}");
    }
    assert!(!place.directory.path().join("s/f").exists());
}

/// The server holds all parts from the start: otherwise the client would ask whether it has the file.
#[test]
fn large_file_of_which_all_parts_are_there_is_committed_without_a_question() {
    let place = logged_in();
    File::create(place.directory.path().join("big")).unwrap().set_len(9 << 20).unwrap();
    let commands = thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut peer = place.fake.accept().unwrap();
            peer.receive().unwrap();
            peer.send(&answer("alice", &["put"]), b"").unwrap();
            let mut commands = Vec::new();
            while let Ok((request, _)) = peer.receive() {
                let command = request["cmd"].as_str().unwrap().to_owned();
                match &*command {
                    "open" => {
                        let held: Vec<u64> = (0..9).collect();
                        fake::opened(&mut peer, &request["id"], fake::PART_SIZE, &held).unwrap();
                    }
                    "commit" => peer.send(&json!({"answer": request["id"]}), b"").unwrap(),
                    other => panic!("{other}"),
                }
                commands.push(command);
            }
            commands
        });
        place.haul(&["put", "big", "%", "--connections", "1"]).assert().success();
        server.join().unwrap()
    });
    assert_eq!(commands, ["open", "commit"]);
}

#[test]
fn refusals_about_the_account_say_what_helps() {
    let place = logged_in();
    for (code, helps) in [
        ("forbidden", "`haul whoami HOST` tells the rights of the account"),
        ("quota", "remove something there, or ask the server's administrator for a larger quota"),
        ("exists", "send it under another name, or ask for the right `replace`"),
    ] {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = place.fake.accept().unwrap();
                peer.receive().unwrap();
                peer.send(&answer("alice", &["put"]), b"").unwrap();
                while let Ok((request, _)) = peer.receive() {
                    peer.send(&fake::refusal(&request["id"], code, false), b"").unwrap();
                }
            });
            let words = ["put", "s/f", "%", "--connections", "1"];
            let output = place.haul(&words).assert().code(1).get_output().clone();
            let expected = format!("refused by the server: the test says so ({code}); {helps}");
            assert!(told(&output).contains(&expected), "{}", told(&output));
        });
    }
}

/// Another attempt would count as one more login that has failed.
#[test]
fn login_that_ends_in_the_middle_ends_the_run_and_nothing_connects_again() {
    let place = logged_in();
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut peer = place.fake.accept().unwrap();
            peer.receive().unwrap();
            peer.send(&answer("alice", &["put"]), b"").unwrap();
            peer.receive().unwrap();
            let refusal = json!({"refused": 0, "code": "unauthorized", "message": "no account has this token", "retry": false});
            peer.send(&refusal, b"").unwrap();
            drop(peer);
        });
        let words = ["put", "s", "%", "--connections", "1", "--json"];
        let output = place.haul(&words).assert().code(3).get_output().clone();
        server.join().unwrap();
        let expected = format!(
            "haul: {address} no longer takes the token of alice: no account has this token; run the same command again; \
             if the token is refused then, with a new token: haul login alice@{address}",
            address = place.address()
        );
        assert_eq!(told(&output), expected);
        assert_eq!(last(&output.stdout)["reason"], "unauthorized");
        assert!(!String::from_utf8(output.stdout).unwrap().contains("reconnecting"));
    });
}

/// A server closes connections of an address without an answer after some such logins.
#[test]
fn run_of_many_connections_costs_one_login_that_fails() {
    let place = logged_in();
    thread::scope(|scope| {
        let server = scope.spawn(|| place.refuse_token());
        place.haul(&["put", "s", "%", "--connections", "8"]).assert().code(3);
        server.join().unwrap();
    });
    place.fake.stop_waiting().unwrap();
    assert!(place.fake.accept().is_err(), "another connection has come");
}

#[test]
fn user_who_brings_a_token_is_told_that_the_server_has_no_accounts() {
    let place = logged_in();
    let put = || {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = place.fake.accept().unwrap();
                peer.receive().unwrap();
                peer.send(&fake::hello_answer(), b"").unwrap();
                while let Ok((request, _)) = peer.receive() {
                    peer.send(&json!({"ack": request["id"]}), b"").unwrap();
                }
            });
            told(&place.haul(&["put", "s/f", "%", "--connections", "1"]).output())
        })
    };
    let note = format!("haul: {} has no accounts and looks at no token", place.address());
    let text = put();
    assert_eq!(text.matches(&note).count(), 1, "{text}");
    place.write("");
    let text = put();
    assert!(!text.contains("no accounts"), "{text}");
}
