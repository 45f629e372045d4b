//! `haul publish --rollback`: back once, and which version that is.

use haul_tests::prelude::*;

fn rollback(at: &str, words: &[&str]) -> Assert {
    let mut command = haul();
    command.args(["publish", "--rollback"]).args(words).arg(at).assert()
}

/// Two versions, of 22 and 23 files and links; returns copies of both.
fn two_versions(setting: &Setting) -> [PathBuf; 2] {
    setting.version(1);
    setting.published(&[]);
    let copies = ["first", "second"].map(|name| setting.place.path().join(name));
    tree::copy(&setting.source(), &copies[0]);
    setting.version(2);
    setting.write("new", "in the second version only");
    setting.published(&[]);
    tree::copy(&setting.source(), &copies[1]);
    copies
}

/// The version that is there, and nothing else.
fn is_there(setting: &Setting, copy: &Path) {
    tree::compare(copy, &setting.site()).unwrap();
}

#[test]
fn second_rollback_in_a_row_is_refused_unless_it_is_asked_for_as_such() {
    for words in [&["--durability", "none"][..], &[]] {
        let setting = Setting::start_with(words);
        let at = setting.at("www/site");
        rollback(&at, &[]).code(1).stderr(contains("no earlier version of `www/site`"));
        let [first, second] = two_versions(&setting);
        let date = predicates::str::is_match(
            r"^www/site: the version that was published at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\+\d\d:\d\d \(22 files\) is back\n$",
        );
        rollback(&at, &[]).success().stdout(date.unwrap());
        is_there(&setting, &first);
        let refused = || {
            rollback(&at, &[]).code(1).stdout("").stderr(
                contains("the last change of the versions of `www/site` was a rollback")
                    .and(contains("the version that was published at 20"))
                    .and(contains("--again"))
                    .and(contains("(rolled_back)")),
            );
        };
        refused();
        is_there(&setting, &first);
        rollback(&at, &["--again"]).success().stdout(contains("(23 files) is back"));
        is_there(&setting, &second);
        refused();
        is_there(&setting, &second);
        // The next version may be rolled back again.
        setting.version(3);
        setting.published(&[]);
        rollback(&at, &["--quiet"]).success().stdout("");
        is_there(&setting, &second);
        refused();
        let mut command = haul();
        command.args(["publish", "--again", "s"]).arg(&at).assert().code(2);
    }
}

/// The server remembers across its restarts which versions have come back.
#[test]
fn server_that_was_started_again_knows_that_a_rollback_was_the_last_change() {
    let mut setting = Setting::start();
    let [first, _] = two_versions(&setting);
    rollback(&setting.at("www/site"), &[]).success();
    setting.server.signal(Signal::KILL).unwrap();
    setting.server.wait().unwrap();
    let (root, log) = (setting.server.root(), setting.place.path().join("log"));
    let again = Hauld::start_at(root, &log, hauld_command(), &["--durability", "none"]).unwrap();
    let at = format!("{}/www/site", again.address());
    rollback(&at, &[]).code(1).stderr(contains("(rolled_back)"));
    is_there(&setting, &first);
}

#[test]
fn rollback_whose_answer_was_lost_happens_once() {
    for words in [&["--durability", "none"][..], &[]] {
        for again in [&[][..], &["--again"]] {
            let setting = Setting::start_with(words);
            let [first, _] = two_versions(&setting);
            let lost = Lost::start(setting.server.address(), "rollback", || ()).unwrap();
            rollback(&format!("{}/www/site", lost.address()), again)
                .success()
                .stdout(contains("(22 files) is back"))
                .stderr(contains("reconnecting (attempt 1)"));
            lost.end();
            is_there(&setting, &first);
        }
    }
}

/// A rollback whose connection was lost is not carried out once more: somebody may have published since.
#[test]
fn rollback_whose_answer_was_lost_leaves_a_newer_version_alone() {
    for words in [&["--durability", "none"][..], &[]] {
        for publishes in [1, 2] {
            let setting = Setting::start_with(words);
            two_versions(&setting);
            let (at, newer) = (setting.at("www/site"), setting.source());
            let copy = setting.place.path().join("newer");
            tree::copy(&newer, &copy);
            let meanwhile = move || {
                for number in 0..publishes {
                    fs::write(copy.join("fix"), format!("fix {number}")).unwrap();
                    haul().arg("publish").args([copy.to_str().unwrap(), &at]).assert().success();
                }
            };
            let lost = Lost::start(setting.server.address(), "rollback", meanwhile).unwrap();
            not_repeated(&lost, &[]);
            lost.end();
            is_there(&setting, &setting.place.path().join("newer"));
        }
    }
}

/// The rollback is not the last change, and the client says so.
fn not_repeated(lost: &Lost, words: &[&str]) {
    rollback(&format!("{}/www/site", lost.address()), words).code(1).stdout("").stderr(
        contains("www/site: the connection was lost before the answer")
            .and(contains("not the last change of the versions of `www/site`"))
            .and(contains("(taken_over)")),
    );
}

#[test]
fn rollback_whose_request_was_lost_is_told_and_not_carried_out() {
    for words in [&["--durability", "none"][..], &[]] {
        for publishes in [false, true] {
            let setting = Setting::start_with(words);
            let [_, second] = two_versions(&setting);
            let at = setting.at("www/site");
            let (copy, source) = (setting.place.path().join("newer"), second.clone());
            tree::copy(&second, &copy);
            fs::write(copy.join("fix"), "fix").unwrap();
            let newer = copy.clone();
            let meanwhile = move || {
                if publishes {
                    haul().arg("publish").args([newer.to_str().unwrap(), &at]).assert().success();
                }
            };
            let lost = Lost::request(setting.server.address(), "rollback", meanwhile).unwrap();
            not_repeated(&lost, &[]);
            lost.end();
            is_there(&setting, if publishes { &copy } else { &source });
        }
    }
}

/// Both want the second version back, and the second of them has come too late to know.
#[test]
fn rollback_again_whose_answer_was_lost_leaves_that_of_somebody_else_alone() {
    let setting = Setting::start();
    let [first, _] = two_versions(&setting);
    let at = setting.at("www/site");
    rollback(&at, &[]).success();
    let meanwhile = move || drop(rollback(&at, &["--again"]).success());
    let lost = Lost::start(setting.server.address(), "rollback", meanwhile).unwrap();
    not_repeated(&lost, &["--again"]);
    lost.end();
    is_there(&setting, &first);
}

/// The server can't be asked whether the rollback was carried out.
#[test]
fn rollback_is_not_sent_twice_to_an_older_server() {
    let fake = haul_tests::fake::Fake::start().unwrap();
    let address = fake.address().unwrap();
    let older = thread::spawn(move || {
        let (mut peer, _) = fake.greet().unwrap();
        let (request, _) = peer.receive().unwrap();
        assert_eq!(request["cmd"], "rollback");
        drop(peer);
        let (mut peer, _) = fake.greet().unwrap();
        peer.receive().unwrap_err();
    });
    rollback(&format!("{address}/site"), &[])
        .code(1)
        .stderr(contains("the connection was lost before the answer").and(contains("older")));
    older.join().unwrap();
}

#[test]
fn rollback_whose_server_does_not_come_back_may_have_been_carried_out() {
    let fake = haul_tests::fake::Fake::start().unwrap();
    let address = fake.address().unwrap();
    let gone = thread::spawn(move || {
        let (mut peer, _) = fake.greet().unwrap();
        peer.receive().unwrap();
    });
    rollback(&format!("{address}/site"), &["--retries", "1"])
        .code(3)
        .stderr(contains("the connection was lost before the answer").and(contains("can't tell")));
    gone.join().unwrap();
}

/// A client that does not know `repeated` asks once more as it did before.
#[test]
fn token_of_a_rollback_that_has_passed_is_refused() {
    let setting = Setting::start();
    two_versions(&setting);
    let mut peer = setting.server.peer();
    let token = "00112233445566778899aabbccddeeff";
    let mut ask = |id: u64, more: Value| {
        let mut request = json!({"cmd": "rollback", "id": id, "filename": "www/site"});
        request["upload"] = json!(token);
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        peer.ask(&request, b"").unwrap()
    };
    // As if the client had lost the answer to a request that never came.
    refused(&ask(1, json!({"repeated": true})), 1, "taken_over");
    assert_eq!(ask(2, json!({}))["files"], 22);
    assert_eq!(ask(3, json!({"repeated": true}))["files"], 22);
    setting.version(3);
    setting.published(&[]);
    for (id, more) in [(4, json!({})), (5, json!({"repeated": true, "again": true}))] {
        refused(&ask(id, more), id, "taken_over");
    }
    is_there(&setting, &setting.source());
}

/// It knows neither `again` nor a token, and gets the answer that it knows, with fields that it ignores.
#[test]
fn client_that_knows_no_second_rollback_is_refused_one() {
    let setting = Setting::start();
    let [first, second] = two_versions(&setting);
    let mut peer = setting.server.peer();
    let mut id = 0;
    let mut ask = |more: Value| {
        id += 1;
        let mut request = json!({"cmd": "rollback", "id": id, "filename": "www/site"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (id, peer.ask(&request, b"").unwrap())
    };
    let (id, done) = ask(json!({}));
    assert_eq!((&done["answer"], &done["files"]), (&json!(id), &json!(22)), "{done}");
    assert!(done["published"]["s"].as_u64().unwrap() > 1_700_000_000, "{done}");
    let (id, answer) = ask(json!({}));
    refused(&answer, id, "rolled_back");
    assert_eq!(answer["retry"], false);
    is_there(&setting, &first);
    let token = "00112233445566778899aabbccddeeff";
    for _ in 0..2 {
        let (id, done) = ask(json!({"again": true, "upload": token}));
        assert_eq!((&done["answer"], &done["files"]), (&json!(id), &json!(23)), "{done}");
        is_there(&setting, &second);
    }
    // Another token is another rollback.
    let (id, answer) = ask(json!({"upload": "ff112233445566778899aabbccddeeff"}));
    refused(&answer, id, "rolled_back");
}

/// Published by a hauld that kept no notes.
#[test]
fn version_without_a_note_comes_back_once_as_well() {
    let setting = Setting::start();
    let [first, _] = two_versions(&setting);
    for home in fs::read_dir(setting.server.root().join(".haul/trees")).unwrap() {
        for entry in fs::read_dir(home.unwrap().path()).unwrap().map(Result::unwrap) {
            if entry.file_name().to_str().unwrap().starts_with("version-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
    let at = setting.at("www/site");
    rollback(&at, &[]).success().stdout("www/site: the version before is back\n");
    rollback(&at, &[]).code(1).stderr(contains("the version before is present"));
    is_there(&setting, &first);
}

/// A server of an older version carries each rollback out, and tells nothing about the version.
#[test]
fn answer_of_an_older_server_is_understood() {
    let fake = haul_tests::fake::Fake::start().unwrap();
    let address = fake.address().unwrap();
    let told = thread::spawn(move || {
        let (mut peer, _) = fake.greet().unwrap();
        let (request, _) = peer.receive().unwrap();
        peer.send(&json!({"answer": request["id"]}), b"").unwrap();
        request
    });
    rollback(&format!("{address}/site"), &[])
        .success()
        .stdout("site: the version before is back\n");
    assert_eq!(told.join().unwrap()["cmd"], "rollback");
}
