//! Running clients, so that a failing test can tell of the last one.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

use assert_cmd::assert::Assert;
use rustix::process::{Pid, Signal, kill_process};

use crate::binaries;

/// The longest that a program runs to its end: one that hangs fails its own test, and not the whole suite by its silence.
const LONGEST: Duration = Duration::from_secs(300);

thread_local! {
    /// The last client that this thread has waited for: its words and its end. Each test has a thread of its own.
    static LAST: RefCell<Option<(String, Output)>> = const { RefCell::new(None) };
}

/// A program that a test runs to its end, and then makes assertions about.
#[derive(Debug)]
pub struct Client(assert_cmd::Command);

/// `haul`, to be run to its end.
#[must_use]
pub fn haul() -> Client {
    Client::new(&binaries::get().haul)
}

/// `haul`, to be started: the test goes on while it runs. [`ended`] waits for it.
#[must_use]
pub fn haul_command() -> Command {
    let mut command = Command::new(&binaries::get().haul);
    // Not the settings of whoever runs the tests.
    command.env("HAUL_CONFIG", "");
    command
}

impl Client {
    /// A program, such as a shell that runs `haul`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = assert_cmd::Command::new(program);
        command.timeout(LONGEST).env("HAUL_CONFIG", "");
        Self(command)
    }

    /// A program with settings that the standard library's `Command` has.
    #[must_use]
    pub fn from_std(command: Command) -> Self {
        let mut command = assert_cmd::Command::from_std(command);
        command.timeout(LONGEST);
        Self(command)
    }

    /// Adds a word.
    pub fn arg(&mut self, word: impl AsRef<OsStr>) -> &mut Self {
        self.0.arg(word);
        self
    }

    /// Adds words.
    pub fn args(&mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.0.args(words);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.0.env(key, value);
        self
    }

    /// Sets the working directory.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.0.current_dir(directory);
        self
    }

    /// Sets the bytes of its standard input.
    pub fn write_stdin(&mut self, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.0.write_stdin(bytes);
        self
    }

    /// Kills it if it runs longer.
    pub fn timeout(&mut self, most: Duration) -> &mut Self {
        self.0.timeout(most);
        self
    }

    /// Runs it, for assertions about how it has ended.
    #[must_use]
    pub fn assert(&mut self) -> Assert {
        let assert = self.0.assert();
        remember(self.words(), assert.get_output());
        assert
    }

    /// Runs it, however it ends.
    pub fn output(&mut self) -> Output {
        let output = self.0.output().unwrap();
        remember(self.words(), &output);
        output
    }

    fn words(&self) -> String {
        let words = [self.0.get_program()].into_iter().chain(self.0.get_args());
        words.map(|word| format!("{word:?} ")).collect()
    }
}

/// Runs a command, however it ends.
pub fn output_of(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    remember(format!("{command:?}"), &output);
    output
}

/// Waits for a client that was started with pipes as standard output or error.
#[must_use]
pub fn ended(client: Child) -> Output {
    // Empty if the client has ended already.
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", client.id()));
    let line = line.unwrap_or_default();
    let words: String = line.split_terminator('\0').map(|word| format!("{word:?} ")).collect();
    let words = if words.is_empty() { format!("process {}", client.id()) } else { words };
    let output = client.wait_with_output().unwrap();
    remember(words, &output);
    output
}

/// Sends a signal to a client that runs.
pub fn signal(client: &Child, signal: Signal) {
    kill_process(Pid::from_child(client), signal).unwrap();
}

fn remember(words: String, output: &Output) {
    LAST.set(Some((words, output.clone())));
}

/// The last client that this thread has waited for, if nobody has asked yet.
pub(crate) fn take_last() -> Option<(String, Output)> {
    // No client is remembered once the thread ends.
    LAST.try_with(RefCell::take).ok().flatten()
}
