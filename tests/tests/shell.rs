//! `haul shell`: the prompt on a terminal, and commands from a pipe.

use haul_tests::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn shell(server: &Hauld, directory: &TempDir, input: &str) -> Assert {
    haul().current_dir(directory).args(["shell", server.address()]).write_stdin(input).assert()
}

#[test]
fn piped_commands_are_obeyed() {
    let server = server();
    let source = TempDir::new().unwrap();
    fs::create_dir(source.path().join("dir")).unwrap();
    for name in ["a", "b c", "dir/d"] {
        fs::write(source.path().join(name), name).unwrap();
    }
    shell(&server, &source, "help\n\nput a 'b c'\nput dir\n")
        .success()
        .stdout(contains("put FILE...").and(contains("2 files")));
    for name in ["a", "b c", "dir/d"] {
        assert_eq!(fs::read_to_string(server.root().join(name)).unwrap(), name);
    }
}

#[test]
fn mistakes_are_named_and_the_rest_goes_on() {
    let server = server();
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a"), "x").unwrap();
    shell(&server, &source, "fetch a\nput missing\nput\nput a\nquit\nput b\n").code(1).stderr(
        contains("`fetch` is not a command")
            .and(contains("missing: could not read"))
            .and(contains("put what?"))
            .and(contains("haul: b").not()),
    );
    assert!(server.root().join("a").exists());
}

/// `script` gives it a terminal, where there is a prompt.
#[test]
fn prompt_is_shown_on_a_terminal() {
    let server = server();
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a"), "x").unwrap();
    let mut terminal = Terminal::start(&server, &source, "");
    terminal.types("put a\r");
    terminal.wait_for("1 file,");
    terminal.wait_for(">>: ");
    terminal.types("quit\r");
    assert!(terminal.script.wait().unwrap().success());
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"x");
}

#[test]
fn prompt_knows_what_the_command_line_knows() {
    let server = server();
    let source = TempDir::new().unwrap();
    fs::create_dir(source.path().join("dir")).unwrap();
    fs::write(source.path().join("dir/file"), "x").unwrap();
    let lines =
        "sync dir/ new\nverify dir/ new\nmkdir new/one 'two words'\nls -R new\nsync -n dir/ new\n";
    shell(&server, &source, lines).success().stdout(
        contains("file\none/\n").and(contains("1 the same, 0 different")).and(contains("dry run")),
    );
    assert!(server.root().join("new/one").is_dir() && server.root().join("two words").is_dir());
    assert_eq!(fs::read(server.root().join("new/file")).unwrap(), b"x");
    shell(&server, &source, "mkdir new/file\nls none\nmkdir ../out\nsync --what dir\n")
        .code(1)
        .stderr(
            contains("conflict")
                .and(contains("not_found"))
                .and(contains("../out"))
                .and(contains("--what")),
        );
    shell(&server, &source, "help\nsync --help\n")
        .success()
        .stdout(contains("mkdir PATH").and(contains("--max-delete")));
}

/// What comes after it in the pipe is no file.
#[test]
fn standard_input_belongs_to_the_prompt() {
    let server = server();
    let source = TempDir::new().unwrap();
    shell(&server, &source, "put - --as x\nput --files-from - .\nls\n")
        .code(1)
        .stderr(contains("standard input is where the commands come from").count(2));
}

/// A prompt on a terminal of its own, which `script` gives it.
struct Terminal {
    script: std::process::Child,
    seen: String,
}

impl Terminal {
    fn start(server: &Hauld, directory: &TempDir, words: &str) -> Self {
        let haul = binaries::get().haul.display();
        let script = Command::new("script")
            .args(["-qec", &format!("{haul} shell {words} {}", server.address()), "/dev/null"])
            .current_dir(directory)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut terminal = Self { script, seen: String::new() };
        terminal.wait_for(">>: ");
        terminal
    }

    fn types(&mut self, keys: &str) {
        self.script.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, after what was waited for before.
    fn wait_for(&mut self, what: &str) {
        let mut buffer = [0; 4096];
        let begun = Instant::now();
        while !self.seen.contains(what) {
            assert!(begun.elapsed() < DEADLINE, "no {what:?} in time in {:?}", self.seen);
            let out = self.script.stdout.as_mut().unwrap();
            let deadline = Timespec::try_from(DEADLINE).unwrap();
            let ready = poll(&mut [PollFd::new(&*out, PollFlags::IN)], Some(&deadline)).unwrap();
            assert!(ready > 0, "no {what:?} in time in {:?}", self.seen);
            let len = out.read(&mut buffer).unwrap();
            assert!(len > 0, "no {what:?} in {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..len]));
        }
        let end = self.seen.find(what).unwrap() + what.len();
        self.seen.drain(..end);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Tab completes commands, names here and names there.
#[test]
fn names_of_both_sides_are_completed() {
    let server = server();
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("only_local"), "x").unwrap();
    fs::create_dir_all(server.root().join("remote directory/inner")).unwrap();
    fs::write(server.root().join("remote directory/inner/found"), "x").unwrap();
    let mut terminal = Terminal::start(&server, &source, "");
    terminal.types("pu\t");
    terminal.wait_for("put ");
    terminal.types("onl\t");
    terminal.wait_for("only_local");
    terminal.types("\r");
    terminal.wait_for("1 file,");
    assert!(server.root().join("only_local").exists());
    terminal.wait_for(">>: ");
    terminal.types("ls rem\t");
    terminal.wait_for("remote\\ directory/");
    terminal.types("in\t");
    terminal.wait_for("inner/");
    terminal.types("\r");
    terminal.wait_for("found");
}

/// Ctrl-C ends what runs, and the prompt comes back.
#[test]
fn ctrl_c_ends_the_transfer_and_not_the_prompt() {
    let server = server();
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("large"), vec![7; 4_000_000]).unwrap();
    fs::write(source.path().join("small"), "x").unwrap();
    // So slow that it would take a quarter of an hour.
    let mut terminal = Terminal::start(&server, &source, "--limit-rate 4KB");
    terminal.types("put large\r");
    // The bar moves.
    terminal.wait_for("0 of 1 file,");
    terminal.types("\x03");
    terminal.wait_for("interrupted");
    terminal.wait_for(">>: ");
    terminal.types("put small\r");
    terminal.wait_for("1 file,");
    terminal.types("quit\r");
    assert_eq!(terminal.script.wait().unwrap().code(), Some(130));
    assert!(server.root().join("small").exists() && !server.root().join("large").exists());
}

#[test]
fn files_and_directories_come_here_and_are_shown() {
    let (server, place) = (server(), TempDir::new().unwrap());
    fs::create_dir_all(server.root().join("in/deep")).unwrap();
    for name in ["in/file", "in/deep/two words"] {
        fs::write(server.root().join(name), "text\n").unwrap();
    }
    let lines = "get in/file .\nget -n in/ dry\ncat in/file 'in/deep/two words'\nget in/deep\n";
    shell(&server, &place, lines).success().stdout(
        contains("1 file,").and(contains("would get in/file")).and(contains("text\ntext\n")),
    );
    assert_eq!(tree::names(place.path()), ["deep/two words", "file"]);
    // Below the place of the prompt.
    let mut command = haul();
    command.current_dir(&place).args(["shell", &format!("{}/in", server.address())]);
    command.write_stdin("get file below\ncat file\n").assert().success().stdout(contains("text\n"));
    assert_eq!(fs::read_to_string(place.path().join("below/file")).unwrap(), "text\n");
    shell(&server, &place, "get none .\ncat in/none\nget\ncat in/file\n")
        .code(1)
        .stdout(contains("text\n"))
        .stderr(contains("haul: none: ").and(contains("haul: in/none: ")).and(contains("<PATH>")));
}

#[test]
fn ctrl_c_ends_a_get_and_not_the_prompt() {
    let (server, place) = (server(), TempDir::new().unwrap());
    fs::write(server.root().join("large"), vec![7; 4_000_000]).unwrap();
    fs::write(server.root().join("small"), "text").unwrap();
    let mut terminal = Terminal::start(&server, &place, "--limit-rate 4KB");
    terminal.types("get large\r");
    terminal.wait_for("0 of 1 file,");
    terminal.types("\x03");
    terminal.wait_for("interrupted");
    terminal.wait_for(">>: ");
    terminal.types("cat small\r");
    terminal.wait_for("text");
    terminal.types("quit\r");
    assert_eq!(terminal.script.wait().unwrap().code(), Some(130));
    assert!(!place.path().join("large").exists());
}
