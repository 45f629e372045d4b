//! Failures of ssh and of the program that it starts: each is told in one sentence with a way out, with the exit code that it
//! has over any transport. A stand-in takes the place of ssh.

use haul_tests::over_ssh::OverSsh;
use haul_tests::prelude::*;

/// `haul put` of the source over a stand-in, which fails; its standard error.
fn told(machine: &OverSsh, words: &[&str], code: i32) -> String {
    machine.write("f", "x");
    let all = [&["put", "-q", "s", "me@box:in"], words].concat();
    let output = machine.haul(&all).assert().code(code).stdout("").get_output().clone();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn program_that_is_missing_here_is_named() {
    let machine = OverSsh::new();
    let told = told(&machine, &["--ssh", "/nowhere/ssh -p 1"], 3);
    assert!(told.contains("could not run `/nowhere/ssh` on this machine"), "{told}");
    assert!(
        told.contains("install OpenSSH's client, or name another program with --ssh"),
        "{told}"
    );
}

#[test]
fn ssh_that_has_said_why_is_not_repeated() {
    let machine = OverSsh::with("echo 'me@box: Permission denied (publickey).' >&2; exit 255");
    let told = told(&machine, &[], 3);
    assert_eq!(told.matches("Permission denied").count(), 1, "{told}");
    assert!(
        told.contains(
            "haul: sh could not connect to me@box, for the reason that it has told above"
        ),
        "{told}"
    );
    assert_eq!(machine.words().len(), 1, "one login and no second one");
}

#[test]
fn missing_hauld_is_told_for_every_shell() {
    for shell in ["sh", "bash", "fish", "tcsh"] {
        let machine = OverSsh::with(&format!("exec {shell} -c \"$*\""));
        let told = told(&machine, &["--hauld", "no-such-hauld"], 3);
        assert!(told.contains("there is no `no-such-hauld` at me@box"), "{shell}: {told}");
        assert!(
            told.contains("copy hauld into a directory of the PATH there")
                && told.contains("--hauld PATH"),
            "{shell}: {told}"
        );
    }
    // Where standard error comes with standard output.
    let machine = OverSsh::with("echo 'hauld: Command not found.'; exit 1");
    let told = told(&machine, &[], 3);
    assert!(told.contains("there is no `") && told.contains("hauld: Command not found."), "{told}");
}

#[test]
fn hauld_that_can_not_be_run_and_one_that_is_older_are_told_apart() {
    let machine = OverSsh::with("exit 126");
    assert!(told(&machine, &[], 3).contains("` at me@box that can be run: copy"));
    let machine = OverSsh::with("echo \"error: unexpected argument '--stdio' found\" >&2; exit 2");
    let told = told(&machine, &[], 3);
    assert!(
        told.contains("is older than `--stdio`, or no hauld: copy a newer one there"),
        "{told}"
    );
}

#[test]
fn noise_is_shown_clean_and_short_if_no_answer_comes() {
    let machine = OverSsh::with(
        "i=0; while [ $i -lt 30 ]; do printf 'Last login \\033[31m%s\\r\\n' $i; i=$((i + 1)); done",
    );
    let told = told(&machine, &[], 3);
    assert!(
        told.contains("has not answered: it has ended with exit code 0; instead there came:"),
        "{told}"
    );
    assert!(told.contains("Last login") && told.contains("and 20 more lines"), "{told}");
    assert!(!told.contains('\u{1b}') && !told.contains('\r'), "{told:?}");
}

#[test]
fn flood_ends_the_command() {
    let machine = OverSsh::with("exec yes");
    let told = told(&machine, &[], 3);
    assert!(told.contains("me@box does not answer as hauld does"), "{told}");
    assert!(told.len() < 2000, "{}", told.len());
    gone(&machine);
}

#[test]
fn echo_is_no_answer() {
    let machine = OverSsh::new();
    // The words of haul are those of files for cat.
    let echo = OverSsh::with("exec head -n 1");
    let told_of_echo = told(&echo, &[], 3);
    assert!(told_of_echo.contains("has not answered"), "{told_of_echo}");
    let told = told(&machine, &["--ssh", "true"], 3);
    assert!(told.contains("has not answered: it has ended with exit code 0"), "{told}");
}

#[test]
fn ssh_that_is_killed_before_the_answer_is_told() {
    let machine = OverSsh::with("kill -KILL $$");
    let told = told(&machine, &[], 3);
    assert!(told.contains("has not answered: ssh was killed by signal 9"), "{told}");
}

#[test]
fn failure_of_the_greeting_is_told_with_its_code() {
    for (code, expected, exit) in [
        ("not_found", "there is no directory in at me@box", 1),
        ("not_a_directory", "in at me@box is no directory", 1),
        ("denied", "hauld at me@box may not use in: why\\u{1b}[31m", 1),
        ("busy", "in at me@box is served by another hauld", 3),
        ("unsupported", "hauld at me@box is older than this haul", 3),
        ("new-code", "hauld at me@box does not begin with in: why", 3),
    ] {
        let answer = format!(
            "read word one nonce rest; printf 'hauld-stdio 1 %s {{\"error\":{{\"code\":\"{code}\",\"message\":\"why\\\\u001b[31m\"}}}}\\n' $nonce; exit 2"
        );
        let machine = OverSsh::with(&answer);
        let told = told(&machine, &[], exit);
        assert!(told.contains(expected), "{code}: {told}");
    }
}

/// The stand-in has ended.
fn gone(machine: &OverSsh) {
    let pid = rustix::process::Pid::from_raw(machine.pid().unwrap()).unwrap();
    assert!(rustix::process::test_kill_process(pid).is_err(), "ssh was left behind");
}

#[test]
fn slow_ssh_is_waited_for_longer_than_the_timeout() {
    // It asks for a password, and the user has to look for it.
    let machine = OverSsh::with("read line <gate; exec sh -c \"$*\"");
    let gate = machine.home().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    machine.write("f", "x");
    let mut command = machine.command(&["put", "s", "box:in", "--timeout", "100ms"]);
    let started = Instant::now();
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the timeout is over", || started.elapsed() > Duration::from_secs(1));
    fs::write(gate, "secret\n").unwrap();
    let output = ended(client);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(machine.home().join("in/s/f")).unwrap(), b"x");
    gone(&machine);
}

#[test]
fn interruption_ends_ssh_that_asks() {
    for by in [Signal::INT, Signal::TERM] {
        let machine = OverSsh::with("exec sleep 1000");
        machine.write("f", "x");
        let mut command = machine.command(&["put", "s", "box:in"]);
        let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("ssh runs", || machine.pid().is_some());
        signal(&client, by);
        let output = ended(client);
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("interrupted") && !told.contains("broke"), "{told}");
        gone(&machine);
    }
}

#[test]
fn options_that_ssh_would_take_for_its_own_are_wrong_usage() {
    let machine = OverSsh::new();
    for words in [
        &["put", "s", "me@-oProxyCommand=x:in"][..],
        &["put", "s", "ssh://-x/in"],
        &["put", "s", "box:in", "--hauld=-x"],
        &["put", "s", "box:in", "--ssh", "'"],
        &["put", "s", "box:in", "--classic"],
        &["put", "s", "box:~other/in"],
        &["login", "me@box:"],
        &["logout", "ssh://box/x"],
        &["whoami", "box:x"],
        &["trust", "box:x"],
    ] {
        let mut command = haul();
        let _ = command.args(words).current_dir(machine.here()).assert().code(2).stdout("");
    }
    assert!(machine.words().is_empty());
}
