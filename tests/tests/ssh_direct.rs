//! Connections that go past ssh, with a key and a token that have come over it; and everything over ssh, where there is no such
//! way.

use std::io::Write;
use std::net::TcpListener;

use haul_tests::over_ssh::OverSsh;
use haul_tests::prelude::*;
use haul_tests::sshd::Sshd;

/// The note of a run that goes past ssh.
const DIRECTLY: &str = "with TLS directly to 127.0.0.1:";

/// Large enough that a run is not over before there is another way.
fn large(path: &Path) -> Vec<u8> {
    let bytes: Vec<u8> = (0..30_000_000_u32).map(|index| (index / 1013).to_le_bytes()[0]).collect();
    fs::write(path, &bytes).unwrap();
    bytes
}

fn at(sshd: &Sshd, name: &str) -> String {
    format!("box:{}", sshd.there().join(name).display())
}

fn told(client: &mut haul_tests::client::Client) -> String {
    let output = client.assert().success().get_output().clone();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn work_goes_past_ssh_in_both_directions_and_nothing_stays() {
    let sshd = Sshd::start();
    let bytes = large(&sshd.here().join("s/large"));
    (0..500).for_each(|index| fs::write(sshd.here().join(format!("s/{index}")), "x").unwrap());
    let put = told(&mut sshd.haul(&["put", "-v", "--limit-rate", "30MB", "s", &at(&sshd, "in")]));
    assert!(put.contains(DIRECTLY), "{put}");
    tree::compare(&sshd.here().join("s"), &sshd.there().join("in/s")).unwrap();
    assert!(!sshd.there().join("in/.haul").exists());
    let get =
        told(&mut sshd.haul(&["get", "-v", "--limit-rate", "30MB", &at(&sshd, "in/s"), "got"]));
    assert!(get.contains(DIRECTLY), "{get}");
    assert_eq!(fs::read(sshd.here().join("got/s/large")).unwrap(), bytes);
    // The port is told, and nobody is there any more.
    let port = put.split(DIRECTLY).nth(1).unwrap().split(',').next().unwrap();
    assert!(haul_tests::peer::Peer::connect(&format!("127.0.0.1:{port}")).is_err());
    let quiet = told(&mut sshd.haul(&["sync", "s", &at(&sshd, "in")]));
    assert!(!quiet.contains("directly"), "only a user who wants to know is told: {quiet}");
    let publish = told(&mut sshd.haul(&[
        "publish",
        "-v",
        "--limit-rate",
        "30MB",
        "s",
        &at(&sshd, "www/site"),
    ]));
    assert!(publish.contains(DIRECTLY), "{publish}");
    tree::compare_bytes(&sshd.here().join("s"), &sshd.there().join("www/site")).unwrap();
}

#[test]
fn user_or_variable_keeps_everything_in_ssh() {
    let sshd = Sshd::start();
    large(&sshd.here().join("s/large"));
    let no = told(&mut sshd.haul(&["put", "-v", "s", &at(&sshd, "a"), "--ssh-direct", "no"]));
    assert!(!no.contains(DIRECTLY) && !no.contains("no direct way"), "{no}");
    let mut haul = sshd.haul(&["put", "-v", "s", &at(&sshd, "b")]);
    haul.env("HAUL_SSH_DIRECT", "no");
    let no = told(&mut haul);
    assert!(!no.contains(DIRECTLY) && !no.contains("no direct way"), "{no}");
    let mut haul = sshd.haul(&["put", "s", &at(&sshd, "c")]);
    haul.env("HAUL_SSH_DIRECT", "maybe");
    let told = "HAUL_SSH_DIRECT: `ssh-direct` can't be \"maybe\": it is one of auto, no";
    let _ = haul.assert().code(2).stderr(contains(told));
    // A run that asks for the other way says so in its line, and a dry one does not.
    for (words, asks) in [(&[][..], true), (&["--ssh-direct=no"], false), (&["--dry-run"], false)] {
        let machine = OverSsh::with("head -n 1 >../line; exit 0");
        machine.write("f", "x");
        let _ = machine.haul(&[&["put", "s", "box:in"], words].concat()).assert().code(3);
        let line = fs::read_to_string(machine.here().join("line")).unwrap();
        assert_eq!(line.contains("\"direct\":true"), asks, "{line}");
    }
}

#[test]
fn forced_command_is_as_quick_and_as_narrow_past_ssh() {
    let hauld = binaries::get().hauld.display();
    let up = place::in_memory().unwrap();
    let key = format!("command=\"{hauld} --stdio --root {}\",restrict ", up.path().display());
    let sshd = Sshd::with(&key, "");
    let bytes = large(&sshd.here().join("s/large"));
    let put = told(&mut sshd.haul(&["put", "-v", "--limit-rate", "30MB", "s", "box:in"]));
    assert!(put.contains(DIRECTLY), "{put}");
    assert_eq!(fs::read(up.path().join("in/s/large")).unwrap(), bytes);
}

/// A machine whose offer is changed on its way by a script of sed.
fn changed(script: &str) -> OverSsh {
    let machine = OverSsh::with(&format!(
        "export SSH_CONNECTION='127.0.0.1 5 127.0.0.1 22'\nsh -c \"$*\" | {{ IFS= read -r line; printf '%s\\n' \"$line\" \
         | sed '{script}'; exec cat; }}"
    ));
    large(&machine.here().join("s/large"));
    machine
}

#[test]
fn port_that_is_not_reached_key_or_token_that_is_wrong_leave_the_run_to_ssh_without_a_word() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    // It stays bound, so that no other test's server gets its port, and refuses.
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::shutdown(&refusing, rustix::net::Shutdown::Both).unwrap();
    let closed = refusing.local_addr().unwrap();
    let port = |address| format!("s/127\\.0\\.0\\.1:[0-9]*/{address}/");
    for (script, why) in [
        (port(closed), "refused"),
        (port(silent), "timed out"),
        (String::from("s/haul_\\(........\\)_....../haul_\\1_AAAAAA/"), "ended the connection"),
    ] {
        let machine = changed(&script);
        let quiet = told(&mut machine.haul(&["put", "s", "box:quiet"]));
        // A line every five seconds tells how far it is.
        let told_more = quiet.lines().find(|line| !line.starts_with("0 of 1 file, "));
        assert_eq!(told_more, None, "{script}");
        // Slow enough for the time that the way may take.
        let words = ["put", "-v", "--limit-rate", "7MB", "s", "box:in"];
        let verbose = told(&mut machine.haul(&words));
        assert!(verbose.contains("over ssh, because there is no direct way"), "{verbose}");
        assert!(verbose.contains(why), "{script}: {verbose}");
        assert!(!verbose.contains(DIRECTLY), "{script}: {verbose}");
        tree::compare(&machine.here().join("s"), &machine.home().join("in/s")).unwrap();
    }
}

#[test]
fn small_run_waits_for_no_other_way() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let machine = changed(&format!("s/127\\.0\\.0\\.1:[0-9]*/{address}/"));
    fs::remove_file(machine.here().join("s/large")).unwrap();
    machine.write("f", "x");
    let all = told(&mut machine.haul(&["put", "-v", "s", "box:in"]));
    assert!(!all.contains(DIRECTLY) && !all.contains("no direct way"), "it has waited: {all}");
    silent.set_nonblocking(true).unwrap();
    let mut stream = silent.accept().unwrap().0;
    let _ = stream.write_all(b"x");
}

#[test]
fn end_of_ssh_ends_the_direct_connections_and_the_next_run_goes_on() {
    let machine = OverSsh::with("export SSH_CONNECTION='127.0.0.1 5 127.0.0.1 22'\nexec $*");
    let bytes = large(&machine.here().join("s/large"));
    let words = ["put", "-v", "s", "box:in", "--limit-rate", "8MB"];
    let mut command = machine.command(&words);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let parts = machine.home().join("in/.haul");
    eventually("half of it is there", || tree::disk_size(&parts) > 15_000_000);
    let host = haul_tests::stdio::host(&machine.home().join("in"));
    let ssh = rustix::process::Pid::from_raw(machine.pid().unwrap()).unwrap();
    rustix::process::kill_process(ssh, Signal::KILL).unwrap();
    let output = ended(client);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains(DIRECTLY), "{told}");
    assert!(told.contains("the connection to box broke: ssh was killed by signal 9"), "{told}");
    let host = rustix::process::Pid::from_raw(host).unwrap();
    eventually("hauld is gone", || rustix::process::test_kill_process(host).is_err());
    let again = machine.haul(&["put", "s", "box:in", "--json"]).assert().success();
    let summary = last(&again.get_output().stdout);
    assert!(summary["bytes_sent"].as_u64().unwrap() < 20_000_000, "{summary}");
    assert_eq!(fs::read(machine.home().join("in/s/large")).unwrap(), bytes);
}
