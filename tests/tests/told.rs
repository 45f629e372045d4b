//! The last words of `haul`: each end of a command is told, as text and as events, and nothing that misleads.

use std::os::unix::ffi::OsStrExt;

use haul_tests::fake::{Fake, PART_SIZE, hello_answer, nobody, opened, refusal};
use haul_tests::prelude::*;

/// The events of an output of `--json`.
fn events(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Fails unless the last event is a summary with this code and reason, and one before it an error if there has to be one.
#[track_caller]
fn ends(output: &Output, exit: u8, reason: &str, has_error: bool) {
    let events = events(&output.stdout);
    assert_eq!(output.status.code(), Some(exit.into()), "{events:?}");
    let summary = events.last().unwrap();
    assert_eq!(summary["event"], "summary", "{events:?}");
    assert_eq!((&summary["exit"], &summary["reason"]), (&json!(exit), &json!(reason)));
    assert_eq!(summary["interrupted"], reason == "interrupted");
    let errors = events.iter().filter(|event| event["event"] == "error");
    assert_eq!(errors.count() > 0, has_error, "{events:?}");
}

/// `haul` with these words and `--json`.
fn json(setting: &Setting, words: &[&str]) -> Output {
    setting.haul(words).arg("--json").output()
}

#[test]
fn each_end_of_a_run_is_an_event_with_code_and_reason() {
    let setting = Setting::start();
    let address = setting.server.address();
    setting.write("a", "x");
    fs::create_dir(setting.place.path().join("empty")).unwrap();
    let (_socket, away) = nobody().unwrap();
    ends(&json(&setting, &["put", "s", address]), 0, "done", false);
    ends(&json(&setting, &["verify", "s", address]), 0, "done", false);
    ends(&json(&setting, &["put", "s", &away]), 3, "unreachable", true);
    ends(&json(&setting, &["verify", "s", &away]), 3, "unreachable", true);
    ends(&json(&setting, &["publish", "s", &format!("{away}/p")]), 3, "unreachable", true);
    // Neither a source nor anything to send.
    ends(&json(&setting, &["put", "none", address]), 1, "failed", false);
    ends(&json(&setting, &["sync", "--delete", "empty/", &setting.at("s")]), 1, "failed", false);
    ends(&json(&setting, &["put", "--exclude", "*", "s", address]), 0, "done", false);
    // Words that make no sense together.
    ends(&json(&setting, &["put", "s", "s/a", address, "--as", "x"]), 2, "usage", true);
    ends(&json(&setting, &["put", "-", address]), 2, "usage", true);
    ends(&json(&setting, &["publish", "s", address]), 2, "usage", true);
    let exclude = ["sync", "--exclude-from", "none", "s", address];
    ends(&json(&setting, &exclude), 2, "usage", true);
    setting.write("b", "x");
    ends(&json(&setting, &["verify", "s", address]), 1, "different", false);
    ends(&json(&setting, &["publish", "--rollback", &setting.at("none")]), 1, "failed", true);
    ends(&json(&setting, &["publish", "s", &setting.at("p")]), 0, "done", false);
    ends(&json(&setting, &["publish", "s", &setting.at("p")]), 0, "done", false);
    ends(&json(&setting, &["publish", "--rollback", &setting.at("p")]), 0, "done", false);
}

#[test]
fn server_that_refuses_or_leaves_is_an_event_as_well() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a"), "x").unwrap();
    let put = |address: &str| {
        let mut command = haul();
        command.current_dir(&directory).args(["put", "--json", "--retries", "1"]);
        command.args(["--connections", "1", "a", address]).output()
    };
    for (greets, reason) in [(false, "refused"), (true, "lost")] {
        let fake = Fake::start().unwrap();
        let address = fake.address().unwrap();
        // Nobody listens after the first connection.
        thread::spawn(move || {
            let mut peer = fake.accept().unwrap();
            peer.receive().unwrap();
            if greets {
                peer.send(&hello_answer(), b"").unwrap();
                peer.receive().unwrap();
            } else {
                peer.send(&refusal(&json!(0), "malformed", false), b"").unwrap();
                peer.end().ok();
            }
        });
        ends(&put(&address), 3, reason, true);
    }
}

#[test]
fn interruption_is_an_event_and_tells_what_the_server_holds() {
    let (fake, source) = (Fake::start().unwrap(), TempDir::new().unwrap());
    fs::write(source.path().join("large"), vec![7; 4 << 20]).unwrap();
    let address = fake.address().unwrap();
    for words in [&["--json"][..], &[]] {
        let mut command = haul_command();
        command.current_dir(source.path()).args(["put", "large", &address, "--connections", "1"]);
        let running = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = running.spawn().unwrap();
        let (mut peer, _) = fake.greet().unwrap();
        let (open, _) = peer.receive().unwrap();
        // The server holds three parts, and gets the last one.
        opened(&mut peer, &open["id"], PART_SIZE, &[0, 1, 2]).unwrap();
        let (part, _) = peer.receive().unwrap();
        peer.send(&json!({"ack": part["id"]}), b"").unwrap();
        // It has heard the ack, and hears no more.
        let (commit, _) = peer.receive().unwrap();
        assert_eq!(commit["cmd"], "commit");
        signal(&running, Signal::INT);
        let output = ended(running);
        if words.is_empty() {
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told.contains("4 MiB held for the next run"), "{told}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(said.matches("interrupted").count(), 1, "{said}");
        } else {
            ends(&output, 130, "interrupted", true);
            let summary = last(&output.stdout);
            assert_eq!((&summary["bytes_held"], &summary["files"]), (&json!(4 << 20), &json!(0)));
        }
    }
}

/// As `timeout -s INT` does, which signals the client and then its process group.
#[test]
fn two_signals_at_once_are_one() {
    let setting = Setting::start();
    fs::write(setting.place.path().join("large"), vec![7; 40 << 20]).unwrap();
    // Two of one kind may come to the client as one.
    for (first, second) in
        [(Signal::INT, Signal::TERM), (Signal::TERM, Signal::INT), (Signal::INT, Signal::INT)]
    {
        let relay = Relay::start(setting.server.address(), &[]).unwrap();
        let mut command = haul_command();
        command.current_dir(setting.place.path());
        command.args(["put", "--json", "--connections", "1", "--limit-rate", "2MB", "large"]);
        let running = command.arg(relay.address()).stdout(Stdio::piped()).spawn().unwrap();
        eventually("some of it has passed", || relay.passed() > 1 << 16);
        signal(&running, first);
        signal(&running, second);
        ends(&ended(running), 130, "interrupted", true);
    }
}

#[test]
fn bytes_that_are_held_are_those_that_the_next_run_does_not_send() {
    let setting = Setting::start();
    fs::write(setting.place.path().join("large"), vec![7; 40 << 20]).unwrap();
    let relay = Relay::start(setting.server.address(), &[]).unwrap();
    let mut command = haul_command();
    command.current_dir(setting.place.path());
    command.args(["put", "--json", "--connections", "1", "--limit-rate", "20MB", "large"]);
    let running = command.arg(relay.address()).stdout(Stdio::piped()).spawn().unwrap();
    eventually("some of it has passed", || relay.passed() > 10 << 20);
    signal(&running, Signal::INT);
    let output = ended(running);
    ends(&output, 130, "interrupted", true);
    let held = last(&output.stdout)["bytes_held"].as_u64().unwrap();
    assert!(held > 0);
    let again = setting.haul(&["put", "--json", "large", setting.server.address()]).output();
    let again = last(&again.stdout);
    // The server may have taken more than it could acknowledge.
    assert!(again["bytes_resumed"].as_u64().unwrap() >= held, "{again}");
    assert_eq!(again["bytes_held"], 0, "it is whole: {again}");
}

#[test]
fn signal_before_a_run_has_begun_is_an_event() {
    let setting = Setting::start();
    let mut command = haul_command();
    command.current_dir(setting.place.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.args(["put", "--json", "--exclude-from", "-", "s", setting.server.address()]);
    let mut running = command.spawn().unwrap();
    // A rule that has no end yet: the client waits for it.
    let mut rules = running.stdin.take().unwrap();
    rules.write_all(b"*.o").unwrap();
    let process = format!("/proc/{}", running.id());
    eventually("the client watches signals", || {
        fs::read_dir(format!("{process}/task")).is_ok_and(|threads| threads.count() > 1)
    });
    eventually("the client waits", || {
        let stat = fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S"))
    });
    signal(&running, Signal::INT);
    ends(&ended(running), 130, "interrupted", true);
    drop(rules);
}

#[test]
fn report_that_can_not_be_written_is_a_failure() {
    let setting = Setting::start();
    setting.write("a", "x");
    for words in ["put s", "put --json s", "put --stats s", "sync -n s", "verify s", "publish s"] {
        let to = if words.starts_with("publish") { "$A/p" } else { "$A/q" };
        for out in [">/dev/full", "| true"] {
            let script = format!("set -o pipefail; $H {words} {to} {out}");
            let told = setting.script(&script).output();
            let said = String::from_utf8(told.stderr).unwrap();
            // `true` may end later.
            let is_full = out == ">/dev/full";
            assert!(!is_full || told.status.code() == Some(1), "{script}: {said}");
            assert!(
                !is_full || said.contains("could not write to standard output"),
                "{script}: {said}"
            );
            assert_eq!(
                told.status.success(),
                !said.contains("could not write"),
                "{script}: {said}"
            );
        }
    }
    // All else was done.
    assert!(setting.server.root().join("q/s/a").exists());
    setting.script("$H ls $A >/dev/full").assert().code(1);
    // Nothing is said of a reader that has had enough; the exit code tells.
    let script = "(n=0; c=0; while [ $c = 0 ] && [ $n -lt 300 ]; do n=$((n+1)); $H ls -R $A; c=$?; done; \
                  echo $c >&2) | true";
    setting.script(script).assert().success().stderr("1\n");
}

#[test]
fn closed_pipe_is_a_failure_that_is_told() {
    let setting = Setting::start();
    setting.write("a", "x");
    // The reader has ended before haul begins.
    let script =
        "(exec 3>&1 >&2; sh -c 'read go <go; exec $H put s $A >&3') | true; exit ${PIPESTATUS[0]}";
    let script = format!("mkfifo go; (exec 4<>go; {script})");
    let mut command = Command::new("bash");
    command.current_dir(setting.place.path()).env("H", &binaries::get().haul);
    command.env("A", setting.server.address()).args(["-c", &script]).stderr(Stdio::piped());
    let running = command.spawn().unwrap();
    let go = setting.place.path().join("go");
    eventually("the pipe is there", || go.exists());
    eventually("the reader has ended", || {
        let children = format!("/proc/{0}/task/{0}/children", running.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        children.split_whitespace().count() <= 1
    });
    fs::write(&go, "go\n").unwrap();
    let output = ended(running);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Broken pipe") && !output.status.success(), "{said}");
}

#[test]
fn failures_that_are_alike_are_told_twenty_times_and_then_counted() {
    let setting = Setting::start_with(&["--durability", "none", "--max-file", "1"]);
    (0..25).for_each(|file| setting.write(&format!("{file}"), "xx"));
    let failed = setting.command("put", &[]).assert().code(1).get_output().clone();
    let said = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(said.matches("over the server's limit").count(), 20, "{said}");
    assert!(said.ends_with("haul: 5 more failed: larger than the server takes\n"), "{said}");
    assert!(String::from_utf8(failed.stdout).unwrap().contains("25 failed"));
    let failed = setting.command("put", &["--json"]).output();
    let events = events(&failed.stdout);
    assert_eq!(events.iter().filter(|event| event["event"] == "failed").count(), 25);
    assert!(failed.stderr.is_empty());
}

#[test]
fn names_in_events_are_the_names_and_in_base64_if_they_are_no_text() {
    let setting = Setting::start();
    for name in [&b"new\nline"[..], b"\xff"] {
        let path = setting.source().join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, "abc").unwrap();
    }
    let put = json(&setting, &["put", "-v", "s", setting.server.address()]);
    let events = events(&put.stdout);
    let of = |key: &str, name: &str| {
        let found = events.iter().find(|event| event[key] == name);
        found.unwrap_or_else(|| panic!("{key} {name}: {events:?}")).clone()
    };
    assert_eq!(of("name", "s/new\nline")["size"], 3);
    assert_eq!(of("name_b64", "cy//")["size"], 3);
    // Of sources as well.
    fs::remove_file(setting.source().join("new\nline")).unwrap();
    let script = "rm -r s/*; mkfifo s/$'\\xff'; $H put --json s $A";
    let told = setting.script(script).output();
    let skipped = self::events(&told.stdout)[0].clone();
    assert_eq!((&skipped["event"], &skipped["source_b64"]), (&json!("skipped"), &json!("cy//")));
    assert!(skipped["why"].is_string() && skipped["source"].is_null());
}

#[test]
fn list_that_is_not_complete_ends_with_an_event() {
    let setting = Setting::start();
    let (_socket, away) = nobody().unwrap();
    for (address, exit, reason) in
        [(setting.at("none"), 1, "failed"), (format!("{away}/x"), 3, "unreachable")]
    {
        let output = json(&setting, &["ls", &address]);
        let events = events(&output.stdout);
        assert_eq!(output.status.code(), Some(exit));
        assert_eq!(events[0]["event"], "error");
        assert_eq!(events[1], json!({"event": "summary", "exit": exit, "reason": reason}));
    }
    setting.write_there("a", "x");
    let whole = events(&json(&setting, &["ls", &setting.at("s")]).stdout);
    assert_eq!((whole.len(), &whole[0]["filename"]), (1, &json!("s/a")));
}

#[test]
fn rate_of_a_small_run_and_zero_failures_are_not_told() {
    let setting = Setting::start();
    setting.write("a", "x");
    let told = setting.command("put", &[]).assert().success().get_output().clone();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(!told.contains("/s") && !told.contains("failed"), "{told}");
    let summary = last(&setting.command("put", &["--json"]).output().stdout);
    assert_eq!(summary["bytes_per_second"], Value::Null);
}

#[test]
fn rate_is_that_of_the_bytes_that_were_sent_while_they_were_sent() {
    let setting = Setting::start();
    fs::write(setting.place.path().join("large"), vec![7; 3 << 20]).unwrap();
    let words = ["put", "--json", "--limit-rate", "4MB", "large", setting.server.address()];
    let summary = last(&setting.haul(&words).output().stdout);
    let (rate, sending) = (&summary["bytes_per_second"], &summary["seconds_sending"]);
    assert!(sending.as_f64() <= summary["seconds"].as_f64(), "{summary}");
    assert!(rate.as_u64().unwrap() < 8_000_000, "{summary}");
}

/// The client reads a large piece at once, and the line takes it in minutes.
#[test]
fn bytes_that_wait_for_a_slow_line_are_not_told_as_sent() {
    let setting = Setting::start();
    fs::write(setting.place.path().join("large"), vec![7; 4 << 20]).unwrap();
    let relay = Relay::start(setting.server.address(), &[]).unwrap();
    let mut command = haul_command();
    command.current_dir(setting.place.path());
    command.args(["put", "--json", "--connections", "1", "--limit-rate", "8KB", "large"]);
    let running = command.arg(relay.address()).stdout(Stdio::piped()).spawn().unwrap();
    eventually("some of it has passed", || relay.passed() > 4096);
    signal(&running, Signal::INT);
    let output = ended(running);
    ends(&output, 130, "interrupted", true);
    let told = last(&output.stdout);
    assert!(told["bytes_sent"].as_u64().unwrap() < 1 << 20, "{told}");
}
