//! `haul login`, `haul logout`, `haul whoami`, and the token in `hello`, at a server that follows a script.

use haul_tests::fake::hello_answer;
use haul_tests::login::{Place, TOKEN, answer, text, told};
use haul_tests::prelude::*;

#[test]
fn token_from_a_pipe_is_tried_stored_and_sent_by_later_commands() {
    let place = Place::start();
    let output = place.log_in("alice", &format!("  {TOKEN}\n"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let address = place.address();
    assert_eq!(text(&output.stdout), format!("alice at {address}\nrights: put, list\n"));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(place.stored().lines().last().unwrap(), format!("% alice {TOKEN}"));
    assert_eq!(mode(place.credentials()), 0o600);
    assert_eq!(mode(place.config()), 0o700);
    for word in ["%", "alice@%", "haul://alice@%"] {
        thread::scope(|scope| {
            let server = scope.spawn(|| place.welcome("alice", &["put", "list"]));
            place.haul(&["whoami", word]).assert().success().stdout(contains("alice at"));
            assert_eq!(server.join().unwrap()["token"], TOKEN);
        });
    }
    place.haul(&["whoami", "bob@%"]).assert().code(3).stderr(format!(
        "haul: no token of bob is stored for {address}: haul login bob@{address}\n"
    ));
}

#[test]
fn token_that_is_not_taken_is_not_stored() {
    let place = Place::start();
    thread::scope(|scope| {
        let server = scope.spawn(|| place.refuse_token());
        let mut command = place.haul(&["login", "%", "--json"]);
        let output = command.write_stdin(TOKEN).assert().code(3).get_output().clone();
        let told = text(&output.stderr);
        let address = place.address();
        let expected =
            format!("haul: {address} does not take the token: no account has this token\n");
        assert_eq!(told, expected);
        assert_eq!(last(&output.stdout)["reason"], "unauthorized");
        server.join().unwrap();
    });
    // The token of another account, and a server without accounts.
    for (found, told) in [
        (json!({"name": "bob", "rights": []}), "this token is of account bob, and not of alice"),
        (Value::Null, "asks nobody for an account"),
        (json!({"name": "a b", "rights": []}), "of account a b"),
    ] {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = place.fake.accept().unwrap();
                peer.receive().unwrap();
                let mut answer = hello_answer();
                if !found.is_null() {
                    answer["account"] = found.clone();
                }
                peer.send(&answer, b"").unwrap();
            });
            place
                .haul(&["login", "alice@%"])
                .write_stdin(TOKEN)
                .assert()
                .code(3)
                .stderr(contains(told));
        });
    }
    assert!(!place.credentials().exists());
}

#[test]
fn text_that_is_no_token_is_told_and_nothing_is_sent() {
    let place = Place::start();
    let wrong = |command: &mut Client, expected: &str| {
        let told = told(&command.assert().code(2).get_output().clone());
        assert!(told.contains(expected) && !told.contains("hunter2"), "{told}");
    };
    for (input, expected) in [
        ("", "there is no token"),
        ("\n", "there is no token"),
        ("hunter2\n", "this is no token: an access token begins with `haul_`"),
        ("haul_hunter2", "this is no token"),
    ] {
        wrong(place.haul(&["login", "%"]).write_stdin(input), expected);
    }
    assert!(!place.config().exists());
    let secret = "a secret does not belong into a command line";
    wrong(&mut place.haul(&["login", "alice:hunter2@%"]), secret);
    wrong(place.haul(&["ls", "%"]).env("HAUL_TOKEN", "hunter2"), "HAUL_TOKEN: an access token");
    wrong(place.haul(&["ls", "%"]).env("HAUL_TOKEN_FILE", "none"), "could not read none: No such");
    place.write("% alice haul_hunter2\n");
    let expected = format!("{}, line 1: an access token has", place.credentials().display());
    wrong(&mut place.haul(&["ls", "%"]), &expected);
}

#[test]
fn token_among_the_words_is_refused_and_not_repeated() {
    let place = Place::start();
    for words in [
        &["login", TOKEN][..],
        &["login", "alice@%", TOKEN],
        &["ls", "%", TOKEN],
        &["put", TOKEN, "%"],
    ] {
        let output = place.haul(words).assert().code(2).get_output().clone();
        let told = told(&output);
        assert!(told.contains("is never an") && told.contains("rotate"), "{told}");
        assert!(
            !told.contains(&TOKEN[5..]) && !text(&output.stdout).contains(&TOKEN[5..]),
            "{told}"
        );
    }
    assert!(!place.config().exists());
}

#[test]
fn variables_come_before_stored_tokens() {
    let place = Place::start();
    place.write(&format!("% alice {TOKEN}\n"));
    let (one, two) = (TOKEN.replace("a4dq", "bbbb"), TOKEN.replace("a4dq", "cccc"));
    let file = place.directory.path().join("token");
    fs::write(&file, format!("{two}\nsecond line\n")).unwrap();
    set_mode(&file, 0o600);
    let sent = |variables: &[(&str, &str)]| {
        thread::scope(|scope| {
            let server = scope.spawn(|| place.welcome("alice", &["list"]));
            let mut command = place.haul(&["whoami", "alice@%"]);
            for (name, value) in variables {
                command.env(name, value);
            }
            let _ = command.assert().success();
            server.join().unwrap()["token"].as_str().unwrap().to_owned()
        })
    };
    let path = file.to_str().unwrap();
    assert_eq!(sent(&[("HAUL_TOKEN", &one), ("HAUL_TOKEN_FILE", path)]), one);
    assert_eq!(sent(&[("HAUL_TOKEN", ""), ("HAUL_TOKEN_FILE", path)]), two);
    assert_eq!(sent(&[("HAUL_TOKEN", ""), ("HAUL_TOKEN_FILE", "")]), TOKEN);
    thread::scope(|scope| {
        let server = scope.spawn(|| place.refuse_token());
        let mut command = place.haul(&["ls", "%"]);
        command.env("HAUL_TOKEN_FILE", path);
        let told = format!("does not take the token in {path}: no account has this token\n");
        let _ = command.assert().code(3).stderr(contains(told));
        server.join().unwrap();
    });
}

#[test]
fn file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let place = Place::start();
    place.write(&format!("% alice {TOKEN}\n"));
    let path = place.credentials();
    let wrong = |command: &mut Client| {
        let told = told(&command.assert().code(2).get_output().clone());
        assert!(told.contains(&format!("chmod 600 {}", path.display())), "{told}");
    };
    for open in [0o640, 0o604, 0o620, 0o666] {
        set_mode(&path, open);
        wrong(&mut place.haul(&["ls", "%"]));
        wrong(place.haul(&["login", "%"]).write_stdin(TOKEN));
        wrong(&mut place.haul(&["logout", "%"]));
        wrong(place.haul(&["ls", "other:1"]).env("HAUL_TOKEN_FILE", &path));
    }
}

#[test]
fn logins_at_once_are_all_kept_and_logout_forgets_one_or_all() {
    let place = Place::start();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            for _ in names {
                let (mut peer, hello) = place.accept();
                // Each token's id begins with its account's letter.
                let account = &hello["token"].as_str().unwrap()[5..6];
                peer.send(&answer(account, &["put"]), b"").unwrap();
            }
        });
        for name in names {
            let place = &place;
            scope.spawn(move || {
                let token = TOKEN.replace("_a4dq", &format!("_{name}4dq"));
                place
                    .haul(&["login", "%", "--quiet"])
                    .write_stdin(token)
                    .assert()
                    .success()
                    .stdout("");
            });
        }
        server.join().unwrap();
    });
    assert_eq!(place.stored().lines().filter(|line| line.starts_with("% ")).count(), 8);
    let left = fs::read_dir(place.config()).unwrap().count();
    assert_eq!(left, 2, "the file and its lock");
    let server = place.address();
    let several = told(&place.haul(&["ls", "%"]).assert().code(2).get_output().clone());
    assert!(several.contains("write which account is meant, as in"), "{several}");
    place
        .haul(&["logout", "c@%"])
        .assert()
        .success()
        .stdout(format!("c@{server}: the token is forgotten here\n"));
    place.haul(&["logout", "c@%"]).assert().code(1);
    let json = place.haul(&["logout", "%", "--json"]).assert().success().get_output().clone();
    assert_eq!(text(&json.stdout).lines().count(), 8);
    assert_eq!(last(&json.stdout), json!({"event": "summary", "exit": 0, "reason": "done"}));
    assert!(place.stored().lines().all(|line| line.starts_with('#')));
}

#[test]
fn whoami_tells_rights_quota_and_end_for_people_and_programs() {
    let place = Place::start();
    place.write(&format!("% alice {TOKEN}\n"));
    let facts = json!({
        "name": "alice", "rights": ["put", "list", "fly"], "expires": 1_798_761_600,
        "quota_bytes": 1 << 30, "used_bytes": 3 << 20, "quota_files": 10, "used_files": 2,
    });
    let who = |words: &[&str], facts: &Value| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = place.fake.accept().unwrap();
                peer.receive().unwrap();
                let mut answer = hello_answer();
                if !facts.is_null() {
                    answer["account"] = facts.clone();
                }
                peer.send(&answer, b"").unwrap();
            });
            let mut command = place.haul(words);
            text(&command.env("TZ", "UTC").assert().success().get_output().stdout)
        })
    };
    let server = place.address();
    assert_eq!(
        who(&["whoami", "%"], &facts),
        format!(
            "alice at {server}\nrights: put, list\nbytes: 3 MiB of 1 GiB\nfiles, directories and links: 2 of 10\n\
             expires: 2027-01-01 00:00:00+00:00\n"
        )
    );
    assert_eq!(who(&["whoami", "%", "--quiet"], &facts), "");
    let told = who(&["whoami", "%", "--json"], &facts);
    let event: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(
        event,
        json!({
            "event": "account", "server": server, "account": "alice", "rights": ["put", "list"],
            "expires": 1_798_761_600, "quota_bytes": 1 << 30, "used_bytes": 3 << 20,
            "quota_files": 10, "used_files": 2,
        })
    );
    assert_eq!(
        who(&["whoami", "%"], &Value::Null),
        format!("{server} asks nobody for an account\n")
    );
}

#[test]
fn server_that_asks_for_an_account_is_told_with_the_command_that_logs_in() {
    let place = Place::start();
    fs::write(place.directory.path().join("f"), "x").unwrap();
    for words in [&["put", "f", "%"][..], &["ls", "%"], &["mkdir", "%/d"], &["rm", "%/d"]] {
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                place.refuse("unauthorized", "this server asks for an account: haul login")
            });
            let words = if words[0] == "put" {
                [words, &["--connections", "1"]].concat()
            } else {
                words.to_vec()
            };
            let address = place.address();
            place.haul(&words).assert().code(3).stderr(contains(format!(
                "haul: {address} asks for an account: haul login {address}\n"
            )));
            assert!(server.join().unwrap().get("token").is_none());
        });
    }
}

#[test]
fn server_that_closes_without_an_answer_to_a_login_is_told_as_such() {
    let place = Place::start();
    place.write(&format!("% alice {TOKEN}\n"));
    thread::scope(|scope| {
        scope.spawn(|| drop(place.accept()));
        let output = place.haul(&["whoami", "%"]).assert().code(3).get_output().clone();
        assert!(
            told(&output).contains("too many logins from this address have failed"),
            "{output:?}"
        );
    });
}
