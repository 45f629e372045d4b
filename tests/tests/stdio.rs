//! `hauld --stdio`: a client over pipes, from its first line to the end of the process.

use std::os::fd::AsFd;

use haul_tests::prelude::*;
use haul_tests::screen::Person;
use haul_tests::stdio::{End, NONCE, Stdio, greeting, is_left};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

fn root() -> (TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let root = place.path().join("root");
    (place, root)
}

#[test]
fn file_comes_back_as_it_was_put() {
    let (_place, root) = root();
    let bytes: Vec<u8> = (0..=250).cycle().take(3_000_000).collect();
    let mut stdio = Stdio::start(&[]);
    let answer = stdio.greet(&json!({"root": root, "make": true}));
    assert_eq!((&answer["root"], &answer["joined"]), (&json!(root), &json!(false)), "{answer}");
    assert!(answer["version"].is_string(), "{answer}");
    stdio.hello("one");
    stdio.put(1, "dir/file", &bytes);
    let get =
        json!({"cmd": "get", "id": 2, "filename": "dir/file", "offset": 0, "part_size": 1 << 20});
    let (got, mut body) = stdio.asks(&get, b"");
    let mut id = 2;
    while body.len() < bytes.len() {
        id += 1;
        let get = json!({
            "cmd": "get", "id": id, "filename": "dir/file", "part_size": 1 << 20,
            "offset": body.len(), "state": got["state"],
        });
        let (answer, more) = stdio.asks(&get, b"");
        assert!(!more.is_empty(), "{answer}");
        body.extend(more);
    }
    assert_eq!(body, bytes);
    stdio.end().is_well();
    assert_eq!(fs::read(root.join("dir/file")).unwrap(), bytes);
    is_left(&root);
}

#[test]
fn bytes_that_come_with_the_greeting_are_not_lost() {
    let (_place, root) = root();
    let mut stdio = Stdio::start(&[]);
    let hello = json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": "c", "slot": 0, "must": [],
    });
    let words = [greeting(&json!({"root": root, "make": true})), frame(&hello, b"")].concat();
    stdio.send(&words);
    let answer = stdio.answer(NONCE);
    assert_eq!(answer["error"], Value::Null, "{answer}");
    // The answer to the hello is there without another word.
    let mut prefix = [0; 4];
    stdio.output().read_exact(&mut prefix).unwrap();
    let rest = stdio.end();
    assert_eq!((rest.code, rest.output.len()), (Some(0), i32::from_le_bytes(prefix) as usize));
}

#[test]
fn greeting_may_come_byte_by_byte() {
    let (_place, root) = root();
    let mut stdio = Stdio::start(&[]);
    for byte in greeting(&json!({"root": root, "make": true})) {
        stdio.send(&[byte]);
    }
    let answer = stdio.answer(NONCE);
    assert_eq!(answer["joined"], false, "{answer}");
    stdio.end().is_well();
}

#[test]
fn greeting_that_can_not_be_served_is_answered_with_the_reason() {
    let unknown = "0".repeat(32);
    let long = format!("haul-stdio 1 {NONCE} {:x<1$}", "", 65_536 - 46);
    for (line, nonce, code) in [
        (format!("haul-stdio 2 {NONCE} {{}}\n"), NONCE, "unsupported"),
        (format!("haul-stdio 1 {NONCE} {{}}\n"), NONCE, "malformed"),
        (format!("haul-stdio 1 {NONCE} []\n"), NONCE, "malformed"),
        (format!("haul-stdio 1 {NONCE}\n"), NONCE, "malformed"),
        (greeting_of(r#"{"root": "a", "root_b64": "YQ=="}"#), NONCE, "malformed"),
        (greeting_of(r#"{"root_b64": "?"}"#), NONCE, "malformed"),
        (greeting_of(r#"{"root": ""}"#), NONCE, "malformed"),
        (greeting_of(r#"{"root": "a\u0000b"}"#), NONCE, "denied"),
        (greeting_of(&format!(r#"{{"root": "{}"}}"#, "a/".repeat(3000))), NONCE, "io"),
        (String::from("haul-stdio 1 NONCE {}\n"), &unknown, "malformed"),
        (String::from("hauling\n"), &unknown, "malformed"),
        (String::from("haul-std"), &unknown, "malformed"),
        (long, &unknown, "malformed"),
    ] {
        let mut stdio = Stdio::start(&[]);
        stdio.send(line.as_bytes());
        if line == "haul-std" {
            stdio.closes_input();
        }
        let answer = stdio.answer(nonce);
        assert_eq!(answer["error"]["code"], code, "{line:.100}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().len() > 10, "{answer}");
        let End { code, output, error } = stdio.end();
        assert_eq!((code, output.len()), (Some(2), 0), "{line:.100}: {error}");
        // A client that knows its word has been told.
        assert_eq!(error.is_empty(), nonce == NONCE, "{line:.100}: {error}");
    }
}

fn greeting_of(json: &str) -> String {
    format!("haul-stdio 1 {NONCE} {json}\n")
}

#[test]
fn junk_makes_no_directory_and_is_told() {
    let place = TempDir::new().unwrap();
    for junk in ["junk\n", "GET / HTTP/1.1\r\n\r\n", "\0\0\0\0", "ha\n"] {
        let mut command = hauld_command();
        command.current_dir(place.path());
        let mut stdio = Stdio::of(command, &[]);
        stdio.send(junk.as_bytes());
        let End { code, output, error } = stdio.end();
        assert_eq!((code, output.len()), (Some(2), 0), "{junk:?}: {error}");
        assert!(error.contains("begins with no greeting of haul"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}

#[test]
fn client_that_knows_no_greeting_gets_the_root_of_the_command_line() {
    let (_place, root) = root();
    let mut stdio = Stdio::start(&["--root", root.to_str().unwrap()]);
    stdio.hello("frames");
    stdio.put(1, "file", b"bytes");
    stdio.end().is_well();
    assert_eq!(fs::read(root.join("file")).unwrap(), b"bytes");
    is_left(&root);
}

#[test]
fn input_that_ends_before_the_first_byte_is_no_failure() {
    Stdio::start(&[]).end().is_well();
}

#[test]
fn options_about_addresses_and_accounts_are_refused() {
    for words in [
        &["--listen", "127.0.0.1:0"][..],
        &["--tls", "never"],
        &["--cert", "c", "--key", "k"],
        &["--config-dir", "d"],
        &["--insecure"],
        &["--user", "nobody"],
        &["--audit", "relative"],
    ] {
        let End { code, output, error } = Stdio::start(words).end();
        assert_eq!((code, output.len()), (Some(2), 0), "{words:?}: {error}");
        assert!(
            error.contains(words[0]) && error.contains("--stdio") || error.contains("absolute")
        );
    }
}

/// A user's environment may be meant for another hauld.
#[test]
fn environment_decides_nothing() {
    let (place, root) = root();
    let other = place.path().join("other");
    let mut command = hauld_command();
    command.env("HAULD_ROOT", &other).env("HAULD_LISTEN", "0.0.0.0:1").env("HAULD_USER", "nobody");
    command.env("HAULD_AUDIT", other.join("audit")).env("HAULD_TLS", "always");
    let mut stdio = Stdio::of(command, &[]);
    let answer = stdio.greet(&json!({"root": root, "make": true}));
    assert_eq!(answer["root"], json!(root), "{answer}");
    stdio.end().is_well();
    assert!(root.exists() && !other.exists());
}

#[test]
fn options_about_files_hold() {
    let (_place, root) = root();
    let words = ["--durability", "none", "--max-file", "10", "--symlinks", "none"];
    let mut stdio = Stdio::start(&words);
    stdio.greet(&json!({"root": root, "make": true}));
    let hello = stdio.hello("one");
    assert_eq!((&hello["durability"], &hello["limits"]["max_file"]), (&json!("none"), &json!(10)));
    let link = json!({"cmd": "symlink", "id": 1, "filename": "l", "target": "t"});
    let answer = stdio.ask(&link, b"");
    assert_eq!(answer["refused"], 1, "{answer}");
    stdio.end().is_well();
}

#[test]
fn umask_of_whoever_connects_holds_for_directories_that_nobody_has_sent() {
    let (place, root) = root();
    let script = place.path().join("run");
    let hauld = binaries::get().hauld.display().to_string();
    fs::write(&script, format!("#!/bin/sh\numask 027\nexec {hauld} \"$@\"\n")).unwrap();
    set_mode(&script, 0o755);
    let mut stdio = Stdio::of(Command::new(&script), &[]);
    stdio.greet(&json!({"root": root.join("made"), "make": true}));
    stdio.hello("one");
    stdio.put(1, "dir/file", b"x");
    stdio.end().is_well();
    for name in ["", "made", "made/dir"] {
        assert_eq!(mode(root.join(name)), 0o750, "{name}");
    }
    assert_eq!(mode(root.join("made/dir/file")), 0o640);
}

/// Whoever has made the pipes may go on with them.
#[test]
fn pipes_are_as_they_were() {
    let (_place, root) = root();
    for is_nonblocking in [false, true] {
        let (input, to) = std::io::pipe().unwrap();
        let (from, output) = std::io::pipe().unwrap();
        let ends = [input.as_fd(), output.as_fd()];
        for end in ends {
            let flags = fcntl_getfl(end).unwrap();
            let wanted = if is_nonblocking { flags | OFlags::NONBLOCK } else { flags };
            fcntl_setfl(end, wanted).unwrap();
        }
        let before = ends.map(|end| fcntl_getfl(end).unwrap());
        let mut command = hauld_command();
        command.arg("--stdio").stdin(input.try_clone().unwrap());
        command.stdout(output.try_clone().unwrap()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(command);
        let (mut to, mut from) = (to, BufReader::new(from));
        to.write_all(&greeting(&json!({"root": root, "make": true}))).unwrap();
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        assert!(line.contains("joined"), "{line}");
        // More than a pipe holds, both ways.
        let hello = json!({
            "cmd": "hello", "version": 1, "agent": "t", "client": "c", "slot": 0, "must": [],
        });
        let bytes = vec![7; 1_000_000];
        to.write_all(&frame(&hello, b"")).unwrap();
        to.write_all(&frame(&put(1, "f", &bytes), &bytes)).unwrap();
        let get =
            json!({"cmd": "get", "id": 2, "filename": "f", "offset": 0, "part_size": 1 << 20});
        to.write_all(&frame(&get, b"")).unwrap();
        drop(to);
        assert_eq!(ends.map(|end| fcntl_getfl(end).unwrap()), before);
        let after = [input.as_fd(), output.as_fd()];
        let drain = thread::spawn(move || {
            let mut all = Vec::new();
            from.read_to_end(&mut all).unwrap();
            all
        });
        let code = child.wait().unwrap().code();
        assert_eq!(after.map(|end| fcntl_getfl(end).unwrap()), before);
        drop(output);
        let all = drain.join().unwrap();
        assert!(all.windows(bytes.len()).any(|window| window == bytes), "{} bytes", all.len());
        assert_eq!(code, Some(0));
    }
}

#[test]
fn person_at_a_terminal_is_told_what_it_is_for() {
    let hauld = binaries::get().hauld.to_str().unwrap();
    let person = Person::run("\"$D\" --stdio; echo \"exit $?\"", &[("D", hauld)]);
    let (_, seen) = person.ends();
    assert!(seen.contains("--stdio is for programs") && seen.contains("exit 2"), "{seen}");
}
