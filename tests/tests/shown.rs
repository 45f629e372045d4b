//! Foreign text: nothing that a peer or a file name says reaches a log or a terminal as a control character.

use haul_tests::fake::{Fake, hello_answer, refusal};
use haul_tests::prelude::*;

/// Characters that do something to a terminal or to the text around them, NUL apart: C0, DEL, C1, marks of direction,
/// separators.
fn special() -> impl Iterator<Item = char> {
    let ranges = [
        '\u{1}'..='\u{1f}',
        '\u{7f}'..='\u{9f}',
        '\u{61c}'..='\u{61c}',
        '\u{200e}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2066}'..='\u{2069}',
    ];
    ranges.into_iter().flatten()
}

/// All of them in texts that are short enough for a name and a field, each with a Z after it.
fn texts() -> Vec<String> {
    let all: Vec<String> = special().map(|character| format!("{character}Z")).collect();
    all.chunks(20).map(|some| format!("t{}", some.concat())).collect()
}

/// Fails if one of them was written as it is.
#[track_caller]
fn is_plain(written: &[u8]) {
    let written = String::from_utf8_lossy(written);
    for character in special() {
        assert!(!written.contains(&format!("{character}Z")), "{character:?}: {written:?}");
    }
}

/// The output of `haul` in a pipe, and on a terminal that `script` gives it.
#[track_caller]
fn shows(directory: &Path, words: &[&str], escaped: &str) {
    let piped = haul().current_dir(directory).args(words).output();
    is_plain(&piped.stdout);
    is_plain(&piped.stderr);
    let line: Vec<_> = [binaries::get().haul.to_str().unwrap()]
        .iter()
        .chain(words)
        .map(|word| format!("'{word}'"))
        .collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    let shown = output_of(script.current_dir(directory)).stdout;
    is_plain(&shown);
    let shown = String::from_utf8_lossy(&shown).replace("\\\\u", "\\u");
    let as_json = escaped.replace("\\u{202e}", "\\u202e");
    assert!(shown.contains(escaped) || shown.contains(&as_json), "{words:?}: {shown:?}");
}

#[test]
fn log_has_nothing_of_a_peers_as_a_control_character() {
    let directory = place::for_server(&[]).unwrap();
    let mut command = hauld_command();
    command.env("HAUL_LOG", "debug");
    let server = Hauld::start_in(directory, command, &[]).unwrap();
    for text in texts() {
        let raw = |header: Value, body: &[u8]| {
            let mut peer = Peer::connect(server.address()).unwrap();
            peer.send(&header, body).unwrap();
            peer.end().unwrap_or_default()
        };
        let hello = |client: &str, must: &[&str]| {
            json!({
                "cmd": "hello", "version": 1, "agent": text, "client": client, "slot": 0,
                "identity": text, "must": must,
            })
        };
        raw(hello(&text, &[]), b"");
        raw(hello("c", &[&text]), b"");
        raw(json!({"cmd": text}), b"");
        raw(json!({"cmd": "put", "filename": format!("../{text}"), "filesize": 0}), b"");
        raw(json!({"cmd": "put", "filename": format!("a{text}"), "filesize": 1}), b"x");
        raw(json!({"cmd": "put", "filename": format!("a{text}/x"), "filesize": 1}), b"x");
        raw(json!({"cmd": "hello", text.as_str(): 1}), b"");
        let mut peer = server.peer();
        peer.ask(&put(1, &text, b"x"), b"x").unwrap();
        peer.ask(&put(2, &format!("{text}/x"), b"x"), b"x").unwrap();
        peer.ask(&json!({"cmd": "mkdir", "id": 3, "filename": text}), b"").unwrap();
        let link =
            json!({"cmd": "symlink", "id": 4, "filename": format!("l{text}"), "target": text});
        peer.ask(&link, b"").unwrap();
        peer.ask(&put(5, &format!("l{text}/x"), b"x"), b"x").unwrap();
        peer.ask(&json!({"cmd": text, "id": 6}), b"").unwrap();
    }
    let log = server.log_text();
    is_plain(log.as_bytes());
    // Each was there: the classic put, and the conflict.
    assert!(log.contains("\\u{202e}Z") && log.contains("\\nZ"), "{log}");
}

#[test]
fn names_of_a_server_are_shown_as_escapes() {
    let (server, directory) = (server(), TempDir::new().unwrap());
    fs::create_dir(directory.path().join("empty")).unwrap();
    fs::create_dir(server.root().join("d")).unwrap();
    for text in texts() {
        fs::write(server.root().join("d").join(&text), "x").unwrap();
        symlink(&text, server.root().join(format!("d/l{text}"))).unwrap();
    }
    let address = format!("{}/d", server.address());
    let verify = ["verify", "empty/", &address];
    let dry = ["sync", "-n", "--delete", "--delete-all", "empty/", &address];
    shows(directory.path(), &verify, "\\u{202e}Z");
    shows(directory.path(), &dry, "\\u{202e}Z");
    shows(directory.path(), &[&dry[..], &["--json"]].concat(), "\\u{202e}Z");
    let list = |words: &str| {
        let line = format!("{} ls {words} {address}", binaries::get().haul.display());
        let mut script = Command::new("script");
        let shown = output_of(script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()));
        is_plain(&shown.stdout);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("202e"), "{shown}");
    };
    ["", "-l", "-R", "--json"].into_iter().for_each(list);
}

#[test]
fn names_of_this_machine_are_shown_as_escapes() {
    let setting = Setting::start();
    for text in texts() {
        setting.write(&text, "x");
        symlink(&text, setting.source().join(format!("l{text}"))).unwrap();
        // One is in the way of the other at the server.
        fs::create_dir_all(setting.server.root().join("there").join(&text)).unwrap();
    }
    let (address, there) = (setting.server.address(), setting.at("there"));
    shows(setting.place.path(), &["put", "-v", "s", address], "\\u{202e}Z");
    shows(setting.place.path(), &["put", "s/", &there], "\\u{202e}Z");
    shows(setting.place.path(), &["put", &format!("no{}", texts()[3]), address], "\\u{202e}Z");
    // A pattern of the shell makes options of names that look so.
    for text in texts() {
        let output = haul().args(["put", &format!("--{text}"), "a", address]).output();
        assert_eq!(output.status.code(), Some(2));
        is_plain(&output.stderr);
    }
}

/// Greets with this answer, and refuses all that comes with this code and message.
fn hostile(hello: Value, text: String) -> String {
    let fake = Fake::start().unwrap();
    let address = fake.address().unwrap();
    thread::spawn(move || {
        while let Ok(mut peer) = fake.accept() {
            let greeted = peer.receive().and_then(|_| peer.send(&hello, b""));
            let refuse = |peer: &mut Peer| -> std::io::Result<()> {
                loop {
                    let (request, _) = peer.receive()?;
                    let first = request["id"].as_u64().unwrap_or(0);
                    for id in first..first + request["count"].as_u64().unwrap_or(1) {
                        let mut refused = refusal(&id.into(), &text, false);
                        refused["message"] = json!(text);
                        peer.send(&refused, b"")?;
                    }
                }
            };
            // The client closes when it has had enough.
            let _ = greeted.and_then(|()| refuse(&mut peer));
        }
    });
    address
}

#[test]
fn words_of_a_server_are_shown_as_escapes() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("s")).unwrap();
    fs::write(directory.path().join("s/a"), "x").unwrap();
    for text in texts() {
        // The text that is shown has the last of its characters as an escape.
        let last = text.chars().rev().nth(1).unwrap().escape_default().to_string();
        let mut greeting = hello_answer();
        greeting["durability"] = json!(text);
        greeting["agent"] = json!(text);
        let mut refused = refusal(&json!(0), &text, false);
        refused["message"] = json!(text);
        let (address, closed) = (hostile(greeting, text.clone()), hostile(refused, text.clone()));
        for address in [&address, &closed] {
            for words in [
                &["put", "s", address][..],
                &["put", "--stats", "s", address],
                &["put", "--remove-source", "s", address],
                &["sync", "s", address],
                &["verify", "s", address],
                &["publish", "--rollback", &format!("{address}/d")],
                &["ls", address],
            ] {
                shows(directory.path(), words, &last);
            }
            // Such a server gives no draft.
            let (place, draft) = (directory.path(), format!("{address}/d"));
            shows(place, &["publish", "s", &draft], "haul: ");
            let shell = haul().args(["shell", address]).write_stdin("ls\nmkdir a\n").output();
            is_plain(&shell.stderr);
            let json =
                haul().current_dir(&directory).args(["put", "--json", "s", address]).output();
            is_plain(&json.stdout);
        }
    }
}
