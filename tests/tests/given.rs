//! Sources that can be read only once: standard input, FIFOs, descriptors, terminals, the output of commands.

use std::os::fd::OwnedFd;

use haul_tests::prelude::*;

/// A server that has a good file.
fn with_good_file() -> Setting {
    let setting = Setting::start();
    fs::write(setting.server.root().join("good"), "good").unwrap();
    setting
}

/// What the server has of that name, which must be a file.
fn stored(setting: &Setting, name: &str) -> String {
    let path = setting.server.root().join(name);
    assert!(path.symlink_metadata().unwrap().is_file(), "{name} is no file");
    fs::read_to_string(path).unwrap()
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What a process has open.
fn open_files(child: &Child) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

fn haul(setting: &Setting, words: &[&str]) -> Command {
    let mut command = haul_command();
    command.current_dir(setting.place.path()).args(words);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn told(child: &mut Child) -> String {
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    told
}

/// Trap `descriptor_as_source`.
#[test]
fn descriptor_as_source() {
    let setting = with_good_file();
    for put in [
        "echo new | \"$H\" put /dev/stdin \"$A\" --as good",
        "\"$H\" put <(echo new) \"$A\" --as good",
        "\"$H\" put --links follow <(echo new) \"$A\" --as good",
        "\"$H\" put --links skip <(echo new) \"$A\" --as good",
        "\"$H\" put /proc/self/fd/7 \"$A\" --as good 7< <(echo new)",
        "echo new >f; \"$H\" put /dev/stdin \"$A\" --as good <f",
        "echo new >f; exec 7<f; rm f; \"$H\" put /dev/fd/7 \"$A\" --as good",
        "ln -sf /dev/stdin link; echo new | \"$H\" put link \"$A\" --as good",
        "mkfifo p; timeout 60 sh -c 'echo new >p' & \"$H\" put p \"$A\" --as good",
        "echo new | \"$H\" sync /dev/stdin \"$A\"; mv \"$0\"/stdin \"$0\"/good",
    ] {
        fs::write(setting.server.root().join("good"), "good").unwrap();
        setting.script(put).arg(setting.server.root()).assert().success();
        assert_eq!(stored(&setting, "good"), "new\n", "{put}");
    }
    // A directory goes with what is in it, under the name that was given.
    setting.write("d/f", "x");
    setting.script("\"$H\" put /dev/fd/7 \"$A\" 7<s/d").assert().success();
    assert_eq!(stored(&setting, "7/f"), "x");
}

#[test]
fn socket_or_terminal_as_source_is_read_to_its_end() {
    let setting = with_good_file();
    for source in ["/dev/stdin", "-"] {
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut command =
            haul(&setting, &["put", source, setting.server.address(), "--as", "good"]);
        let mut running = command.stdin(OwnedFd::from(there)).spawn().unwrap();
        drop(command);
        here.write_all(b"through a socket").unwrap();
        drop(here);
        assert!(running.wait().unwrap().success(), "{}", told(&mut running));
        assert_eq!(stored(&setting, "good"), "through a socket");
    }
    let line = format!(
        "stty -echo; '{}' put /dev/stdin {} --as good",
        binaries::get().haul.display(),
        setting.server.address()
    );
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).stdout(Stdio::null());
    let mut terminal = terminal.stdin(Stdio::piped()).spawn().unwrap();
    // Ctrl-D at the start of a line is the end.
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(b"typed\n\x04").unwrap();
    eventually("what was typed has arrived", || stored(&setting, "good") == "typed\n");
    drop(keys);
    terminal.wait().unwrap();
}

#[test]
fn streams_and_files_of_one_command_line_all_arrive() {
    let setting = Setting::start();
    setting.write("file", "a file");
    fifo(&setting.place.path().join("p"));
    let put = "timeout 60 sh -c 'echo one >p' & \"$H\" put s/file p <(echo two) /dev/fd/7 \"$A\" 7< <(echo three)";
    setting.script(put).assert().success().stdout(contains("4 files"));
    assert_eq!(stored(&setting, "file"), "a file");
    assert_eq!(stored(&setting, "p"), "one\n");
    assert_eq!(stored(&setting, "7"), "three\n");
    // More than one part, sent by several connections; the FIFO itself stays.
    let put = "head -c 5000000 /dev/zero | tr '\\0' x >p & \"$H\" put --remove-source p \"$A\"";
    let durable = Setting::start_with(&[]);
    fifo(&durable.place.path().join("p"));
    durable.script(put).assert().success();
    assert_eq!(stored(&durable, "p"), "x".repeat(5_000_000));
    assert!(durable.place.path().join("p").exists());
}

#[test]
fn what_is_named_and_cannot_be_sent_is_a_failure_and_the_others_go() {
    let setting = with_good_file();
    setting.write("file", "x");
    let socket = setting.place.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let address = setting.server.address();
    let sources =
        ["/dev/null", "/dev/zero", "/dev/full", "socket", "/dev/fd/99", "/proc/self/fd/98"];
    for source in sources {
        for verb in ["put", "sync"] {
            let failed = setting.haul(&[verb, source, address]).assert().code(1);
            failed.stderr(contains(source));
        }
        setting.haul(&["put", source, address, "--as", "good"]).assert().code(1);
        assert_eq!(stored(&setting, "good"), "good", "{source}");
    }
    let words = [&["put"], &sources[..], &["s/file", address]].concat();
    setting.haul(&words).assert().code(1).stdout(contains("1 file, ").and(contains("6 failed")));
    assert_eq!(stored(&setting, "file"), "x");
    // A symlink to a device is a symlink, as systemd masks its units; what is found in a tree is skipped.
    symlink("/dev/null", setting.source().join("masked")).unwrap();
    setting.haul(&["put", "s/masked", address]).assert().success();
    fifo(&setting.source().join("p"));
    setting.haul(&["put", "s", address]).assert().success().stderr(contains("skipped s/p: a FIFO"));
}

/// The numbers that the user has not opened are those that haul's own descriptors get.
#[test]
fn descriptor_that_the_user_has_not_opened_is_a_failure_and_no_symlink() {
    let setting = with_good_file();
    symlink("/dev/fd/6", setting.place.path().join("link")).unwrap();
    let address = setting.server.address();
    // Whoever runs the test may have left some open.
    let haul = |words: &[&str]| {
        let close = "for fd in {3..20}; do eval \"exec $fd>&-\"; done; exec \"$H\" \"$@\"";
        setting.script(close).arg("haul").args(words).timeout(DEADLINE).assert()
    };
    let sources = (3..20)
        .flat_map(|fd| [format!("/dev/fd/{fd}"), format!("/proc/thread-self/fd/{fd}")])
        .chain(["link".to_owned()]);
    for (index, source) in sources.enumerate() {
        let links = ["copy", "follow", "skip"][index % 3];
        let words = ["put", "--links", links, &source, address, "--as", "good"];
        let failed = haul(&words).code(1);
        failed.stderr(contains(source.as_str()).and(contains("not open")));
        assert_eq!(stored(&setting, "good"), "good", "{source}");
        for words in [["sync", &source, address], ["verify", &source, address]] {
            let failed = haul(&words).code(1);
            failed.stderr(contains(source.as_str()).and(contains("not open")));
        }
        assert_eq!(
            fs::read_dir(setting.server.root()).unwrap().count(),
            2,
            "{source}: .haul and good"
        );
    }
    // Neither a list, nor rules, nor a receipt.
    for option in ["--files-from", "--exclude-from", "--receipt"] {
        let failed = haul(&["put", option, "/dev/fd/6", "s", address]);
        failed.failure().stderr(contains("/dev/fd/6").and(contains("not open")));
    }
    // Those that the user has opened count, whichever numbers they have and however many.
    let put = "for fd in 3 6 9; do \"$H\" put /dev/fd/$fd \"$A\" --as $fd || exit 1; done";
    setting.script(&format!("({put}) 3< <(echo 3; echo 3) 6<<<6 9<<<9")).assert().success();
    assert_eq!(stored(&setting, "6") + &stored(&setting, "9"), "6\n9\n");
}

/// A FIFO that nobody writes to is a failure after some seconds; one that is written to late is not.
#[test]
fn fifo_without_a_writer_is_a_failure_and_the_others_go() {
    let setting = with_good_file();
    setting.write("file", "x");
    fifo(&setting.place.path().join("p"));
    let address = setting.server.address();
    let failed = setting.haul(&["put", "p", "s/file", address]).assert().code(1);
    failed.stderr(contains("p: could not read").and(contains("no process has opened it")));
    assert_eq!(stored(&setting, "file"), "x");
    // A writer that writes nothing ends it as well.
    let put = "timeout 60 sh -c ': >p' & \"$H\" put p \"$A\" --as good";
    setting.script(put).assert().success();
    assert_eq!(stored(&setting, "good"), "");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_writer() {
    let setting = Setting::start();
    let path = setting.place.path().join("p");
    fifo(&path);
    fs::write(setting.place.path().join("list"), "").unwrap();
    let address = setting.server.address();
    for words in [&["put", "p", address][..], &["put", "--files-from", "p", "s", address]] {
        let mut running = haul(&setting, words).spawn().unwrap();
        eventually("the FIFO is open", || {
            open_files(&running).iter().any(|open| open.file_name() == path.file_name())
        });
        // A run that has reached its server ends in order, one that has not begun at once.
        signal(&running, Signal::INT);
        assert_eq!(running.wait().unwrap().code(), Some(130), "{}", told(&mut running));
    }
}

#[test]
fn standard_input_of_a_prompt_is_no_source() {
    let setting = Setting::start();
    for line in ["put -", "put /dev/stdin", "sync /dev/fd/0", "put --files-from /proc/self/fd/0 s"]
    {
        let mut shell = setting.haul(&["shell", setting.server.address()]);
        let shell = shell.write_stdin(format!("{line}\nmkdir after\n")).assert().code(1);
        shell.stderr(contains("where the commands come from"));
        assert!(setting.server.root().join("after").exists(), "{line}");
        fs::remove_dir(setting.server.root().join("after")).unwrap();
    }
    // Nor that of a command.
    let line = "put --from-command cat --as empty\nmkdir after\n";
    setting.haul(&["shell", setting.server.address()]).write_stdin(line).assert().success();
    assert_eq!(stored(&setting, "empty"), "");
    assert!(setting.server.root().join("after").exists());
}

/// Nothing stays behind, whichever signal or limit ends haul.
#[test]
fn what_is_kept_of_standard_input_never_stays_behind() {
    let setting = with_good_file();
    let temporary = setting.place.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let is_empty = || fs::read_dir(&temporary).unwrap().next().is_none();
    let put = ["put", "-", setting.server.address(), "--as", "good"];
    for end in [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::ABORT] {
        let mut command = haul(&setting, &put);
        let mut running = command.env("TMPDIR", &temporary).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = running.stdin.take().unwrap();
        input.write_all(&[b'x'; 100_000]).unwrap();
        eventually("some of it is kept", || {
            let open = fs::read_dir(format!("/proc/{}/fd", running.id())).unwrap().flatten();
            let kept = open.filter(|entry| {
                let place = fs::read_link(entry.path()).unwrap_or_default();
                let size = || fs::metadata(entry.path()).map_or(0, |found| found.size());
                place.starts_with(&temporary) && size() > 0
            });
            kept.count() > 0
        });
        assert!(is_empty(), "{end:?}: a name while it is read");
        // Ctrl-C also ends the process that is read from; that end comes after the signal.
        signal(&running, end);
        drop(input);
        assert!(!running.wait().unwrap().success());
        assert!(is_empty(), "{end:?}");
        assert_eq!(stored(&setting, "good"), "good");
    }
    // A limit on files is an error that is told.
    let limited = "ulimit -f 1; head -c 3000000 /dev/zero | \"$H\" put - \"$A\" --as good";
    let mut limited = setting.script(limited);
    limited.env("TMPDIR", &temporary).assert().code(1).stderr(contains("TMPDIR"));
    assert!(is_empty());
    // So is a place that is not there.
    let mut nowhere = setting.haul(&put);
    nowhere
        .env("TMPDIR", "/nowhere")
        .write_stdin("x")
        .assert()
        .code(1)
        .stderr(contains("/nowhere"));
    assert_eq!(stored(&setting, "good"), "good");
}

/// Trap `failed_command_stored`.
#[test]
fn failed_command_stored() {
    let setting = with_good_file();
    let put = |command: &str| {
        let address = setting.server.address();
        setting.haul(&["put", "--from-command", command, address, "--as", "good"]).assert()
    };
    for (command, status) in [
        ("echo half; exit 3", "exit status: 3"),
        ("echo half; kill -KILL $$", "SIGKILL"),
        ("no-such-command", "exit status: 127"),
        ("exec >&-; exit 4", "exit status: 4"),
        ("bash -o pipefail -c 'false | echo half'", "exit status: 1"),
    ] {
        put(command).code(1).stderr(contains(status).and(contains(command)));
        assert_eq!(stored(&setting, "good"), "good", "{command}");
    }
    put("echo whole; echo seen >&2").success().stderr(contains("seen"));
    assert_eq!(stored(&setting, "good"), "whole\n");
    // Standard input is the command's, and what is much is sent in parts.
    let pipe = "seq 900000 | \"$H\" put --from-command 'sort -n' \"$A/d\" --as sorted";
    setting.script(pipe).assert().success();
    let expected: String = (1..=900_000).map(|number| format!("{number}\n")).collect();
    assert!(stored(&setting, "d/sorted") == expected);
    setting.haul(&["put", "--from-command", "true", setting.server.address()]).assert().code(2);
    let both = ["put", "--from-command", "true", "s", setting.server.address(), "--as", "x"];
    setting.haul(&both).assert().code(2).stderr(contains("alone"));
}

/// Ctrl-C and SIGTERM, with a command that hears them and one that does not, and all that it has started.
#[test]
fn signal_ends_haul_and_the_command() {
    let setting = with_good_file();
    let pids = setting.place.path().join("pids");
    let hears = "sleep 1000 & echo $$ $! >pids.new; mv pids.new pids; echo half; wait; sleep 1000";
    let is_deaf = &format!("trap '' TERM INT; {hears}");
    // The shell ends at once, and what it has started does not.
    let starts_deaf = "sh -c 'trap \"\" TERM INT; echo $PPID $$ >pids.new; mv pids.new pids; exec sleep 1000' & wait";
    for (end, command) in [
        (Signal::INT, hears),
        (Signal::TERM, hears),
        (Signal::INT, is_deaf),
        (Signal::TERM, starts_deaf),
    ] {
        let _ = fs::remove_file(&pids);
        let words = ["put", "--from-command", command, setting.server.address(), "--as", "good"];
        let mut running = haul(&setting, &words).spawn().unwrap();
        eventually("the command runs", || pids.exists());
        signal(&running, end);
        assert_eq!(running.wait().unwrap().code(), Some(130), "{}", told(&mut running));
        for pid in fs::read_to_string(&pids).unwrap().split_whitespace() {
            // One that has ended may still wait for somebody to ask how.
            let runs = || {
                let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                status
                    .rsplit(')')
                    .next()
                    .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
            };
            eventually("the command has ended", || !runs());
        }
        assert_eq!(stored(&setting, "good"), "good");
    }
}
