//! `haul mkdir`, and the rules of all commands that change entries at a server.

use haul_tests::prelude::*;

/// `haul` with these words; `@` at the beginning of one stands for the server and a slash.
pub(crate) fn run(server: &Hauld, words: &[&str]) -> Assert {
    at(server.address(), words)
}

/// The same at another address than the server's own.
pub(crate) fn at(address: &str, words: &[&str]) -> Assert {
    let words = words.iter().map(|word| match word.strip_prefix('@') {
        Some(path) => format!("{address}/{path}"),
        None => (*word).to_owned(),
    });
    haul().args(words).assert()
}

/// Both durabilities.
pub(crate) const SERVERS: [&[&str]; 2] = [&["--durability", "none"], &[]];

/// Writes a file below the server's root.
pub(crate) fn write(server: &Hauld, path: &str, text: &str) {
    let path = server.root().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The text of a file below the server's root.
pub(crate) fn read(server: &Hauld, path: &str) -> Option<String> {
    fs::read_to_string(server.root().join(path)).ok()
}

#[test]
fn directories_are_made_with_their_parents_and_one_that_is_there_is_no_failure() {
    let server = server();
    run(&server, &["mkdir", "@a/b/c", "@d"]).success().stdout("").stderr("");
    assert!(server.root().join("a/b/c").is_dir() && server.root().join("d").is_dir());
    run(&server, &["mkdir", "-p", "@a/b/c"]).success();
    write(&server, "file", "x");
    run(&server, &["mkdir", "@file", "@e", "@file/x"])
        .code(1)
        .stderr(contains("file: refused by the server").and(contains("file/x")));
    assert!(server.root().join("e").is_dir() && read(&server, "file").unwrap() == "x");
    run(&server, &["mkdir", "@"]).code(2).stderr(contains("HOST/DIR"));
    run(&server, &["mkdir", "@.haul/x"]).code(2);
}

/// The events of a command.
fn events(told: &Output) -> Vec<Value> {
    let text = String::from_utf8(told.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn over(exit: u8, reason: &str) -> Value {
    json!({"event": "summary", "exit": exit, "reason": reason})
}

#[test]
fn with_json_each_failure_is_an_event_and_the_last_line_is_a_summary() {
    let server = server();
    for file in ["f", "g", "d/x"] {
        write(&server, file, file);
    }
    for words in [&["mkdir", "@a/b"][..], &["mv", "@f", "@a"], &["rm", "@a/f"], &["rm", "-r", "@a"]]
    {
        let told = run(&server, &[words, &["--json"]].concat()).success().stderr("");
        assert_eq!(events(told.get_output()), [over(0, "done")], "{words:?}");
    }
    for (words, name) in [
        (&["mkdir", "@made", "@g", "@made too"][..], "g"),
        (&["rm", "@made", "@made too/none"], "made"),
        (&["mv", "@g", "@none/"], "none"),
        (&["mv", "@none", "@x"], "none"),
    ] {
        let told = run(&server, &[words, &["--json"]].concat()).code(1).stderr("");
        let mut told = events(told.get_output());
        assert_eq!(told.pop(), Some(over(1, "failed")), "{words:?}");
        let failed = &told[0];
        assert_eq!((&failed["event"], &failed["name"]), (&json!("failed"), &json!(name)));
        assert!(failed["error"].as_str().is_some_and(|why| !why.is_empty()), "{failed}");
        assert_eq!(told.len(), if words[0] == "rm" { 2 } else { 1 }, "{told:?}");
    }
    assert!(server.root().join("made too").is_dir());
}

#[test]
fn with_json_a_command_that_is_not_carried_out_tells_an_error_and_a_summary() {
    let server = server();
    for (words, exit, reason) in [
        (&["mkdir", "@"][..], 2, "usage"),
        (&["rm", "@"], 2, "usage"),
        (&["mv", "@", "@x"], 2, "usage"),
        (&["mv", "@f", "box/x"], 2, "usage"),
        (&["mv", "@f"], 2, "usage"),
        (&["mkdir", "127.0.0.1:1/x"], 3, "unreachable"),
        (&["rm", "127.0.0.1:1/x", "@x"], 3, "unreachable"),
        (&["mv", "127.0.0.1:1/x", "127.0.0.1:1/y"], 3, "unreachable"),
        (&["ls", "--what", "@"], 2, "usage"),
        (&["ls", "127.0.0.1:1"], 3, "unreachable"),
    ] {
        let told = run(&server, &[words, &["--json"]].concat()).code(i32::from(exit));
        let told = told.stderr(predicate::str::is_empty().not());
        let told = events(told.get_output());
        let [error, summary] = &told[..] else { panic!("{words:?}: {told:?}") };
        assert!(error["event"] == "error" && error["error"].is_string(), "{error}");
        assert_eq!(*summary, over(exit, reason), "{words:?}");
    }
}

#[test]
fn with_json_an_interruption_is_an_error_and_the_reason_of_the_summary() {
    for words in [["mkdir", "@x"], ["rm", "@x"], ["ls", "@x"]] {
        let fake = haul_tests::fake::Fake::start().unwrap();
        let address = fake.address().unwrap();
        let words = words.iter().map(|word| word.replace('@', &format!("{address}/")));
        let mut command = haul_command();
        command.args(words).arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped());
        let client = command.spawn().unwrap();
        let peer = fake.greet().unwrap();
        signal(&client, Signal::INT);
        let told = ended(client);
        drop(peer);
        let told = events(&told);
        let [error, summary] = &told[..] else { panic!("{told:?}") };
        assert_eq!(*error, json!({"event": "error", "error": "interrupted"}));
        assert_eq!(*summary, over(130, "interrupted"));
    }
}

#[test]
fn with_json_a_lost_connection_is_an_event_and_with_quiet_it_is_not_told() {
    let server = server();
    for (words, request) in [
        (&["mkdir", "@d"][..], "mkdir"),
        (&["mv", "@d", "@e"], "rename"),
        (&["rm", "-r", "@e"], "remove"),
    ] {
        let lost = Lost::request(server.address(), request, || ()).unwrap();
        let told = at(lost.address(), &[words, &["--json"]].concat()).success().stderr("");
        lost.end();
        let told = events(told.get_output());
        let [reconnecting, summary] = &told[..] else { panic!("{words:?}: {told:?}") };
        assert_eq!(reconnecting["event"], "reconnecting");
        assert!(reconnecting["attempt"] == 1 && reconnecting["of"].is_null(), "{reconnecting}");
        assert_eq!(*summary, over(0, "done"));
    }
    write(&server, "f", "x");
    let lost = Lost::request(server.address(), "remove", || ()).unwrap();
    at(lost.address(), &["rm", "-q", "@f"]).success().stdout("").stderr("");
    lost.end();
    run(&server, &["rm", "--quiet", "@f"]).code(1).stderr(contains("f: refused by the server"));
}

#[test]
fn shell_has_them_too() {
    let server = server();
    for file in ["base/f", "base/d/x", "base/e/y"] {
        write(&server, file, file);
    }
    let lines =
        "mkdir new\nmv f new/\nmv new/f g\nrm -r d\nrm e\nrm g\nmv e 'two words'\nrm --json none\n";
    haul()
        .args(["shell", &format!("{}/base", server.address())])
        .write_stdin(lines)
        .assert()
        .code(1)
        .stderr(contains("base/e: is a directory").and(contains("base/none").not()))
        .stdout(contains(r#"{"event":"failed","name":"base/none""#));
    assert_eq!(read(&server, "base/two words/y").as_deref(), Some("base/e/y"));
    assert!(!server.root().join("base/d").exists() && read(&server, "base/g").is_none());
    assert!(server.root().join("base/new").is_dir());
}
