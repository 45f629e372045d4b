//! The secret of a token is seen by nobody but the server, and a login that ends in the middle of a run.

use std::os::unix::process::ExitStatusExt;

use haul_tests::bytes::counted;
use haul_tests::login::{Pair, Place, TOKEN, answer, text, told};
use haul_tests::prelude::*;
use rustix::process::{Pid, kill_process};

/// The part of a token behind its id.
fn secret(token: &str) -> String {
    token.trim().splitn(3, '_').last().unwrap().to_owned()
}

/// Starts a put of a file of 12 MiB, which takes seconds, and waits until the server has parts of it.
pub(crate) fn begin(pair: &Pair) -> Child {
    pair.write("big", counted(12 << 20));
    let mut command = haul_command();
    let directory = pair.directory.path();
    command.current_dir(directory).env("HAUL_CONFIG_DIR", directory.join("config"));
    command.args(["put", "big", pair.server.address(), "--json", "--limit-rate", "2MiB"]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the server has written down a part", || {
        let partials = fs::read_dir(pair.server.root().join(".haul/partials")).unwrap();
        let paths = partials.map(|entry| entry.unwrap().path());
        let mut journals =
            paths.filter(|path| path.extension().is_some_and(|end| end == "journal"));
        journals.any(|path| fs::read_to_string(path).unwrap().contains("\"held\""))
    });
    running
}

#[test]
fn login_that_ends_in_the_middle_ends_the_run_and_the_next_one_goes_on() {
    let pair = Pair::logged_in("writer", &[]);
    let running = begin(&pair);
    let words = fs::read_to_string(format!("/proc/{}/cmdline", running.id())).unwrap();
    assert!(!words.contains("haul_"), "{words}");
    let began = Instant::now();
    let token = pair.user(&["rotate", "alice"]);
    let output = ended(running);
    // No timeout of either side is as short.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let told = told(&output);
    let address = pair.server.address();
    let begins = format!("haul: {address} no longer takes the token of alice: ");
    assert!(told.starts_with(&begins), "{told}");
    let ends = format!(
        "this login has ended: the account or the token was changed or removed, or has ended; run the same command again, \
         large files go on where they stopped; if the token is refused then, with a new token: haul login alice@{address}"
    );
    assert!(told.ends_with(&ends), "{told}");
    let summary = last(&output.stdout);
    assert_eq!((output.status.code(), &summary["reason"]), (Some(3), &json!("unauthorized")));
    assert!(!text(&output.stdout).contains("reconnecting"), "{output:?}");
    let again = || pair.haul(&["put", "big", "%", "--json"]).output();
    assert_eq!(last(&again().stdout)["reason"], "unauthorized");
    pair.haul(&["login", "alice@%"]).write_stdin(token).assert().success();
    let output = again();
    assert!(output.status.success(), "{output:?}");
    assert!(last(&output.stdout)["bytes_resumed"].as_u64().unwrap() > 0, "{output:?}");
}

#[test]
fn login_that_expires_in_the_middle_ends_the_run_and_the_next_one_goes_on() {
    let pair = Pair::logged_in("writer", &[]);
    let running = begin(&pair);
    let _ = pair.user(&["change", "alice", "--expires", "1s"]);
    let output = ended(running);
    let summary = last(&output.stdout);
    assert_eq!((output.status.code(), &summary["reason"]), (Some(3), &json!("unauthorized")));
    assert!(told(&output).contains("this login has ended"), "{output:?}");
    let again = || pair.haul(&["put", "big", "%", "--json"]).output();
    assert_eq!(last(&again().stdout)["reason"], "unauthorized");
    let _ = pair.user(&["change", "alice", "--expires", "never"]);
    eventually("the server takes the token again", || again().status.success());
    let at = pair.server.root().join("alice/big");
    assert!(fs::read(at).unwrap() == counted(12 << 20));
}

#[test]
fn secret_is_in_no_message_event_or_log() {
    let (pair, token) = Pair::start("writer", &[]);
    let secret = secret(&token);
    pair.write("s/f", "one");
    let mut seen = String::new();
    for words in [
        &["login", "alice@%", "--json"][..],
        &["put", "s", "%", "-v", "--stats"],
        &["put", "s", "%", "-v", "--json"],
        &["whoami", "%"],
        &["rm", "%/s"],
        &["ls", "bob@%"],
        &["logout", "%"],
    ] {
        let output = pair.haul(words).env("HAUL_LOG", "trace").write_stdin(token.clone()).output();
        seen += &(text(&output.stdout) + &text(&output.stderr));
    }
    let output = pair.haul(&["put", "s", "bob@%"]).env("HAUL_TOKEN", token.trim()).output();
    seen += &told(&output);
    assert!(seen.contains("this token is of account alice, and not of bob"), "{seen}");
    seen += &pair.server.log_text();
    assert!(!seen.contains(&secret[..8]), "{seen}");
    assert!(seen.contains("logged in"), "{seen}");
}

/// A signal that a program does not handle, and by which the system writes its memory to a file.
#[test]
fn client_that_has_a_token_writes_no_core_dump() {
    let place = Place::start();
    let dumped = |token: Option<&str>| {
        let script = "ulimit -c unlimited; exec \"$H\" whoami \"$A\"";
        let mut command = Command::new("sh");
        command.current_dir(place.directory.path()).args(["-c", script]);
        command.env("H", &binaries::get().haul).env("A", place.address());
        command
            .env("HAUL_CONFIG_DIR", place.config())
            .envs(token.map(|token| ("HAUL_TOKEN", token)));
        let running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut peer = match token {
            Some(_) => place.accept().0,
            None => {
                let mut peer = place.fake.accept().unwrap();
                assert!(peer.receive().unwrap().0.get("token").is_none());
                peer
            }
        };
        kill_process(Pid::from_child(&running), Signal::TRAP).unwrap();
        let status = ended(running).status;
        assert_eq!(status.signal(), Some(Signal::TRAP.as_raw()));
        // The peer would have answered by now.
        let _ = peer.send(&answer("alice", &[]), b"");
        status.core_dumped()
    };
    // A system that writes no core dumps anyway shows nothing.
    let is_usual = dumped(None);
    assert!(!dumped(Some(TOKEN)), "usually: {is_usual}");
}

/// Everybody on the way could read it. A server of another key gets none either, as `login_pair` shows.
#[test]
fn trap_11_no_token_is_sent_in_clear_unless_nobody_else_can_read_it() {
    let place = Place::start();
    place.write(&format!("% alice {TOKEN}\n"));
    fs::write(place.directory.path().join("s"), "one").unwrap();
    thread::scope(|scope| {
        let server = scope
            .spawn(|| place.refuse("unauthorized", "this server asks for an account: haul login"));
        let words = ["put", "s", "alice@%", "--insecure"];
        let output = place.haul(&words).assert().code(3).get_output().clone();
        let expected =
            "sends no token over a connection that others can read: leave --insecure out";
        assert!(told(&output).contains(expected), "{}", told(&output));
        assert!(server.join().unwrap().get("token").is_none());
    });
}
