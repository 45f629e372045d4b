//! Streams that are closed, are devices, or have nothing that they could state; names in lists that can't be sent.

use haul_tests::prelude::*;
use rustix::process::{Pid, kill_process};

#[test]
fn stream_gets_the_mode_of_a_new_file_whatever_mode_the_temporary_file_has() {
    let setting = Setting::start();
    // With the umask of the server.
    let new = setting.place.path().join("new");
    fs::write(&new, "x").unwrap();
    for (index, put) in [
        "echo new | \"$H\" put - \"$A\" --as",
        "\"$H\" put --from-command 'echo new' \"$A\" --as",
        "\"$H\" put <(echo new) \"$A\" --as",
        "echo new | \"$H\" put /dev/stdin \"$A\" --as",
    ]
    .into_iter()
    .enumerate()
    {
        setting.script(&format!("umask 177; {put} {index}")).assert().success();
        assert_eq!(mode(setting.server.root().join(index.to_string())), mode(&new), "{put}");
    }
    // A descriptor of a file states what the file has.
    let put = "umask 022; echo new >f; chmod 640 f; \"$H\" put /dev/stdin \"$A\" --as f <f";
    setting.script(put).assert().success();
    assert_eq!(mode(setting.server.root().join("f")), 0o640);
}

#[test]
fn stream_of_the_same_size_is_compared_by_its_bytes() {
    let setting = Setting::start();
    fs::write(setting.server.root().join("stdin"), "old\n").unwrap();
    let sync = |text: &str| {
        let sync = format!("echo {text} | \"$H\" sync --json /dev/stdin \"$A\"");
        last(&setting.script(&sync).assert().success().get_output().stdout)
    };
    assert_eq!(sync("new")["files"], 1);
    assert_eq!(fs::read(setting.server.root().join("stdin")).unwrap(), b"new\n");
    assert_eq!(sync("new")["unchanged"], 1);
}

#[test]
fn standard_input_that_is_closed_or_a_device_is_refused_and_not_empty() {
    let setting = Setting::start();
    fs::write(setting.server.root().join("good"), "good").unwrap();
    for input in ["<&-", "</dev/null", "</dev/zero"] {
        for (words, code) in [
            ("put - \"$A\" --as good", 1),
            ("put /dev/stdin \"$A\" --as good", 1),
            ("put --files-from - s \"$A\"", 2),
            ("put --exclude-from - s \"$A\"", 2),
        ] {
            let refused = setting.script(&format!("\"$H\" {words} {input}")).assert().code(code);
            refused.stderr(contains("device"));
        }
    }
    assert_eq!(fs::read(setting.server.root().join("good")).unwrap(), b"good");
    assert!(!setting.target().exists());
    // As the message says.
    setting.script(": | \"$H\" put - \"$A\" --as good").assert().success();
    assert_eq!(fs::read(setting.server.root().join("good")).unwrap(), b"");
}

#[test]
fn blank_command_is_wrong_usage_and_stores_nothing() {
    let setting = Setting::start();
    fs::write(setting.server.root().join("good"), "good").unwrap();
    for command in ["", "  ", "\n\t"] {
        let words = ["put", "--from-command", command, setting.server.address(), "--as", "good"];
        setting.haul(&words).assert().code(2).stderr(contains("--from-command"));
    }
    assert_eq!(fs::read(setting.server.root().join("good")).unwrap(), b"good");
}

#[test]
fn command_of_a_dry_run_runs_and_nothing_is_stored() {
    let setting = Setting::start();
    let address = setting.server.address();
    let words = ["put", "-n", "--from-command", "echo ran >ran; echo x", address, "--as", "x"];
    setting.haul(&words).assert().success().stdout(contains("would send x"));
    assert!(setting.place.path().join("ran").exists() && !setting.server.root().join("x").exists());
}

#[test]
fn name_in_a_list_that_cannot_be_sent_is_a_failure_and_the_others_go() {
    let setting = Setting::start();
    setting.write("file", "x");
    let at = |name: &str| setting.source().join(name);
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    symlink("/dev/stdin", at("descriptor")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let put = |words: &[&str]| {
        let words = [&["put", "--files-from", "-"], words, &["s", setting.server.address()]];
        let mut put = setting.haul(&words.concat());
        put.write_stdin("fifo\nsocket\ndescriptor\nfile\ndangling\n");
        put
    };
    let failed = put(&[]).assert().code(1).stdout(contains("3 failed"));
    failed.stderr(
        contains("haul: fifo: a FIFO")
            .and(contains("socket: a socket"))
            .and(contains("descriptor: a descriptor")),
    );
    // A symlink that leads nowhere can be sent as a symlink.
    assert!(setting.there("file") && setting.there("dangling"));
    for name in ["fifo", "socket", "descriptor"] {
        assert!(!setting.there(name), "{name}");
    }
    put(&["--links", "follow"]).assert().code(1).stderr(contains("haul: dangling: "));
    // The same of a device.
    let mut put = setting.haul(&["put", "--files-from", "-", "/dev/", setting.server.address()]);
    put.write_stdin("null\n").assert().code(1).stderr(contains("null: a device"));
}

#[test]
fn named_symlink_that_is_to_be_skipped_is_a_failure() {
    let setting = Setting::start();
    setting.write("file", "x");
    symlink("file", setting.source().join("link")).unwrap();
    let address = setting.server.address();
    let words = ["put", "--links", "skip", "s/link", "s/file", address];
    setting.haul(&words).assert().code(1).stderr(contains("s/link: a symbolic link"));
    assert!(setting.server.root().join("file").exists());
    // In a tree that is what the option is for.
    setting.command("put", &["--links", "skip"]).assert().success();
}

#[test]
fn remove_source_tells_that_a_stream_stays_and_refuses_standard_input() {
    let setting = Setting::start_with(&[]);
    let address = setting.server.address();
    let words = ["put", "--remove-source", "-", address, "--as", "x"];
    setting.haul(&words).write_stdin("x").assert().code(2).stderr(contains("--remove-source"));
    let put = "\"$H\" put --remove-source <(echo x) \"$A\" --as x";
    setting.script(put).assert().success().stderr(contains("--remove-source removes neither"));
}

#[test]
fn rules_come_from_standard_input_but_not_together_with_names() {
    let setting = Setting::start();
    setting.write("a.o", "x");
    setting.write("b", "x");
    let words = ["put", "--exclude-from", "-", "s", setting.server.address()];
    setting.haul(&words).write_stdin("*.o\n").assert().success();
    assert!(setting.there("b") && !setting.there("a.o"));
    let address = setting.server.address();
    for words in [
        &["put", "--exclude-from", "-", "--files-from", "-", "s", address][..],
        &["put", "--exclude-from", "-", "--exclude-from", "-", "s", address],
        &["put", "--exclude-from", "-", "-", address, "--as", "x"],
        &["put", "--exclude-from", "-", "--from-command", "cat", address, "--as", "x"],
    ] {
        setting.haul(words).write_stdin("b").assert().code(2).stderr(contains("standard input"));
    }
    let mut shell = setting.haul(&["shell", address]);
    let line = "put --exclude-from - s\n";
    shell.write_stdin(line).assert().code(1).stderr(contains("where the commands come from"));
}

/// In a terminal the command has no group of its own, since it may ask there for a password.
#[test]
fn signal_ends_what_a_command_has_started_also_in_a_terminal() {
    let setting = Setting::start();
    let pids = setting.place.path().join("pids");
    let command = "sh -c 'trap \"\" TERM INT HUP; echo $PPID $$ >pids.new; mv pids.new pids; exec sleep 1000' & wait";
    let put =
        "sh -c 'echo $$ >haul; exec \"$H\" put --from-command \"$C\" \"$A\" --as x'; echo $? >code";
    let mut terminal = Command::new("script");
    terminal.args(["-qec", put, "/dev/null"]).current_dir(setting.place.path());
    terminal.env("H", &binaries::get().haul).env("A", setting.server.address()).env("C", command);
    let terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut terminal = terminal.spawn().unwrap();
    let keys = terminal.stdin.take();
    eventually("the command runs", || pids.exists());
    let read = |name: &str| fs::read_to_string(setting.place.path().join(name)).unwrap_or_default();
    let haul = Pid::from_raw(read("haul").trim().parse().unwrap()).unwrap();
    kill_process(haul, Signal::TERM).unwrap();
    eventually("haul has ended", || read("code") == "130\n");
    for pid in read("pids").split_whitespace() {
        let status = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // One that has ended may still wait for somebody to ask how.
        eventually("the command has ended", || {
            let status = status();
            let state = status.rsplit(')').next().unwrap_or_default();
            state.is_empty() || state.starts_with(" Z")
        });
    }
    drop(keys);
    terminal.wait().unwrap();
}
