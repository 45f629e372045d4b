//! The command of `--from-command` does not outlive haul, whichever signal ends haul.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use haul_tests::client::output_of;
use haul_tests::setting::Setting;
use haul_tests::{binaries, eventually};
use rustix::process::{Pid, Signal, kill_process};

/// Starts haul with a command that has written the numbers of its processes by now.
fn start(setting: &Setting, script: &str, haul: &str) -> (Child, Vec<String>) {
    let pids = setting.place.path().join("pids");
    let mut command = Command::new("setsid");
    command.args([
        "sh",
        "-c",
        &format!("{haul} exec \"$H\" put --json --from-command \"$C\" \"$A\" --as x >told"),
    ]);
    command.current_dir(setting.place.path()).env("A", setting.server.address());
    command.env("H", &binaries::get().haul).env("C", script);
    let running = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("the command runs", || pids.exists());
    let pids = fs::read_to_string(pids).unwrap();
    (running, pids.split_whitespace().map(str::to_owned).collect())
}

fn signal(running: &Child, signal: Signal) {
    kill_process(Pid::from_child(running), signal).unwrap();
}

fn have_ended(pids: &[String]) {
    for pid in pids {
        eventually("the command has ended", || {
            let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // One that has ended may still wait for somebody to ask how.
            let state = status.rsplit(')').next().unwrap_or_default();
            state.is_empty() || state.starts_with(" Z")
        });
    }
}

/// The shell and what it has started.
const SCRIPT: &str = "sleep 1000 & echo $$ $! >pids.new; mv pids.new pids; wait";

#[test]
fn command_ends_with_haul_at_every_signal_that_haul_can_hear() {
    use std::os::unix::process::ExitStatusExt;

    for (sent, code) in [
        (Signal::TERM, Some(130)),
        (Signal::INT, Some(130)),
        (Signal::HUP, None),
        (Signal::QUIT, None),
        (Signal::ABORT, None),
        (Signal::USR1, None),
        (Signal::USR2, None),
        (Signal::ALARM, None),
        (Signal::VTALARM, None),
        (Signal::PROF, None),
        (Signal::XCPU, None),
    ] {
        let setting = Setting::start();
        let (mut running, pids) = start(&setting, SCRIPT, "ulimit -c 0;");
        signal(&running, sent);
        let status = running.wait().unwrap();
        assert_eq!(status.code(), code, "{sent:?}");
        assert_eq!(status.signal(), code.is_none().then_some(sent.as_raw()), "{sent:?}");
        have_ended(&pids);
        let told = fs::read_to_string(setting.place.path().join("told")).unwrap();
        let exit = code.unwrap_or(128 + sent.as_raw());
        let summary = told.lines().last().unwrap_or_default();
        assert!(summary.contains(&format!("\"exit\":{exit},")), "{sent:?}: {told}");
        assert!(!setting.server.root().join("x").exists());
    }
}

/// Some daemons ignore it, and whatever they start inherits that.
#[test]
fn command_succeeds_or_fails_also_if_the_end_of_children_is_ignored() {
    let parent = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); \
                  os.execvp(sys.argv[1], sys.argv[1:])";
    let setting = Setting::start();
    for (script, code) in [("echo new", 0), ("echo half; exit 3", 1), ("true | cat; echo new", 0)] {
        let mut command = Command::new("python3");
        command.args(["-c", parent]).arg(&binaries::get().haul);
        command.args(["put", "--from-command", script, setting.server.address(), "--as", "x"]);
        let output = output_of(&mut command);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{script}: {told}");
        assert_eq!(told.contains("the command failed"), code == 1, "{script}: {told}");
        assert_eq!(fs::read(setting.server.root().join("x")).unwrap(), b"new\n");
    }
}

#[test]
fn command_that_hears_nothing_ends_at_the_second_signal() {
    let setting = Setting::start();
    let script = format!("trap '' TERM INT HUP; {SCRIPT}; wait");
    let (mut running, pids) = start(&setting, &script, "");
    // Two signals at once may be one.
    eventually("haul has ended", || {
        let has_ended = running.try_wait().unwrap().is_some();
        if !has_ended {
            signal(&running, Signal::TERM);
        }
        has_ended
    });
    have_ended(&pids);
}

#[test]
fn hangup_that_is_ignored_ends_no_command() {
    let setting = Setting::start();
    let script = "mkfifo go; echo $$ >pids.new; mv pids.new pids; head -n 1 go";
    let (mut running, _) = start(&setting, script, "trap '' HUP;");
    signal(&running, Signal::HUP);
    let mut go = fs::File::options();
    // With both ends open nothing waits for haul.
    let mut go = go.read(true).write(true).open(setting.place.path().join("go")).unwrap();
    go.write_all(b"y\n").unwrap();
    assert!(running.wait().unwrap().success());
    assert_eq!(fs::read(setting.server.root().join("x")).unwrap(), b"y\n");
}
